"""95 % intervals of the errors of a predicted number that hold for skewed errors and few images (``benchmarks/tasks.py``).

The bootstrap-t of B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), section 12.5, on the logarithm of
the figure:
each resample is compared with its own standard error, since the resamples with large errors are also those that vary. It
uses wider quantiles than those of 95 %, since the largest errors are rarely among few images; the percentile
interval is included. The median has the exact interval of its order statistics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import FEWEST_GROUPS, Groups
from pipekit.learning.number_metrics import EPSILON, errors_of
from pipekit.learning.significance import FLAT

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

NONE: Bounds = (float("nan"), float("nan"))
OUTSIDE = 0.03
"""1 minus the level of the bootstrap-t; the intervals hold 93 to 97 %."""
FEWEST = 10
"""Minimum number of images for an interval."""
AT_A_TIME = 4_000_000
"""Counts of images in memory: resamples are measured in portions."""


def measured(true: Floats, predicted: Floats, groups: Groups, resamples: int, rng: np.random.Generator) -> dict[str, Bounds]:
    """The bounds of each figure of :func:`pipekit.learning.number_metrics.errors_of`.

    None has bounds (NaN) for fewer than ten images, or six groups; means have none where the errors of all images are alike.
    """
    values, number = errors_of(true, predicted), len(true)
    if number < FEWEST or resamples < 1 or (groups is not None and len(np.unique(groups)) < FEWEST_GROUPS):
        return dict.fromkeys(values, NONE)
    places = np.arange(number) if groups is None else np.unique(groups, return_inverse=True)[1]
    once = _scaled(true, predicted, np.ones((1, number)), places)
    tables = []
    units, portion = int(places.max()) + 1, max(1, AT_A_TIME // number)
    for start in range(0, resamples, portion):
        drawn = rng.multinomial(units, np.full(units, 1 / units), min(portion, resamples - start))
        tables.append(_scaled(true, predicted, drawn[:, places].astype(np.float64), places))
    found = {}
    for name in values:
        if name == "median_error":
            found[name] = _of_median(np.abs(predicted - true), places)
            continue
        sample = [np.concatenate([table[name][part] for table in tables]) for part in (0, 1)]
        low, high = _studentized(float(once[name][0][0]), float(once[name][1][0]), *sample)
        found[name] = (low, high) if name == "bias" else _plain(name, low, high)
    return found


def _scaled(true: Floats, predicted: Floats, counts: Floats, places: NDArray[np.int64]) -> dict[str, tuple[Floats, Floats]]:
    """Each figure on the scale where it is compared, and its standard error, ``(B,)`` each, of images that count several times.

    The scale is the logarithm of a mean, of ``1 - R2`` for R2, and the bias as it is. The variance is the sum of squares of the
    influences of whole groups.
    """
    apart, total = predicted - true, counts.sum(axis=1)

    def mean(each: Floats) -> Floats:
        return np.asarray(counts @ each / total)

    found = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        squares, bias, middle = mean(apart**2), mean(apart), mean(true)
        relative = np.abs(apart) / np.maximum(np.abs(true), EPSILON)
        for name, each in (("mae", np.abs(apart)), ("rmse", apart**2), ("mape", relative)):
            value = mean(each)
            found[name] = np.log(value), _error(each / value[:, None] - 1, counts, total, places)
        found["bias"] = bias, _error(apart - bias[:, None], counts, total, places)
        spread = mean(true**2) - middle**2
        influence = apart**2 / squares[:, None] - (true - middle[:, None]) ** 2 / spread[:, None]
        found["r2"] = np.log(squares / spread), _error(influence, counts, total, places)
    return found


def _error(influence: Floats, counts: Floats, total: Floats, places: NDArray[np.int64]) -> Floats:
    """Standard errors of means. Members of a group are in the same resamples, equally often: their influences add up."""
    sizes = np.bincount(places)
    if len(sizes) == len(places):
        return np.asarray(np.sqrt((counts * influence**2).sum(axis=1)) / total)
    order = np.argsort(places, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(influence[:, order], starts, axis=1)
    return np.asarray(np.sqrt((counts[:, order][:, starts] * sums**2).sum(axis=1)) / total)


def _studentized(value: float, error: float, values: Floats, errors: Floats) -> Bounds:
    """The bootstrap-t, widened to the percentile interval; NaN where all errors are alike: then they show no spread at all, and
    images with another error may only be rare."""
    known = np.isfinite(values) & np.isfinite(errors) & (errors > FLAT)
    if not np.isfinite(value) or error <= FLAT or known.sum() < len(values) / 2:
        return NONE
    ratios = np.quantile((values[known] - value) / errors[known], (1 - OUTSIDE / 2, OUTSIDE / 2))
    plain = np.quantile(values[known], (0.025, 0.975))
    return float(min(value - ratios[0] * error, plain[0])), float(max(value - ratios[1] * error, plain[1]))


def _plain(name: str, low: float, high: float) -> Bounds:
    """Bounds on the figure's own scale."""
    if name == "r2":
        return 1 - float(np.exp(high)), 1 - float(np.exp(low))
    power = 0.5 if name == "rmse" else 1.0
    return float(np.exp(power * low)), float(np.exp(power * high))


def _of_median(errors: Floats, places: NDArray[np.int64]) -> Bounds:
    """Order statistics between which the median lies with 95 %, by the binomial distribution.

    Where images come in groups, the number of groups counts.
    """
    from scipy.stats import binom  # type: ignore[import-untyped]

    ordered, number = np.sort(errors), int(places.max()) + 1
    place = int(binom.ppf(0.025, number, 0.5))
    if place < 1:
        return NONE
    low, high = (place - 1) / number, (number - place) / number
    count = len(ordered)
    return float(ordered[int(low * count)]), float(ordered[min(count - 1, int(np.ceil((high + 1 / number) * count)) - 1)])
