"""Calibration: expected calibration error, reliability bins, temperature scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipekit.rng import Rng

SMALLEST = 1e-7
"""Lower bound of probabilities before a logarithm; they are stored to six decimals."""

UNROUNDED = 1e-37
"""Lower bound of a network's own probabilities: the smallest normal number of float32."""

MOST_DRAWS = 20_000_000
"""Maximum number of simulated predictions for the level of the calibration error."""

COLDEST, HOTTEST = 0.05, 20.0
"""The range of temperatures that is searched."""

FLAT = 1e-12
"""Log losses that differ by less count as equal."""


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> list[dict[str, Any]]:
    """Reliability diagram with ``bins`` equal-width bins; each bin includes its upper edge, as in Guo et al. 2017.

    Returns:
        a dict for each bin, also for empty ones: ``low``, ``high``, ``count``, ``confidence`` and ``accuracy`` (means or None).
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    right = np.bincount(place, weights=correct, minlength=bins)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "count": int(counts[i]),
            "confidence": float(sure[i] / counts[i]) if counts[i] else None,
            "accuracy": float(right[i] / counts[i]) if counts[i] else None,
        }
        for i in range(bins)
    ]


def calibration(probabilities: NDArray[np.float64], y_true: NDArray[np.int64], bins: int) -> dict[str, Any]:
    """Expected and maximum calibration error of the predicted class (Naeini et al. 2015; Guo et al. 2017), and the bins.

    ``overconfidence`` is mean confidence minus accuracy: above zero, the model is overconfident.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == y_true
    filled = reliability(confidence, correct, bins)
    gaps = [(abs(b["accuracy"] - b["confidence"]), b["count"]) for b in filled if b["count"]]
    return {
        "expected_error": sum(gap * count for gap, count in gaps) / len(y_true),
        "max_error": max(gap for gap, _ in gaps),
        "overconfidence": float(confidence.mean() - correct.mean()),
        "bins": filled,
    }


def level_if_perfect(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int, rng: Rng, draws: int
) -> dict[str, float] | None:
    """The expected calibration error that chance alone gives a perfectly calibrated model with these probabilities.

    Test sets are simulated in which each prediction is correct with its own probability ("consistency resampling", Broecker and
    Smith 2007).

    Returns:
        ``mean``, ``high`` (95 of 100 are below) and ``p``: the share of simulated errors that reach the measured one.
    """
    number = min(draws, max(50, MOST_DRAWS // len(confidence)))
    if draws < 1:
        return None
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    sure = np.bincount(place, weights=confidence, minlength=bins)

    def error(right: NDArray[np.bool_]) -> float:
        return float(np.abs(np.bincount(place, weights=right, minlength=bins) - sure).sum() / len(confidence))

    found = np.array([error(rng.random(len(confidence)) < confidence) for _ in range(number)])
    reached = int((found >= error(correct) - FLAT).sum())
    return {"mean": float(found.mean()), "high": float(np.quantile(found, 0.95)), "p": (1 + reached) / (1 + number)}


def normalised(probabilities: NDArray[np.float64], smallest: float = SMALLEST) -> NDArray[np.float64]:
    """Probabilities clipped to be above zero, with rows that sum to exactly 1: safe for a logarithm."""
    kept = np.clip(probabilities, smallest, 1.0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def log_loss(probabilities: NDArray[np.float64], y_true: NDArray[np.int64]) -> float:
    """Mean of -ln p(true class), natural logarithm."""
    return float(-np.log(normalised(probabilities)[np.arange(len(y_true)), y_true]).mean())


def scaled(probabilities: NDArray[np.float64], temperature: float, smallest: float = SMALLEST) -> NDArray[np.float64]:
    """Temperature scaling, ``softmax(log p / T)``: the order of the classes stays, T above 1 softens the probabilities."""
    logits = np.log(normalised(probabilities, smallest)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: NDArray[np.float64], y_true: NDArray[np.int64], smallest: float = SMALLEST) -> float:
    """The T in 0.05..20 with the lowest log loss (Guo et al. 2017), by Brent's bounded method on ln T.

    The loss is computed from the logits, without the limit that :func:`log_loss` puts on confident mistakes, so it has a single
    minimum. With the limit, it can have a second one at the lowest temperature, where a more confident mistake costs no more.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
    from scipy.special import log_softmax  # type: ignore[import-untyped]

    logits, rows = np.log(normalised(probabilities, smallest)), np.arange(len(y_true))
    low, high = np.log(COLDEST), np.log(HOTTEST)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, y_true].mean())

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    # Without a mistake the loss is flat at zero, and Brent's method may stop anywhere: take the lowest temperature.
    coldest = loss(low) <= found.fun + FLAT
    return round(COLDEST if coldest else float(np.exp(found.x)), 3)
