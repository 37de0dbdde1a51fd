"""Accuracy by slice: large or small, dark or bright, sharp or blurred images, and by any column of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.grouping import COLUMNS
from pipekit.builtin.evaluate.intervals import share_of
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.learning.significance import LEVEL, design_effect, holm

TRAITS = ("width_px", "height_px", "brightness", "sharpness")
MOST_VALUES = 12
FEWEST_TO_TEST = 20
"""Minimum number of images in a slice that may be called weaker."""
FEWEST = 5
"""Minimum number of images in a slice that is a third of the images."""


def traits_of(samples: Sequence[Sample], described: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """The traits as arrays in the order of the samples; NaN for a sample without a description."""
    empty = dict.fromkeys(TRAITS, np.nan)
    rows = [described.get(sample.id, empty) for sample in samples]
    return {name: np.array([row[name] for row in rows], np.float64) for name in TRAITS}


def by_slice(
    samples: Sequence[Sample],
    traits: Mapping[str, NDArray[np.float64]],
    correct: NDArray[np.bool_],
    columns: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> list[dict[str, Any]]:
    """The accuracy of each third of a trait and each value of a column.

    Returns:
        ``{"by", "slice", "count", "accuracy": {value, low, high}, "p_holm", "weaker"}`` for each. ``p_holm`` is the p-value of
        Fisher's exact test against the other images, adjusted for the number of slices (Holm 1979); None for fewer than 20
        images. ``weaker`` is True for a less accurate slice with ``p_holm`` below 0.05.
    """
    parts = parts_of(samples, traits, columns)
    rows = [_row(by, name, part, correct, groups) for by, name, part in parts]
    tested = [place for place, row in enumerate(rows) if FEWEST_TO_TEST <= row["count"] < len(correct)]
    p_values = holm([_p_value(parts[place][2], correct, groups) for place in tested])
    for place, p in zip(tested, p_values, strict=True):
        value = rows[place]["accuracy"]["value"]
        rows[place] |= {"p_holm": p, "weaker": bool(p < LEVEL and value < correct.mean())}
    return rows


def _p_value(part: NDArray[np.bool_], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> float:
    """Fisher's exact test; with groups, the counts are divided by their design effect."""
    from scipy.stats import fisher_exact  # type: ignore[import-untyped]

    effect = 1.0 if groups is None else design_effect(correct.astype(np.float64), groups)
    inside, outside = correct[part], correct[~part]
    counts = [[inside.sum(), (~inside).sum()], [outside.sum(), (~outside).sum()]]
    return float(fisher_exact(np.round(np.array(counts) / effect).astype(np.int64))[1])


def parts_of(
    samples: Sequence[Sample], traits: Mapping[str, NDArray[np.float64]], columns: Sequence[str]
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """The slices: the trait or column, the name of the part, and which samples are in it, ``(N,)``.

    Raises:
        UserError: no sample has a column that was asked for.
    """
    for column in columns:
        if not any(column in sample.extra for sample in samples):
            known = sorted({name for sample in samples for name in sample.extra} - COLUMNS)
            raise UserError(
                f"slices: no evaluated image has a column {column!r}",
                f"Columns: {', '.join(known)}." if known else "The dataset has no further columns.",
            )
    rows: list[tuple[str, str, NDArray[np.bool_]]] = []
    if traits:
        pixels = np.sqrt(traits["width_px"] * traits["height_px"])
        for name, values, words, unit in (
            ("size", pixels, ("small", "medium", "large"), " px"),
            ("brightness", traits["brightness"], ("dark", "medium", "bright"), ""),
            ("sharpness", traits["sharpness"], ("blurred", "medium", "sharp"), ""),
        ):
            rows += _thirds(name, values, words, unit)
    for column in columns or _columns(samples):
        values = np.array([_text(sample.extra.get(column)) for sample in samples])
        rows += [(column, str(value), values == value) for value in sorted(set(values.tolist()))]
    return rows


def _thirds(
    name: str, values: NDArray[np.float64], words: tuple[str, ...], unit: str
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    known = values[np.isfinite(values)]
    if len(known) < 3 * FEWEST:
        return []
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    if low == known.min() or high == known.max() or low == high:
        return []  # most images have the same value
    parts = (values <= low, (values > low) & (values <= high), values > high)
    bounds = (f"to {low:.0f}{unit}", f"{low:.0f} to {high:.0f}{unit}", f"above {high:.0f}{unit}")
    return [(name, f"{word}, {bound}", part) for word, bound, part in zip(words, bounds, parts, strict=True)]


def _columns(samples: Sequence[Sample]) -> list[str]:
    """Columns with 2 to 12 different values, each a text, a number or a boolean."""
    names = sorted({name for sample in samples for name in sample.extra} - COLUMNS)
    return [name for name in names if 2 <= len({_text(sample.extra.get(name)) for sample in samples}) <= MOST_VALUES]


def _text(value: Any) -> str:
    return "(none)" if value is None else str(value)


def _row(
    by: str, name: str, part: NDArray[np.bool_], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None
) -> dict[str, Any]:
    accuracy = share_of(correct[part], None if groups is None else groups[part])
    return {"by": by, "slice": name, "count": int(part.sum()), "accuracy": accuracy, "p_holm": None, "weaker": False}
