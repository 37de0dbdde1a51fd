"""95 % confidence intervals that hold for few images, uneven classes and results near 1 (``benchmarks/coverage.py``).

All are computed from the counts, without random numbers. Where images belong together (patients, videos), the counts are
divided by the design effect of their groups, so that an interval is as wide as the number of independent images asks for.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.significance import Z_95, design_effect, exact

Estimate = dict[str, float | None]
"""``{"value": …, "low": …, "high": …}``; None if undefined (a precision without predictions) or where no interval holds."""

NONE: Estimate = {"value": None, "low": None, "high": None}

Z_AVERAGES = 2.05
"""The quantile for averages over classes: that of 96 %, since the delta method at 95 % covers 92 % for some small classes."""

FEWEST = 5
"""Minimum number of images in every class for an interval of an average over the classes."""

FEWEST_AUC = 10
"""Minimum number of images (of groups, where images come in groups) in the class, and outside of it, for an interval of the
area under the ROC curve."""

FEWEST_GROUPS = 6
"""Minimum number of groups for an interval, where images come in groups."""

Groups = NDArray[np.int64] | None


def share(hits: int, total: int, effect: float = 1.0) -> Estimate:
    """A proportion with its exact interval; all None if ``total`` is 0.

    Args:
        effect: the design effect of groups: the images count as ``total / effect`` (Korn and Graubard 1998).
    """
    if total <= 0:
        return dict(NONE)
    low, high = exact(hits / effect, total / effect)
    return {"value": hits / total, "low": low, "high": high}


def share_of(right: NDArray[np.bool_], groups: Groups = None) -> Estimate:
    """The proportion of True, with an interval that allows for the groups of the images; no interval if they are too few."""
    if groups is None or not len(right):
        return share(int(right.sum()), len(right))
    if len(np.unique(groups)) < FEWEST_GROUPS:
        return {**NONE, "value": float(right.mean())}
    return share(int(right.sum()), len(right), design_effect(right.astype(np.float64), groups))


def mean_of_levels(values: NDArray[np.float64], levels: NDArray[np.float64], groups: Groups = None) -> Estimate:
    """The mean of values that come in few levels, such as costs, with an interval that covers at least 95 %.

    The mean is the sum, over the levels, of the step to a level times the share of the images that reach it. Each of these
    shares has its exact interval, all of them at once (Bonferroni). So the interval is wider than necessary and never too
    narrow, also where an expensive mistake can happen that so few images have not shown yet.

    Args:
        values: ``(N,)``, each one of the levels, or 0.
        levels: every value that can occur; negative ones too.
    """
    mean = float(values.mean())
    if groups is not None and len(np.unique(groups)) < FEWEST_GROUPS:
        return {**NONE, "value": mean}
    there = np.unique(levels[levels != 0])
    low = high = 0.0
    for sign in (1.0, -1.0):
        before = 0.0
        for level in np.sort(sign * there[sign * there > 0]).tolist():
            own = sign * values >= level - 1e-12
            effect = 1.0 if groups is None else design_effect(own.astype(np.float64), groups)
            ends = [sign * (level - before) * end for end in exact(own.sum() / effect, len(own) / effect, 0.05 / len(there))]
            low, high, before = low + min(ends), high + max(ends), level
    return {"value": mean, "low": low, "high": high}


def f1_of(jaccard: Estimate) -> Estimate:
    """A class's F1 and its exact interval, from the proportion J of hits among TP, FP and FN: F1 is 2 J / (1 + J)."""
    return {name: None if value is None else 2 * value / (1 + value) for name, value in jaccard.items()}


def averages(
    matrix: NDArray[np.int64], y_true: NDArray[np.int64], predicted: NDArray[np.int64], groups: Groups
) -> dict[str, Estimate]:
    """Intervals of averages over the classes: the delta method around a smoothed confusion matrix.

    Like Agresti and Coull (1998) for one proportion and Price and Bonett (2004) for sums of proportions, about four images are
    added before the variance is computed: half of them correct, half of them mistakes, evenly over the classes. So a class
    without a mistake is not taken as perfect.

    Returns:
        ``balanced_accuracy``, ``macro_precision``, ``macro_f1``, ``weighted_precision`` and ``weighted_f1``. Without an
        interval if a class has fewer than five images, or the images come in fewer than six groups.
    """
    counts = matrix.astype(np.float64)
    values = {name: float(value) for name, (value, _) in influences(counts).items()}
    present = np.flatnonzero(matrix.sum(axis=1))
    values["balanced_accuracy"] = float((np.diagonal(matrix)[present] / matrix.sum(axis=1)[present]).mean())
    few_groups = groups is not None and len(np.unique(groups)) < FEWEST_GROUPS
    if len(matrix) < 2 or matrix.sum(axis=1).min() < FEWEST or few_groups:
        return {name: {"value": value, "low": None, "high": None} for name, value in values.items()}
    found: dict[str, Estimate] = {}
    alone = bounds(counts)
    for name, value in values.items():
        low, high = alone[name]
        if groups is not None:
            each = influences(smoothed(counts))[name][1][y_true, predicted]
            low, high = bounds(counts / design_effect(each, groups))[name]
        found[name] = {"value": value, "low": min(value, float(low)), "high": max(value, float(high))}
    return found


def bounds(counts: NDArray[np.float64]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The lower and upper bounds of :func:`averages` for independent images, of one or many confusion matrices.

    Args:
        counts: ``(..., C, C)``.
    """
    weights = smoothed(counts)
    total = weights.sum(axis=(-2, -1))
    found = {}
    for name, (centre, each) in influences(weights).items():
        mean = (weights * each).sum(axis=(-2, -1)) / total
        variance = (weights * (each - mean[..., None, None]) ** 2).sum(axis=(-2, -1)) / total**2
        half = Z_AVERAGES * np.sqrt(variance)
        found[name] = np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)
    return found


def smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    number = counts.shape[-1]
    same = np.eye(number)
    return np.asarray(counts + Z_95**2 / 2 * (same / number + (1 - same) / (number * (number - 1))))


def influences(counts: NDArray[np.float64]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each average, and how much one more image in a cell of the confusion matrix changes it, times the number of images.

    A division by zero counts as 0, as with scikit-learn's ``zero_division=0``.

    Args:
        counts: ``(..., C, C)``, one or many matrices.

    Returns:
        values ``(...,)`` and influences ``(..., C, C)`` by the average's name.
    """
    number, same = counts.shape[-1], np.eye(counts.shape[-1])
    total = counts.sum(axis=(-2, -1))[..., None]
    hits, rows, columns = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)

    def over(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0)

    one = np.ones(number)
    by_row, by_column, by_both = over(one, rows), over(one, columns), over(one, rows + columns)
    recall, precision, f1 = hits * by_row, hits * by_column, 2 * hits * by_both
    weights, lost = rows / total, f1 * by_both
    of_precision = (same - precision[..., None, :]) * by_column[..., None, :]
    weighted = weights * lost
    cells = {
        "balanced_accuracy": (recall.mean(axis=-1), (same - recall[..., :, None]) * by_row[..., :, None] / number),
        "macro_precision": (precision.mean(axis=-1), of_precision / number),
        "macro_f1": (
            f1.mean(axis=-1),
            (2 * same * by_both[..., :, None] - lost[..., :, None] - lost[..., None, :]) / number,
        ),
        "weighted_precision": (
            (weights * precision).sum(axis=-1),
            precision[..., :, None] / total[..., None] + weights[..., None, :] * of_precision,
        ),
        "weighted_f1": (
            (weights * f1).sum(axis=-1),
            f1[..., :, None] / total[..., None]
            + 2 * same * (weights * by_both)[..., :, None]
            - weighted[..., :, None]
            - weighted[..., None, :],
        ),
    }
    return {name: (np.asarray(value), np.asarray(each * total[..., None])) for name, (value, each) in cells.items()}


def auc(
    positive: NDArray[np.float64],
    negative: NDArray[np.float64],
    groups: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Estimate:
    """The area under the ROC curve with an interval that holds at 1, too: the wider of two.

    One is Newcombe's (2006, method 5), which needs only the area; the other has DeLong's (1988) variance as an effective number
    of images. Each fails alone: the first where the scores of one class spread more, the second near 1. Without an interval if
    either side has fewer than ten images, or groups.

    Args:
        groups: the groups of the positive and of the negative images. As Obuchowski (1997) does, DeLong's structural components
            are summed over each group, whichever class its images have; their design effect divides both numbers of images.
    """
    from scipy.stats import rankdata, t  # type: ignore[import-untyped]

    m, n = len(positive), len(negative)
    if not m or not n:
        return dict(NONE)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    area = float(above.mean())
    fewest = min(m, n) if groups is None else min(len(np.unique(side)) for side in groups)
    if fewest < FEWEST_AUC:
        return {"value": area, "low": None, "high": None}
    quantile = float(t.ppf(0.975, fewest - 1))
    variance = float(above.var(ddof=1) / m + below.var(ddof=1) / n)
    effect = 1.0
    if groups is not None:
        each, both = np.concatenate([(above - area) / m, (below - area) / n]) * (m + n), np.concatenate(groups)
        effect = design_effect(each, both)
        if (number := len(np.unique(both))) < len(both):
            quantile *= Z_95 / float(t.ppf(0.975, number - 1))  # the design effect has this factor
    smallest = min(m, n) / effect / 2
    size = max(smallest, area * (1 - area) / variance / effect) if variance > 0 else min(m, n) / effect
    centre = (area * size + quantile**2 / 2) / (size + quantile**2)
    half = quantile * sqrt(centre * (1 - centre) / (size + quantile**2))
    low, high = _newcombe(area, m / effect, n / effect, quantile)
    return {"value": area, "low": max(0.0, min(area, low, centre - half)), "high": min(1.0, max(area, high, centre + half))}


def _newcombe(area: float, m: float, n: float, quantile: float) -> tuple[float, float]:
    """The areas whose distance from the estimate is ``quantile`` standard errors, by bisection."""
    extra = (m + n) / 2 - 1

    def far(other: float) -> bool:
        spread = 1 + extra * (1 - other) / (2 - other) + extra * other / (1 + other)
        return (area - other) ** 2 > quantile**2 * other * (1 - other) * spread / (m * n)

    bounds = []
    for end in (0.0, 1.0):
        near = area
        for _ in range(50):
            middle = (near + end) / 2
            near, end = (near, middle) if far(middle) else (middle, end)
        bounds.append(near)
    return bounds[0], bounds[1]
