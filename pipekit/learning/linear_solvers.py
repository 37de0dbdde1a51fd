"""Linear models of features for several labels and for numbers: logistic regressions side by side, and ridge regression.

Features are standardised by the caller. The strength of the L2 regularisation, ``c`` as in scikit-learn, is chosen on held-out
images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

CANDIDATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of ``c``, from strong to weak regularisation."""
ENOUGH = 50
"""Held-out images that decide alone; with fewer, images of train that are held out in turn decide too."""
FOLDS = 5

Solve = Callable[[Float, Float, Float, float], tuple[Float, Float]]
Losses = Callable[[Float, Float, Float, Float], Float]


def solve_labels(x: Float, y: Float, weights: Float, c: float) -> tuple[Float, Float]:
    """A logistic regression for each label, at once: ``c * sum(weights * log loss) + |kernel|^2 / 2``, as scikit-learn's.

    A label that all training images have, or none, gets its smoothed share as a constant probability.

    Args:
        x: ``(N, D)``.
        y: ``(N, C)``, 0 and 1.
        weights: ``(N,)``.

    Returns:
        kernel ``(D, C)`` and bias ``(C,)``.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    (number, dimensions), labels = x.shape, y.shape[1]
    counts = (weights[:, None] * y).sum(axis=0)
    total = float(weights.sum())
    share = (counts + 0.5) / (total + 1)
    bias = np.log(share / (1 - share))
    varied = np.flatnonzero((y.max(axis=0) > 0) & (y.min(axis=0) < 1)) if number else np.zeros(0, np.int64)
    kernel = np.zeros((dimensions, labels))
    if not len(varied):
        return kernel, bias
    wanted = y[:, varied]

    def loss(flat: Float) -> tuple[float, Float]:
        both = flat.reshape(dimensions + 1, len(varied))
        scores = x @ both[:-1] + both[-1]
        apart = weights[:, None] * (_sigmoid(scores) - wanted)
        value = c * float((weights[:, None] * (np.logaddexp(0, scores) - wanted * scores)).sum())
        gradient = np.concatenate([c * (x.T @ apart) + both[:-1], c * apart.sum(axis=0)[None]])
        return value + float((both[:-1] ** 2).sum()) / 2, gradient.ravel()

    start = np.concatenate([np.zeros((dimensions, len(varied))), bias[varied][None]])
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-11, "gtol": 1e-5})
    both = found.x.reshape(dimensions + 1, len(varied))
    kernel[:, varied], bias[varied] = both[:-1], both[-1]
    return kernel, bias


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


def choose_c(solve: Solve, losses: Losses, x: Float, y: Float, weights: Float, held: tuple[Float, Float], seed: int) -> float:
    """The candidate with the lowest mean loss on held-out images; where they are few, on folds of train too."""
    parts = [(x, y, weights, *held)] if len(held[0]) else []
    if len(held[0]) < ENOUGH:
        parts += _folds(x, y, weights, seed)
    if not parts:
        return 0.01
    found = []
    for c in CANDIDATES:
        found.append(np.concatenate([losses(out, out_y, *solve(a, b, w, c)) for a, b, w, out, out_y in parts]).mean())
    return CANDIDATES[int(np.argmin(found))]


def _folds(x: Float, y: Float, weights: Float, seed: int) -> Iterator[tuple[Float, Float, Float, Float, Float]]:
    order = np.random.default_rng(seed).permutation(len(x))
    for out in np.array_split(order, min(FOLDS, len(x) // 2)) if len(x) >= 4 else ():
        kept = np.setdiff1d(order, out)
        yield x[kept], y[kept], weights[kept], x[out], y[out]


def _sigmoid(scores: Float) -> Float:
    return np.asarray(0.5 * (1 + np.tanh(scores / 2)))
