"""Paired significance tests of two classifiers on the same images: is one better, or is the difference due to chance?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipekit.rng import Rng

CONFIDENCE = 0.975
"""Confidence of each one-sided bound of a 95 % interval."""


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
