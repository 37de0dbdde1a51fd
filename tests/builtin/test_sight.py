"""What the stages `split`, `inspect` and `evaluate` do with embeddings: near duplicates, foreign images, suspected labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.inspect.checks import by_features
from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.builtin.inspect.sight import Sight
from pipekit.commands.inspect import _choose_features
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.learning.embeddings import Embedded

PHOTOS = Path(__file__).resolve().parents[2] / "sample_data" / "photos"

PLUGIN = '''
"""An embedder that sees a picture as a grid of grey levels."""
import numpy as np
import pipekit
from pipekit.learning.embedders import Facts, embedder


class P(pipekit.Params):
    pass


@embedder(Facts(input_hw=(8, 8), dimensions=64, licence="none", source="here", trained_on="nothing"))
def grid(params: P):
    return lambda pictures: pictures.astype(np.float32).mean(3).reshape(len(pictures), 64)


@pipekit.hookimpl
def register_embedders(register):
    register("grid", grid, summary="A grid of grey levels")
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``photos`` with 24 different parts of two photographs in two classes; and a plugin with an embedder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    (tmp_path / "grid.py").write_text(PLUGIN, "utf-8")
    for name in ("cat", "coffee"):
        picture = images.read(PHOTOS / f"{name}.jpg")
        (tmp_path / "photos" / name).mkdir(parents=True)
        height, width = (edge // 4 for edge in picture.shape[:2])
        for number in range(12):
            top, left = height * (number // 4), width * (number % 4)
            part = np.ascontiguousarray(picture[top : top + height, left : left + width])
            images.write(tmp_path / "photos" / name / f"{number:02}.png", images.resize(part, (150, 200)))
    return tmp_path


def crop_of(project: Path, name: str, copy: str) -> None:
    """A copy that no hash finds: cropped, and somewhat darker."""
    picture = images.read(project / "photos" / name)
    images.write(project / "photos" / copy, np.ascontiguousarray((picture[10:-22, 10:-32] * 0.8).astype(np.uint8)))


def run(project: Path, *, features: bool = True, inspect: bool = True, **settings: Any) -> Any:
    pipeline = AdhocPipeline(
        base_dir=project, settings={"name": "trial", "executor": "serial", **settings}, plugins=("grid.py",)
    )
    data = pipeline.add("data", "import.folders", path="photos")
    embeddings = pipeline.add("embed", "embed", dataset=data, embedder="grid") if features else None
    split = pipeline.add("split", "split", dataset=data, embeddings=embeddings, fractions={"train": 0.5, "test": 0.5})
    if inspect:
        pipeline.add("inspect", "inspect", dataset=split, embeddings=embeddings, max_shown=2)
    return pipeline.run()


def splits(outcome: Any) -> dict[str, str]:
    return {sample.id: sample.split for sample in outcome.artifact("split")}


def test_a_cropped_copy_stays_in_one_split_and_inspect_says_how_it_differs(project: Path) -> None:
    copies = {f"coffee/copy{number}.png": f"coffee/{number:02}.png" for number in (1, 5, 6, 9)}
    for copy, original in copies.items():
        crop_of(project, original, copy)
    assert "kept together" not in run(project, features=False, inspect=False).stages[-1].facts, "hashes don't find them"
    (project / "split.csv").unlink()
    outcome = run(project)
    found = splits(outcome)
    assert all(found[copy] == found[original] for copy, original in copies.items())
    facts = outcome.stages[2].facts
    assert facts["near duplicates by features"] == "4 pairs"
    assert len(facts["similarity limit"]) == len("0.50")
    looked = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))
    near = [finding for finding in looked["findings"] if finding["check"] == "near_duplicates"]
    assert {frozenset(finding["samples"]) for finding in near} == {frozenset(pair) for pair in copies.items()}
    assert all("cropped to about 80 %" in finding["message"] and "by a factor of 1." in finding["message"] for finding in near)
    assert looked["features"]["embedder"] == "grid"
    assert looked["features"]["near_copies"]["pairs"] == 4


def test_no_image_moves_because_copies_are_found_later(project: Path) -> None:
    crop_of(project, "coffee/05.png", "coffee/copy.png")
    before = splits(run(project, features=False, inspect=False))
    kept = (project / "split.csv").read_bytes()
    after = run(project, inspect=False)
    assert splits(after) == before
    assert (project / "split.csv").read_bytes() == kept


def test_one_picture_added_is_one_shard_of_features(project: Path) -> None:
    def shards() -> set[Path]:
        rows = (project / "store" / "shards").glob("*/*/rows.jsonl")
        return {path.parent for path in rows if b'"features"' in path.read_bytes()}

    run(project, inspect=False, shard_size=4)
    before = shards()
    crop_of(project, "coffee/05.png", "coffee/copy.png")
    run(project, inspect=False, shard_size=4)
    assert 1 <= len(shards() - before) <= 2, "one shard, or the two that it was divided into"


def test_embeddings_of_other_images_are_a_warning(project: Path) -> None:
    pipeline = AdhocPipeline(base_dir=project, settings={"executor": "serial"}, plugins=("grid.py",))
    some = pipeline.add("some", "import.folders", path="photos/cat")
    pipeline.add("embed", "embed", dataset=some, embedder="grid")
    data = pipeline.add("data", "import.folders", path="photos")
    pipeline.add("split", "split", dataset=data, embeddings="embed", remember=False)
    assert "24 of 24 images have no features" in pipeline.run().stages[-1].warnings[0]


# --- the checks ----------------------------------------------------------------------------------------------------------


class Chance:
    def rng(self, *_: Any) -> Any:
        return np.random.default_rng(0)


def seen(table: Any, labels: list[str]) -> tuple[MeasuredRows, Any]:
    ids = [f"{number:03}" for number in range(len(labels))]
    rows = [
        {"id": name, "label": label, "split": "", "sha256": name, "group": n}
        for n, (name, label) in enumerate(zip(ids, labels, strict=True))
    ]
    return MeasuredRows.of(rows), Sight(Chance(), [], Embedded(tuple(ids), table.astype(np.float16), {}))  # type: ignore[arg-type]


def clouds() -> tuple[Any, list[str]]:
    """100 images in two classes that lie apart, and 50 in two that don't."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(0, 2, (3, 16)), 50, axis=0)
    labels = ["cat"] * 50 + ["dog"] * 50 + ["left", "right"] * 25
    return centres + rng.normal(0, 1, (150, 16)), labels


def test_a_foreign_image_is_found_and_is_not_proposed_for_removal() -> None:
    table, labels = clouds()
    table[7] = np.random.default_rng(1).normal(0, 9, 16)
    rows, sight = seen(table, labels)
    (finding,) = by_features.foreign(rows, None, by_features.ForeignParams(spreads=4.0), sight)  # type: ignore[arg-type]
    assert finding.samples == ("007",)
    assert "cat" in finding.message
    assert finding.values["remove"] == []


def test_suspected_labels_are_listed_by_pair_of_classes_with_their_probabilities() -> None:
    table, labels = clouds()
    table, labels = table[:100], labels[:100]
    labels[3] = labels[20] = "dog"
    labels[90] = "cat"
    rows, sight = seen(table, labels)
    findings = list(by_features.suspected_labels(rows, None, by_features.LabelsParams(), sight))  # type: ignore[arg-type]
    assert {name: finding.message for finding in findings for name in finding.samples} == {
        "003": "labelled dog, looks like cat",
        "020": "labelled dog, looks like cat",
        "090": "labelled cat, looks like dog",
    }
    assert findings[0].values["captions"]["003"].startswith("labelled dog (0.")
    assert findings[0].values["remove"] == []


def test_classes_that_lie_in_one_place_can_not_be_told_apart() -> None:
    table, labels = clouds()
    rows, sight = seen(table, labels)
    (finding,) = by_features.alike_classes(rows, None, by_features.AlikeParams(apart=0.85), sight)  # type: ignore[arg-type]
    assert finding.values["classes"] == ["left", "right"]
    assert finding.message.startswith("left and right can hardly be told apart")


def test_without_features_the_checks_say_nothing() -> None:
    rows: list[Mapping[str, Any]] = []
    for check, params in (
        (by_features.foreign, by_features.ForeignParams()),
        (by_features.suspected_labels, by_features.LabelsParams()),
        (by_features.alike_classes, by_features.AlikeParams()),
    ):
        assert list(check(rows, None, params)) == []  # type: ignore[arg-type,operator]


def test_the_command_computes_features_if_that_is_quick_and_else_says_what_it_left_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipekit.commands.inspect.FEATURES_WITHIN_S", 0.1)
    found = pipekit.inspect("photos", only=["near_duplicates"], workers=1)
    assert found.found["features"] is None
    assert any("--features" in warning for warning in found.warnings)
    assert not pipekit.inspect("photos", only=["near_duplicates"], features=False).warnings
    assert not pipekit.inspect("photos", only=["dark"]).warnings
    monkeypatch.setattr("pipekit.commands.inspect.FEATURES_WITHIN_S", 60.0)
    assert _choose_features(None, "photos", ["near_duplicates"], 1) == (True, ())
    assert _choose_features(None, "photos/cat", ["near_duplicates"], 1) == (False, ()), "too few images to compare"
