"""COCO: ``images/<split>/…`` and ``annotations/instances_<split>.json`` with boxes, outlines and keypoints.
https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import (
    NO_SPLIT,
    ImagesParams,
    Names,
    box_labels,
    inside,
    named_keypoints,
    numbered,
    numbers_as_names,
    place,
    size_of,
)
from pipekit.contract import Box, Category, Dataset, Keypoint, Sample

CARRIES = {"labels", "boxes", "outlines", "keypoints", "skeletons", "extra", "facts"}
"""What the format holds of a sample besides its image and its split."""

IMAGE_KEYS = ("id", "file_name", "width", "height", "label")
"""The keys of an image that are not further values."""

NOT_WRITTEN = ("augmented", "image_id")
"""Entries of ``extra`` that a folder of copies has in its own file, or that become the image's id."""


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One JSON file per split, with the same categories in all of them; images without boxes are included. ``file_name``
    is the path below the split's folder, as in COCO's own files.

    Categories keep the order, the ids, the keypoints and the skeletons of the source, unused ones too. Images and objects keep
    their ids; those of augmented copies are new. An object has its outline as polygons, its ``area`` and
    ``iscrowd``, the keypoints that belong to its box, and its flags and attributes in ``attributes``, as CVAT has them. The
    class of a whole image is its ``label``, and further values are further keys.

    Keypoints without a box are not written, nor are masks: they hold class numbers here and objects in COCO. Use the exporter
    ``masks``.
    """
    labels = box_labels(artifact)
    listed = artifact.categories("boxes") or numbers_as_names(labels)
    entries = {entry.name: entry for entry in named_keypoints(artifact, numbered(listed, labels, start=1))}
    files: dict[str, dict[str, list[Any]]] = {}
    names = Names()
    for sample in artifact:
        split = sample.split or NO_SPLIT
        content = files.setdefault(split, {"images": [], "annotations": []})
        name = names.of(sample, split)
        place(sample, out_dir / "images" / name, params.images)
        height, width = size_of(sample)
        image = {"id": _own_id(sample, sample.extra.get("image_id")), "file_name": name.removeprefix(f"{split}/")}
        image |= {"width": width, "height": height} | _further(sample)
        content["images"].append(image)
        for at, box in enumerate(sample.targets.boxes):
            found = {"id": _own_id(sample, box.facts.get("id")), "image_id": image, "category_id": entries[box.label].number}
            found |= _annotation(box)
            if points := entries[box.label].keypoints:
                own = {point.label: point for point in sample.targets.keypoints if point.of == at}
                found |= _keypoints(own, points, (height, width))
            content["annotations"].append(found)
    (out_dir / "annotations").mkdir()
    categories = [_category(entry) for entry in entries.values()]
    for split, content in files.items():
        _number(content["images"])
        _number(content["annotations"])
        for found in content["annotations"]:
            found["image_id"] = found["image_id"]["id"]
        text = json.dumps({**content, "categories": categories}, ensure_ascii=False)
        (out_dir / "annotations" / f"instances_{split}.json").write_text(text, "utf-8", errors="replace")


def _category(entry: Category) -> dict[str, Any]:
    """COCO's lines between keypoints count from 1."""
    found: dict[str, Any] = {"id": entry.number, "name": entry.name}
    if entry.group:
        found["supercategory"] = entry.group
    if entry.keypoints:
        lines = [[one + 1, other + 1] for one, other in entry.skeleton]
        found |= {"keypoints": list(entry.keypoints), "skeleton": lines}
    return found


def _own_id(sample: Sample, value: Any) -> int | None:
    """The id that the source gives, unless the sample is a copy of the one that has it."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and "augmented" not in sample.extra else None


def _number(rows: list[dict[str, Any]]) -> None:
    """Give an id to each row without one, or with the id of an earlier row: the numbers after the highest."""
    free = count(max((row["id"] for row in rows if row["id"] is not None), default=0) + 1)
    taken: set[int] = set()
    for row in rows:
        if row["id"] is None or row["id"] in taken:
            row["id"] = next(free)
        taken.add(row["id"])


def _further(sample: Sample) -> dict[str, Any]:
    """The class of the whole image, and its further values."""
    values = {name: value for name, value in sample.extra.items() if name not in (*IMAGE_KEYS, *NOT_WRITTEN)}
    return values | ({} if sample.label is None else {"label": sample.label})


def _annotation(box: Box) -> dict[str, Any]:
    width, height = box.x_max - box.x_min, box.y_max - box.y_min
    area = box.facts.get("area", width * height)
    if box.outline and "area" not in box.facts:
        from pipekit.images import polygons

        area = polygons.area(polygons.polygons_of(box.outline))
    found = {
        "bbox": [round(value, 4) for value in (box.x_min, box.y_min, width, height)],
        "area": area,
        "segmentation": [list(polygon) for polygon in box.outline],
        "iscrowd": int(bool(box.facts.get("iscrowd"))),
    }
    attributes = _attributes(box.facts)
    return found | ({"attributes": attributes} if attributes else {})


def _attributes(facts: Mapping[str, Any]) -> dict[str, Any]:
    own = ("id", "area", "iscrowd", "oriented", "attributes")
    given = facts.get("attributes")
    return {name: value for name, value in facts.items() if name not in own} | (
        dict(given) if isinstance(given, Mapping) else {} if given is None else {"attributes": given}
    )


def _keypoints(own: Mapping[str, Keypoint], names: Sequence[str], size_hw: tuple[int, int]) -> dict[str, Any]:
    """x, y, v for each name; v = 0 is "absent", 1 "hidden", 2 "visible"."""
    values: list[float] = []
    for name in names:
        point = own.get(name)
        values += [round(point.x, 2), round(point.y, 2), 1 + point.visible] if point and inside(point, size_hw) else [0, 0, 0]
    return {"keypoints": values, "num_keypoints": sum(v > 0 for v in values[2::3])}
