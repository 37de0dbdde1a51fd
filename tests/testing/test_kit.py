"""The test kit itself: it passes what is right and names what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import (
    Context,
    Dataset,
    Files,
    Params,
    Rejected,
    Rng,
    Sample,
    SampleContext,
    images,
    param,
    sample_stage,
    stage,
)
from pipekit import testing as kit
from pipekit.learning.embedders import Facts, embedder
from pipekit.registry.registry import Registry


class AmountParams(Params):
    amount: float = param(0.2, "How much", ge=0, le=1)


def brighten(image: Any, params: AmountParams, rng: Rng) -> Any:
    """Add a random brightness."""
    shift = rng.note("shift", rng.uniform(0, 255 * params.amount))
    return np.clip(image + shift, 0, 255).astype(np.uint8)


def turn(size_hw: tuple[int, int], params: Params, rng: Rng) -> Any:
    """Turn about the corner."""
    angle = rng.uniform(0, 3)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def test_right_ops_pass() -> None:
    kit.check_op(brighten)
    kit.check_op(brighten, amount=0.9)
    kit.check_op(turn)


class BareParams(Params):
    count: int = 3
    limit: float = param(1.0, "A limit without an end")


def broken_ops() -> list[tuple[Any, str]]:
    def grows(image: Any, params: Params, rng: Rng) -> Any:
        """Another shape."""
        return np.concatenate([image, image])

    def floats(image: Any, params: Params, rng: Rng) -> Any:
        """Another dtype."""
        return image / 2.0

    def writes(image: Any, params: Params, rng: Rng) -> Any:
        """In place."""
        image //= 2
        return image

    state = np.random.default_rng(0)

    def forgets(image: Any, params: Params, rng: Rng) -> Any:
        """Its own generator."""
        return (image // 2 + state.integers(0, 100)).astype(np.uint8)

    def flattens(size_hw: tuple[int, int], params: Params, rng: Rng) -> Any:
        """A singular matrix."""
        return np.zeros((3, 3))

    def mute(image: Any, params: Params, rng: Rng) -> Any:
        return image

    def bare(image: Any, params: BareParams, rng: Rng) -> Any:
        """Parameters without words."""
        return image

    def fails(image: Any, params: Params, rng: Rng) -> Any:
        """Never works."""
        raise RuntimeError("out of ink")

    return [
        (grows, "expected (48, 64, 3) uint8, got ndarray (96, 64, 3) uint8"),
        (floats, "got ndarray (48, 64, 3) float64"),
        (writes, "work on a copy"),
        (forgets, "draw random numbers only from `rng`"),
        (flattens, "can't be inverted"),
        (mute, "no docstring"),
        (bare, "'count' has no description; 'count' is a number without bounds"),
        (bare, "'limit' is a number without bounds"),
        (fails, "RuntimeError: out of ink"),
    ]


@pytest.mark.parametrize(("op", "problem"), broken_ops(), ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_op_is_named_with_its_reason(op: Any, problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        kit.check_op(op)
    assert problem in str(caught.value)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(AssertionError, match="less than or equal to 1"):
        kit.check_op(brighten, amount=3)


def centre(image: Any, params: Params) -> Any:
    """The middle of the image."""
    return np.array([[image.shape[1] / 2, image.shape[0] / 2, 1.0]], np.float32)


def outside(image: Any, params: Params) -> Any:
    """A point that is not there."""
    return np.array([[image.shape[1] + 5, 0, 1.0]], np.float32)


def grey(image: Any, params: Params) -> Any:
    """A response map."""
    return image.mean(axis=2).astype(np.float32)


def test_detectors() -> None:
    kit.check_detector(centre)
    kit.check_detector(grey)
    with pytest.raises(AssertionError, match="a point lies outside the image"):
        kit.check_detector(outside)


class Flat:
    """A folder of PNG files without classes."""

    def __init__(self, absolute: bool = False, seen: list[int] | None = None, no: Any = "") -> None:
        self.absolute, self.seen, self.no = absolute, seen, no

    def sniff(self, path: Path) -> Any:
        return "it holds PNG files" if any(path.rglob("*.png")) else self.no

    def read(self, path: Path, params: Params) -> Iterator[Sample]:
        if self.seen is not None:
            self.seen.append(1)
        for file in sorted(path.rglob("*.png")):
            name = str(file) if self.absolute else file.relative_to(path).as_posix()
            yield Sample(f"{name}{len(self.seen or ())}", str(file))


def test_importers(tiny_dataset: Path, tmp_path: Path) -> None:
    kit.check_importer(Flat(), tiny_dataset)
    with pytest.raises(AssertionError, match="ids must not change when the folder moves"):
        kit.check_importer(Flat(absolute=True), tiny_dataset)
    with pytest.raises(AssertionError, match="reading twice gives different samples"):
        kit.check_importer(Flat(seen=[]), tiny_dataset)
    with pytest.raises(AssertionError, match="no reason"):
        kit.check_importer(Flat(), tmp_path / "nothing")
    kit.check_importer(Flat(no=Rejected("no PNG file below it")), tiny_dataset)
    for wrong in (Rejected(""), None, 0):
        with pytest.raises(AssertionError, match=r'must be Rejected\("why"\), or ""'):
            kit.check_importer(Flat(no=wrong), tiny_dataset)


def in_turn(run: Any, tasks: Any, params: Params) -> Iterator[Any]:
    """One after the other."""
    for task in tasks:
        yield run(task)


def forgetful(run: Any, tasks: Any, params: Params) -> Iterator[Any]:
    """Loses the first task."""
    for number, task in enumerate(tasks):
        if number:
            yield run(task)


def greedy(run: Any, tasks: Any, params: Params) -> Iterator[Any]:
    """Takes all tasks before it begins."""
    yield from map(run, list(tasks))


def test_executors() -> None:
    with pytest.raises(AssertionError, match="all of 1,000 tasks were taken before the first result"):
        kit.check_executor(greedy)
    kit.check_executor(in_turn)
    with pytest.raises(AssertionError, match="expected one result for each of 7 tasks"):
        kit.check_executor(forgetful)


def test_recipes() -> None:
    with pytest.raises(AssertionError, match="no op called 'no_such_op'"):
        kit.check_recipe([{"op": "no_such_op"}])


def test_a_name_is_looked_up(pipekit_registry: Registry) -> None:
    kit.check_executor("serial", registry=pipekit_registry)


def test_the_tiny_dataset_is_the_same_every_time(tiny_dataset: Path, tmp_path: Path) -> None:
    from pipekit.testing.checks import write_tiny_dataset

    again = write_tiny_dataset(tmp_path / "again")
    files = sorted(path.relative_to(again) for path in again.rglob("*.png"))
    assert len(files) == 18
    assert all((again / file).read_bytes() == (tiny_dataset / file).read_bytes() for file in files)


@sample_stage
def darken(sample: Sample, params: AmountParams, ctx: SampleContext) -> Iterator[Sample]:
    """Make every image darker, by a random share."""
    path = ctx.out_path(f"{sample.id}.png")
    share = 1 - params.amount * ctx.rng().uniform()
    images.write(path, (images.read(sample.image) * share).astype(np.uint8))
    yield Sample(sample.id, str(path), label=sample.label)


@stage
def by_place(ctx: Context, dataset: Dataset) -> Files:
    """Write where the images lie: another result in every folder."""
    (ctx.out_dir / "places.txt").write_text("\n".join(sample.image for sample in dataset))
    return ctx.artifact(Files)


@stage
def spoils(ctx: Context, dataset: Dataset) -> Files:
    """Write into a source image."""
    sample = next(iter(dataset))
    Path(sample.image).write_bytes(Path(sample.image).read_bytes() + b" ")
    return ctx.artifact(Files)


def test_stages() -> None:
    kit.check_stage(darken, amount=0.5)
    with pytest.raises(AssertionError, match="does it contain a random value or a path"):
        kit.check_stage(by_place)
    with pytest.raises(AssertionError, match=r"changed while this run was reading it|the source images are not changed"):
        kit.check_stage(spoils)


def test_a_project_runs_a_pipeline(pipekit_project: kit.Project) -> None:
    outcome = pipekit_project.run({"data": {"use": "import.folders", "path": "images"}}, seed=7)
    data = outcome.artifact("data")
    assert isinstance(data, Dataset)
    assert len(data) == 18
    assert data.classes == ("discs", "squares", "stripes")
    assert (pipekit_project.path / "runs" / "trial").is_dir()


def test_annotations_for_type_checkers_alone_are_no_obstacle() -> None:
    def build(image: Any, params: AmountParams, rng: Rng) -> Any:
        """An op whose return type only a type checker knows."""
        return image

    build.__annotations__["return"] = "not_imported_here.Model"
    kit.check_op(build)


def test_embedders() -> None:
    facts = Facts(input_hw=(8, 8), dimensions=3, licence="none", source="computed", trained_on="nothing")

    def means(images: Any) -> Any:
        return images.mean(axis=(1, 2)).astype(np.float32)

    def mean_colour(params: Params) -> Any:
        """The mean colour."""
        return means

    def of_the_company(params: Params) -> Any:
        """It depends on the other images."""
        return lambda images: means(images) - means(images).mean()

    def huge(params: Params) -> Any:
        """Too large for float16."""
        return lambda images: 1e6 + means(images)

    kit.check_embedder(embedder(facts)(mean_colour))
    for found, problem in ((of_the_company, "depend on the images beside it"), (huge, "kept as float16")):
        with pytest.raises(AssertionError, match=problem):
            kit.check_embedder(embedder(facts)(found))
    with pytest.raises(AssertionError, match="empty: licence"):
        kit.check_embedder(embedder(replace(facts, licence=""))(mean_colour))
    del mean_colour.__pipekit_embedder__  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="lacks @pipekit"):
        kit.check_embedder(mean_colour)


def test_projections() -> None:
    def first_two(table: Any, params: Params, rng: Rng) -> Any:
        """The first two features."""
        return np.pad(table, ((0, 0), (0, 2)))[:, :2]

    def of_its_own(table: Any, params: Params, rng: Rng) -> Any:
        """It has a generator of its own."""
        return np.random.default_rng().normal(size=(len(table), 2))

    def rough(table: Any, params: Params, rng: Rng) -> Any:
        """It changes what it was given."""
        table -= table.mean(axis=0)
        return np.zeros((len(table), 2))

    def flat(table: Any, params: Params, rng: Rng) -> Any:
        """One column."""
        return table[:, :1]

    kit.check_projection(first_two)
    for found, problem in (
        (of_its_own, "draw from `rng` alone"),
        (rough, "work on a copy"),
        (flat, r"expected \(40, 2\) numbers"),
    ):
        with pytest.raises(AssertionError, match=problem):
            kit.check_projection(found)
