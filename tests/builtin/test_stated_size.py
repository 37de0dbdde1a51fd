"""Annotations follow the pixels that they were drawn on: turned by EXIF, scaled, or refused, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pipekit import images
from pipekit.builtin.importers import coco, voc, yolo
from pipekit.builtin.importers.boxes import CUT
from pipekit.builtin.importers.files import BY_LAST_PARTS
from pipekit.builtin.importers.stated_size import SCALED, TURNED, UNSTATED, UNSURE, Frame, frame_of
from pipekit.contract import Adjusted, Failure, Sample
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import ImageError

STORED_HW = (60, 100)
BOX = (10, 20, 30, 8)
"""Left, top, width and height, in the stored pixels: there the image is red, elsewhere black."""


def photograph(path: Path, orientation: int, scale: int = 1) -> None:
    pixels = np.zeros((*STORED_HW, 3), np.uint8)
    x, y, width, height = BOX
    pixels[y : y + height, x : x + width, 0] = 255
    picture = Pillow.fromarray(np.repeat(np.repeat(pixels, scale, 0), scale, 1))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)


def seen(path: Path) -> tuple[int, int, int, int]:
    """The edges of what is red as it is displayed."""
    rows, columns = np.nonzero(images.read(path)[..., 0] > 128)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def coco_file(path: Path, stated_hw: tuple[int, int] | None, segmentation: Any = None, name: str = "a.png") -> None:
    x, y, width, height = BOX
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    entry = {"id": 1, "file_name": name}
    if stated_hw is not None:
        entry |= {"height": stated_hw[0], "width": stated_hw[1]}
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": list(BOX),
        "segmentation": segmentation or [corners],
        "keypoints": [x, y, 2],
    }
    categories = [{"id": 1, "name": "red", "keypoints": ["corner"]}]
    path.write_text(json.dumps({"images": [entry], "annotations": [annotation], "categories": categories}))


def read(folder: Path, **params: Any) -> tuple[list[Sample], list[Failure], list[Adjusted]]:
    found = list(coco.read(folder, coco.CocoParams(**params), folder / "out"))
    kinds: tuple[Any, ...] = (Sample, Failure, Adjusted)
    samples, failed, adjusted = ([item for item in found if isinstance(item, kind)] for kind in kinds)
    return samples, failed, adjusted


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("scale", [1, 2])
def test_everything_lies_on_the_pixels_that_it_was_drawn_on(tmp_path: Path, orientation: int, scale: int) -> None:
    photograph(tmp_path / "a.png", orientation, scale)
    coco_file(tmp_path / "boxes.json", STORED_HW)
    (sample,), failed, adjusted = read(tmp_path, masks=True)
    edges = seen(tmp_path / "a.png")
    (box,) = sample.targets.boxes
    assert not failed
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == edges
    (outline,) = box.outline
    assert (min(outline[::2]), min(outline[1::2]), max(outline[::2]), max(outline[1::2])) == edges
    mask = images.read_mask(sample.targets.mask)
    assert mask.shape[:2] == images.read(tmp_path / "a.png").shape[:2]
    rows, columns = np.nonzero(mask.reshape(mask.shape[:2]))
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert np.abs(np.subtract(found, edges)).max() <= scale, "OpenCV fills the pixels on a polygon's edge too"
    (point,) = sample.targets.keypoints
    assert edges[0] <= point.x <= edges[2] - 1
    assert edges[1] <= point.y <= edges[3] - 1
    assert [item.how for item in adjusted] == ([TURNED] if orientation > 1 else [SCALED] if scale > 1 else [])


@pytest.mark.parametrize(
    ("stated_hw", "orientation", "how"),
    [
        (None, 6, [UNSTATED]),
        (None, 1, []),
        ((0, 0), 6, [UNSTATED]),
        ((100, 60), 6, []),
        ((60, 100), 1, []),
        ((60, 100), 3, [UNSURE]),
        ((121, 200), 1, [SCALED]),
    ],
)
def test_a_size_that_fits_is_taken_and_what_is_not_sure_is_said(
    tmp_path: Path, stated_hw: tuple[int, int] | None, orientation: int, how: list[str]
) -> None:
    photograph(tmp_path / "a.png", orientation)
    coco_file(tmp_path / "boxes.json", stated_hw)
    samples, failed, adjusted = read(tmp_path)
    assert (len(samples), failed) == (1, [])
    assert [item.how for item in adjusted] == how


@pytest.mark.parametrize("stated_hw", [(100, 60), (100, 100), (50, 90)])
def test_annotations_of_other_pixels_are_refused(tmp_path: Path, stated_hw: tuple[int, int]) -> None:
    photograph(tmp_path / "a.png", 1)
    coco_file(tmp_path / "boxes.json", stated_hw)
    samples, (failure,), adjusted = read(tmp_path)
    assert (samples, adjusted) == ([], [])
    size = f"{stated_hw[1]} x {stated_hw[0]} px"
    assert failure.reason == f"boxes.json: its annotations are for {size}, and the image has 100 x 60 px"


@pytest.mark.parametrize("side", [float("inf"), float("nan")])
def test_a_size_that_is_no_number_is_refused(tmp_path: Path, side: float) -> None:
    photograph(tmp_path / "a.png", 1)
    coco_file(tmp_path / "boxes.json", (side, 60))
    samples, (failure,), _ = read(tmp_path)
    assert samples == []
    assert failure.reason == f"boxes.json: its annotations are for 60 x {side:g} px, which is no size"


def test_run_lengths_of_the_stored_pixels_are_turned(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png", 6)
    mask = np.zeros(STORED_HW, np.uint8)
    x, y, width, height = BOX
    mask[y : y + height, x : x + width] = 1
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    coco_file(tmp_path / "boxes.json", STORED_HW, {"size": list(STORED_HW), "counts": counts})
    (sample,), failed, _ = read(tmp_path, masks=True)
    assert not failed
    rows, columns = np.nonzero(images.read_mask(sample.targets.mask).reshape(100, 60))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == seen(tmp_path / "a.png")


@pytest.mark.parametrize(("size", "how"), [((60, 100), [TURNED]), ((100, 60), [])])
def test_voc_turns_its_boxes_too(tmp_path: Path, size: tuple[int, int], how: list[str]) -> None:
    photograph(tmp_path / "JPEGImages/a.png", 6)
    x, y, width, height = BOX
    left, top, right, bottom = (x, y, x + width, y + height) if how else seen(tmp_path / "JPEGImages/a.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(
        f"<annotation><filename>a.png</filename><size><width>{size[1]}</width><height>{size[0]}</height></size>"
        f"<object><name>red</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object></annotation>"
    )
    found = list(voc.read(tmp_path, voc.VocParams()))
    (sample,) = (item for item in found if isinstance(item, Sample))
    (box,) = sample.targets.boxes
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == seen(tmp_path / "JPEGImages/a.png")
    assert [item.how for item in found if isinstance(item, Adjusted)] == how


def test_the_import_says_how_many_and_names_one(tmp_path: Path) -> None:
    photograph(tmp_path / "set/a.png", 6)
    coco_file(tmp_path / "set/boxes.json", STORED_HW)
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
    adhoc.add("data", "import.coco", path="set")
    (stage,) = adhoc.run().stages
    assert f"the annotations of 1 image were {TURNED}. For example: a.png" in stage.warnings


def test_a_plain_frame_changes_nothing() -> None:
    frame = Frame((6, 10), (6, 10))
    assert frame.box((1, 2, 3, 4)) == (1, 2, 3, 4)
    assert frame.keypoint(1.5, 2) == (1.5, 2)


def test_an_image_that_can_not_be_read_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError):
        frame_of(tmp_path / "a.png", (1, 1), "a.png")


@pytest.mark.parametrize("name", ["images\\a.png", "/home/someone/a.png", "val2017/a.png"])
def test_paths_of_another_machine_are_matched_by_their_last_parts(tmp_path: Path, name: str) -> None:
    photograph(tmp_path / "images/a.png", 1)
    coco_file(tmp_path / "boxes.json", STORED_HW, name=name)
    (sample,), failed, adjusted = read(tmp_path)
    assert (Path(sample.image).name, failed) == ("a.png", [])
    assert [item.how for item in adjusted] == [BY_LAST_PARTS]


def test_a_path_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png", 1)
    coco_file(tmp_path / "boxes.json", STORED_HW, name="../a.png")
    assert [failure.reason for failure in read(tmp_path)[1]] == ["boxes.json: no such file"]


def test_boxes_that_reach_beyond_an_image_without_a_stated_size_are_said(tmp_path: Path) -> None:
    """As of corners that were written in place of a width and a height."""
    for name in "ab":
        photograph(tmp_path / f"{name}.png", 1)
    content: dict[str, Any] = {"categories": [{"id": 1, "name": "x"}], "images": [], "annotations": []}
    for at, (name, box) in enumerate({"a": [60, 20, 90, 50], "b": [0, 0, 100, 60]}.items()):
        content["images"].append({"id": at, "file_name": f"{name}.png"})
        content["annotations"].append({"id": at, "image_id": at, "category_id": 1, "bbox": box})
    (tmp_path / "x.json").write_text(json.dumps(content), "utf-8")
    found = list(coco.read(tmp_path, coco.CocoParams(), tmp_path / "out"))
    assert [item for item in found if isinstance(item, Adjusted)] == [Adjusted("a.png", CUT)]


def test_a_turned_image_of_yolo_is_said_because_its_lines_state_no_size(tmp_path: Path) -> None:
    for name, orientation in (("a", 6), ("b", 1), ("c", 8)):
        photograph(tmp_path / f"images/{name}.jpg", orientation)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{name}.txt").write_text("" if name == "c" else "0 0.5 0.5 0.2 0.2\n")
    found = list(yolo.read(tmp_path, yolo.YoloParams()))
    assert [item for item in found if isinstance(item, Adjusted)] == [Adjusted("images/a.jpg", UNSTATED)]
