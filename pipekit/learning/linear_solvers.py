"""Linear models of features for several labels and for numbers: logistic regressions side by side, and ridge regression.

Features are standardised by the caller. The strength of the L2 regularisation, ``c`` as in scikit-learn, is chosen on held-out
images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.logistic_path import labels_along

Float = NDArray[np.float64]

CANDIDATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of ``c``, from strong to weak regularisation."""
ENOUGH = 50
"""Held-out images that decide alone; with fewer, images of train that are held out in turn decide too."""
FOLDS = 5

Along = Callable[[Float, Float, Float, Sequence[float]], Iterator[tuple[Float, Float]]]
"""From features, targets, weights and values of ``c`` to a kernel and a bias for each value."""
Losses = Callable[[Float, Float, Float, Float], Float]


def solve_labels(x: Float, y: Float, weights: Float, c: float) -> tuple[Float, Float]:
    """A logistic regression for each label: the one of :func:`pipekit.learning.logistic_path.labels_along` for this ``c``."""
    return next(labels_along(x, y, weights, (c,)))


def numbers_along(x: Float, y: Float, weights: Float, cs: Sequence[float]) -> Iterator[tuple[Float, Float]]:
    """:func:`solve_number` for each ``c``."""
    for c in cs:
        yield solve_number(x, y, weights, c)


def solve_number(x: Float, y: Float, weights: Float, c: float) -> tuple[Float, Float]:
    """Ridge regression: ``sum(weights * (x @ kernel + bias - y)^2) + |kernel|^2 / c``; ``y`` is ``(N, 1)``."""
    total = weights.sum()
    middle, centre = (weights @ x) / total, (weights @ y) / total
    rows = (x - middle) * np.sqrt(weights)[:, None]
    wanted = (y - centre) * np.sqrt(weights)[:, None]
    if len(x) < x.shape[1]:  # the smaller of two equal systems
        kernel = rows.T @ np.linalg.solve(rows @ rows.T + np.eye(len(x)) / c, wanted)
    else:
        kernel = np.linalg.solve(rows.T @ rows + np.eye(x.shape[1]) / c, rows.T @ wanted)
    return kernel, centre - middle @ kernel


def losses_of_labels(x: Float, y: Float, kernel: Float, bias: Float) -> Float:
    """The log loss of each image, summed over the labels."""
    scores = x @ kernel + bias
    return np.asarray((np.logaddexp(0, scores) - y * scores).sum(axis=1))


def losses_of_numbers(x: Float, y: Float, kernel: Float, bias: Float) -> Float:
    """The squared error of each image."""
    return np.asarray(((x @ kernel + bias - y) ** 2).sum(axis=1))


def choose_c(along: Along, losses: Losses, x: Float, y: Float, weights: Float, held: tuple[Float, Float], seed: int) -> float:
    """The candidate with the lowest mean loss on held-out images; where they are few, on folds of train too."""
    parts = [(x, y, weights, *held)] if len(held[0]) else []
    if len(held[0]) < ENOUGH:
        parts += _folds(x, y, weights, seed)
    if not parts:
        return 0.01
    found = []
    for a, b, w, out, out_y in parts:
        found.append(np.stack([losses(out, out_y, *solved) for solved in along(a, b, w, CANDIDATES)]))
    return CANDIDATES[int(np.argmin(np.concatenate(found, axis=1).mean(axis=1)))]


def _folds(x: Float, y: Float, weights: Float, seed: int) -> Iterator[tuple[Float, Float, Float, Float, Float]]:
    order = np.random.default_rng(seed).permutation(len(x))
    for out in np.array_split(order, min(FOLDS, len(x) // 2)) if len(x) >= 4 else ():
        kept = np.setdiff1d(order, out)
        yield x[kept], y[kept], weights[kept], x[out], y[out]
