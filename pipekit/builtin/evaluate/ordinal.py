"""Ordered classes: by how many classes predictions are wrong, and Cohen's kappa with quadratic weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals
from pipekit.learning.multilabel_metrics import bootstrap, interval
from pipekit.learning.number_metrics import distances, quadratic_kappa

RESAMPLES = 1000


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

    def figures_of(some: NDArray[np.int64]) -> NDArray[np.float64]:
        kappa = quadratic_kappa(true[some], said[some], number)
        return np.array([np.nan if kappa is None else kappa, np.abs(true - said)[some].mean()])

    low, high = bootstrap(figures_of, len(true), groups, RESAMPLES, rng)
    apart = np.abs(true - said)
    return {
        "classes": list(order),
        "quadratic_kappa": interval(quadratic_kappa(true, said, number), low[0], high[0], len(true) > 1),
        "mean_distance": interval(float(apart.mean()), low[1], high[1], len(true) > 1),
        "within_one": intervals.share_of(apart <= 1, groups),
        "by_distance": distances(true, said, number),
        "too_low": int((said < true).sum()),
        "too_high": int((said > true).sum()),
    }
