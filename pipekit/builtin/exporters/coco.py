"""COCO: ``images/…`` and ``annotations/instances_<split>.json`` with the boxes. https://cocodataset.org/#format-data"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT, ImagesParams, Names, box_classes, place, size_of
from pipekit.contract import Box, Dataset


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One JSON file for each split; the same classes have the same numbers in all of them. Images without boxes are in it too.

    Masks are class numbers here and objects in COCO; they are not written. The exporter ``masks`` writes them.
    """
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(box_classes(artifact), start=1)
    ]
    numbers = {entry["name"]: entry["id"] for entry in categories}
    files: dict[str, dict[str, list[Any]]] = {}
    names = Names()
    for sample in artifact:
        split = sample.split or NO_SPLIT
        content = files.setdefault(split, {"images": [], "annotations": []})
        name = names.of(sample, split)
        place(sample, out_dir / "images" / name, params.images)
        height, width = size_of(sample)
        number = len(content["images"]) + 1
        content["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        for box in sample.targets.boxes:
            identity = len(content["annotations"]) + 1
            content["annotations"].append({"id": identity, "image_id": number, **_annotation(box, numbers[box.label])})
    (out_dir / "annotations").mkdir()
    for split, content in files.items():
        text = json.dumps({**content, "categories": categories}, ensure_ascii=False)
        (out_dir / "annotations" / f"instances_{split}.json").write_text(text, "utf-8")


def _annotation(box: Box, category: Any) -> dict[str, Any]:
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    corners = [box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max]
    return {
        "category_id": category,
        "bbox": [box.x_min, box.y_min, width, height],
        "area": width * height,
        "segmentation": [corners],
        "iscrowd": 0,
    }
