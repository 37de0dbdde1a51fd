"""The importer ``coco_panoptic``: masks of categories, boxes of things, and what does not fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import coco, coco_panoptic
from pipekit.builtin.importers.coco_panoptic import CocoPanopticParams
from pipekit.contract import Box, Categories, Failure, Sample
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.builtin.annotated import picture, sort_out, write

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 17, "name": "cat", "isthing": 1},
    {"id": 184, "name": "tree", "isthing": 0},
]


def dataset(root: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
    """A person with the number 5 + 256 * 3 above a tree with the number 9; the last row is of no segment."""
    picture(root / "val2017/a.jpg")
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:39] = (9, 0, 0)
    colours[10:20, 30:50] = (5, 3, 0)
    path = root / "annotations/panoptic_val2017/a.png"
    path.parent.mkdir(parents=True)
    images.write(path, colours)
    segments = [{"id": 773, "category_id": 1, "iscrowd": 0}, {"id": 9, "category_id": 184, "iscrowd": 0}]
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "width": 60, "height": 40}],
        "annotations": [{"image_id": 3, "file_name": "a.png", "segments_info": segments}],
        "categories": CATEGORIES,
    }
    change(content)
    write(root / "annotations/panoptic_val2017.json", json.dumps(content))
    return root


def rows_of(root: Path, **values: Any) -> list[Any]:
    return list(coco_panoptic.read(root, CocoPanopticParams(**values), root.parent / "out"))


def test_segments_become_a_mask_and_things_become_boxes(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    assert find_importer(load_registry(), root).importer == "coco_panoptic"
    rows = rows_of(root, label="single")
    (sample,) = [row for row in rows if isinstance(row, Sample)]
    assert not [row for row in rows if isinstance(row, Failure)]
    expected = np.full((40, 60), 184, np.uint8)
    expected[39], expected[10:20, 30:50] = 0, 1
    assert (images.read_mask(sample.targets.mask) == expected).all()
    assert sample.targets.boxes == (Box(30, 10, 50, 20, "person", facts={"id": 773}),)
    assert (sample.id, sample.split, sample.label) == ("a.jpg", "val", "person")
    lists = {row.of: [(entry.name, entry.number) for entry in row.entries] for row in rows if isinstance(row, Categories)}
    assert lists == {
        "masks": [("person", 1), ("cat", 17), ("tree", 184)],
        "boxes": [("person", 1), ("cat", 17)],
    }


def test_objects_beside_it_come_first_and_the_file_itself_is_read(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    annotation = {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 1, 9, 9]}
    objects = {"images": [{"id": 3, "file_name": "a.jpg"}], "annotations": [annotation], "categories": CATEGORIES}
    write(root / "annotations/instances_val2017.json", json.dumps(objects))
    assert find_importer(load_registry(), root).importer == "coco"
    assert "give the file itself" in coco_panoptic.sniff(root).reason  # type: ignore[union-attr]
    file = root / "annotations/panoptic_val2017.json"
    assert find_importer(load_registry(), file).importer == "coco_panoptic"
    assert "which import.coco_panoptic reads" in coco.sniff(file).reason  # type: ignore[union-attr]
    (sample,), failed = sort_out(rows_of(file, images=root))
    assert (sample.id, failed) == ("a.jpg", {})


def no_png(content: dict[str, Any]) -> None:
    content["annotations"][0]["file_name"] = "b.png"


def other_size(content: dict[str, Any]) -> None:
    content["images"][0].update(width=90, height=60)


def other_segments(content: dict[str, Any]) -> None:
    content["annotations"][0]["segments_info"] = [{"id": 773, "category_id": 2}, {"id": 8, "category_id": 1}]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (no_png, {"a.jpg": "no PNG file 'b.png' of its segments in a folder panoptic_val2017"}),
        (other_size, {"a.jpg": "a.png has 60 x 40 px, the image 90 x 60"}),
        (
            other_segments,
            {
                "a.jpg segment 1": "unknown category (2)",
                "a.jpg segment 2": "its number 8 is not in the PNG file",
                "a.jpg segments": "the PNG file has 2 numbers that segments_info lacks, such as 9, 773",
            },
        ),
    ],
)
def test_what_does_not_fit_together_is_listed(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], expected: dict[str, str]
) -> None:
    _, failed = sort_out(rows_of(dataset(tmp_path / "data", change)))
    assert failed.keys() == expected.keys()
    for name, said in expected.items():
        assert failed[name].startswith(f"panoptic_val2017.json line 1: {said}")


def test_a_name_with_half_a_surrogate_pair_is_listed(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = "\ud800.jpg"

    (failure,) = [row for row in rows_of(dataset(tmp_path / "data", change)) if isinstance(row, Failure)]
    assert (failure.id, failure.reason) == ("?.jpg", "panoptic_val2017.json: no such file")
