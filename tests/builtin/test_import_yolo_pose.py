"""The importer ``yolo`` on poses and oriented boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.importers import yolo
from pipekit.contract import Box, Categories
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

POINTS = {
    "17x3": ([17, 3], " ".join("0.5 0.25 2" for _ in range(15)) + " 0.1 0.2 1 0 0 0", 16),
    "12x2": ([12, 2], " ".join("0.5 0.25" for _ in range(11)) + " 0 0", 11),
    "17x2": ([17, 2], " ".join("0.5 0.25" for _ in range(17)), 17),
}


@pytest.mark.parametrize("kind", sorted(POINTS))
def test_yolo_poses_are_boxes_with_keypoints(tmp_path: Path, kind: str) -> None:
    shape, points, labelled = POINTS[kind]
    picture(tmp_path / "images/train/a.png")
    wrong = ["0 0.5 0.5 0.5 0.5", f"0 0.5 0.5 0.5 0.5 {points} 1", f"0 0.5 0.5 nan 0.5 {points}"]
    write(tmp_path / "labels/train/a.txt", "\n".join([f"0 0.5 0.5 0.5 0.5 {points}", *wrong, f"0 0.5 0.5 1 1 {points}"]))
    write(tmp_path / "data.yaml", f"kpt_shape: {shape}\nnames:\n  0: person\nkpt_names:\n  0: [nose, left_eye]\n")
    assert yolo.sniff(tmp_path) == f"images and labels side by side, data.yaml, poses of {shape[0]} points"
    (sample,), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert sample.targets.boxes == (Box(15, 10, 45, 30, "person"), Box(0, 0, 60, 40, "person"))
    first = sample.targets.keypoints[:labelled]
    assert [(point.x, point.y, point.label, point.visible, point.of) for point in first[:3]] == [
        (30, 10, "nose", True, 0),
        (30, 10, "left_eye", True, 0),
        (30, 10, "2", True, 0),
    ]
    assert len(sample.targets.keypoints) == 2 * labelled
    assert [point.visible for point in first].count(False) == (kind == "17x3")
    numbers = len(points.split())
    expected = f"a.txt: expected a class and 4 + {shape[0]} x {shape[1]} numbers (kpt_shape)"
    assert failed == {
        "images/train/a.png line 2": f"{expected}, got 4 numbers",
        "images/train/a.png line 3": f"{expected}, got {numbers + 5} numbers",
        "images/train/a.png line 4": "a.txt: a box of 'person' is not made of numbers: nan, 10, nan, 30",
    }


def test_yolo_poses_without_their_shape_are_listed_and_the_parameter_reads_them(tmp_path: Path) -> None:
    shape, points, labelled = POINTS["17x3"]
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", f"0 0.5 0.5 0.5 0.5 {points}\n")
    _, failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert failed["images/a.png line 1"].endswith("got 55 numbers; a pose needs kpt_shape, in data.yaml or as a parameter")
    (sample,), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams(kpt_shape=shape)))
    assert (len(sample.targets.keypoints), failed) == (labelled, {})


def test_the_parameter_kpt_shape_keeps_flip_idx_and_flip_idx_is_a_parameter_too(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.5 0.1 0.1 0.2 0.2 0.3 0.3\n")
    write(tmp_path / "data.yaml", "flip_idx: [0, 2, 1]\nnames: [person]\n")

    def mirror(**params: list[int]) -> tuple[int, ...]:
        rows = list(yolo.read(tmp_path, yolo.YoloParams(kpt_shape=[3, 2], **params)))
        (listed,) = [found for found in rows if isinstance(found, Categories)]
        return listed.entries[0].mirror

    assert mirror() == (0, 2, 1)
    assert mirror(flip_idx=[2, 1, 0]) == (2, 1, 0)
    with pytest.raises(UserError, match="but there are 3 keypoints"):
        mirror(flip_idx=[0, 1])


@pytest.mark.parametrize("shape", ["[17]", "[17, 4]", "[0, 3]", "[a, 3]", "17", "[true, 3]", "[9999999999, 3]"])
def test_a_shape_of_poses_that_can_not_be_is_an_error(tmp_path: Path, shape: str) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", "")
    write(tmp_path / "data.yaml", f"kpt_shape: {shape}\n")
    assert "kpt_shape is" in yolo.sniff(tmp_path).reason  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"data\.yaml: kpt_shape is .*Expected the number of keypoints"):
        list(yolo.read(tmp_path, yolo.YoloParams()))


def test_oriented_boxes_of_yolo_are_outlines_of_four_corners(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5\n")
    write(tmp_path / "data.yaml", "names: {0: plane}\n")
    (sample,), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert failed == {}
    assert sample.targets.boxes == (Box(15, 10, 45, 30, "plane", outline=((30, 10, 45, 20, 30, 30, 15, 20),)),)


@pytest.mark.parametrize("line", ["nan 0.5 0.5 0.1 0.1", "inf 0.5 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1"])
def test_yolo_classes_that_are_no_numbers_are_listed(tmp_path: Path, line: str) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", line)
    _, failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert failed == {"images/a.png line 1": f"a.txt: unknown class ({line.split()[0]})"}
    write(tmp_path / "data.yaml", "names: {first: cat}\n")
    with pytest.raises(UserError, match=r"data\.yaml: names has 'first', not the number of a class"):
        list(yolo.read(tmp_path, yolo.YoloParams()))
