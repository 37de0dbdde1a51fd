"""A small dataset with classes, splits, boxes and masks, and a way to export it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipekit import images
from pipekit.contract import Box, Categories, Dataset, Sample, Targets, params_type_of
from pipekit.registry.registry import load_registry


def make_samples(folder: Path, count: int = 12, masks: bool = True) -> list[Sample]:
    """Photograph-like PNGs and JPEGs of different sizes; the same names occur in both classes."""
    chance = np.random.default_rng(1)
    made = []
    for number in range(count):
        label = ("cat", "dog")[number % 2]
        path = folder / label / f"{number // 2}.{'png' if number % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = 40 + number, 60 - number
        images.write(path, images.resize(chance.integers(0, 255, (8, 8, 3), np.uint8), (height, width)))
        mask = folder / "masks" / f"{number}.png"
        mask.parent.mkdir(exist_ok=True)
        images.write(mask, chance.integers(0, 3, (height, width, 1), np.uint8))
        boxes = (Box(3, 4, 20, 30, label), Box(10, 0, width, height, "thing"))[: number % 3]
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        split = ("train", "train", "train", "val", "test", "train")[number // 2]
        targets = Targets(str(mask) if masks else "", boxes=boxes)
        made.append(Sample(f"{label}/{path.name}", str(path), sha256, label, split, targets, {"camera": number}))
    return made


def as_dataset(samples: Iterable[Sample], meta: Mapping[str, Any] | None = None) -> Dataset:
    rows = sorted(samples, key=lambda sample: sample.id)
    classes = sorted({sample.label for sample in rows if sample.label is not None})
    return Dataset(
        Path(), "", {"num_samples": len(rows), "classes": classes, **(meta or {})}, lambda _: iter(rows), lambda _: iter(())
    )


def export(name: str, samples: Iterable[Sample], out_dir: Path, meta: Mapping[str, Any] | None = None, **params: Any) -> Path:
    out_dir.mkdir()
    exporter = load_registry().get("exporter", name).load()
    exporter.write(as_dataset(samples, meta), out_dir, params_type_of(exporter.write)(**params))
    return out_dir


def read(name: str, path: Path, **params: Any) -> list[Any]:
    importer = load_registry().get("importer", name).load()
    kind = params_type_of(importer)
    values = [path, kind(**params)]
    if name in ("coco", "idx", "parquet", "tfrecord", "arrow"):
        values.append(path.parent / f"{name} out")
    return [item for item in importer.read(*values) if not isinstance(item, Categories)]
