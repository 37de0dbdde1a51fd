"""Promises of splitters, samplers and comparison metrics."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipekit.contract import SplitUnit
from pipekit.errors import PipekitError
from pipekit.learning.assigning import assigned, drawn, scored
from pipekit.testing.checks.core import Subject, promise

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
FOLDS = {"1": 0.5, "2": 0.5}


def _units() -> list[SplitUnit]:
    """Units of two classes: single images, groups, and some that are in a split already."""
    singles = [
        SplitUnit(f"{n:02}", ((("cat", "dog")[n % 2], 1),), group=f"2024-{n % 12 + 1:02}", ids=(f"{n}.jpg",)) for n in range(60)
    ]
    groups = [
        SplitUnit(f"g{n}", (("cat", 2), ("dog", 1)), group=f"2025-0{n + 1}", ids=tuple(f"g{n}/{k}.jpg" for k in range(3)))
        for n in range(6)
    ]
    placed = [SplitUnit("", (("cat", 3),), place) for place in ("train", "test")]
    return [*placed, *singles, *groups]


@promise("splitter")
def _splits(subject: Subject) -> str:
    """it gives each unit one of the splits, leaves none of them empty, and says the same twice"""
    units = _units()
    for what, fractions in (("splits", FRACTIONS), ("folds", FOLDS)):
        given = [unit for unit in units if not unit.place or unit.place in fractions]
        try:
            first, second = (assigned(subject.found, given, fractions, subject.params, 3) for _ in range(2))
        except PipekitError as error:
            return f"{what}: {error.message}"
        free = Counter(place for unit, place in zip(given, first, strict=True) if not unit.place)
        if first != second:
            return f"{what}: two calls with the same generator differ; draw from `rng` alone"
        if missing := [name for name in fractions if not free[name]]:
            return f"{what}: of {free.total()} free units none went to {missing[0]}"
    return ""


@promise("sampler")
def _samples(subject: Subject) -> str:
    """it gives a position for each image, within the list and the same twice, for any epoch and number of images"""
    import numpy as np

    from pipekit.rng import rng_for

    many = np.random.default_rng(3).integers(0, 3, 40)
    for targets in (many, np.zeros(1, np.int64), np.eye(3, dtype=np.float32)[many]):
        for epoch in (0, 1, 20):
            try:
                first, second = (
                    drawn(subject.found, targets, epoch, subject.params, rng_for(3, "sampler", epoch)) for _ in range(2)
                )
            except PipekitError as error:
                return f"epoch {epoch} of {len(targets)} images: {error.message}"
            if not np.array_equal(first, second):
                return f"epoch {epoch}: two calls with the same generator differ; draw from `rng` alone"
    return ""


@promise("compare_metric")
def _compares(subject: Subject) -> str:
    """it gives a finite number for each image of a report, the same each time"""
    import numpy as np

    rows = [_row(n) for n in range(12)]
    try:
        first, second = (scored(subject.found, rows, subject.params) for _ in range(2))
    except PipekitError as error:
        return error.message
    if not np.array_equal(first, second):
        return "two calls with the same rows differ"
    return ""


def _row(number: int) -> dict[str, Any]:
    """A row of ``predictions.csv`` of a classifier of two classes, as text."""
    true, said = ("cat", "dog")[number % 2], ("cat", "dog")[number % 3 == 1]
    sure = 0.5 + number / 30
    shares = {f"p:{name}": f"{sure if name == said else 1 - sure:.6f}" for name in ("cat", "dog")}
    about = {"id": f"{true}/{number}.jpg", "sha256": "0" * 64, "true": true, "predicted": said}
    return {**about, "confidence": f"{sure:.6f}", "correct": str(int(true == said)), **shares}
