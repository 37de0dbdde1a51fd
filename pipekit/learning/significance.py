"""Paired significance tests of two classifiers on the same images: is one better, or is the difference due to chance?

The test and the interval are one method, the score test of a difference between paired proportions and the interval that
inverts it (Tango 1998), so they never disagree: the 95 % interval excludes 0 exactly when p < 0.05. For a difference of 0 it is
McNemar's test without a correction. ``benchmarks/comparison.py`` has its type-I error, coverage and power.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

LEVEL = 0.05
"""Differences with a smaller p-value are called significant."""


ADDED = 0.25
"""Share of a group that is added at either end before a design effect is estimated."""

FLAT = 1e-12
"""Sums of squares below this are taken as 0."""

FEWEST_RESAMPLES = 100
"""With fewer resamples in which a figure is defined, it has no interval."""


def exact(hits: float, total: float, outside: float = 0.05) -> tuple[float, float]:
    """The exact 95 % interval of Clopper and Pearson (1934) for ``hits`` of ``total``; (0, 1) if ``total`` is 0.

    It covers at least 95 % whatever the true proportion; Wilson's falls to 84 % near 0 and 1.

    Args:
        outside: 1 minus the level, 0.05 for 95 %.

    >>> tuple(round(x, 3) for x in exact(69, 72))
    (0.883, 0.991)
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    if total <= 0:
        return 0.0, 1.0
    low = 0.0 if hits <= 0 else float(betaincinv(hits, total - hits + 1, outside / 2))
    high = 1.0 if hits >= total else float(betaincinv(hits + 1, total - hits, 1 - outside / 2))
    return low, high


def paired(first: NDArray[np.bool_], other: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Compare the correctness of two classifiers' predictions, with the images in the same order.

    Args:
        groups: the group of each image, such as its patient; images of one group don't count as independent. None: each image
            is its own group.

    Returns:
        ``accuracy_first``, ``accuracy_other``, ``difference`` (other minus first: ``value``, ``low``, ``high``), ``gained``
        (only the other is correct), ``lost`` (only the first is correct), ``p_mcnemar``, ``num_groups`` and ``design_effect``
        (1 without groups).
    """
    gained, lost, total = int((other & ~first).sum()), int((first & ~other).sum()), len(first)
    effect = 1.0 if groups is None else design_effect(other.astype(np.float64) - first, groups)
    counts = gained / effect, lost / effect, total / effect
    low, high = difference_interval(*counts)
    return {
        "accuracy_first": float(first.mean()),
        "accuracy_other": float(other.mean()),
        "difference": {"value": (gained - lost) / total, "low": low, "high": high},
        "gained": gained,
        "lost": lost,
        "p_mcnemar": score_test(*counts[:2]),
        "num_groups": None if groups is None else len(np.unique(groups)),
        "design_effect": effect,
    }


def score_test(gained: float, lost: float) -> float:
    """The two-sided p-value of McNemar's (1947) test, without a correction: are gains as likely as losses?

    >>> round(score_test(1, 7), 4)
    0.0339
    """
    changed = gained + lost
    return erfc(abs(gained - lost) / sqrt(2 * changed)) if changed else 1.0


def difference_interval(gained: float, lost: float, total: float) -> tuple[float, float]:
    """Tango's (1998) 95 % score interval of ``(gained - lost) / total``: the differences that the score test doesn't reject.

    >>> tuple(round(bound, 3) for bound in difference_interval(1, 7, 21))
    (-0.517, -0.026)
    """
    return -_upper(lost, gained, total), _upper(gained, lost, total)


def _upper(gained: float, lost: float, total: float) -> float:
    """The upper bound, by bisection between the estimate, where the statistic is 0, and 1."""
    low, high = (gained - lost) / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _statistic(gained, lost, total, middle) > -Z_95 else (low, middle)
    bound = (low + high) / 2
    return 0.0 if abs(bound) < 1e-12 else bound


def _statistic(gained: float, lost: float, total: float, difference: float) -> float:
    """The score statistic for a true ``difference``, with the constrained maximum likelihood estimate of the lost share."""
    linear = -gained - lost + (2 * total - gained + lost) * difference
    constant = -lost * difference * (1 - difference)
    share = (sqrt(max(0.0, linear**2 - 8 * total * constant)) - linear) / (4 * total)
    variance = total * (2 * share + difference * (1 - difference))
    distance = gained - lost - total * difference
    return distance / sqrt(variance) if variance > 0 else (0.0 if distance == 0 else float("-inf"))


def design_effect(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """By what factor groups inflate the variance of a mean (Kish 1965), at least 1: the images count as ``N / factor``.

    The variance between groups is the sandwich estimate with Student's t for the number of groups. A quarter of a group of the
    smallest and of one of the largest values is added: a handful of mistakes can't show whether mistakes come in groups. If all
    values are equal, the images of a group count as one.
    """
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == len(values):
        return 1.0
    alike = float((sizes**2).sum() / len(values))
    centred = values - values.mean()
    single = float((centred**2).sum())
    if len(sizes) < 2 or single <= FLAT:
        return alike
    from scipy.stats import t  # type: ignore[import-untyped]

    between = float((np.bincount(numbers, weights=centred) ** 2).sum()) * len(sizes) / (len(sizes) - 1)
    extremes = float(centred.min() ** 2 + centred.max() ** 2)
    found = (between + ADDED * alike**2 * extremes) / (single + ADDED * alike * extremes)
    return max(1.0, found * float(t.ppf(0.975, len(sizes) - 1) / Z_95) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): the chance of any false finding stays below the level.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def paired_mean(differences: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """The mean of paired differences, with the interval of the paired t-test; between groups, of the sandwich estimate.

    Args:
        differences: ``(N,)``, such as the absolute errors of one model minus those of another on the same images.
        groups: the group of each image; None: each image is its own.

    Returns:
        ``difference`` (``value``, ``low``, ``high``; the bounds are None for fewer than two groups, or if all differences are
        equal, which says nothing of their spread), ``p`` (of the sign test if all are equal) and ``num_groups``.

    >>> found = paired_mean(np.array([0.2, -0.1, 0.4, 0.3, 0.1]))
    >>> round(found["difference"]["value"], 2), round(found["p"], 3)
    (0.18, 0.105)
    """
    from scipy.stats import t

    value, total = float(differences.mean()), len(differences)
    _, places = np.unique(np.arange(total) if groups is None else groups, return_inverse=True)
    number = int(places.max()) + 1
    about = {"num_groups": None if groups is None else number}
    if number < 2:
        return {"difference": {"value": value, "low": None, "high": None}, "p": 1.0, **about}
    sums = np.bincount(places, weights=differences - value)
    error = float(np.sqrt((sums**2).sum() * number / (number - 1))) / total
    if error <= FLAT:
        p = 1.0 if abs(value) <= FLAT else 2.0 ** (1 - number)
        return {"difference": {"value": value, "low": None, "high": None}, "p": p, **about}
    half = float(t.ppf(0.975, number - 1)) * error
    p = 2 * float(t.sf(abs(value) / error, number - 1))
    return {"difference": {"value": value, "low": value - half, "high": value + half}, "p": p, **about}


def of_resamples(value: float, resampled: NDArray[np.float64], units: int) -> dict[str, Any]:
    """A difference with its interval and p-value by the bootstrap: the expanded percentile interval (Hesterberg 2015).

    Percentiles of few images are too narrow, so their level is that of Student's t for the number of independent units. The
    p-value is the level at which the interval ends at 0, so that the interval excludes 0 exactly when p is at most 0.05.

    Args:
        value: on all images.
        resampled: ``(B,)``, the same on resampled images.
        units: the number of images, or of groups of images.

    >>> found = of_resamples(0.5, np.linspace(0.1, 0.9, 999), 200)
    >>> tuple(round(found["difference"][end], 2) for end in ("low", "high")), found["p"] < 0.01
    ((0.12, 0.88), True)
    """
    from scipy.stats import norm, t

    ordered, number = np.sort(resampled), len(resampled)
    if units < 2 or number < FEWEST_RESAMPLES or ordered[-1] - ordered[0] <= FLAT:  # without any spread, no interval holds
        return {"difference": {"value": value, "low": None, "high": None}, "p": 1.0}
    widened = sqrt(units / (units - 1))
    tail = float(norm.cdf(t.ppf(LEVEL / 2, units - 1) * widened))
    place = max(0, int(tail * (number + 1)) - 1)
    below = min(int((ordered <= 0).sum()), int((ordered >= 0).sum()))
    p = 2 * float(t.cdf(norm.ppf(min(1.0, (below + 1) / (number + 1))) / widened, units - 1))
    low, high = float(ordered[place]), float(ordered[number - 1 - place])
    return {"difference": {"value": value, "low": min(low, value), "high": max(high, value)}, "p": min(1.0, p)}
