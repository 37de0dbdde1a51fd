"""TFRecord shards of ``tf.train.Example``, with the keys that TensorFlow's image pipelines use."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT, box_labels, label_names, numbered
from pipekit.contract import Dataset, Sample
from pipekit.files import read_bytes
from pipekit.params import Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

TASKS = (CLASSES, MULTILABEL, NUMBER)

CARRIES = {"labels", "boxes"}
"""What the format holds of a sample besides its image and its split."""


class TfrecordParams(Params):
    shard_size: int = param(1000, "Maximum number of images per shard", unit="images", ge=1)


def write(artifact: Dataset, out_dir: Path, params: TfrecordParams) -> None:
    """``train-00000-of-00004.tfrecord``, ``classes.txt``, and for boxes ``label_map.pbtxt``.

    An example has ``image/encoded`` (the file's bytes), ``image/format``, ``image/height``, ``image/width``,
    ``image/filename`` (the id), ``image/class/label`` (the position in ``classes.txt``, -1 for none), ``image/class/text``;
    of several labels, ``image/class/multi_hot`` (0 or 1 for each line of ``classes.txt``; none if unlabelled) in place of
    ``label``; of a number, ``image/value`` (none if unlabelled) in place of both;
    with boxes also ``image/object/bbox/xmin`` and so on as fractions of the size, ``image/object/class/text``, and
    ``image/object/class/label``: the number in ``label_map.pbtxt``, from 1, as the Object Detection API counts.
    """
    import tensorflow as tf

    names = label_names(artifact)
    numbers = {name: number for number, name in enumerate(names)}
    of_boxes = _box_numbers(artifact)
    counts: dict[str, int] = {}
    for sample in artifact:
        counts[sample.split] = counts.get(sample.split, 0) + 1
    for split, count in counts.items():
        rows = (sample for sample in artifact if sample.split == split)
        num_shards = -(-count // params.shard_size)
        for number in range(num_shards):
            path = out_dir / f"{split or NO_SPLIT}-{number:05}-of-{num_shards:05}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for sample in islice(rows, params.shard_size):
                    writer.write(_example(tf, sample, numbers, of_boxes, artifact.task).SerializeToString(deterministic=True))
    (out_dir / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    if of_boxes:
        items = "".join(f"item {{\n  id: {number}\n  name: {_quoted(name)}\n}}\n" for name, number in of_boxes.items())
        (out_dir / "label_map.pbtxt").write_text(items, "utf-8")


def _quoted(name: str) -> str:
    """A text of a protocol buffer's text format."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _box_numbers(artifact: Dataset) -> dict[str, int]:
    """The numbers of the source, unused names too; 1 is added to all if one of them is 0, which stands for the background."""
    entries = numbered(artifact.categories("boxes"), box_labels(artifact), start=1)
    lowest = min((entry.number or 0 for entry in entries), default=1)
    return {entry.name: (entry.number or 0) + (1 - lowest if lowest < 1 else 0) for entry in entries}


def limits(artifact: Dataset, params: TfrecordParams) -> Iterator[str]:
    """What is said of class numbers that are others here, and of numbers with more digits than 32 bits hold."""
    if any(entry.number is not None and entry.number < 1 for entry in artifact.categories("boxes")):
        yield "1 is added to the class numbers of boxes, since 0 stands for the background"
    if artifact.task == NUMBER:
        import numpy as np

        values = (sample.value for sample in artifact if sample.value is not None)
        with np.errstate(over="ignore"):
            changed = sum(float(str(np.float32(value))) != value for value in values)
        if changed:
            yield f"{changed:,} numbers are rounded to the 7 digits of 32 bits"


def _example(tf: Any, sample: Sample, numbers: dict[str, int], of_boxes: dict[str, int], task: str) -> Any:
    from pipekit import images

    def feature(*values: Any) -> Any:
        if values and isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if values and isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    data = read_bytes(sample.image)
    info = images.probe(data)
    features = {
        "image/encoded": feature(data),
        "image/format": feature(info.format.lower().encode()),
        "image/height": feature(info.height_px),
        "image/width": feature(info.width_px),
        "image/filename": feature(sample.id.encode("utf-8", "surrogateescape")),
    }
    if sample.labels is not None:
        features["image/class/multi_hot"] = feature(*(int(name in sample.labels) for name in numbers))
        features["image/class/text"] = feature(*(name.encode() for name in sample.labels))
    elif sample.value is not None:
        features["image/value"] = feature(sample.value)
    elif task == CLASSES:
        features["image/class/label"] = feature(numbers[sample.label] if sample.label is not None else -1)
        features["image/class/text"] = feature((sample.label or "").encode())
    if boxes := sample.targets.boxes:
        for name, values in (
            ("xmin", [box.x_min / info.width_px for box in boxes]),
            ("xmax", [box.x_max / info.width_px for box in boxes]),
            ("ymin", [box.y_min / info.height_px for box in boxes]),
            ("ymax", [box.y_max / info.height_px for box in boxes]),
        ):
            features[f"image/object/bbox/{name}"] = feature(*values)
        features["image/object/class/text"] = feature(*(box.label.encode() for box in boxes))
        features["image/object/class/label"] = feature(*(of_boxes[box.label] for box in boxes))
    return tf.train.Example(features=tf.train.Features(feature=features))
