"""Corrections of several labels and of numbers: added, applied by the import, undone; and what does not fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipekit as package
from pipekit import images
from pipekit.commands.suspects import _of_several
from pipekit.commands.working import new_pipeline
from pipekit.errors import UserError
from pipekit.tasks import canonical, label_from, several_as_text

FILE = Path("corrections.csv")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, with labels.csv (one without labels, one without a statement) and angles.csv."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        images.write(folder / f"{number}.png", np.full((8, 8, 3), 40 * number, np.uint8))
    (folder / "labels.csv").write_text("file,labels\n0.png,cat|indoor\n1.png,[]\n2.png,\n")
    (folder / "angles.csv").write_text("file,angle\n0.png,10\n1.png,-2.50\n2.png,7\n")
    return folder


def imported(table: Path, task: str, **params: Any) -> Any:
    pipeline = new_pipeline()
    pipeline.add("data", "import.csv", path=str(table), task=task, **params)
    return pipeline.run().stages[0]


def test_several_labels_are_corrected_and_undone(photos: Path) -> None:
    table, how = photos / "labels.csv", {"format": "csv:task=multilabel"}
    package.correct(table, ["0.png"], "outdoor|cat", why="a garden", **how)
    package.correct(table, ["1.png"], "dog", **how)
    package.correct(table, ["2.png"], "[]", **how)
    with FILE.open(newline="") as file:
        rows = [(row["id"], row["old"], row["new"]) for row in csv.DictReader(file)]
    assert rows == [("0.png", "cat|indoor", "cat|outdoor"), ("1.png", "[]", "dog"), ("2.png", "", "[]")]
    stage = imported(table, "multilabel", corrections=str(FILE))
    assert {sample.id: sample.labels for sample in stage.artifact} == {
        "0.png": ("cat", "outdoor"),
        "1.png": ("dog",),
        "2.png": (),
    }
    assert stage.facts["corrected"] == "3 labels"
    assert {warning.partition("'")[2].partition("'")[0] for warning in stage.warnings if "no other image has" in warning} == {
        "outdoor",
        "dog",
    }
    assert package.corrections(table, **how).headline == "3 labels"
    FILE.write_text(FILE.read_text().replace("cat|indoor,cat|outdoor", "cat,indoor|cat"))  # by hand, in another order
    assert package.corrections(table, **how).headline == "2 labels, 1 were right already"
    package.undo_corrections(["0.png", "1.png", "2.png"])
    stage = imported(table, "multilabel", corrections=str(FILE))
    assert {sample.id: sample.labels for sample in stage.artifact} == {"0.png": ("cat", "indoor"), "1.png": (), "2.png": None}


def test_numbers_are_corrected(photos: Path) -> None:
    table, how = photos / "angles.csv", {"format": "csv:task=number"}
    package.correct(table, ["1.png"], "2.50", **how)
    package.correct(table, ["2.png"], remove=True, **how)
    with pytest.raises(UserError, match=r"0\.png has the label '10\.0' already"):
        package.correct(table, ["0.png"], "1e1", **how)
    with pytest.raises(UserError, match=r"a number for each image: 'steep' is no number"):
        package.correct(table, ["0.png"], "steep", **how)
    stage = imported(table, "number", corrections=str(FILE))
    assert {sample.id: sample.value for sample in stage.artifact} == {"0.png": 10.0, "1.png": 2.5}
    assert stage.facts["corrected"] == "1 label, 1 removed"
    FILE.write_text(FILE.read_text().replace(",2.5,", ",two,"))
    with pytest.raises(UserError, match=r"line 2 of the corrections: 'two' is no number"):
        imported(table, "number", corrections=str(FILE))


def test_labels_from_boxes_are_corrected_and_not_the_class_that_they_replace(photos: Path) -> None:
    table = photos / "boxes.csv"
    table.write_text("filename,xmin,ymin,xmax,ymax,class\n0.png,0,0,4,4,cat\n0.png,2,2,6,6,dog\n1.png,0,0,4,4,cat\n")
    pipeline = new_pipeline()
    pipeline.add("data", "import.box_csv", path=str(table), labels_from="boxes")
    before = {sample.id: sample for sample in pipeline.run().artifact("data")}
    assert before["0.png"].labels == ("cat", "dog")
    FILE.write_text(f"id,sha256,old,new,why,who\n0.png,{before['0.png'].sha256},dog|cat,cat,,\n")
    pipeline = new_pipeline()
    pipeline.add("data", "import.box_csv", path=str(table), labels_from="boxes", corrections=str(FILE))
    assert {sample.id: sample.labels for sample in pipeline.run().artifact("data")}["0.png"] == ("cat",)


def test_suspected_labels_of_one_image_are_one_line() -> None:
    a, b = {"id": "a.png", "labels": ["cat", "indoor"]}, {"id": "b.png", "labels": []}
    listed = [
        {**a, "label": "cat", "suspected": "wrong", "probability": 0.01},
        {**b, "label": "dog", "suspected": "missing", "probability": 0.98},
        {**a, "label": "dog", "suspected": "missing", "probability": 0.9},
        {**a, "label": "indoor", "suspected": "wrong", "probability": 0.6},
    ]
    rows = _of_several(listed)
    assert [(row["id"], row["label"], row["suggested"]) for row in rows] == [
        ("a.png", "cat|indoor", "dog|indoor"),
        ("b.png", "[]", "dog"),
    ]
    assert rows[0]["why"] == "cat wrong: p = 0.010, dog missing: p = 0.900, indoor wrong: p = 0.600"
    assert _of_several(listed[3:])[0]["suggested"] == "cat", "if all are more likely right, the first is changed"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=4))
@settings(max_examples=30)
def test_any_labels_can_be_read_back(labels: list[str]) -> None:
    text = several_as_text(labels)
    assert label_from(text, "multilabel") == {"labels": tuple(sorted(set(labels)))}
    assert canonical(text, "multilabel") == text


@pytest.mark.parametrize(
    ("text", "task"), [("a||b", "multilabel"), ("[1]", "multilabel"), ("[a", "multilabel"), ("nan", "number")]
)
def test_what_is_no_label_is_an_error(text: str, task: str) -> None:
    with pytest.raises(ValueError, match=r"expected 'a\|b'|no finite number"):
        canonical(text, task)
