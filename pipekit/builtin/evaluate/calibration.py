"""Calibration: expected calibration error, reliability bins, the effect of temperature scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.temperature import FLAT, UNROUNDED, log_loss, scaled

if TYPE_CHECKING:
    from pipekit.rng import Rng

MOST_DRAWS = 20_000_000
"""Maximum number of simulated predictions for the level of the calibration error."""


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


def effect_of(
    fitted: Mapping[str, Any], unrounded: NDArray[np.float64], y_true: NDArray[np.int64], bins: int, decimals: int
) -> dict[str, Any] | None:
    """What a temperature makes of the evaluated split's probabilities; None if none was fitted.

    Args:
        fitted: what :func:`pipekit.learning.temperature.fitted` found on val.
        decimals: of the probabilities in ``predictions.csv``.
    """
    temperature = fitted.get("temperature")
    if temperature is None:
        return None
    after = np.round(scaled(unrounded, float(temperature), UNROUNDED), decimals)
    found = calibration(after, y_true, bins)
    return {
        "temperature": temperature,
        "num_val_images": fitted.get("num_val_images"),
        "val_accuracy": fitted.get("val_accuracy"),
        "expected_error": found["expected_error"],
        "log_loss": log_loss(after, y_true),
        "bins": found["bins"],
    }
