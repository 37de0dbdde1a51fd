"""The importer ``labelme``, on files written by hand after those that LabelMe writes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import labelme
from pipekit.builtin.importers.boxes import BoxedParams
from pipekit.contract import Box, Keypoint
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write


def shape(kind: str, *points: tuple[float, float], label: Any = "dog", **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "points": [list(point) for point in points],
        "group_id": None,
        "shape_type": kind,
        "flags": {},
        **more,
    }


def labelme_file(path: Path, shapes: Any, image: str | None = None, **more: Any) -> Path:
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image or f"{path.stem}.png", "imageData": None}
    return write(path, json.dumps({**content, "imageHeight": 40, "imageWidth": 60, **more}, indent=2))


def test_the_shapes_of_an_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    pixels = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)[..., None] * 255
    shapes = [
        shape("rectangle", (15, 26), (5, 6), group_id=3),
        shape("polygon", (10, 10), (30, 10), (30, 20), label="cat", flags={"hidden": True, "wet": False}),
        shape("circle", (30, 20), (30, 15)),
        shape("mask", (4, 6), (6, 7), mask=base64.b64encode(images.encode(pixels, "png")).decode()),
        shape("point", (7.5, 8), label="nose"),
        shape("line", (1, 2), (3, 4), label="leg"),
    ]
    labelme_file(tmp_path / "a.json", shapes, flags={"outdoors": True, "blurred": False})
    assert labelme.sniff(tmp_path) == "JSON files of LabelMe, such as a.json"
    (sample,), failed = sort_out(labelme.read(tmp_path, BoxedParams()))
    assert failed == {}
    rectangle, polygon, circle, mask = sample.targets.boxes
    assert rectangle == Box(5, 6, 15, 26, "dog", facts={"group_id": 3})
    assert polygon == Box(10, 10, 30, 20, "cat", outline=((10, 10, 30, 10, 30, 20),), facts={"flags": ["hidden"]})
    assert (circle.facts, mask.facts) == ({}, {})
    assert (circle.x_min, circle.y_min, circle.x_max, circle.y_max) == (25, 15, 35, 25)
    assert (mask.x_min, mask.y_min, mask.x_max, mask.y_max) == pytest.approx((5, 6, 7, 8), abs=0.2)
    assert sample.targets.keypoints == (Keypoint(7.5, 8, "nose"), Keypoint(1, 2, "leg 1"), Keypoint(3, 4, "leg 2"))
    assert (sample.id, sample.label) == ("a.png", "outdoors")
    assert sample.extra == {}


def test_images_are_found_beside_their_files_and_in_the_folders_of_splits(tmp_path: Path) -> None:
    for name in ("train/images/a.png", "train/images/b.png", "val/c.png", "val/d.png"):
        picture(tmp_path / name)
    labelme_file(tmp_path / "train/labels/a.json", [], image="..\\images\\a.png")
    labelme_file(tmp_path / "val/c.json", [shape("rectangle", (1, 1), (9, 9))], image="/home/me/renamed.png")
    write(tmp_path / "val/other.json", '{"categories": []}')
    found, failed = sort_out(labelme.read(tmp_path, BoxedParams(label="single")))
    assert failed == {}
    assert {row.id: (row.split, row.label) for row in found} == {
        "train/images/a.png": ("train", None),
        "train/images/b.png": ("train", None),
        "val/c.png": ("val", "dog"),
        "val/d.png": ("val", None),
    }


def test_what_can_not_be_used_is_listed_with_file_and_value(tmp_path: Path) -> None:
    for name in "abcd":
        picture(tmp_path / f"{name}.png")
    shapes = [
        shape("rectangle", (1, 2)),
        shape("rectangle", (1, 2), ("x", 4)),  # type: ignore[arg-type]
        shape("polygon", (1, 2), (3, 4)),
        shape("cube", (1, 2), (3, 4)),
        shape("circle", (1, 2), (1, 2)),
        shape("mask", (1, 2), (3, 4), mask="?"),
        shape("rectangle", (1, 2), (3, 4), label=None),
        "nonsense",
        shape("rectangle", (70, 2), (80, 4)),
        {"label": "dog", "shape_type": "polygon"},
        shape("rectangle", (1, 2), (3, 4), label=7),
    ]
    labelme_file(tmp_path / "a.json", shapes)
    labelme_file(tmp_path / "b.json", 3)
    labelme_file(tmp_path / "c.json", [], imageHeight=60, imageWidth=40)
    write(tmp_path / "d.json", "{")
    labelme_file(tmp_path / "e.json", [])
    labelme_file(tmp_path / "f.json", [], image="a.png")
    found, failed = sort_out(labelme.read(tmp_path, BoxedParams()))
    assert {row.id: len(row.targets.boxes) for row in found} == {"a.png": 1, "b.png": 0, "d.png": 0}
    assert {name: failed.pop(name) for name in list(failed) if name.startswith("a.png shape ")} == {
        "a.png shape 1": "a.json: points: expected at least 2 of them, got [[1, 2]]",
        "a.png shape 2": "a.json: x of point 2 is 'x', not a number",
        "a.png shape 3": "a.json: a polygon of 'dog' has 2 corners; expected three or more",
        "a.png shape 4": "a.json: a shape of type 'cube' is not read",
        "a.png shape 5": "a.json: an ellipse of 'dog' has no size: its radii are 0 and 0 px",
        "a.png shape 6": "a.json: its mask can't be read: Only base64 data is allowed",
        "a.png shape 7": "a.json: label is missing",
        "a.png shape 8": "a.json: a shape is 'nonsense', not an object",
        "a.png shape 9": "a.json: a box of 'dog' lies outside the image (60 x 40 px): 70, 2, 80, 4",
        "a.png shape 10": "a.json: points: expected at least 1 of them, got None",
    }
    assert failed.pop("d.json").startswith("not JSON: Expecting property name")
    assert failed == {
        "b.png shapes": "b.json: shapes is 3, not a list",
        "c.png": "c.json: its annotations are for 40 x 60 px, and the image has 60 x 40 px",
        "e.png": "no such image; e.json names it",
        "a.png again": "f.json names it again, after a.json",
    }


def test_other_json_files_are_no_labelme(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "a.json", '{"images": [], "annotations": []}')
    answer = labelme.sniff(tmp_path)
    assert not answer
    assert answer.reason == "a.json lacks 'shapes' or 'imagePath'"  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no JSON files of LabelMe"):
        list(labelme.read(tmp_path, BoxedParams()))
