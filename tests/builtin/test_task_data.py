"""Several labels, numbers and ordered classes through importers, stages and exporters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import csv, metadata, roboflow_labels
from pipekit.builtin.importers.csv import CsvParams
from pipekit.builtin.importers.tables import TableParams
from pipekit.contract import Categories, Dataset, Failure, Params, Sample
from pipekit.errors import ReadingsError, UserError
from tests.builtin.annotated import picture
from tests.builtin.exporting import export, read
from tests.conftest import Trial


def table(folder: Path, header: str, *rows: str) -> Path:
    """A table of ``0.png``, ``1.png`` …; a row may begin with another row's name."""
    for number in range(len(rows)):
        images.write(_made(folder) / f"{number}.png", np.full((12, 16, 3), 9 * number, np.uint8))
    named = [row if row.partition(",")[0].endswith(".png") else f"{number}.png,{row}" for number, row in enumerate(rows)]
    file = folder / "labels.csv"
    file.write_text("\n".join([header, *named]) + "\n")
    return file


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def several(file: Path, **params: Any) -> list[Any]:
    found = list(csv.read(file, CsvParams(task="multilabel", **params)))
    assert not [item for item in found if isinstance(item, Failure)]
    return [item.labels for item in found if isinstance(item, Sample)]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["cat|dog", "cat", "[]", ""], [("cat", "dog"), ("cat",), (), None]),
        (['"cat, dog"', "cat", "dog", "cat"], [("cat", "dog"), ("cat",), ("dog",), ("cat",)]),
        (["\"['dog', 'cat']\"", '"[""dog""]"', "[]", "[]"], [("cat", "dog"), ("dog",), (), ()]),
    ],
)
def test_a_cell_holds_several_labels(tmp_path: Path, rows: list[str], found: list[Any]) -> None:
    assert several(table(tmp_path, "file,label", *rows)) == found


def test_columns_of_0_and_1_are_labels_in_their_order(tmp_path: Path) -> None:
    file = table(tmp_path, "file,wild,cat,patient", "1,1,7", "0,0,8", "0,1,9")
    assert several(file) == [("cat", "wild"), (), ("cat",)]
    assert several(file, label_columns=["cat"]) == [("cat",), (), ("cat",)]
    (listed,) = (item for item in csv.read(file, CsvParams(task="multilabel")) if isinstance(item, Categories))
    assert [entry.name for entry in listed.entries] == ["wild", "cat"]


def test_the_rows_of_an_image_are_joined(tmp_path: Path) -> None:
    assert several(table(tmp_path, "file,label", "cat", "0.png,dog", "fox")) == [("cat", "dog"), ("fox",)]


def test_what_is_asked_about_can_be_chosen(tmp_path: Path) -> None:
    file = table(tmp_path, "file,label", "cat|dog", "cat")
    with pytest.raises(ReadingsError) as caught:
        list(csv.read(file, CsvParams()))
    assert caught.value.readings[0].format == "csv:label=label:task=multilabel"
    file = table(tmp_path / "n", "file,angle", "0.5", "-3", "1e1")
    with pytest.raises(ReadingsError) as caught:
        list(csv.read(file, CsvParams()))
    assert caught.value.readings[0].format == "csv:label=angle:task=number"


def test_numbers_have_a_name_and_a_unit(tmp_path: Path) -> None:
    file = table(tmp_path, "file,angle", "0.5", "-3", "", "x", "inf")
    found = list(csv.read(file, CsvParams(task="number", unit="deg", label="angle")))
    assert [item.value for item in found if isinstance(item, Sample)] == [0.5, -3.0, None]
    assert [(e.name, e.unit) for item in found if isinstance(item, Categories) for e in item.entries] == [("angle", "deg")]
    reasons = [item.reason for item in found if isinstance(item, Failure)]
    assert reasons[0].endswith("'x' in column 'angle' is not a number")
    assert reasons[1].endswith("'inf' in column 'angle' is not finite")


def test_a_table_without_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column of numbers that may be predicted"):
        list(csv.read(table(tmp_path, "file,kind", "a", "b"), CsvParams(task="number")))


def test_json_lines_hold_lists(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "cat" / f"{name}.png")
    lines = [{"file_name": "cat/a.png", "labels": ["dog", "cat"]}, {"file_name": "cat/b.png", "labels": []}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [item for item in metadata.read(tmp_path, TableParams(task="multilabel")) if isinstance(item, Sample)]
    assert [(item.label, item.labels) for item in found] == [(None, ("cat", "dog")), (None, ())]


def test_the_labels_of_roboflow(tmp_path: Path) -> None:
    for name in ("train/a.png", "train/b.png", "valid/c.png"):
        picture(tmp_path / name)
    (tmp_path / "train/_classes.csv").write_text("filename, cat, dog\na.png, 1, 1\nb.png, 0, 0\nd.png, 0, 1\n")
    (tmp_path / "valid/_classes.csv").write_text("filename, cat, dog\nc.png, 0, 1\nc.png, 0, maybe\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/_classes.csv").write_text(f"filename, cat, dog\n{'9' * 5000}, 0, 1\n")
    assert roboflow_labels.sniff(tmp_path) == "_classes.csv with a column of 0 and 1 for each label: cat, dog"
    found = list(roboflow_labels.read(tmp_path, Params()))
    samples = [(item.id, item.split, item.labels) for item in found if isinstance(item, Sample)]
    assert samples == [("train/a.png", "train", ("cat", "dog")), ("train/b.png", "train", ()), ("valid/c.png", "val", ("dog",))]
    reasons = [item.reason for item in found if isinstance(item, Failure)]
    assert len(reasons.pop(0)) < 300, "a name of thousands of letters is shortened"
    assert reasons == [
        "train/_classes.csv line 4: there is no image 'd.png'",
        "valid/_classes.csv line 3: 'maybe' in column 'dog', expected 0 or 1",
    ]


LABELLED: dict[str, list[dict[str, Any]]] = {
    "multilabel": [{"labels": ("cat", "dog")}, {"labels": ()}, {}],
    "number": [{"value": 1.5}, {"value": -2.0}, {}],
}


@pytest.mark.parametrize("task", LABELLED)
@pytest.mark.parametrize(("name", "below"), [("csv", "dataset.csv"), ("parquet", ""), ("csv", "metadata.jsonl")])
def test_exporters_carry_the_task(tmp_path: Path, task: str, name: str, below: str) -> None:
    samples = []
    for number, fields in enumerate(LABELLED[task]):
        picture(tmp_path / f"{number}.png")
        samples.append(Sample(f"{number}.png", str(tmp_path / f"{number}.png"), f"{number}", split="train", **fields))
    dataset_meta = {"task": task, "classes": ["cat", "dog"] if task == "multilabel" else []}
    out = export(name, samples, tmp_path / "out", meta=dataset_meta, **({"table": below} if below else {}))
    format = "metadata" if below == "metadata.jsonl" else name
    found = read(format, out / ("" if format == "metadata" else below), task=task)
    assert [(item.labels, item.value) for item in found if isinstance(item, Sample)] == [(s.labels, s.value) for s in samples]


def several_of(trial: Trial, *rows: str, **stages: Any) -> Any:
    table(trial.path, "file,label", *rows)
    importer = {"use": "import.csv", "path": "labels.csv", "task": "multilabel"}
    return trial.run({"photos": importer, **stages})


def test_stages_pass_labels_on(trial: Trial) -> None:
    done = several_of(
        trial,
        *("left|cat", "cat", "[]", "left"),
        split={"use": "split", "dataset": "photos", "fractions": {"train": 1.0}, "duplicates": "off"},
        kept={"use": "filter", "dataset": "split", "where": "'left' in labels"},
        more={"use": "augment", "dataset": "kept", "ops": ["hflip(p=1)"], "copies": 1, "mirror_labels": {"left": "right"}},
    )
    made: Dataset = done.artifact("more")
    assert (made.task, made.classes) == ("multilabel", ("cat", "left", "right"))
    found = {sample.id: sample.labels for sample in made}
    assert found["0.png"] == ("cat", "left")
    assert found["0.aug1.png"] == ("cat", "right")


def test_a_stage_that_does_not_know_the_task_says_so(trial: Trial) -> None:
    with pytest.raises(UserError, match=r"the stage 'export.folders' does not support several labels for each image yet"):
        several_of(trial, "a|b", "b", out={"use": "export.folders", "dataset": "photos"})


def test_the_boxes_of_an_image_are_its_labels(trial: Trial) -> None:
    for name in ("a", "b"):
        picture(trial.path / f"{name}.png")
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax", "a.png,60,40,dog,1,1,9,9", "a.png,60,40,cat,1,1,9,9"]
    (trial.path / "_annotations.csv").write_text("\n".join([*rows, "a.png,60,40,cat,2,2,9,9", "b.png,,,,,,,", ""]))
    importer = {"use": "import.box_csv", "path": "_annotations.csv", "labels_from": "boxes"}
    made = trial.run({"photos": importer}).artifact("photos")
    assert {sample.id: sample.labels for sample in made} == {"a.png": ("cat", "dog"), "b.png": ()}
    assert made.counts == {"": {"cat": 1, "dog": 1}}


def test_the_same_file_in_two_folders_has_two_labels_on_request(trial: Trial) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        picture(trial.path / "photos" / name, (40, 50 if name == "dog/2.png" else 60))
    importer = {"use": "import.folders", "path": "photos"}
    trial.run({"photos": importer})
    assert any("labels_from = 'copies'" in one["message"] for one in trial.told("warning"))
    made = trial.run({"photos": {**importer, "labels_from": "copies"}}).artifact("photos")
    assert {sample.id: sample.labels for sample in made} == {"cat/1.png": ("cat", "dog"), "dog/2.png": ("dog",)}


def test_many_files_in_two_class_folders_are_asked_about(trial: Trial) -> None:
    several = [(number, name) for number in range(10) for name in ("bench", "tree")]
    for number, name in [*several, *((number, "tree") for number in range(10, 20))]:
        picture(trial.path / f"images/{name}/{number}.png", (40, 50 + number))
    importer = {"use": "import.folders", "path": "images"}
    with pytest.raises(ReadingsError, match="10 of 30 images lie in several classes") as caught:
        trial.run({"photos": importer})
    choices = [reading.choice for reading in caught.value.readings]
    assert choices == ["--format folders:labels_from=copies", "--format folders:labels_from=source"]
    assert trial.run({"photos": {**importer, "labels_from": "source"}}).artifact("photos").task == "classes"
    made = trial.run({"photos": {**importer, "labels_from": "copies"}}).artifact("photos")
    assert sorted(len(sample.labels) for sample in made) == [1] * 10 + [2] * 10


def test_an_order_of_classes_is_kept_and_part_of_the_digest(trial: Trial) -> None:
    for name in ("low/1.png", "mid/1.png", "high/1.png"):
        picture(trial.path / "photos" / name)
    importer = {"use": "import.folders", "path": "photos"}
    plain = trial.run({"photos": importer}).artifact("photos")
    made = trial.run({"photos": {**importer, "order": ["low", "mid", "high"]}}).artifact("photos")
    assert (plain.order, made.order, made.classes) == ((), ("low", "mid", "high"), ("low", "mid", "high"))
    assert plain.digest != made.digest
    with pytest.raises(UserError, match=r"the class 'mid' of 'mid/1.png' is not in order"):
        trial.run({"photos": {**importer, "order": ["low", "high"]}})


def test_an_op_that_moves_pixels_is_refused_for_numbers(trial: Trial) -> None:
    table(trial.path, "file,angle", "0.5", "1.5")
    photos = {"use": "import.csv", "path": "labels.csv", "task": "number"}
    more: dict[str, Any] = {"use": "augment", "dataset": "photos", "ops": ["rotate(10)"], "copies": 1}
    with pytest.raises(UserError, match="the ops rotate move the pixels"):
        trial.run({"photos": photos, "more": more})
    made = trial.run({"photos": photos, "more": {**more, "keep_value": True}}).artifact("more")
    assert sorted(sample.value for sample in made) == [0.5, 0.5, 1.5, 1.5]
