"""Parquet files with the images' bytes, in the layout of Hugging Face's ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT, box_labels, box_names, counted_from_zero, label_names, numbered
from pipekit.contract import Dataset, Sample
from pipekit.errors import UserError
from pipekit.files import read_bytes
from pipekit.params import Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

TASKS = (CLASSES, MULTILABEL, NUMBER)

CARRIES = {"labels", "boxes", "outlines", "keypoints", "loose_keypoints", "mask"}
"""What the format holds of a sample besides its image and its split."""


class ParquetParams(Params):
    rows_per_file: int = param(2000, "Maximum number of images per file", unit="images", ge=1)


def write(artifact: Dataset, out_dir: Path, params: ParquetParams) -> None:
    """``data/train-00000-of-00003.parquet``: ``image`` (bytes and path), ``label`` (a class's number), ``id``, ``sha256``.
    Instead of ``label``: ``labels`` (a list of classes' numbers) or ``value`` (a number), by the task of the dataset.

    If the dataset has them: ``objects`` with ``bbox`` (left, top, width, height in pixels, as in COCO), ``category`` and, for
    outlines, ``segmentation``; ``keypoints`` with ``x``, ``y``, ``label``, ``visible`` and ``object`` (the position of its box,
    -1 for none); ``mask`` (bytes and path).
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("writing Parquet needs pyarrow", 'Install it: pip install "pipekit-vision[parquet]"') from error
    classes = label_names(artifact)
    numbers = {name: number for number, name in enumerate(classes)}
    there = _there(artifact)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {CLASSES: pa.int64(), MULTILABEL: pa.list_(pa.int64()), NUMBER: pa.float64()}
    label = (COLUMNS[artifact.task], kinds[artifact.task])
    fields = [("image", image), label, ("id", pa.string()), ("sha256", pa.string())]
    fields += _target_fields(pa, there, image)
    schema = pa.schema(fields, metadata={"huggingface": json.dumps(_features(classes, there, artifact.task))})
    (out_dir / "data").mkdir()
    for split, count in _sizes(artifact).items():
        rows = (sample for sample in artifact if sample.split == split)
        num_files = -(-count // params.rows_per_file)
        for number in range(num_files):
            name = f"{split or NO_SPLIT}-{number:05}-of-{num_files:05}.parquet"
            with pq.ParquetWriter(out_dir / "data" / name, schema, compression="none") as writer:
                for block in _blocks(islice(rows, params.rows_per_file)):
                    rows_of_block = [_row(sample, numbers, there) for sample in block]
                    writer.write_table(pa.Table.from_pylist(rows_of_block, schema=schema))


def limits(artifact: Dataset, params: ParquetParams) -> Iterator[str]:
    """What is said of class numbers that are others here: those of Hugging Face's features are positions in a list."""
    of_labels = numbered(artifact.categories("labels"), artifact.classes)
    of_boxes = numbered(artifact.categories("boxes"), box_labels(artifact))
    for what, entries in (("images", of_labels), ("boxes", of_boxes)):
        if not counted_from_zero(entries)[1]:
            yield f"the classes of {what} are numbered anew from 0, in the order of their numbers"


@dataclass(frozen=True)
class _There:
    """The kinds of targets in a dataset: class names of boxes, names of keypoints, and whether it has outlines and masks."""

    boxes: list[str]
    outlines: bool
    points: list[str]
    masks: bool


def _there(dataset: Dataset) -> _There:
    points: set[str] = set()
    outlines = masks = False
    for sample in dataset:
        points.update(point.label for point in sample.targets.keypoints)
        outlines = outlines or any(box.outline for box in sample.targets.boxes)
        masks = masks or bool(sample.targets.mask)
    listed = dict.fromkeys(name for entry in dataset.categories("boxes") for name in entry.keypoints) if points else {}
    return _There(box_names(dataset), outlines, [*listed, *sorted(points - {*listed})], masks)


def _target_fields(pa: Any, there: _There, image: Any) -> list[Any]:
    objects = [("bbox", pa.list_(pa.list_(pa.float64(), 4))), ("category", pa.list_(pa.int64()))]
    if there.outlines:
        objects.append(("segmentation", pa.list_(pa.list_(pa.list_(pa.float64())))))
    kinds = {"x": pa.float64(), "y": pa.float64(), "label": pa.int64(), "visible": pa.bool_(), "object": pa.int64()}
    points = [(name, pa.list_(kind)) for name, kind in kinds.items()]
    found = {
        "objects": (there.boxes, pa.struct(objects)),
        "keypoints": (there.points, pa.struct(points)),
        "mask": (there.masks, image),
    }
    return [(name, kind) for name, (wanted, kind) in found.items() if wanted]


def _targets(sample: Sample, there: _There) -> dict[str, Any]:
    """A row's targets as lists; empty ones for a sample that has none."""
    targets = sample.targets
    found: dict[str, Any] = {}
    if there.boxes:
        found["objects"] = {
            "bbox": [[box.x_min, box.y_min, box.x_max - box.x_min, box.y_max - box.y_min] for box in targets.boxes],
            "category": [there.boxes.index(box.label) for box in targets.boxes],
        }
        if there.outlines:
            found["objects"]["segmentation"] = [box.outline for box in targets.boxes]
    if there.points:
        points = targets.keypoints
        found["keypoints"] = {
            "x": [point.x for point in points],
            "y": [point.y for point in points],
            "label": [there.points.index(point.label) for point in points],
            "visible": [point.visible for point in points],
            "object": [-1 if point.of is None else point.of for point in points],
        }
    if targets.mask:
        found["mask"] = {"bytes": read_bytes(targets.mask), "path": f"{PurePosixPath(sample.id).stem}.png"}
    return found


def _row(sample: Sample, numbers: dict[str, int], there: _There) -> dict[str, Any]:
    data = {"bytes": read_bytes(sample.image), "path": sample.id.rpartition("/")[2]}
    stated = {
        "label": None if sample.label is None else numbers[sample.label],
        "labels": None if sample.labels is None else [numbers[name] for name in sample.labels],
        "value": sample.value,
    }
    return {"image": data, **stated, "id": sample.id, "sha256": sample.sha256, **_targets(sample, there)}


COLUMNS = {CLASSES: "label", MULTILABEL: "labels", NUMBER: "value"}
"""The column of each task."""


def _features(classes: list[str], there: _There, task: str) -> dict[str, Any]:
    """The schema as ``datasets`` describes it."""
    text = {"dtype": "string", "_type": "Value"}
    label = _class_label(classes) if classes else {"dtype": "int64", "_type": "Value"}
    number = {"dtype": "float64", "_type": "Value"}
    stated = {CLASSES: label, MULTILABEL: _list_of(label), NUMBER: number}[task]
    features: dict[str, Any] = {"image": {"_type": "Image"}, COLUMNS[task]: stated, "id": text, "sha256": text}
    if there.boxes:
        features["objects"] = {"bbox": _list_of(_list_of(number, 4)), "category": _list_of(_class_label(there.boxes))}
        if there.outlines:
            features["objects"]["segmentation"] = _list_of(_list_of(_list_of(number)))
    if there.points:
        kinds = {
            "x": number,
            "y": number,
            "label": _class_label(there.points),
            "visible": {"dtype": "bool", "_type": "Value"},
            "object": {"dtype": "int64", "_type": "Value"},
        }
        features["keypoints"] = {name: _list_of(kind) for name, kind in kinds.items()}
    if there.masks:
        features["mask"] = {"_type": "Image"}
    return {"info": {"features": features}}


def _class_label(names: list[str]) -> dict[str, Any]:
    return {"names": names, "_type": "ClassLabel"}


def _list_of(feature: dict[str, Any], length: int = -1) -> dict[str, Any]:
    """A list; all versions of ``datasets`` know ``Sequence``, newer ones write ``List``."""
    return {"feature": feature, "length": length, "_type": "Sequence"}


def _sizes(dataset: Dataset) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in dataset:
        counts[sample.split] = counts.get(sample.split, 0) + 1
    return counts


def _blocks(samples: Iterator[Sample], size: int = 64) -> Iterator[list[Sample]]:
    while block := list(islice(samples, size)):
        yield block
