"""Boxes, keypoints and masks in the columns of Hugging Face datasets that pipekit did not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipekit import images
from pipekit.builtin.importers import parquet
from pipekit.contract import Box, Keypoint, Sample
from tests.builtin.annotated import sort_out


def picture() -> dict[str, Any]:
    return {"bytes": images.encode(np.full((40, 60, 3), 7, np.uint8), "png"), "path": "a.png"}


def read(folder: Path, rows: list[dict[str, Any]], features: Any = None) -> tuple[list[Sample], dict[str, str]]:
    table = pa.Table.from_pylist(rows)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "train.parquet")
    return sort_out(parquet.read(folder, parquet.StoredParams(), folder / "out"))


NAMES = {"names": ["mask", "glove"], "_type": "ClassLabel"}
NUMBERS = {"dtype": "float32", "_type": "Value"}
OBJECTS = [
    {
        "bbox": {"_type": "List", "feature": {"_type": "List", "feature": NUMBERS, "length": 4}},
        "category": {"_type": "List", "feature": NAMES},
    },
    {"_type": "Sequence", "feature": {"bbox": {"_type": "Sequence", "feature": NUMBERS, "length": 4}, "category": NAMES}},
    [{"bbox": [NUMBERS], "category": NAMES}],
]
"""The same features as several versions of the package describe them."""


@pytest.mark.parametrize("objects", OBJECTS)
@pytest.mark.parametrize("of_lists", [True, False])
def test_boxes_of_the_hub_s_detection_datasets(tmp_path: Path, objects: Any, of_lists: bool) -> None:
    boxes, numbers = [[5.0, 6.0, 10.0, 20.0], [0.0, 0.0, 60.0, 40.0]], [1, 0]
    as_lists = {"id": [7, 8], "area": [200.0, 2400.0], "bbox": boxes, "category": numbers}
    value = as_lists if of_lists else [{"bbox": box, "category": number} for box, number in zip(boxes, numbers, strict=True)]
    (found,), failed = read(tmp_path / "data", [{"image": picture(), "objects": value}], {"objects": objects})
    assert failed == {}
    assert found.targets.boxes == (Box(5, 6, 15, 26, "glove"), Box(0, 0, 60, 40, "mask"))
    assert found.extra == {}


def test_a_column_of_images_beside_the_images_is_the_mask(tmp_path: Path) -> None:
    mask = {"bytes": images.encode(np.full((40, 60, 1), 2, np.uint8), "png"), "path": "a.png"}
    for name in ("annotation", "label", "mask"):
        (found,), failed = read(tmp_path / name, [{"image": picture(), name: mask}])
        assert (found.label, found.extra, failed) == (None, {}, {})
        assert (images.read_mask(found.targets.mask) == 2).all()


def test_keypoints_of_a_box_that_is_unusable_belong_to_none(tmp_path: Path) -> None:
    objects = {"bbox": [[70.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]], "category": ["x", "y"]}
    points = {"x": [1.0, 2.0], "y": [3.0, 4.0], "label": ["eye", "eye"], "object": [0, 1]}
    (found,), failed = read(tmp_path / "data", [{"image": picture(), "objects": objects, "keypoints": points}])
    assert found.targets.boxes == (Box(5, 5, 10, 10, "y"),)
    assert found.targets.keypoints == (Keypoint(1, 3, "eye", True, None), Keypoint(2, 4, "eye", True, 0))
    said = "train.parquet row 1: a box of 'x' lies outside the image (60 x 40 px): 70, 5, 75, 10"
    assert failed == {"train/0000001 object 1": said}


@pytest.mark.parametrize(
    ("columns", "failed"),
    [
        (
            {"objects": {"bbox": [[1.0, 2.0]], "category": [0]}},
            {"object 1": "bbox is [1.0, 2.0], not [left, top, width, height]"},
        ),
        (
            {"objects": {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [9]}},
            {"object 1": "category is 9, but there are 2 names, from 0"},
        ),
        ({"objects": {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [None]}}, {"object 1": "category is None, not a class"}),
        (
            {"objects": {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [0, 1]}},
            {"objects": "lists of different lengths: 1 bbox, 2 category"},
        ),
        (
            {"objects": {"bbox": [[1.0, float("nan"), 3.0, 4.0]], "category": [0]}},
            {"object 1": "number 2 of bbox is nan, not a number"},
        ),
        ({"keypoints": {"x": [1.0], "y": [None], "label": ["eye"]}}, {"keypoint 1": "y is missing"}),
    ],
)
def test_what_can_not_be_used_is_listed_with_file_row_and_value(tmp_path: Path, columns: Any, failed: dict[str, str]) -> None:
    features = {"objects": OBJECTS[0]}
    (found,), listed = read(tmp_path / "data", [{"image": picture(), **columns}], features)
    assert (found.targets.boxes, found.targets.keypoints) == ((), ())
    assert listed == {f"train/0000001 {part}": f"train.parquet row 1: {said}" for part, said in failed.items()}
