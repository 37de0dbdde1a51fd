"""The importer ``label_studio``, on tasks written by hand after those that Label Studio exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.importers import label_studio
from pipekit.contract import Box, Keypoint
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

PARAMS = label_studio.LabelStudioParams()


def result(kind: str, value: Any, **more: Any) -> dict[str, Any]:
    size = {"original_width": 60, "original_height": 40, "image_rotation": 0}
    return {"type": kind, "value": value, "from_name": "label", "to_name": "image", **size, **more}


def rect(*labels: Any, x: Any = 10, y: Any = 25, width: Any = 50, height: Any = 50, rotation: Any = 0) -> dict[str, Any]:
    return {"x": x, "y": y, "width": width, "height": height, "rotation": rotation, "rectanglelabels": list(labels)}


def task(image: str, *results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image, "note": "x"}, "annotations": [{"id": 5, "result": list(results)}], **more}


def tasks(path: Path, *found: Any) -> Path:
    return write(path, json.dumps(list(found), indent=None).replace('{"id": 1,', '\n{"id": 1,'))


def test_rectangles_polygons_keypoints_and_choices_in_percent(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    nose = {"x": 50, "y": 50, "width": 0.5, "keypointlabels": ["nose"]}
    results = (
        result("keypointlabels", nose, parentID="r2"),
        result("rectanglelabels", rect("dog"), id="r2"),
        result("polygonlabels", {"points": [[50, 25], [100, 25], [100, 75]], "polygonlabels": ["cat"]}),
        result("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "ellipselabels": ["ball"]}),
        result("rectanglelabels", rect("bone", x=50, y=50, width=10, height=10, rotation=90)),
        result("choices", {"choices": ["park"]}, from_name="place"),
        {"type": "relation", "from_id": "r2", "to_id": "x"},
    )
    tasks(tmp_path / "project.json", task("/data/upload/3/0123abcd-a.png", *results))
    assert label_studio.sniff(tmp_path) == "Label Studio tasks: project.json"
    (sample,), failed = sort_out(label_studio.read(tmp_path, PARAMS))
    assert failed == {}
    assert (sample.id, sample.label) == ("images/a.png", "park")
    dog, cat, ball, bone = sample.targets.boxes
    assert dog == Box(6, 10, 36, 30, "dog")
    assert cat == Box(30, 10, 60, 30, "cat", outline=((30, 10, 60, 10, 60, 30),))
    assert (ball.x_min, ball.y_min, ball.x_max, ball.y_max) == (24, 16, 36, 24)
    # 6 x 4 px, turned by a quarter clockwise about its upper left corner (30, 20)
    assert [round(edge, 6) for edge in (bone.x_min, bone.y_min, bone.x_max, bone.y_max)] == [26, 20, 30, 26]
    assert sample.targets.keypoints == (Keypoint(30, 20, "nose", True, 0),)


def test_shapes_and_their_labels_as_two_results(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shape = {"x": 10, "y": 25, "width": 50, "height": 50}
    both = result("rectangle", shape, id="r"), result("labels", {**shape, "labels": ["dog"]}, id="r")
    alone = result("rectangle", shape, id="s")
    tasks(tmp_path / "x.json", task("s3://bucket/a.png", *both, alone))
    (sample,), failed = sort_out(label_studio.read(tmp_path, PARAMS))
    assert sample.targets.boxes == (Box(6, 10, 36, 30, "dog"),)
    assert failed == {"a.png result 3": "x.json line 2: a result of type 'rectangle' is not read"}


def test_the_first_annotation_that_was_not_cancelled_counts(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    one, other = (result("rectanglelabels", rect(label)) for label in ("dog", "cat"))
    many = [{"result": [other], "was_cancelled": True}, {"result": [one]}, {"result": [other]}]
    two = [result("choices", {"choices": [choice]}, from_name=name) for choice, name in (("day", "time"), ("park", "place"))]
    tasks(tmp_path / "x.json", task("/data/local-files/?d=set/a.png", annotations=many), task("b.png", *two))
    (first, second), failed = sort_out(label_studio.read(tmp_path, PARAMS))
    assert [box.label for box in first.targets.boxes] == ["dog"]
    assert (second.label, second.extra) == (None, {"tags": ["day", "park"]})
    assert failed == {
        "a.png annotation 2": "x.json line 2: the task has 2 annotations; the first one is read",
        "b.png classes": "x.json line 3: 2 classes (day, park); an image has one class here",
    }
    found, failed = sort_out(label_studio.read(tmp_path, label_studio.LabelStudioParams(choices="place")))
    assert [row.label for row in found] == [None, "park"]


def test_what_can_not_be_used_is_listed_with_file_line_and_value(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    results = (
        result("brushlabels", {"format": "rle", "rle": [1], "brushlabels": ["dog"]}),
        result("textarea", {"text": ["a"]}),
        result("rectanglelabels", rect("dog", x="left")),
        result("rectanglelabels", rect()),
        result("rectanglelabels", rect("a", "b")),
        result("rectanglelabels", rect("dog"), original_width=120),
        result("rectanglelabels", rect("dog"), image_rotation=90),
        result("polygonlabels", {"points": [[50, 25], [100]], "polygonlabels": ["cat"]}),
        result("polygonlabels", None),
        "nonsense",
        result("rectanglelabels", rect("dog", x=120)),
        result("choices", {"choices": "day"}),
    )
    wrong = {"id": 1, "data": {"text": "words"}, "annotations": []}
    tasks(tmp_path / "x.json", task("a.png", *results), task("gone.png"), wrong, 7, task("b.png", annotations=3))
    (a, b), failed = sort_out(label_studio.read(tmp_path, PARAMS))
    assert (a.targets.boxes, b.targets.boxes) == ((), ())
    at = "x.json line 2: "
    assert {name: failed.pop(name) for name in list(failed) if name.startswith("a.png result")} == {
        "a.png result 1": f"{at}a result of type 'brushlabels' is not read; export it as masks (brush to PNG)",
        "a.png result 2": f"{at}a result of type 'textarea' is not read",
        "a.png result 3": f"{at}x is 'left', not a number",
        "a.png result 4": f"{at}rectanglelabels has 0 classes (); an object has one class here",
        "a.png result 5": f"{at}rectanglelabels has 2 classes (a, b); an object has one class here",
        "a.png result 6": f"{at}the annotations are for 120 x 40 px, the image has 60 x 40 px",
        "a.png result 7": f"{at}the image was turned by 90 degrees in Label Studio; turn the file",
        "a.png result 8": f"{at}point 2 is [100], not a pair of x and y",
        "a.png result 9": f"{at}value is missing",
        "a.png result 10": f"{at}a result is 'nonsense', not an object",
        "a.png result 11": f"{at}a box of 'dog' lies outside the image (60 x 40 px): 72, 10, 102, 30",
        "a.png result 12": f"{at}choices is 'day', not a list",
    }
    assert failed == {
        "gone.png": "no such image; x.json line 3 names it",
        "x.json task 3": "line 4: no image among its 'data': {'id': 1, 'data': {'text': 'words'}, 'annotations': []}",
        "x.json task 4": "line 4: no image among its 'data': 7",
        "b.png annotations": "x.json line 5: annotations is 3, not a list",
    }


def test_other_lists_are_no_tasks(tmp_path: Path) -> None:
    write(tmp_path / "x.json", '[{"image": "a.png", "label": [], "annotation_id": 3}]')
    answer = label_studio.sniff(tmp_path)
    assert not answer
    assert answer.reason == "x.json is Label Studio's JSON-MIN, which is not read; export the project as JSON"  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no Label Studio tasks"):
        list(label_studio.read(tmp_path, PARAMS))
    tasks(tmp_path / "y.json", task("a.png")).write_text('[{"data": {}, "annotations": []}, {')
    with pytest.raises(UserError, match=r"y\.json is damaged: .*\(line 1, character 34\)"):
        list(label_studio.read(tmp_path, PARAMS))


def test_a_choice_for_a_region_is_an_attribute_of_its_box_and_no_class_of_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    place = {"x": 10, "y": 10, "width": 50, "height": 50}
    results = [
        {"id": "r", "type": "choices", "from_name": "sure", "value": {**place, "choices": ["uncertain"]}},
        {"id": "r", "type": "rectanglelabels", "value": {**place, "rectanglelabels": ["cell"]}},
        {"id": "gone", "type": "choices", "from_name": "sure", "value": {**place, "choices": ["uncertain"]}},
        {"type": "choices", "from_name": "kind", "value": {"choices": ["blood"]}},
    ]
    write(tmp_path / "x.json", json.dumps([{"data": {"image": "a.png"}, "annotations": [{"result": results}]}]))
    (sample,), failed = sort_out(label_studio.read(tmp_path, label_studio.LabelStudioParams()))
    assert sample.label == "blood"
    assert [(box.label, box.facts) for box in sample.targets.boxes] == [("cell", {"attributes": {"sure": "uncertain"}})]
    assert failed == {"a.png result 3": "x.json line 1: the choice 'uncertain' is for a region that is not read"}
