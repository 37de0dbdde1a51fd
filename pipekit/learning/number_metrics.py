"""Metrics of a predicted number, and of ordered classes, in NumPy alone. Definitions are scikit-learn's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)


def errors_of(true: Floats, predicted: Floats) -> dict[str, float]:
    """MAE, RMSE, median absolute error, R2, MAPE and bias (the mean of predicted minus true).

    R2 of a constant target is 1 for perfect predictions, else 0. MAPE divides by at least the smallest positive number, so that
    it is huge where a true value is 0.
    """
    apart = predicted - true
    squares, spread = float((apart**2).sum()), float(((true - true.mean()) ** 2).sum())
    r2 = 1 - squares / spread if spread > 0 else float(squares == 0)
    return {
        "mae": float(np.abs(apart).mean()),
        "rmse": float(np.sqrt((apart**2).mean())),
        "median_error": float(np.median(np.abs(apart))),
        "r2": r2,
        "mape": float((np.abs(apart) / np.maximum(np.abs(true), EPSILON)).mean()),
        "bias": float(apart.mean()),
    }


def quadratic_kappa(true: NDArray[np.int64], predicted: NDArray[np.int64], number: int) -> float | None:
    """Cohen's kappa with quadratic weights: agreement beyond chance, a mistake counts by the square of its distance.

    None if all images have, and are predicted as, one and the same class.
    """
    counts = np.zeros((number, number))
    np.add.at(counts, (true, predicted), 1)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(1, counts.sum())
    weights = (np.arange(number)[:, None] - np.arange(number)[None, :]) ** 2
    below = float((weights * expected).sum())
    return None if below == 0 else 1 - float((weights * counts).sum()) / below


def distances(true: NDArray[np.int64], predicted: NDArray[np.int64], number: int) -> list[int]:
    """The number of images whose prediction is 0, 1, 2 … classes away."""
    return [int(count) for count in np.bincount(np.abs(true - predicted), minlength=number)]
