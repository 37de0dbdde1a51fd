"""A dataset without files, for tests of what reads one."""

from __future__ import annotations

from pathlib import Path

from pipekit.commands.dataset import ImageDataset
from pipekit.contract import Dataset, Sample


def held(samples: list[Sample], task: str = "", classes: tuple[str, ...] = ()) -> ImageDataset:
    """A dataset in memory."""
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        of = counts.setdefault(sample.split, {})
        of[sample.label or ""] = of.get(sample.label or "", 0) + 1
    meta = {
        "num_samples": len(samples),
        "num_failed": 0,
        "classes": list(classes) or sorted({sample.label for sample in samples if sample.label}),
        **({"task": task} if task else {}),
        "counts": counts,
        "splits": {split: sum(of.values()) for split, of in counts.items()},
    }
    return ImageDataset("held", Dataset(Path("x"), "", meta, lambda _: iter(samples), lambda _: iter(())))
