"""Coordinates in further columns, which no op moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.contract import Box
from pipekit.engine.run import run_plan, silent
from pipekit.errors import UserError
from pipekit.pipeline.plan import load_plan
from pipekit.recipe.coordinates import coordinate_columns
from tests.builtin.annotated import picture, write


def augmented(folder: Path, **params: Any) -> list[dict[str, Any]]:
    """The further columns of the copies."""
    if not (folder / "t.csv").exists():
        for number in range(2):
            picture(folder / f"{number}.png")
        (folder / "t.csv").write_text("image,label,nose_x,nose_y,age\n0.png,a,12.5,20,7\n1.png,b,11,21,8\n")
    stages = {
        "data": {"use": "import.csv", "path": "t.csv"},
        "out": {"use": "augment", "ops": ["hflip"], "copies": 1, "keep_originals": False, **params},
    }
    made = run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=folder), silent, publish=False)
    return [{name: sample.extra[name] for name in sample.extra if name != "augmented"} for sample in made.artifact("out")]


def test_ops_that_move_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the columns nose_x, nose_y may be coordinates in the image \(in 0\.png\)"):
        augmented(tmp_path)
    with pytest.raises(UserError, match="nose_x, nose_y may be coordinates"):
        augmented(tmp_path, ops=["brightness"], size_hw=[20, 30])


def test_other_ops_are_not(tmp_path: Path) -> None:
    assert augmented(tmp_path, ops=["brightness"])[0] == {"nose_x": "12.5", "nose_y": "20", "age": "7"}


def test_they_are_dropped_or_kept(tmp_path: Path) -> None:
    assert augmented(tmp_path, coordinates="drop") == [{"age": "7"}, {"age": "8"}]
    assert augmented(tmp_path, coordinates="keep")[1] == {"nose_x": "11", "nose_y": "21", "age": "8"}


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"x1": 1, "y1": 2, "x2": 3, "y2": 4}, ["x1", "x2", "y1", "y2"]),
        ({"bbox": [1, 2, 3, 4]}, ["bbox"]),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}}, ["objects"]),
        ({"landmarks": "[[1, 2], [3, 4]]"}, ["landmarks"]),
        ({"index": 3, "indey": 4}, []),
        ({"x": 1}, []),
        ({"latitude": 1.5, "longitude": 2.5, "width": 3, "height": 4, "patient": "x"}, []),
        ({"points": 12}, []),
    ],
)
def test_which_columns_are_coordinates(extra: dict[str, Any], found: list[str]) -> None:
    assert coordinate_columns(extra) == found


def test_objects_of_hugging_face_are_boxes_that_move_along(tmp_path: Path) -> None:
    lines = [
        {"file_name": "a.png", "objects": {"bbox": [[5, 6, 20, 10], [1, 1, 0, 4], [1, 2]], "categories": [1, 0, 0]}},
        {"file_name": "b.png", "objects": [{"bbox": [0, 0, 9, 9], "category": "dog", "id": 4}], "age": 3},
        {"file_name": "c.png", "objects": {"bbox": [], "categories": []}},
    ]
    for line in lines:
        picture(tmp_path / f"photos/{line['file_name']}", (40, 60))
    write(tmp_path / "photos/metadata.jsonl", "\n".join(map(json.dumps, lines)))
    stages = {
        "data": {"use": "import.metadata", "path": "photos"},
        "more": {"use": "augment", "dataset": "data", "ops": ["hflip(p=1)"], "copies": 1},
    }
    outcome = run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=tmp_path), silent, publish=False)
    found = {sample.id: sample for sample in outcome.artifact("more")}
    assert found["a.png"].targets.boxes == (Box(5, 6, 25, 16, "1"),)
    assert found["a.aug1.png"].targets.boxes == (Box(35, 6, 55, 16, "1"),)
    assert found["b.aug1.png"].targets.boxes == (Box(51, 0, 60, 9, "dog"),)
    assert found["b.png"].extra == {"age": 3}
    assert not found["c.png"].targets.boxes
    assert {failure.id: failure.reason for failure in outcome.artifact("data").failed()} == {
        "a.png object 2": "metadata.jsonl line 1: a box of '0' has no size: 0 x 4 px",
        "a.png object 3": "metadata.jsonl line 1: bbox is [1, 2], not [left, top, width, height]",
    }
