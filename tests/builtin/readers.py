"""Readers of annotation formats that share nothing with the importers: written from the formats' descriptions.

The one of YOLO does what Ultralytics does (``data/utils.py``: ``check_det_dataset``, ``img2label_paths``,
``verify_image_label``; ``data/dataset.py``: boxes and segments must be equal in number), and refuses what it refuses.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass
class Yolo:
    """A YOLO dataset as Ultralytics sees it.

    Attributes:
        labels: split -> image file -> its rows: class and box; ``segments`` and ``poses`` go with the rows.
    """

    names: dict[int, str]
    described: dict[str, Any]
    labels: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    segments: dict[str, list[Numbers]] = field(default_factory=dict)
    poses: dict[str, Numbers] = field(default_factory=dict)


def read_yolo(file: Path) -> Yolo:
    described = yaml.safe_load(file.read_text("utf-8"))
    for key in ("train", "val", "names"):
        assert key in described, f"{key!r} is missing"
    names = described["names"]
    names = dict(enumerate(names)) if isinstance(names, list) else names
    assert sorted(names) == list(range(len(names))), "class numbers are 0 to n - 1"
    root = Path(described["path"]) if described.get("path") else file.parent
    found = Yolo(names, described)
    shape = described.get("kpt_shape")
    if shape and "flip_idx" in described:
        assert sorted(described["flip_idx"]) == list(range(shape[0]))
    for split in ("train", "val", "test"):
        if split in described:
            folder = root / described[split]
            assert folder.is_dir(), folder
            found.labels[split] = {}
            for image in sorted(folder.iterdir()):
                assert image.suffix.lower() in (".jpg", ".png", ".bmp", ".tif"), image
                _read_labels(image, split, shape, len(names), found)
    num_segments, num_boxes = sum(map(len, found.segments.values())), 0
    for of in {name: rows for split in found.labels.values() for name, rows in split.items()}.values():
        num_boxes += len(of)
    assert num_segments in (0, num_boxes), "otherwise Ultralytics drops all polygons"
    return found


def _read_labels(image: Path, split: str, shape: Any, num_classes: int, found: Yolo) -> None:
    head, _, tail = str(image).rpartition(f"{os.sep}images{os.sep}")
    text = Path(f"{head}{os.sep}labels{os.sep}{tail}".rpartition(".")[0] + ".txt")
    rows = [line.split() for line in text.read_text("utf-8").strip().splitlines() if line]
    if any(len(row) > 6 for row in rows) and not shape:
        found.segments[image.name] = [np.array(row[1:], float).reshape(-1, 2) for row in rows]
        boxes = [[float(row[0]), *_around(points)] for row, points in zip(rows, found.segments[image.name], strict=True)]
        table = np.array(boxes)
    else:
        table = np.array([[float(word) for word in row] for row in rows]) if rows else np.empty((0, 5))
    if len(rows):
        assert table.shape[1] == (5 + shape[0] * shape[1] if shape else 5), table.shape
        points = table[:, 5:].reshape(len(table), *shape)[..., :2] if shape else table[:, 1:]
        assert points.max() <= 1, "out of bounds"
        assert table.min() >= 0
        assert table[:, 0].max() < num_classes
        if shape:
            found.poses[image.name] = table[:, 5:].reshape(len(table), *shape)
    found.labels[split][image.name] = table[:, :5]


def _around(points: Numbers) -> list[float]:
    low, high = points.min(axis=0), points.max(axis=0)
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def read_voc(root: Path) -> dict[str, dict[str, Any]]:
    """Stem -> its split, size, image file and objects: name, xmin, ymin, xmax, ymax, pose, truncated, occluded, difficult."""
    splits = {}
    for file in (root / "ImageSets/Main").glob("*.txt"):
        splits.update({line.split()[0]: file.stem for line in file.read_text("utf-8").splitlines()})
    found = {}
    for file in (root / "Annotations").glob("*.xml"):
        tree = ET.parse(file).getroot()
        objects = []
        for item in tree.findall("object"):
            edges = [int(item.find("bndbox").find(edge).text) for edge in ("xmin", "ymin", "xmax", "ymax")]  # type: ignore[union-attr,arg-type]
            flags = [int(item.findtext(tag, "0")) for tag in ("truncated", "occluded", "difficult")]
            objects.append((item.findtext("name"), *edges, item.findtext("pose", "Unspecified"), *flags))
        size = tuple(int(tree.findtext(f"size/{side}", "0")) for side in ("width", "height"))
        image = root / "JPEGImages" / str(tree.findtext("filename"))
        found[file.stem] = {"split": splits[file.stem], "size": size, "image": image, "objects": objects}
    return found
