"""Out-of-fold probabilities: for each image of a whole dataset, those of a model that did not learn from it or from its copies.

The model is a logistic regression on features, reduced to :data:`DIMENSIONS` principal components, so that memory does not grow
with their number. The strength of the L2 penalty is the one with the lowest out-of-fold log loss. A first round finds the
images that confidently belong to another class than their label; the second one, whose probabilities count, does not learn
from them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.label_errors import confident_class
from pipekit.learning.mapped import read_blocks
from pipekit.rng import Rng

FOLDS = 5
DIMENSIONS = 256
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Values of scikit-learn's ``C``; smaller ones are stronger penalties, which follow wrong labels less."""

MOST_TO_CHOOSE = 4000
"""The penalty is chosen on that many images, drawn at random."""

_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Probabilities of images that the model did not learn from.

    Attributes:
        probabilities: ``(N, K) float64``, rows sum to 1.
        folds: ``(N,)``, the fold of each image.
        penalty: the chosen ``C``.
        doubted: ``(N,) bool``, the images that were left out of training, since the first round doubts their labels.
    """

    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]
    penalty: float
    doubted: NDArray[np.bool_]


def out_of_fold(
    table: NDArray[Any],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    rng: Rng,
    folds: int = FOLDS,
    rows: NDArray[np.int64] | None = None,
) -> OutOfFold:
    """The probabilities of each image by the folds that it is not in.

    Args:
        table: ``(N, D)`` features, possibly memory-mapped.
        rows: the numbers of the rows that count, instead of all; ``classes`` and ``groups`` are theirs.
        classes: of each row, 0 to K - 1; each at least twice.
        groups: rows with the same number are never on both sides: near duplicates, copies of one original, one patient.

    Raises:
        ValueError: there are fewer than two classes, or fewer groups than folds.
    """
    number = int(classes.max(initial=-1)) + 1
    if number < 2 or len(np.unique(groups)) < folds:
        raise ValueError(f"{number} classes and {len(np.unique(groups))} groups: expected 2 and {folds} at least")
    fold = fold_of_groups(classes, groups, rng, folds)
    values = principal_components(table, DIMENSIONS, rows)
    some = np.sort(rng.permutation(len(values))[:MOST_TO_CHOOSE])
    losses = {}
    for penalty in PENALTIES:
        found = _probabilities(values[some], classes[some], fold[some], number, penalty, folds)
        losses[penalty] = -np.log(np.maximum(found[np.arange(len(some)), classes[some]], 1e-7)).mean()
    best = min(losses, key=lambda penalty: losses[penalty])
    first = confident_class(classes, _probabilities(values, classes, fold, number, best, folds))
    doubted = (first >= 0) & (first != classes)
    return OutOfFold(_probabilities(values, classes, fold, number, best, folds, ~doubted), fold, best, doubted)


def fold_of_groups(classes: NDArray[np.int64], groups: NDArray[np.int64], rng: Rng, folds: int = FOLDS) -> NDArray[np.int64]:
    """A fold for each row: groups stay together, and each class is dealt out evenly, by the first row of each group."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((rng.permutation(len(first)), classes[first]))
    dealt = np.empty(len(first), np.int64)
    dealt[order] = np.arange(len(first)) % folds
    return np.asarray(dealt[group], np.int64)


def principal_components(table: NDArray[Any], count: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """The first principal components of the rows, scaled so that they have a mean square of 1; a block at a time.

    Args:
        rows: the numbers of the rows that count, instead of all.
    """
    number, width = len(table) if rows is None else len(rows), table.shape[1]
    total, square = np.zeros(width, np.float64), np.zeros((width, width), np.float64)
    for _, block in read_blocks(table, _BLOCK, rows):
        total += block.sum(0, dtype=np.float64)
        square += block.T @ block
    mean = total / number
    covariance = square / number - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, : min(count, number - 1, width)].astype(np.float32)
    found = np.empty((number, axes.shape[1]), np.float32)
    squares = 0.0
    for start, block in read_blocks(table, _BLOCK, rows):
        some = found[start : start + len(block)]
        some[:] = (block - mean.astype(np.float32)) @ axes
        squares += float(np.square(some, dtype=np.float64).sum())
    found /= np.float32(np.sqrt(squares / max(1, found.size)) or 1.0)
    return found


def _probabilities(
    values: NDArray[np.float32],
    classes: NDArray[np.int64],
    fold: NDArray[np.int64],
    number: int,
    penalty: float,
    folds: int,
    trusted: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Those of each image by a model of the other folds, which learns from the trusted images."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    found = np.full((len(values), number), 1 / number, np.float64)
    for one in range(folds):
        inside, outside = fold != one, fold == one
        if trusted is not None:
            inside &= trusted
        known = np.unique(classes[inside])
        if len(known) < 2 or not outside.any():
            continue
        with warnings.catch_warnings(), threadpool_limits(1):  # more threads would only change the order of sums
            warnings.simplefilter("ignore", ConvergenceWarning)  # an early stop is a stronger penalty
            model = LogisticRegression(C=penalty, max_iter=200, tol=1e-3).fit(values[inside], classes[inside])
        found[outside] = 0
        found[np.ix_(outside, known)] = model.predict_proba(values[outside])
    return found
