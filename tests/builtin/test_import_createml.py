"""The importer ``createml``, on files written by hand after Apple's and Roboflow's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.importers import createml
from pipekit.builtin.importers.annotated import FileParams
from pipekit.contract import Box
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write


def thing(label: Any, **place: Any) -> dict[str, Any]:
    return {"label": label, "coordinates": {"x": 20, "y": 15, "width": 10, "height": 20, **place}}


@pytest.mark.parametrize(("image", "objects"), [("image", "annotations"), ("imagefilename", "annotation")])
def test_boxes_by_their_centre(tmp_path: Path, image: str, objects: str) -> None:
    for folder in ("train", "valid"):
        picture(tmp_path / folder / "a.png")
        content = [{image: "a.png", objects: [thing("dog"), thing("cat", x=0)]}]
        write(tmp_path / folder / "_annotations.createml.json", json.dumps(content))
    said = "Create ML annotations: train/_annotations.createml.json, valid/_annotations.createml.json"
    assert createml.sniff(tmp_path) == said
    found, failed = sort_out(createml.read(tmp_path, FileParams()))
    assert failed == {}
    assert [(row.id, row.split) for row in found] == [("train/a.png", "train"), ("valid/a.png", "val")]
    assert found[0].targets.boxes == (Box(15, 5, 25, 25, "dog"), Box(0, 5, 5, 25, "cat"))


def test_classes_of_whole_images(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    content = [
        {"image": "a.png", "annotations": "dog"},
        {"image": "b.png", "annotations": [{"label": "cat"}]},
        {"image": "c.png", "annotations": []},
    ]
    write(tmp_path / "x.json", json.dumps(content))
    found, failed = sort_out(createml.read(tmp_path / "x.json", FileParams()))
    assert ([row.label for row in found], failed) == (["dog", "cat", None], {})


def test_what_can_not_be_used_is_listed_with_file_line_and_value(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    objects = [thing("dog", x="left"), thing(None), thing("dog", x=0.2, y=0.5, width=0.1, height=0.3), thing("dog", x=90), 3]
    content = [{"image": "a.png", "annotations": [*objects, {"label": "dog", "coordinates": [1]}]}, {"image": 3}, {}, "x"]
    write(tmp_path / "x.json", json.dumps([*content, {"image": "gone.png"}]))
    (sample,), failed = sort_out(createml.read(tmp_path, FileParams()))
    assert sample.targets.boxes == ()
    assert failed == {
        "a.png annotation 1": "x.json line 1: x is 'left', not a number",
        "a.png annotation 2": "x.json line 1: label is missing",
        "a.png annotation 3": "x.json line 1: coordinates are fractions (0.2, 0.5, 0.1, 0.3); pixels are expected",
        "a.png annotation 4": "x.json line 1: a box of 'dog' lies outside the image (60 x 40 px): 85, 5, 95, 25",
        "a.png annotation 5": "x.json line 1: an annotation is 3, not an object",
        "a.png annotation 6": "x.json line 1: coordinates is [1], not an object",
        "x.json entry 2": "line 1: no name of an image: {'image': 3}",
        "x.json entry 3": "line 1: no name of an image: {}",
        "x.json entry 4": "line 1: no name of an image: 'x'",
        "gone.png": "no such image; x.json line 1 names it",
    }


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", '[{"image": "a"}]', "words", '{"image": "a.png", "annotations": []}'])
def test_other_json_is_no_createml(tmp_path: Path, text: str) -> None:
    write(tmp_path / "x.json", text)
    assert not createml.sniff(tmp_path)
    with pytest.raises(UserError, match="no Create ML annotations"):
        list(createml.read(tmp_path, FileParams()))
