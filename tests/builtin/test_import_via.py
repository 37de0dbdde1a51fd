"""The importer ``via``, on files written by hand after those of VGG Image Annotator 1 and 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.importers import via
from pipekit.contract import Box, Keypoint
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write


def region(name: Any, attributes: Any = None, **shape: Any) -> dict[str, Any]:
    return {"shape_attributes": {"name": name, **shape}, "region_attributes": {} if attributes is None else attributes}


def entry(name: Any, *regions: Any, **more: Any) -> dict[str, Any]:
    return {"filename": name, "size": 100, "regions": list(regions), "file_attributes": {}, **more}


def via_file(path: Path, *entries: Any, project: bool = True) -> Path:
    found = {f"{number}.png100": one for number, one in enumerate(entries)}
    settings = {"_via_settings": {"ui": {}}, "_via_img_metadata": found, "_via_attributes": {"region": {}, "file": {}}}
    return write(path, json.dumps(settings if project else found, indent=1))


RECT = {"x": 5, "y": 6, "width": 10, "height": 20}


@pytest.mark.parametrize("project", [True, False])
def test_the_regions_of_a_project_and_of_an_export(tmp_path: Path, project: bool) -> None:
    picture(tmp_path / "a.png")
    regions = (
        region("rect", {"class": "dog", "wet": "yes"}, **RECT),
        region("polygon", {"class": {"cat": True, "dog": False}}, all_points_x=[10, 30, 30], all_points_y=[10, 10, 20]),
        region("circle", {"class": "ball"}, cx=30, cy=20, r=5),
        region("ellipse", {"class": "ball"}, cx=30, cy=20, rx=10, ry=5, theta=0),
        region("point", {"class": "nose"}, cx=7.5, cy=8),
        region("polyline", {"class": "line"}, all_points_x=[10, 30, 30, 10], all_points_y=[10, 10, 20, 10]),
    )
    via_file(tmp_path / "x.json", entry("a.png", *regions, file_attributes={"place": "park", "note": ""}), project=project)
    assert via.sniff(tmp_path) == "VIA annotations: x.json"
    (sample,), failed = sort_out(via.read(tmp_path, via.ViaParams()))
    assert failed == {}
    dog, cat, ball, flat, line = sample.targets.boxes
    assert (dog, cat) == (
        Box(5, 6, 15, 26, "dog", facts={"attributes": {"wet": "yes"}}),
        Box(10, 10, 30, 20, "cat", outline=((10, 10, 30, 10, 30, 20),)),
    )
    assert (ball.x_min, ball.y_min, ball.x_max, ball.y_max) == (25, 15, 35, 25)
    assert (flat.x_min, flat.y_min, flat.x_max, flat.y_max) == (20, 15, 40, 25)
    assert (line.x_min, line.y_min, line.x_max, line.y_max, len(line.outline)) == (10, 10, 30, 20, 1)
    assert sample.targets.keypoints == (Keypoint(7.5, 8, "nose"),)
    assert sample.extra["file_attributes"] == {"place": "park"}


def test_the_regions_of_version_1_in_the_folders_of_splits(tmp_path: Path) -> None:
    """The best known of its kind: a project per split, regions by number, and no attributes at all."""
    for folder in ("train", "val"):
        picture(tmp_path / folder / "a.png")
        regions = {"0": region("polygon", all_points_x=[10, 30, 30], all_points_y=[10, 10, 20])}
        via_file(tmp_path / folder / "via_region_data.json", entry("a.png", regions=regions), project=False)
    found, failed = sort_out(via.read(tmp_path, via.ViaParams(unnamed="balloon", label="single")))
    assert failed == {}
    assert [(row.id, row.split, row.label) for row in found] == [
        ("train/a.png", "train", "balloon"),
        ("val/a.png", "val", "balloon"),
    ]


@pytest.mark.parametrize("hash_mark", ["", "#"])
def test_an_export_as_csv(tmp_path: Path, hash_mark: str) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    rect = '"{""name"":""rect"",""x"":5,""y"":6,""width"":10,""height"":20}"'
    rows = (
        f"{hash_mark}filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes",
        f'a.png,100,"{{}}",2,0,{rect},"{{""class"":""dog""}}"',
        'b.png,100,"{}",0,0,"{}","{}"',
        f'a.png,100,"{{}}",2,1,{rect},"{{"',
        f'a.png,100,"{{}}",2,1,{rect},"{{""class"":""cat""}}"',
    )
    write(tmp_path / "via.csv", "\n".join(rows))
    assert via.sniff(tmp_path / "via.csv") == "VIA annotations: via.csv"
    found, failed = sort_out(via.read(tmp_path, via.ViaParams()))
    assert {row.id: [box.label for box in row.targets.boxes] for row in found} == {"a.png": ["dog", "cat"], "b.png": []}
    assert failed == {"a.png region 2": "via.csv line 4: region_attributes is '{', not JSON"}


def test_what_can_not_be_used_is_listed_with_file_line_and_value(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    regions = (
        region("rect", {"class": "dog"}, **{**RECT, "x": "left"}),
        region("rect", {"class": ""}, **RECT),
        region("rect", {"class": {"cat": True, "dog": True}}, **RECT),
        region("rect", {"colour": "red", "size": "big"}, **RECT),
        region("polyline", {"class": "dog"}, all_points_x=[10, 30, 30], all_points_y=[10, 10, 20]),
        region("polygon", {"class": "dog"}, all_points_x=[1, 2, 3], all_points_y=[1]),
        region("circle", {"class": "dog"}, cx=1, cy=1),
        "nonsense",
        {"shape_attributes": 3},
    )
    via_file(tmp_path / "x.json", entry("a.png", *regions), entry("gone.png"), entry(None), 7, entry("a.png"), project=False)
    (sample,), failed = sort_out(via.read(tmp_path, via.ViaParams()))
    assert sample.targets.boxes == ()
    named = {name: reason for name, reason in failed.items() if name.startswith("a.png region")}
    assert named == {
        "a.png region 1": "x.json line 2: x is 'left', not a number",
        "a.png region 2": "x.json line 2: class is empty: ''",
        "a.png region 3": "x.json line 2: class has several values (cat, dog); an object has one class here",
        "a.png region 4": 'x.json line 2: several attributes: colour, size; choose the class: attribute = "…"',
        "a.png region 5": "x.json line 2: a polyline of 'dog' is not closed, so it encloses no area",
        "a.png region 6": "x.json line 2: all_points_x and all_points_y are not two lists of one length: [1, 2, 3], [1]",
        "a.png region 7": "x.json line 2: r is missing",
        "a.png region 8": "x.json line 2: a region is 'nonsense', not an object",
        "a.png region 9": "x.json line 2: shape_attributes is 3, not an object",
    }
    others = sorted(failed.keys() - named.keys())
    assert [name.rstrip("0123456789") for name in others] == ["a.png again", "gone.png", "x.json line ", "x.json line "]
    chosen, failed = sort_out(via.read(tmp_path, via.ViaParams(attribute="colour")))
    assert [box.label for box in chosen[0].targets.boxes] == ["red"]
    assert failed["a.png region 1"] == "x.json line 2: no attribute 'colour'; there are: class"


def test_other_files_are_no_via(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    third = {"project": {"pid": "x"}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}
    write(tmp_path / "x.json", json.dumps(third))
    answer = via.sniff(tmp_path)
    assert not answer
    assert answer.reason == "x.json is a project of VIA 3, which is not read; export it as COCO"  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no VIA annotations"):
        list(via.read(tmp_path, via.ViaParams()))
    write(tmp_path / "x.json", '{"_via_img_metadata": {"a": {')
    with pytest.raises(UserError, match=r"x\.json is damaged: "):
        list(via.read(tmp_path, via.ViaParams()))


def test_attributes_that_are_no_numbers_become_texts(tmp_path: Path) -> None:
    """1e400 is infinite as a float, which no index can hold."""
    picture(tmp_path / "a.png")
    one = entry("a.png", region("rect", {"class": "dog", "far": "FAR"}, **RECT), file_attributes={"far": ["FAR", 1]})
    file = via_file(tmp_path / "x.json", one)
    file.write_text(file.read_text("utf-8").replace('"FAR"', "1e400"), "utf-8")
    (sample,), failed = sort_out(via.read(tmp_path, via.ViaParams()))
    assert not failed
    assert sample.targets.boxes[0].facts == {"attributes": {"far": "inf"}}
    assert sample.extra["file_attributes"] == {"far": ["inf", 1]}
