"""Importers and exporters as stages: what an author writes is little, what people get is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipekit import Dataset, Failure, Files, InputPath, Model, Params, Sample, UserError, hookimpl, images, param
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan
from pipekit.errors import PluginError, StageError
from pipekit.pipeline.plan import load_plan
from pipekit.registry.component import Component
from pipekit.registry.format_stages import export_stage, import_stage
from pipekit.registry.registry import Registry, load_registry
from pipekit.testing.checks import write_tiny_dataset


class ListParams(Params):
    """Parameters of an importer."""

    label: str = param("thing", "The label of all")


class ListImporter:
    """A text file with the name of an image on each line; ``!`` before one that its author knows to be bad."""

    @staticmethod
    def sniff(path: Path) -> str:
        return "a list" if path.suffix == ".list" else ""

    @staticmethod
    def read(path: Path, params: ListParams) -> Iterator[Sample | Failure]:
        for name in path.read_text().split():
            if name.startswith("!"):
                yield Failure(name[1:], "marked as bad", name[1:])
            else:
                yield Sample(name, str(path.parent / name), label=params.label)


class DrawingImporter:
    """Writes its pictures itself."""

    @staticmethod
    def sniff(path: Path) -> str:
        return ""

    @staticmethod
    def read(path: Path, params: Params, out_dir: Path) -> Iterator[Sample]:
        import numpy as np

        for number in range(int(path.read_text())):
            file = out_dir / f"{number}.png"
            images.write(file, np.full((4, 4, 3), number, np.uint8))
            yield Sample(str(number), str(file))


class CountParams(Params):
    """Parameters of an exporter."""

    title: str = param("count", "First word")


def count(artifact: Dataset, out_dir: Path, params: CountParams) -> None:
    """How many."""
    (out_dir / "count.txt").write_text(f"{params.title} {len(artifact)}")


def name_model(artifact: Model, out_dir: Path, params: Params) -> None:
    """For models."""


class Plugin:
    """What a plugin's module would be."""

    @hookimpl
    def register_importers(self, register: Any) -> None:
        register("list", ListImporter, summary="A list")
        register("drawing", DrawingImporter)

    @hookimpl
    def register_exporters(self, register: Any) -> None:
        register("count", count, summary="A count", version=3)
        register("model-name", name_model)


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = load_registry(installed=False)
    registry.add(Plugin(), "mine", "a test")
    assert registry.plugins[-1].status == "ok"
    return registry


def run(registry: Registry, folder: Path, stages: Any, **settings: Any) -> Outcome:
    table = {"name": "trial", "workers": 1, "stages": stages, **settings}
    return run_plan(load_plan(table=table, base_dir=folder, registry=registry))


def test_each_format_is_a_stage_with_its_own_parameters(registry: Registry) -> None:
    importer = registry.get("stage", "import.list")
    own, shared = ["label", "path"], ["verify", "exclude", "corrections", "value_range", "labels_from", "order"]
    assert list(importer.params_type().model_fields) == [*own, *shared]
    assert (importer.summary, importer.contract().output, importer.contract().slots) == ("A list", Dataset, ())
    exporter = registry.get("stage", "export.count")
    assert exporter.version == 3
    assert list(exporter.params_type().model_fields) == [*CountParams.model_fields, "strip_metadata"]
    assert issubclass(exporter.params_type(), CountParams)
    assert [slot.artifact for slot in exporter.contract().slots] == [Dataset]
    assert exporter.contract().output is Files
    assert [slot.name for slot in registry.get("stage", "export.model-name").contract().slots] == ["model"]


def test_files_are_hashed_and_verified(registry: Registry, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images", 2)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "all.list").write_text("\n".join([*names, "text.png", "gone.png", "!known.png"]))
    stages = {"data": {"use": "import.list", "path": "all.list", "label": "x"}, "out": {"use": "export.count"}}
    outcome = run(registry, tmp_path, stages, max_failed=0.5)
    dataset: Any = outcome.artifact("data")
    assert [sample.id for sample in dataset] == names
    assert {(sample.label, len(sample.sha256)) for sample in dataset} == {("x", 64)}
    assert {failure.id: failure.reason for failure in dataset.failed()} == {
        "text.png": "a text file, not an image",
        "gone.png": "No such file or directory",
        "known.png": "marked as bad",
    }
    assert (outcome.artifact("out").path / "count.txt").read_text() == f"count {len(names)}"
    with pytest.raises(StageError, match=r"3 of 9 samples can't be used \(33\.3%\)"):
        run(registry, tmp_path, stages, max_failed=0.3)


def test_images_that_all_have_one_class_are_spoken_of(registry: Registry, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "photos", 1)

    def warnings(path: str, **params: Any) -> list[str]:
        outcome = run(registry, tmp_path, {"data": {"use": "import.folders", "path": path, **params}})
        return list(outcome.stages[0].warnings)

    (said,) = warnings(".", splits="no")
    assert said.startswith("all 3 images have one class, 'photos', so there are no classes to distinguish.")
    assert "`pipekit sniff` lists other ways" in said
    assert warnings("photos") == warnings("photos/discs") == warnings(".", labels="none") == warnings(".", labels="last") == []


@pytest.mark.parametrize(("verify", "failed"), [("decode", {"cut.png", "text.png"}), ("header", {"text.png"}), ("none", set())])
def test_how_closely_to_look_is_the_persons_choice(registry: Registry, tmp_path: Path, verify: str, failed: set[str]) -> None:
    write_tiny_dataset(tmp_path / "images", 1)
    whole = (tmp_path / "images/discs/discs_0.png").read_bytes()
    (tmp_path / "whole.png").write_bytes(whole)
    (tmp_path / "cut.png").write_bytes(whole[:-40])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "all.list").write_text("whole.png cut.png text.png")
    data = {"use": "import.list", "path": "all.list", "verify": verify}
    found: Any = run(registry, tmp_path, {"data": data}, max_failed=1).artifact("data")
    assert {failure.id for failure in found.failed()} == failed


def test_pictures_that_an_importer_writes_itself_belong_to_the_artifact(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("3")
    stages = {"data": {"use": "import.drawing", "path": "three.txt"}, "out": {"use": "export.count"}}
    dataset: Any = run(registry, tmp_path, stages).artifact("data")
    for sample in dataset:
        assert Path(sample.image).is_relative_to(dataset.path)
        assert images.read(sample.image).shape == (4, 4, 3)
    assert all(stage.cached for stage in run(registry, tmp_path, stages).stages)


@pytest.mark.parametrize("verify", ["decode", "none"])
def test_what_a_quarantine_file_lists_is_left_out_by_content_or_id(registry: Registry, tmp_path: Path, verify: str) -> None:
    write_tiny_dataset(tmp_path / "images", 2)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "all.list").write_text("\n".join([*names, "text.png", "gone.png", "!known.png"]))
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (names[0], "text.png")}
    lines = [f"another name,{hashes[names[0]]}", f"text.png,{hashes['text.png']}", f"{names[1]},", "gone.png,", "known.png,"]
    lines.append(f"{names[2]},{'0' * 64}")  # the name counts only where there is no hash
    (tmp_path / "bad.csv").write_text("\n".join(["id,sha256", *lines]))
    data = {"use": "import.list", "path": "all.list", "verify": verify, "exclude": "bad.csv"}
    found: Any = run(registry, tmp_path, {"data": data}).artifact("data")
    assert [sample.id for sample in found] == names[2:]
    assert not list(found.failed())
    rest = "text.png,,\ngone.png,,\nknown.png,,\n"
    own, other = f"{names[0]},{hashes[names[0]]},id", f"{names[1]},{hashes[names[0]]},id"
    for line, left in ((own, names[1:]), (other, names)):  # where both must match, content under another name stays
        (tmp_path / "bad.csv").write_text(f"id,sha256,match\n{line}\n{rest}")
        found = run(registry, tmp_path, {"data": data}).artifact("data")
        assert [sample.id for sample in found] == left
    (tmp_path / "bad.csv").write_text(f"id\n{names[3]}\ntext.png\ngone.png\nknown.png\n")
    found = run(registry, tmp_path, {"data": data}).artifact("data")
    assert [sample.id for sample in found] == [*names[:3], *names[4:]]


def test_pictures_that_an_importer_writes_can_be_left_out_and_are_not_kept(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("3")
    stages = {"data": {"use": "import.drawing", "path": "three.txt"}}
    before: Any = run(registry, tmp_path, stages).artifact("data")
    rows = {sample.id: sample.sha256 for sample in before}
    (tmp_path / "bad.csv").write_text(f"id,sha256\n0,\n1,{rows['1']}\n")
    stages["data"]["exclude"] = "bad.csv"
    after: Any = run(registry, tmp_path, stages).artifact("data")
    assert [(sample.id, sample.sha256) for sample in after] == [("2", rows["2"])]
    assert not (after.path / "1.png").exists()


def test_a_quarantine_file_may_not_name_everything_nor_be_another_table(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("1")
    stages = {"data": {"use": "import.drawing", "path": "three.txt", "exclude": "bad.csv"}}
    (tmp_path / "bad.csv").write_text("id\n0\n")
    with pytest.raises(UserError, match="no usable image") as caught:
        run(registry, tmp_path, stages)
    assert "Does 'exclude' name every image?" in caught.value.hint
    (tmp_path / "bad.csv").write_text("name\n0\n")
    with pytest.raises(UserError, match=r"bad\.csv has no column 'id'"):
        run(registry, tmp_path, stages)


def test_an_empty_list_is_an_error_that_says_where_to_look(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "all.list").write_text("")
    with pytest.raises(UserError, match=r"no usable image in .*all\.list") as caught:
        run(registry, tmp_path, {"data": {"use": "import.list", "path": "all.list"}})
    assert "pipekit components importer" in caught.value.hint


def test_names_that_the_stage_needs_itself_are_refused() -> None:
    class Clash(Params):
        path: InputPath = param(..., "Mine")

    class Importer:
        """Its parameter is called like the stage's."""

        @staticmethod
        def read(path: Path, params: Clash) -> Iterator[Sample]:
            yield Sample("a", "a")

    Importer.read.__annotations__ = {"path": Path, "params": Clash}
    with pytest.raises(PluginError, match="importer 'x' of plugin 'mine' may not have a parameter called 'path'"):
        import_stage(Component("importer", "x", Importer, plugin="mine"))


def test_an_exporter_takes_an_artifact() -> None:
    def write(artifact: int, out_dir: Path, params: Params) -> None: ...

    write.__annotations__ = {"artifact": int, "out_dir": Path, "params": Params}
    with pytest.raises(PluginError, match="'artifact' must be an Artifact class"):
        export_stage(Component("exporter", "x", write, plugin="mine"))
