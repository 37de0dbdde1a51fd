"""Boxes, outlines, keypoints and masks in the columns of Hugging Face datasets.

``objects`` has lists ``bbox`` (left, top, width, height in pixels, as COCO has them) and ``category``, as in the object
detection datasets of the Hub; ``segmentation`` (polygons) and the column ``keypoints`` are what the exporter ``parquet`` adds.
A second column of images is the mask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.annotated import UnusableError, listed, number
from pipekit.builtin.importers.boxes import checked_box, outlined
from pipekit.contract import Box, Failure, Keypoint, Sample, Targets
from pipekit.errors import ImageError

OBJECTS = ("objects", "faces")
CATEGORIES = ("category", "categories", "label", "labels", "category_id")
MASKS = ("mask", "masks", "annotation", "segmentation", "segmentation_mask", "label")


@dataclass(frozen=True, slots=True)
class TargetColumns:
    """The columns of targets, "" for none, and the names of the numbers in them.

    Attributes:
        category: the list of classes in ``objects``.
        names, points: class names of boxes, and names of keypoints.
    """

    objects: str = ""
    category: str = ""
    keypoints: str = ""
    mask: str = ""
    names: Sequence[str] = ()
    points: Sequence[str] = ()

    @property
    def taken(self) -> set[str]:
        return {self.objects, self.keypoints, self.mask} - {""}


def target_columns(schema: Any, image: str) -> TargetColumns:
    """The columns of targets in an Arrow schema; ``image`` is the column of images."""
    features = features_of(schema.metadata or {})
    fields = {field.name: field.type for field in schema}
    objects = next((name for name in OBJECTS if "bbox" in _members(fields.get(name))), "")
    inner = _members(fields.get(objects)) if objects else set()
    category = next((name for name in CATEGORIES if name in inner), "")
    keypoints = "keypoints" if {"x", "y", "label"} <= _members(fields.get("keypoints")) else ""
    mask = next((name for name in MASKS if name != image and {"bytes", "path"} == _members(fields.get(name))), "")
    return TargetColumns(
        objects,
        category,
        keypoints,
        mask,
        names_of(inside(features.get(objects), category)),
        names_of(inside(features.get(keypoints), "label")),
    )


def targets_in(row: Mapping[str, Any], image: str) -> TargetColumns:
    """The same in a row of JSON; ``{"objects": {"bbox": [[1, 2, 30, 40]], "categories": [0]}}``, or a list of such objects."""
    objects = next((name for name in OBJECTS if name != image and "bbox" in _keys(row.get(name))), "")
    category = next((name for name in CATEGORIES if objects and name in _keys(row[objects])), "")
    return TargetColumns(objects, category)


def _keys(value: Any) -> Mapping[str, Any]:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, dict) else {}


def features_of(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """The features in a schema's metadata; empty where there are none."""
    try:
        found = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _members(kind: Any) -> set[str]:
    """The names in a struct, also in a list of structs."""
    kind = getattr(kind, "value_type", kind)
    return {kind.field(at).name for at in range(getattr(kind, "num_fields", 0))} if str(kind).startswith("struct") else set()


def inside(feature: Any, name: str) -> Any:
    """A feature of a dictionary, also of one in a list (``Sequence``, ``List``)."""
    for _ in range(4):
        if isinstance(feature, dict) and name in feature:
            feature, name = feature[name], "feature"
        elif isinstance(feature, list) and feature:
            (feature,) = feature[:1]
        elif isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
    return feature


def names_of(feature: Any) -> list[str]:
    """The names of a feature of classes (``ClassLabel``)."""
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def with_targets(sample: Sample, row: Mapping[str, Any], columns: TargetColumns, out_dir: Path) -> Iterator[Sample | Failure]:
    """The unusable parts of a row's targets, then the sample with the usable ones; a mask is written to ``out_dir``."""
    from pipekit import images

    if not columns.taken:
        yield sample
        return
    try:
        info = images.probe(images.read_bytes(sample.image))
    except (ImageError, OSError):  # the import lists it
        yield sample
        return
    size_hw = info.height_px, info.width_px
    boxes: list[Box] = []
    places: dict[int, int] = {}
    points: list[Keypoint] = []
    mask = ""
    failures: list[Failure] = []

    def fail(what: str, error: Exception) -> None:
        said = error.message if isinstance(error, ImageError) else str(error)
        failures.append(Failure(f"{sample.id} {what}", said, part_of=sample.id))

    for at, entry in enumerate(_rows(row.get(columns.objects), fail, columns.objects)):
        try:
            boxes.append(_box(entry, columns, size_hw))
            places[at] = len(boxes) - 1
        except UnusableError as error:
            fail(f"object {at + 1}", error)
    for at, entry in enumerate(_rows(row.get(columns.keypoints), fail, columns.keypoints)):
        try:
            points.append(_keypoint(entry, columns, places))
        except UnusableError as error:
            fail(f"keypoint {at + 1}", error)
    try:
        mask = _written(row.get(columns.mask), sample.id, out_dir) if columns.mask else ""
    except ImageError as error:
        fail("mask", error)
    yield from failures
    yield replace(sample, targets=Targets(mask, boxes=tuple(boxes), keypoints=tuple(points)))


def _rows(value: Any, fail: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of dictionaries, or a dictionary of lists, as a list of dictionaries."""
    if isinstance(value, list):
        return [entry if isinstance(entry, dict) else {} for entry in value]
    if not isinstance(value, dict):
        return []
    lists = {name: values for name, values in value.items() if isinstance(values, list)}
    counts = {name: len(values) for name, values in lists.items()}
    if len(set(counts.values())) > 1:
        fail(
            what, UnusableError(f"lists of different lengths: {', '.join(f'{count} {name}' for name, count in counts.items())}")
        )
        return []
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _box(entry: Mapping[str, Any], columns: TargetColumns, size_hw: tuple[int, int]) -> Box:
    """Raises UnusableError."""
    edges = listed(entry.get("bbox"), "bbox")
    if len(edges) != 4:
        raise UnusableError(f"bbox is {str(edges)[:60]}, not [left, top, width, height]")
    left, top, width, height = (number(value, f"number {at} of bbox") for at, value in enumerate(edges, start=1))
    label = _named(entry.get(columns.category), columns.names, columns.category) if columns.category else "object"
    box = checked_box((left, top, left + width, top + height), label, size_hw)
    if isinstance(box, str):
        raise UnusableError(box)
    polygons = entry.get("segmentation") or []
    if not isinstance(polygons, list) or not polygons:
        return box
    flat = [[number(value, "a corner") for value in listed(part, "a polygon")] for part in polygons]
    if any(len(part) < 6 or len(part) % 2 for part in flat):
        raise UnusableError(f"segmentation is {str(polygons)[:60]}, not a list of polygons x, y, x, y …")
    return outlined(box, flat, size_hw)


def _keypoint(entry: Mapping[str, Any], columns: TargetColumns, places: Mapping[int, int]) -> Keypoint:
    """Raises UnusableError."""
    label = _named(entry.get("label"), columns.points, "label")
    of = entry.get("object")
    return Keypoint(
        number(entry.get("x"), "x"),
        number(entry.get("y"), "y"),
        label,
        entry.get("visible") is not False,
        places.get(of) if isinstance(of, int) else None,
    )


def _named(value: Any, names: Sequence[str], what: str) -> str:
    """The name of a class. Raises UnusableError."""
    if isinstance(value, int) and not isinstance(value, bool):
        if names and not 0 <= value < len(names):
            raise UnusableError(f"{what} is {value}, but there are {len(names)} names, from 0")
        return names[value] if names else str(value)
    if not isinstance(value, str) or not value.strip():
        raise UnusableError(f"{what} is {value!r:.60}, not a class")
    return value.strip()


def _written(value: Any, identity: str, out_dir: Path) -> str:
    """Write a mask's bytes; "" where there is none. Raises ImageError."""
    from pipekit import images

    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        return ""
    kind = images.probe(data).format.lower()
    place = out_dir / "masks" / f"{identity}.{ {'jpeg': 'jpg'}.get(kind, kind) }"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return str(place)
