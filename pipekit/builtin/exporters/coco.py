"""COCO: ``images/<split>/…`` and ``annotations/instances_<split>.json`` with boxes, outlines and keypoints.
https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT, ImagesParams, Names, box_classes, place, size_of
from pipekit.contract import Box, Dataset, Keypoint

CARRIES = {"boxes", "outlines", "keypoints"}
"""What the format holds of a sample besides its image and its split."""

PERSON = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""COCO's own keypoints, in the order of its evaluation; others are sorted by name."""


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One JSON file per split, with the same class numbers in all of them; images without boxes are included. ``file_name``
    is the path below the split's folder, as in COCO's own files.

    An object has its outline as polygons, else the corners of its box, and the keypoints that belong to its box. Keypoints
    without a box are not written, nor are masks: they hold class numbers here and objects in COCO. Use the exporter ``masks``.
    """
    points = _names_of_points(artifact)
    categories = [
        {
            "id": number,
            "name": name,
            "supercategory": "",
            **({"keypoints": points[name], "skeleton": []} if name in points else {}),
        }
        for number, name in enumerate(box_classes(artifact), start=1)
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
        in_split = name.removeprefix(f"{split}/")
        content["images"].append({"id": number, "file_name": in_split, "width": width, "height": height})
        for at, box in enumerate(sample.targets.boxes):
            found = {
                "id": len(content["annotations"]) + 1,
                "image_id": number,
                "category_id": numbers[box.label],
                **_annotation(box),
            }
            if box.label in points:
                own = {point.label: point for point in sample.targets.keypoints if point.of == at}
                found |= _keypoints(own, points[box.label], (height, width))
            content["annotations"].append(found)
    (out_dir / "annotations").mkdir()
    for split, content in files.items():
        text = json.dumps({**content, "categories": categories}, ensure_ascii=False)
        (out_dir / "annotations" / f"instances_{split}.json").write_text(text, "utf-8")


def _names_of_points(artifact: Dataset) -> dict[str, list[str]]:
    """Class -> the names of its objects' keypoints."""
    found: dict[str, set[str]] = {}
    for sample in artifact:
        for point in sample.targets.keypoints:
            if point.of is not None and point.of < len(sample.targets.boxes):
                found.setdefault(sample.targets.boxes[point.of].label, set()).add(point.label)
    return {label: list(PERSON) if names <= set(PERSON) else sorted(names, key=_order) for label, names in found.items()}


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (-1, name)


def _annotation(box: Box) -> dict[str, Any]:
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    corners = [box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max]
    area = width * height
    if box.outline:
        from pipekit.images import polygons

        area = polygons.area(polygons.polygons_of(box.outline))
    return {
        "bbox": [box.x_min, box.y_min, width, height],
        "area": area,
        "segmentation": [list(polygon) for polygon in box.outline] or [corners],
        "iscrowd": 0,
    }


def _keypoints(own: Mapping[str, Keypoint], names: Sequence[str], size_hw: tuple[int, int]) -> dict[str, Any]:
    """x, y, v for each name; v = 0 is "absent", 1 "hidden", 2 "visible"."""
    values: list[float] = []
    for name in names:
        point = own.get(name)
        inside = point is not None and -0.5 <= point.x < size_hw[1] - 0.5 and -0.5 <= point.y < size_hw[0] - 0.5
        values += [round(point.x, 2), round(point.y, 2), 1 + point.visible] if point and inside else [0, 0, 0]
    return {"keypoints": values, "num_keypoints": sum(v > 0 for v in values[2::3])}
