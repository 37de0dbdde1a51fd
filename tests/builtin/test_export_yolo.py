"""The exporter ``yolo``: what Ultralytics opens, and what is said of what the lines can't hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipekit.artifacts import Category
from pipekit.builtin.exporters import yolo
from pipekit.contract import Box, Dataset, Keypoint, Sample, Targets
from tests.builtin.annotated import picture
from tests.builtin.exporting import as_dataset
from tests.builtin.readers import read_yolo

CORNERS = ((10.0, 10.0, 30.0, 10.0, 30.0, 20.0),)
TURNED = ((20.0, 10.0, 30.0, 20.0, 20.0, 30.0, 10.0, 20.0),)


def dataset(
    folder: Path, *targets: Targets, splits: tuple[str, ...] = ("train", "val"), listed: Any = (), suffix: str = "png"
) -> Dataset:
    samples = []
    for at, one in enumerate(targets):
        path = picture(folder / f"photos/{at}.png")
        path = path.rename(path.with_suffix(f".{suffix}"))
        samples.append(Sample(path.name, str(path), "", None, splits[at % len(splits)], one))
    made = as_dataset(samples)
    return replace(
        made, meta={**made.meta, "categories": {"boxes": [entry.to_plain() for entry in listed]}} if listed else made.meta
    )


def write(made: Dataset, out: Path, **params: Any) -> tuple[Path, list[str]]:
    out.mkdir()
    chosen = yolo.YoloParams(**params)
    said = list(yolo.limits(made, chosen))
    yolo.write(made, out, chosen)
    return out, said


def lines(out: Path) -> list[str]:
    return [line for file in sorted(out.rglob("labels/*/*.txt")) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("splits", "folders"),
    [
        (("",), {"train": "images/all", "val": "images/all"}),
        (("train",), {"train": "images/train", "val": "images/train"}),
        (("val",), {"train": "images/val", "val": "images/val"}),
        (("train", "test"), {"train": "images/train", "val": "images/test", "test": "images/test"}),
        (("train", "val", ""), {"train": "images/train", "val": "images/val", "all": "images/all"}),
    ],
)
def test_it_opens_from_any_folder_with_train_and_val(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: tuple[str, ...], folders: dict[str, str]
) -> None:
    one = Targets(boxes=(Box(5, 5, 20, 20, "dog"),))
    out, said = write(dataset(tmp_path, one, one, one, splits=splits), tmp_path / "out")
    monkeypatch.chdir("/")
    described = read_yolo(out / "data.yaml").described
    assert described == {**folders, "names": {0: "dog"}}
    missing = [split for split in ("train", "val") if split not in splits]
    unread = ["images without a split lie in images/all"] if len(splits) > 1 and "" in splits else []
    assert [text.split(",")[0] for text in said] == [*(f"there is no split {split!r}" for split in missing), *unread]


@pytest.mark.parametrize(
    ("boxes", "task", "columns"),
    [
        ((Box(5, 5, 20, 20, "a"), Box(1, 1, 9, 9, "b")), "detect", [5, 5]),
        ((Box(10, 10, 30, 20, "a", CORNERS), Box(1, 1, 9, 9, "b")), "segment", [7, 9]),
        (
            (Box(10, 10, 30, 30, "a", TURNED, {"oriented": True}), Box(10, 10, 30, 30, "b", TURNED, {"oriented": True})),
            "obb",
            [9, 9],
        ),
        ((Box(10, 10, 30, 30, "a", TURNED, {"oriented": True}), Box(10, 10, 30, 20, "b", CORNERS)), "segment", [9, 7]),
    ],
)
def test_the_lines_of_a_dataset_are_of_one_kind(tmp_path: Path, boxes: tuple[Box, ...], task: str, columns: list[int]) -> None:
    """One box is in each image: a file alone can't tell."""
    made = dataset(tmp_path, *(Targets(boxes=(box,)) for box in boxes))
    out, said = write(made, tmp_path / "out")
    assert [len(line.split()) for line in lines(out)] == columns
    found = read_yolo(out / "data.yaml")
    assert bool(found.segments) == (task != "detect")
    plain = sum(not box.outline for box in boxes)
    warned = f"{plain} boxes without an outline become polygons of their corners: all lines are of one kind"
    assert said == ([warned] if task == "segment" and plain else [])


def test_a_rectangle_among_boxes_makes_no_oriented_boxes(tmp_path: Path) -> None:
    """A polygon of four corners is a rectangle by chance: the boxes are said to become polygons."""
    one = Targets(boxes=(Box(10, 10, 30, 30, "a", TURNED, {"oriented": True}), Box(1, 1, 9, 9, "a")))
    _, said = write(dataset(tmp_path, one, one), tmp_path / "out")
    assert said == ["2 boxes without an outline become polygons of their corners: all lines are of one kind"]


def test_oriented_boxes_are_four_corners_also_of_polygons_that_were_cut(tmp_path: Path) -> None:
    cut = Box(10, 10, 30, 30, "a", ((20.0, 10.0, 30.0, 20.0, 20.0, 30.0, 12.0, 22.0, 12.0, 18.0),), {"oriented": True})
    out, said = write(dataset(tmp_path, Targets(boxes=(cut, Box(1, 1, 9, 9, "a")))), tmp_path / "out", task="obb")
    assert [len(line.split()) for line in lines(out)] == [9, 9]
    assert said[-1].startswith("there is no split 'val'")
    polygon = Targets(boxes=(Box(10, 10, 30, 20, "a", CORNERS),))
    out, said = write(dataset(tmp_path / "b", polygon, polygon), tmp_path / "other", task="obb")
    assert said == ["2 outlines become the smallest turned rectangle around them"]
    assert [len(line.split()) for line in lines(out)] == [9, 9]


def test_poses_have_a_shape_names_and_what_a_mirror_swaps(tmp_path: Path) -> None:
    points = (Keypoint(10, 10, "left_eye", True, 0), Keypoint(15, 12, "nose", False, 0), Keypoint(99, 99, "right_eye", True, 0))
    listed = [Category("dog"), Category("owl", keypoints=("nose", "left_eye", "right_eye"))]
    one = Targets(boxes=(Box(5, 5, 20, 20, "owl", CORNERS), Box(1, 1, 9, 9, "dog")), keypoints=points)
    out, said = write(dataset(tmp_path, one, one, listed=listed), tmp_path / "out")
    described = read_yolo(out / "data.yaml").described
    assert described["kpt_shape"] == [3, 3]
    assert described["flip_idx"] == [0, 2, 1]
    assert described["kpt_names"] == {1: ["nose", "left_eye", "right_eye"]}
    expected = "1 0.20833333 0.31250000 0.25000000 0.37500000 0.25000000 0.30000000 1 0.16666667 0.25000000 2 0 0 0"
    assert lines(out)[:2] == [expected, "0 0.08333333 0.12500000 0.13333333 0.20000000 0 0 0 0 0 0 0 0 0"]
    assert said == ["2 outlines are left out: the lines hold boxes only"]


@pytest.mark.parametrize(
    ("names", "mirror", "expected"), [(("a", "b"), (), None), (("0", "1"), (1, 0), [1, 0]), (("left_a", "b"), (), None)]
)
def test_flip_idx_is_written_only_where_it_is_known(
    tmp_path: Path, names: tuple[str, str], mirror: tuple[int, ...], expected: list[int] | None
) -> None:
    points = tuple(Keypoint(9 + at, 9, name, True, 0) for at, name in enumerate(names))
    one = Targets(boxes=(Box(5, 5, 20, 20, "owl"),), keypoints=points)
    out, _ = write(dataset(tmp_path, one, one, listed=[Category("owl", 0, names, mirror=mirror)]), tmp_path / "out")
    assert read_yolo(out / "data.yaml").described.get("flip_idx") == expected


@pytest.mark.parametrize(
    ("listed", "numbers", "warned"),
    [
        ([("b", 1), ("unused", 2), ("a", 0)], {"a": 0, "b": 1, "unused": 2}, False),
        ([("b", 90), ("a", 3)], {"a": 0, "b": 1}, True),
        ([("b", None), ("a", None)], {"b": 0, "a": 1}, False),
        ([("b", 0)], {"b": 0, "a": 1}, False),
        ([], {"a": 0, "b": 1}, False),
    ],
)
def test_classes_keep_their_numbers_where_the_format_can_have_them(
    tmp_path: Path, listed: list[tuple[str, int | None]], numbers: dict[str, int], warned: bool
) -> None:
    one = Targets(boxes=(Box(5, 5, 20, 20, "b"), Box(1, 1, 9, 9, "a")))
    out, said = write(dataset(tmp_path, one, one, listed=[Category(name, number) for name, number in listed]), tmp_path / "out")
    found = yaml.safe_load((out / "data.yaml").read_text())
    assert found["names"] == {number: name for name, number in numbers.items()}
    assert [line.split()[0] for line in lines(out)[:2]] == [str(numbers["b"]), str(numbers["a"])]
    assert bool(said) == warned
    assert not warned or said == [
        "class numbers are 0, 1, 2 … here, and others in the source (90, 3 …): they become positions in their order"
    ]


def test_classes_that_are_called_by_their_numbers_keep_them(tmp_path: Path) -> None:
    one = Targets(boxes=(Box(5, 5, 20, 20, "10"), Box(1, 1, 9, 9, "2")))
    out, _ = write(dataset(tmp_path, one, one), tmp_path / "out")
    assert [line.split()[0] for line in lines(out)[:2]] == ["10", "2"]
    assert read_yolo(out / "data.yaml").names == {number: str(number) for number in range(11)}


def test_crowds_and_strange_suffixes_are_said(tmp_path: Path) -> None:
    one = Targets(boxes=(Box(5, 5, 20, 20, "a", facts={"iscrowd": True}), Box(1, 1, 9, 9, "a")))
    out, said = write(dataset(tmp_path, one, one, suffix="gif"), tmp_path / "out")
    assert len(lines(out)) == 2
    assert said == [
        "2 crowds (iscrowd) are left out: a line is one object",
        "2 images are of a format that not every version of Ultralytics opens",
    ]
    out, said = write(dataset(tmp_path / "b", one, one, suffix="jfif"), tmp_path / "other")
    assert sorted(path.name for path in out.rglob("images/*/*")) == ["0.jpg", "1.jpg"]
    assert not [text for text in said if "format" in text]
