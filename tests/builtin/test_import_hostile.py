"""Files of annotations that claim what can't be, and texts made to take for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import coco, coco_masks
from pipekit.contract import Failure, Sample
from pipekit.errors import UserError


def test_a_run_length_without_an_end_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="a run length has more than 60 bits"):
        coco_masks.decompress("o" * 5_000_000)  # each character more makes all that follow slower


def test_numbers_that_no_float_holds_are_reasons(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", np.full((40, 60, 3), 90, np.uint8))
    good = {"image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5]}
    entries = [
        {**good, "id": 1, "bbox": [0, 0, 10**400, 3]},
        {**good, "id": 2, "segmentation": [[0, 0, 10**400, 0, 9, 9]]},
        {**good, "id": 3, "keypoints": ["left", 1, 2]},
        {**good, "id": 4, "keypoints": [10**400, 1, 2]},
        {**good, "id": 5, "keypoints": 7},
        {**good, "id": 6, "keypoints": [8, "9" * 400, 1]},
        {**good, "id": 8, "keypoints": [1, 2, 3, 4]},
        {**good, "id": 9, "keypoints": [1, 2, 3, 4, 5, 6]},
    ]
    content = {
        "images": [{"id": 0, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": entries,
        "categories": [{"id": 7, "name": "dog", "keypoints": ["a", "b", "c"]}],
    }
    (tmp_path / "x.json").write_text(json.dumps(content), "utf-8")
    found = list(coco.read(tmp_path / "x.json", coco.CocoParams(outlines=True), tmp_path / "out"))
    failed = {item.id: item.reason for item in found if isinstance(item, Failure)}
    assert failed["annotation 1"].startswith("x.json line 1: its bbox is not four numbers")
    assert failed["a.png annotation 2"].startswith("x.json line 1: its outline can't be read")
    for number in (3, 4, 5, 6, 8, 9):
        assert failed[f"a.png annotation {number}"].startswith("x.json line 1: its keypoints can't be read")
    assert sum(isinstance(item, Sample) for item in found) == 1


@pytest.mark.parametrize("name", ["", " ", None, True, ["dog"]])
def test_a_category_without_a_name_is_refused(tmp_path: Path, name: object) -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": name}]}
    (tmp_path / "x.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(
        UserError, match=r"x\.json is not a COCO file, or is damaged: categories\[1\]: its name is .* \(line 1\)"
    ):
        list(coco.read(tmp_path / "x.json", coco.CocoParams(), tmp_path / "out"))
