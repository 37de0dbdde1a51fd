"""Logistic regressions of several labels, side by side, along a path of strengths of the L2 regularisation.

Newton's method, whose linear systems are solved by preconditioned conjugate gradients (C.-J. Lin, R. C. Weng, S. S. Keerthi,
"Trust region Newton method for large-scale logistic regression", 2008). The features are rotated once to their principal axes,
at most as many as there are images; there the penalty and the curvature of the loss are nearly diagonal, which makes a
preconditioner that all labels and all strengths share. Each strength starts from the solution of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

PRECISION = 1e-8
"""A label is solved where the length of its gradient is this part of that of its constant probability."""
MOST_STEPS, MOST_PRODUCTS = 60, 300
"""Maximum number of Newton's steps for a strength, and of products with the curvature for a step."""
LEAST_SHARE = 1e-4
"""Share of the decrease that the slope promises and that a step has to reach, or else it is halved (Armijo 1966)."""


@dataclass(frozen=True)
class _Side:
    """The labels that are solved: rotated features, their squared lengths along each axis, targets, weights of the images.

    A point is ``(K + 1, C)``: the weights of the axes, and in the last row the biases.
    """

    rows: Float
    spread: Float
    y: Float
    weights: Float

    def scores(self, point: Float) -> Float:
        return np.asarray(self.rows @ point[:-1] + point[-1])

    def losses(self, scores: Float, point: Float, c: float) -> Float:
        """``c * sum(weights * log loss) + |kernel|^2 / 2`` of each label."""
        each = self.weights @ (np.logaddexp(0, scores) - self.y * scores)
        return np.asarray(c * each + (point[:-1] ** 2).sum(axis=0) / 2)

    def gradient(self, scores: Float, point: Float, c: float) -> Float:
        apart = c * self.weights[:, None] * (sigmoid(scores) - self.y)
        return np.concatenate([self.rows.T @ apart + point[:-1], apart.sum(axis=0)[None]])

    def only(self, labels: NDArray[np.bool_]) -> _Side:
        return _Side(self.rows, self.spread, self.y[:, labels], self.weights)


def labels_along(x: Float, y: Float, weights: Float, cs: Sequence[float]) -> Iterator[tuple[Float, Float]]:
    """For each ``c``, a logistic regression of each label: ``c * sum(weights * log loss) + |kernel|^2 / 2``, as scikit-learn's.

    A label that all training images have, or none, gets its smoothed share as a constant probability.

    Args:
        x: ``(N, D)``, about centred.
        y: ``(N, C)``, 0 and 1.
        weights: ``(N,)``.
        cs: best from small to large: each starts from the solution of the one before.

    Yields:
        kernel ``(D, C)`` and bias ``(C,)``.
    """
    share = ((weights[:, None] * y).sum(axis=0) + 0.5) / (float(weights.sum()) + 1)
    constant = np.log(share / (1 - share))
    varied = (y.max(axis=0) > 0) & (y.min(axis=0) < 1) if len(x) else np.zeros(y.shape[1], np.bool_)
    rows, back, spread = _rotated(x) if varied.any() else (x[:, :0], x.T[:, :0], np.zeros(0))
    side = _Side(rows, spread, y[:, varied], weights)
    point = np.concatenate([np.zeros((len(spread), int(varied.sum()))), constant[varied][None]])
    for c in cs:
        point = _solved(side, point, c)
        kernel, bias = np.zeros((x.shape[1], y.shape[1])), constant.copy()
        kernel[:, varied], bias[varied] = back @ point[:-1], point[-1]
        yield kernel, bias


def _rotated(x: Float) -> tuple[Float, Float, Float]:
    """Rows along the principal axes ``(N, K)``, what brings weights of axes back ``(D, K)``, squared length of each axis."""
    if len(x) >= x.shape[1]:
        spread, axes = np.linalg.eigh(x.T @ x)
        return x @ axes, axes, np.maximum(spread, 0.0)
    spread, places = np.linalg.eigh(x @ x.T)
    kept = spread > len(x) * np.finfo(np.float64).eps * max(float(spread[-1]), 1e-300)
    lengths = np.sqrt(spread[kept])
    return places[:, kept] * lengths, x.T @ (places[:, kept] / lengths), spread[kept]


def _solved(side: _Side, start: Float, c: float) -> Float:
    """The point where the gradient of each label is nearly 0. Solved labels leave the work."""
    point, open_ = start.copy(), np.arange(start.shape[1])
    plain = np.zeros_like(start)
    plain[-1] = start[-1]
    enough = PRECISION * _lengths(side.gradient(side.scores(plain), plain, c))
    for _ in range(MOST_STEPS):
        scores = side.scores(point[:, open_])
        gradient = side.gradient(scores, point[:, open_], c)
        left = _lengths(gradient) > enough[open_]
        if not left.any():
            break
        if not left.all():
            side, open_, scores, gradient = side.only(left), open_[left], scores[:, left], gradient[:, left]
        step = _newton(side, scores, gradient, enough[open_], c)
        point[:, open_] += step * _shares(side, point[:, open_], scores, step, gradient, c)
    return point


def _newton(side: _Side, scores: Float, gradient: Float, enough: Float, c: float) -> Float:
    """Newton's step, by conjugate gradients on all labels at once; each stops where its own system is solved well enough."""
    chance = sigmoid(scores)
    curvature = c * side.weights[:, None] * chance * (1 - chance)
    mean = curvature.mean(axis=0)
    scale = 1 / np.concatenate([1 + side.spread[:, None] * mean, np.maximum(curvature.sum(axis=0), 1e-300)[None]])
    length = _lengths(gradient)
    wanted = np.maximum(length * np.minimum(0.1, np.sqrt(length / length.max())), enough / 2)
    step, rest = np.zeros_like(gradient), -gradient
    toward = scaled = scale * rest
    product = (rest * scaled).sum(axis=0)
    for _ in range(MOST_PRODUCTS):
        going = _lengths(rest) > wanted
        if not going.any():
            break
        inner = curvature * side.scores(toward)
        bent = np.concatenate([side.rows.T @ inner + toward[:-1], inner.sum(axis=0)[None]])
        below = (toward * bent).sum(axis=0)
        far = np.where(going & (below > 0), product / np.where(below > 0, below, 1), 0.0)
        step, rest = step + far * toward, rest - far * bent
        scaled = scale * rest
        before, product = product, (rest * scaled).sum(axis=0)
        toward = scaled + product / np.where(before > 0, before, 1) * toward
    return step


def _shares(side: _Side, point: Float, scores: Float, step: Float, gradient: Float, c: float) -> Float:
    """The part of each label's step that is gone: halved until the loss falls as the slope promises."""
    along, slope = side.scores(step), (gradient * step).sum(axis=0)
    before = side.losses(scores, point, c)
    share = np.ones(point.shape[1])
    for _ in range(40):
        now = side.losses(scores + share * along, point + share * step, c)
        short = now > before + LEAST_SHARE * share * slope + 1e-13 * np.abs(before)
        if not short.any():
            break
        share = np.where(short, share / 2, share)
    return share


def _lengths(columns: Float) -> Float:
    return np.asarray(np.sqrt((columns**2).sum(axis=0)))


def sigmoid(scores: Float) -> Float:
    """``1 / (1 + exp(-scores))``, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(scores / 2)))
