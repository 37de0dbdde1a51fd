"""Do the probabilities mean what they say? Calibration error, reliability bins, temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-7
"""Probabilities are kept this far from zero before a logarithm; they are stored to six decimals."""

COLDEST, HOTTEST = 0.05, 20.0
"""The temperatures among which the best is looked for."""

FLAT = 1e-12
"""Log losses that differ by less are the same."""


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> list[dict[str, Any]]:
    """``bins`` equal-width bins of the confidence; the upper edge belongs to a bin, as in Guo et al. 2017.

    Returns:
        a dict for each bin, empty ones too: ``low``, ``high``, ``count``, ``confidence`` and ``accuracy`` (means, or None).
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
    """Expected and maximum calibration error of the predicted class (Naeini et al. 2015; Guo et al. 2017) and its bins.

    ``overconfidence`` is mean confidence less accuracy: above zero the model claims more than it keeps.
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


def normalised(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to exactly 1, none of them zero: what a logarithm needs."""
    kept = np.clip(probabilities, SMALLEST, 1.0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def log_loss(probabilities: NDArray[np.float64], y_true: NDArray[np.int64]) -> float:
    """Mean of -ln p(true class), natural logarithm."""
    return float(-np.log(normalised(probabilities)[np.arange(len(y_true)), y_true]).mean())


def scaled(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """``softmax(log p / T)``: the same order of the classes, softer for T above 1."""
    logits = np.log(normalised(probabilities)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: NDArray[np.float64], y_true: NDArray[np.int64]) -> float:
    """The T in 0.05..20 with the least log loss (Guo et al. 2017), by Brent's bounded method on ln T.

    This loss is taken from the logits, without the limit that :func:`log_loss` puts on sure mistakes: so it has one minimum.
    With the limit it can have a second one at the coldest temperature, where a mistake costs no more for being surer.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
    from scipy.special import log_softmax  # type: ignore[import-untyped]

    logits, rows = np.log(normalised(probabilities)), np.arange(len(y_true))
    low, high = np.log(COLDEST), np.log(HOTTEST)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, y_true].mean())

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    # Without a mistake the loss is flat at zero, and Brent's method may stop anywhere: of equal ones the coldest.
    coldest = loss(low) <= found.fun + FLAT
    return round(COLDEST if coldest else float(np.exp(found.x)), 3)
