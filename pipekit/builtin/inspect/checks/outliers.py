"""Outliers of this dataset: dark, bright, blurred, empty, unusual in size or shape.

No measure has a fixed limit. A value is an outlier if it lies more than a number of spreads from the median. The spread is the
median absolute deviation (times 1.4826, which makes it the standard deviation of normal data), so that a few outliers don't
widen it; or the width of the middle nine tenths, if that is larger. In a dataset that is dark throughout, no image is dark.

The numbers of spreads (6 for dark and 2.5 for blurred, both on a logarithmic scale; 8 for bright) come from 2,000 photographs
of cats and dogs. They report about 3 in a thousand of those, and at least 98 in a hundred of copies made dark (0.2 of the
brightness), washed out, or blurred by 4 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipekit.contract import Context, Finding, Params, param

FEWEST = 20
"""Below this number of images, outliers are not defined."""

Rows = Sequence[Mapping[str, Any]]


class OutlierParams(Params):
    strictness: float = param(1.0, "Factor on the limit: above 1 reports fewer images, below 1 more", gt=0)


def dark(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Even the brightest 1 % of the pixels are dark."""
    limit = -6 * params.strictness
    yield from _report("dark", rows, lambda row: math.log(row["bright_level"] + 1), limit, 0.1, "much darker than the others")


def bright(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Even the darkest 1 % of the pixels are bright."""
    yield from _report("bright", rows, lambda row: row["dark_level"], 8 * params.strictness, 8, "much brighter than the others")


def blurred(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """The finest details are missing, relative to those of twice the size."""
    yield from _report(
        "blurred",
        [row for row in rows if row.get("contrast", 0) > 2],
        lambda row: math.log(row["sharpness"] + 1e-3),
        -2.5 * params.strictness,
        0.15,
        "without the fine details that the others have: blurred, or enlarged",
    )


def low_information(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Almost a single shade."""
    yield from _report(
        "low_information",
        rows,
        lambda row: row["entropy_bits"],
        -8 * params.strictness,
        0.15,
        "nearly empty: few shades of grey",
    )


def odd_size(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Far fewer or far more pixels than the other images."""
    for sign, words in ((-1, "far smaller than the others"), (1, "far larger than the others")):
        yield from _report(
            "odd_size",
            rows,
            lambda row: math.log(row["width_px"] * row["height_px"]),
            sign * 6 * params.strictness,
            0.25,
            words,
        )


def odd_aspect(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Far wider or far taller than the other images."""
    for sign, words in ((-1, "far taller than the others"), (1, "far wider than the others")):
        yield from _report(
            "odd_aspect",
            rows,
            lambda row: math.log(row["width_px"] / row["height_px"]),
            sign * 6 * params.strictness,
            0.1,
            words,
        )


def _report(
    check: str, rows: Rows, value_of: Callable[[Mapping[str, Any]], float], limit: float, least_spread: float, words: str
) -> Iterator[Finding]:
    """One finding with all rows beyond ``limit`` spreads (negative: below the median), the farthest first."""
    rows = [row for row in rows if "problem" not in row]
    if len(rows) < FEWEST:
        return
    values = [value_of(row) for row in rows]
    middle = _median(values)
    spread = max(1.4826 * _median([abs(value - middle) for value in values]), _central_range(values) / 3.29, least_spread)
    scores = {row["id"]: (value - middle) / spread for row, value in zip(rows, values, strict=True)}
    found = sorted(
        (name for name, score in scores.items() if score / limit > 1), key=lambda name: (-scores[name] / limit, name)
    )
    if found:
        yield Finding(
            check, "warning", words, tuple(found), {"scores": {name: round(scores[name], 2) for name in found}, "remove": found}
        )


def _central_range(values: Sequence[float]) -> float:
    """From the 5th to the 95th percentile: 3.29 standard deviations of normal data, and wide if many values lie apart."""
    ordered = sorted(values)
    return ordered[round(0.95 * (len(ordered) - 1))] - ordered[round(0.05 * (len(ordered) - 1))]


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
