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
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipekit.builtin.inspect.measured import MeasuredRows

FEWEST = 20
"""Below this number of images, outliers are not defined."""

Rows = Sequence[Mapping[str, Any]]


class OutlierParams(Params):
    strictness: float = param(1.0, "Factor on the limit: above 1 reports fewer images, below 1 more", gt=0)


@examples.example(examples.dark)
@supports(CLASSES, MULTILABEL, NUMBER)
def dark(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Even the brightest 1 % of the pixels are dark."""
    found = columns_in(rows)
    values = _log(found.numbers["bright_level"] + 1)
    yield from _report("dark", found, values, -6 * params.strictness, 0.1, "much darker than the others")


@examples.example(examples.bright)
@supports(CLASSES, MULTILABEL, NUMBER)
def bright(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Even the darkest 1 % of the pixels are bright."""
    found = columns_in(rows)
    yield from _report("bright", found, found.numbers["dark_level"], 8 * params.strictness, 8, "much brighter than the others")


@examples.example(examples.blurred)
@supports(CLASSES, MULTILABEL, NUMBER)
def blurred(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """The finest details are missing, relative to those of twice the size."""
    found = columns_in(rows)
    words = "without the fine details that the others have: blurred, or enlarged"
    values = _log(found.numbers["sharpness"] + 1e-3)
    yield from _report("blurred", found, values, -2.5 * params.strictness, 0.15, words, found.numbers["contrast"] > 2)


@examples.example(examples.low_information)
@supports(CLASSES, MULTILABEL, NUMBER)
def low_information(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Almost a single shade."""
    found = columns_in(rows)
    words = "nearly empty: few shades of grey"
    yield from _report("low_information", found, found.numbers["entropy_bits"], -8 * params.strictness, 0.15, words)


@examples.example(examples.odd_size)
@supports(CLASSES, MULTILABEL, NUMBER)
def odd_size(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Far fewer or far more pixels than the other images."""
    import numpy as np

    found = columns_in(rows)
    values = _log(np.where(found.good, found.numbers["width_px"] * found.numbers["height_px"], 1))
    for sign, words in ((-1, "far smaller than the others"), (1, "far larger than the others")):
        yield from _report("odd_size", found, values, sign * 6 * params.strictness, 0.25, words)


@examples.example(examples.odd_aspect)
@supports(CLASSES, MULTILABEL, NUMBER)
def odd_aspect(rows: Rows, ctx: Context, params: OutlierParams) -> Iterator[Finding]:
    """Far wider or far taller than the other images."""
    import numpy as np

    found = columns_in(rows)
    width, height = (np.where(found.good, found.numbers[name], 1) for name in ("width_px", "height_px"))
    values = _log(width / height)
    for sign, words in ((-1, "far taller than the others"), (1, "far wider than the others")):
        yield from _report("odd_aspect", found, values, sign * 6 * params.strictness, 0.1, words)


def _log(values: NDArray[Any]) -> NDArray[Any]:
    """Natural logarithms by the C library, whose last digit does not depend on the processor as NumPy's does."""
    import numpy as np

    return np.fromiter(map(math.log, values.tolist()), np.float64, len(values))


def _report(
    check: str,
    rows: MeasuredRows,
    values: NDArray[Any],
    limit: float,
    least_spread: float,
    words: str,
    among: NDArray[Any] | None = None,
) -> Iterator[Finding]:
    """One finding with all rows beyond ``limit`` spreads (negative: below the median), the farthest first."""
    import numpy as np

    numbers = np.flatnonzero(rows.good if among is None else rows.good & among)
    if len(numbers) < FEWEST:
        return
    values = values[numbers].astype(np.float64)
    middle = _median(values)
    spread = max(1.4826 * _median(np.abs(values - middle)), _central_range(values) / 3.29, least_spread)
    scores = (values - middle) / spread
    far = np.flatnonzero(scores / limit > 1)
    named = {rows.ids[number]: score for number, score in zip(numbers[far].tolist(), scores[far].tolist(), strict=True)}
    found = sorted(named, key=lambda name: (-named[name] / limit, name))
    if found:
        yield Finding(
            check, "warning", words, tuple(found), {"scores": {name: round(named[name], 2) for name in found}, "remove": found}
        )


def _central_range(values: NDArray[Any]) -> float:
    """From the 5th to the 95th percentile: 3.29 standard deviations of normal data, and wide if many values lie apart."""
    import numpy as np

    high, low = round(0.95 * (len(values) - 1)), round(0.05 * (len(values) - 1))
    ordered = np.partition(values, (low, high))
    return float(ordered[high] - ordered[low])


def _median(values: NDArray[Any]) -> float:
    import numpy as np

    half = len(values) // 2
    ordered = np.partition(values, (half - 1, half))
    return float(ordered[half]) if len(values) % 2 else float((ordered[half - 1] + ordered[half]) / 2)
