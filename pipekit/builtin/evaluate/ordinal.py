"""Ordered classes: by how many classes predictions are wrong, and Cohen's kappa with quadratic weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals
from pipekit.builtin.evaluate.label_intervals import counts_of_resamples, percentiles
from pipekit.learning.multilabel_metrics import interval
from pipekit.learning.number_metrics import distances, quadratic_kappa
from pipekit.learning.significance import design_effect

Floats = NDArray[np.float64]

RESAMPLES = 1000
FEWEST = 10
"""Minimum number of images for an interval (``benchmarks/tasks.py``)."""


def measure(
    y_true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: Sequence[str],
    order: Sequence[str],
    groups: NDArray[np.int64] | None,
    rng: Any,
) -> dict[str, Any] | None:
    """Figures of predictions of ordered classes; None if a class of the model is not in the order.

    Args:
        y_true, predicted: ``(N,)``, places in ``classes``.
        order: the classes from the lowest to the highest.
    """
    if not {*classes} <= {*order}:
        return None
    ranks = np.array([order.index(name) for name in classes])
    true, said, number = ranks[y_true], ranks[predicted], len(order)
    apart = np.abs(true - said)
    values = {"quadratic_kappa": quadratic_kappa(true, said, number), "mean_distance": float(apart.mean())}
    bounds = bounds_of(true, said, number, groups, rng)
    return {
        "classes": list(order),
        **{name: interval(value, *bounds[name]) for name, value in values.items()},
        "within_one": intervals.share_of(apart <= 1, groups),
        "by_distance": distances(true, said, number),
        "too_low": int((said < true).sum()),
        "too_high": int((said > true).sum()),
    }


def bounds_of(
    true: NDArray[np.int64], said: NDArray[np.int64], number: int, groups: NDArray[np.int64] | None, rng: Any
) -> dict[str, tuple[float, float]]:
    """95 % intervals of ``quadratic_kappa`` and ``mean_distance``; NaN for fewer than ten images, or six groups.

    Each is the wider of two, as for the averages of several labels: percentiles of resamples with the quantiles of Student's
    t, which show no variance where no mistake was seen; and the delta method around a confusion matrix to which about four
    images are added, half of them correct and half of them mistakes.
    """
    total = len(true)
    if total < FEWEST or (groups is not None and len(np.unique(groups)) < intervals.FEWEST_GROUPS):
        return dict.fromkeys(("quadratic_kappa", "mean_distance"), (float("nan"), float("nan")))
    cells = true * number + said
    drawn = [
        np.stack([np.bincount(cells, weights=row, minlength=number**2) for row in counts]).reshape(-1, number, number)
        for counts in counts_of_resamples(total, groups, RESAMPLES, rng)
    ]
    resampled = influences(np.concatenate(drawn))
    counted = np.bincount(cells, minlength=number**2).reshape(number, number).astype(np.float64)
    found = {}
    for name, (centre, each) in influences(intervals.smoothed(counted)).items():
        effect = 1.0 if groups is None else design_effect(each[true, said], groups)
        weights = intervals.smoothed(counted / effect)
        value, spread = (part[()] for part in influences(weights)[name]) if effect > 1 else (centre, each)
        half = intervals.Z_AVERAGES * float(np.sqrt((weights * spread**2).sum())) / weights.sum()
        ends = [*percentiles(resampled[name][0], max(2.0, total / effect)), float(value) - half, float(value) + half]
        least, most = (-1.0, 1.0) if name == "quadratic_kappa" else (0.0, number - 1.0)
        found[name] = max(least, min(ends)), min(most, max(ends))
    return found


def influences(counts: Floats) -> dict[str, tuple[Floats, Floats]]:
    """Both figures, and how much an image in a cell of the confusion matrix changes them, times the number of images.

    Kappa of a matrix with a single class in rows and columns is NaN.

    Args:
        counts: ``(..., C, C)``, true classes in rows.

    Returns:
        values ``(...,)`` and influences ``(..., C, C)`` by the figure's name.
    """
    number = counts.shape[-1]
    apart = np.abs(np.arange(number)[:, None] - np.arange(number)[None, :]).astype(np.float64)
    weights, shares = apart**2, counts / counts.sum(axis=(-2, -1), keepdims=True)
    rows, columns = shares.sum(axis=-1), shares.sum(axis=-2)
    by_column, by_row = rows @ weights, columns @ weights  # the mean weight of a column's images by chance, and of a row's
    seen, chance = (shares * weights).sum(axis=(-2, -1)), (by_row * rows).sum(axis=-1)
    mean = (shares * apart).sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(chance > 0, seen / chance, np.nan)[..., None, None]
        of_chance = by_row[..., :, None] + by_column[..., None, :] - 2 * chance[..., None, None]
        of_kappa = (ratio * of_chance - (weights - seen[..., None, None])) / chance[..., None, None]
    return {
        "quadratic_kappa": (1 - ratio[..., 0, 0], of_kappa),
        "mean_distance": (mean, apart - mean[..., None, None]),
    }
