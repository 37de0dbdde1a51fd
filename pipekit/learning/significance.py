"""Paired significance tests of two classifiers on the same images: is one better, or is the difference due to chance?"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipekit.rng import Rng

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: all intervals are 95 % intervals."""
CONFIDENCE = 0.975
"""Confidence of each one-sided bound of a 95 % interval."""


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of Wilson (1927) for ``hits`` of ``total``; (0, 1) if ``total`` is 0.

    Unlike ``p ± 1.96 s``, it stays within 0..1 and is accurate for few images and for proportions near 0 and 1.

    >>> tuple(round(x, 3) for x in wilson(69, 72))
    (0.885, 0.986)
    """
    if total <= 0:
        return 0.0, 1.0
    share, z2 = hits / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return (0.0 if hits == 0 else max(0.0, middle - half)), (1.0 if hits == total else min(1.0, middle + half))


def paired(first: NDArray[np.bool_], other: NDArray[np.bool_], rng: Rng, resamples: int) -> dict[str, Any]:
    """Compare the correctness of two classifiers' predictions, with the images in the same order.

    Returns:
        ``accuracy_first``, ``accuracy_other``, ``difference`` (other minus first: ``value``, ``low``, ``high``), ``gained``
        (only the other is correct), ``lost`` (only the first is correct), ``p_mcnemar``.
    """
    gained, lost = int((other & ~first).sum()), int((first & ~other).sum())
    low, high = difference_interval(gained, lost, len(first), rng, resamples)
    return {
        "accuracy_first": float(first.mean()),
        "accuracy_other": float(other.mean()),
        "difference": {"value": (gained - lost) / len(first), "low": low, "high": high},
        "gained": gained,
        "lost": lost,
        "p_mcnemar": mcnemar(gained, lost),
    }


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p-value of McNemar's exact test: are gains as likely as losses?"""
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    changed = gained + lost
    return float(binomtest(gained, changed, 0.5).pvalue) if changed else 1.0


def difference_interval(gained: int, lost: int, total: int, rng: Rng, resamples: int) -> tuple[float, float]:
    """The 95 % percentile interval of the paired bootstrap; resampling images is a multinomial draw of the three counts.

    If no prediction differs, all resamples are equal and would exclude any difference. Then the bounds are the largest share of
    one-sided changes that would stay unseen in ``total`` images one time in forty (Clopper and Pearson 1934).
    """
    if gained + lost == 0:
        bound = 1 - (1 - CONFIDENCE) ** (1 / total)
        return -bound, bound
    chances = np.array([gained, lost, total - gained - lost]) / total
    draws: NDArray[np.int64] = rng.multinomial(total, chances, size=resamples)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / total, [2.5, 97.5])
    return float(low), float(high)
