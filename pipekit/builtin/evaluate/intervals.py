"""Confidence intervals: Wilson's for a proportion, the bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.significance import wilson

if TYPE_CHECKING:
    from pipekit.rng import Rng

BLOCK_CELLS = 4_000_000
"""Maximum number of bootstrap counts in memory at a time: 32 MB."""

Estimate = dict[str, float | None]
"""``{"value": …, "low": …, "high": …}``; None if undefined (a precision without predictions)."""


def share(hits: int, total: int) -> Estimate:
    """A proportion with its Wilson interval; all None if ``total`` is 0."""
    if total <= 0:
        return {"value": None, "low": None, "high": None}
    low, high = wilson(hits, total)
    return {"value": hits / total, "low": low, "high": high}


def bootstrap_matrix(
    matrix: NDArray[np.int64],
    statistics: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    rng: Rng,
    resamples: int,
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """95 % percentile bootstrap intervals (Efron 1979) of statistics that depend only on the confusion matrix.

    Resampling N images with replacement is a multinomial draw of the matrix's cells, so the images are not needed.

    Args:
        matrix: ``(C, C)`` counts.
        statistics: functions from ``(B, C, C)`` matrices to ``(B, ...)`` values.

    Returns:
        for each statistic, its lower and upper bounds, in the statistic's shape; NaN draws are omitted.
    """
    total = int(matrix.sum())
    filled = np.flatnonzero(matrix)
    chances = matrix.ravel()[filled] / total
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    block = max(1, BLOCK_CELLS // matrix.size)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        draws = np.zeros((size, matrix.size))
        draws[:, filled] = rng.multinomial(total, chances, size=size)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(draws.reshape(size, *matrix.shape)))
    return {name: _percentiles(np.concatenate(parts)) for name, parts in drawn.items()}


def _percentiles(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat = values.reshape(len(values), -1)
    empty = np.isnan(flat).all(axis=0)
    flat = np.where(empty, 0.0, flat)
    low, high = np.nanpercentile(flat, [2.5, 97.5], axis=0)
    shape = values.shape[1:]
    return np.where(empty, np.nan, low).reshape(shape), np.where(empty, np.nan, high).reshape(shape)


def f1_per_class(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(B, C, C)`` confusion matrices to ``(B, C)``: 2 TP / (2 TP + FP + FN); NaN for a class neither true nor predicted."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    sums = matrices.sum(axis=1) + matrices.sum(axis=2)
    return np.asarray(np.divide(2 * hits, sums, out=np.full_like(hits, np.nan, dtype=np.float64), where=sums > 0))


def macro_f1(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the classes' F1; an undefined F1 counts as 0, as with scikit-learn's ``zero_division=0``."""
    return np.asarray(np.nan_to_num(f1_per_class(matrices), nan=0.0).mean(axis=1))


def balanced_accuracy(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean recall of the classes that occur."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    support = matrices.sum(axis=2)
    recall = np.divide(hits, support, out=np.zeros_like(hits, dtype=np.float64), where=support > 0)
    return np.asarray(recall.sum(axis=1) / np.maximum((support > 0).sum(axis=1), 1))
