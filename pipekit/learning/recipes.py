"""Compare recipes and not single trainings: repeated seeds on the same images, and the folds of a cross-validation.

Another seed gives other weights, and other training images another model. A test that takes two trained models for granted says
nothing about either. ``benchmarks/comparison.py`` has the type-I error of both tests here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.significance import FLAT, design_effect, difference_interval, score_test


def compare_seeds(
    first: NDArray[np.bool_], other: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Is a recipe better than another, each trained with several seeds and measured on the same images?

    The variance of the difference is that over images (around 0, as in a score test), plus that over the seeds of each recipe.
    Student's t has the degrees of freedom of Satterthwaite (1946).

    Args:
        first, other: ``(seeds, images)``, which predictions are correct; at least two seeds each.
        groups: the group of each image; None: each is its own.

    Returns:
        ``accuracy_first``, ``accuracy_other`` (means over seeds), ``sd_first``, ``sd_other``, ``difference`` (``value``,
        ``low``, ``high``), ``p``, ``num_groups`` and ``design_effect``.
    """
    number = first.shape[1]
    gains = other.mean(axis=0) - first.mean(axis=0)
    effect = 1.0 if groups is None else design_effect(gains, groups)
    units = number if groups is None else len(np.unique(groups))
    parts = [(float((gains**2).sum()) / number**2 * effect, max(1, units - 1))]
    parts += [(float(one.mean(axis=1).var(ddof=1)) / len(one), len(one) - 1) for one in (first, other)]
    return {
        "accuracy_first": float(first.mean()),
        "accuracy_other": float(other.mean()),
        "sd_first": float(first.mean(axis=1).std(ddof=1)),
        "sd_other": float(other.mean(axis=1).std(ddof=1)),
        **_by_t(float(gains.mean()), parts, units / effect),
        "num_groups": None if groups is None else units,
        "design_effect": effect,
    }


def compare_folds(differences: Sequence[float], held_out_to_train: float) -> dict[str, Any]:
    """The corrected t-test of a cross-validation (Nadeau and Bengio 2003): its folds share training images.

    Args:
        differences: of the accuracies of each fold, at least two.
        held_out_to_train: the number of held-out images over that of the training images of a fold.

    Returns:
        ``difference`` (``value``, ``low``, ``high``), ``p`` and ``sd``, that of the differences.

    >>> found = compare_folds([0.05, 0.02, 0.04, 0.03, 0.06], 0.25)
    >>> round(found["p"], 4), round(found["difference"]["low"], 4)
    (0.0196, 0.0106)
    """
    values = np.asarray(differences, np.float64)
    variance = float(values.var(ddof=1))
    corrected = (1 / len(values) + held_out_to_train) * variance
    return {**_by_t(float(values.mean()), [(corrected, len(values) - 1)], len(values)), "sd": sqrt(variance)}


def interval_of_mean(values: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> dict[str, float]:
    """The mean of a figure over seeds, its standard deviation, and a 95 % interval for further images and further seeds.

    The distances of the bounds on both accounts are combined as squares (Zou and Donner 2008).

    Args:
        values, lows, highs: the figure of each seed, and its interval for further images.
    """
    figures = np.asarray(values, np.float64)
    mean, sd = float(figures.mean()), float(figures.std(ddof=1))
    seeds = _quantile(len(figures) - 1) * sd / sqrt(len(figures))
    below = float((figures - np.asarray(lows)).mean())
    above = float((np.asarray(highs) - figures).mean())
    low, high = mean - sqrt(below**2 + seeds**2), mean + sqrt(above**2 + seeds**2)
    return {"value": mean, "sd": sd, "low": max(0.0, low), "high": min(1.0, high)}


def _by_t(value: float, parts: Sequence[tuple[float, int]], units: float) -> dict[str, Any]:
    """The test of a difference and its interval, from variances with their degrees of freedom; they never disagree.

    Without any variance, the interval is as wide as Tango's (1998) for so many units that were all answered alike.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    variance = sum(part for part, _ in parts)
    if variance <= FLAT:
        low, high = difference_interval(0, 0, units)
        within = low <= -value <= high
        ends = {"low": max(-1.0, value + low), "high": min(1.0, value + high)}
        return {"difference": {"value": value, **ends}, "p": 1.0 if within else score_test(abs(value) * units, 0)}
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(t.ppf(0.975, freedom)) * sqrt(variance)
    p = float(2 * t.sf(abs(value) / sqrt(variance), freedom))
    return {"difference": {"value": value, "low": max(-1.0, value - half), "high": min(1.0, value + half)}, "p": p}


def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
