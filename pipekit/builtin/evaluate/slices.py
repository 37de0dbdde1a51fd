"""Accuracy by slice: large or small, dark or bright, sharp or blurred images, and by any column of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share
from pipekit.contract import Sample

TRAITS = ("width_px", "height_px", "brightness", "sharpness")
MOST_VALUES = 12
FEWEST = 5
"""Minimum number of images in a slice that is a third of the images."""


def traits_of(samples: Sequence[Sample], described: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """The traits as arrays in the order of the samples; NaN for a sample without a description."""
    empty = dict.fromkeys(TRAITS, np.nan)
    rows = [described.get(sample.id, empty) for sample in samples]
    return {name: np.array([row[name] for row in rows], np.float64) for name in TRAITS}


def by_slice(
    samples: Sequence[Sample], traits: Mapping[str, NDArray[np.float64]], correct: NDArray[np.bool_], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """``{"by", "slice", "count", "accuracy": {value, low, high}}`` for each third of a trait and each value of a column."""
    rows: list[dict[str, Any]] = []
    if traits:
        pixels = np.sqrt(traits["width_px"] * traits["height_px"])
        for name, values, words, unit in (
            ("size", pixels, ("small", "medium", "large"), " px"),
            ("brightness", traits["brightness"], ("dark", "medium", "bright"), ""),
            ("sharpness", traits["sharpness"], ("blurred", "medium", "sharp"), ""),
        ):
            rows += _thirds(name, values, words, unit, correct)
    for column in columns or _columns(samples):
        values = np.array([_text(sample.extra.get(column)) for sample in samples])
        rows += [_row(column, str(value), values == value, correct) for value in sorted(set(values.tolist()))]
    return rows


def _thirds(
    name: str, values: NDArray[np.float64], words: tuple[str, ...], unit: str, correct: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    known = values[np.isfinite(values)]
    if len(known) < 3 * FEWEST:
        return []
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    if low == known.min() or high == known.max() or low == high:
        return []  # most images have the same value
    parts = (values <= low, (values > low) & (values <= high), values > high)
    bounds = (f"to {low:.0f}{unit}", f"{low:.0f} to {high:.0f}{unit}", f"above {high:.0f}{unit}")
    return [_row(name, f"{word}, {bound}", part, correct) for word, bound, part in zip(words, bounds, parts, strict=True)]


def _columns(samples: Sequence[Sample]) -> list[str]:
    """Columns with 2 to 12 different values, each a text, a number or a boolean."""
    names = sorted({name for sample in samples for name in sample.extra})
    return [name for name in names if 2 <= len({_text(sample.extra.get(name)) for sample in samples}) <= MOST_VALUES]


def _text(value: Any) -> str:
    return "(none)" if value is None else str(value)


def _row(by: str, name: str, part: NDArray[np.bool_], correct: NDArray[np.bool_]) -> dict[str, Any]:
    count = int(part.sum())
    return {"by": by, "slice": name, "count": count, "accuracy": share(int(correct[part].sum()), count)}
