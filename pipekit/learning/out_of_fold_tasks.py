"""Out-of-fold predictions of several labels and of numbers, for each image of a whole dataset.

Several labels take two steps. A logistic regression of each label on the features, reduced to principal components, says what
the picture shows. A second one says what also the other labels of the image make likely: its inputs are the first one's
log odds of all labels, and the other labels with the doubts that the first step has about them. So labels that exclude each
other, occur together or have a usual number speak too (stacked binary relevance: Godbole and Sarawagi 2004). Both steps run
twice; in the second round, each label counts with the probability that it is right, if a share of all labels was flipped at
random.

Numbers are predicted by a ridge regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.linear_solvers import losses_of_labels, losses_of_numbers, numbers_along
from pipekit.learning.logistic_path import labels_along, sigmoid
from pipekit.learning.out_of_fold import DIMENSIONS, FOLDS, MOST_TO_CHOOSE, PENALTIES, fold_of_groups, principal_components
from pipekit.rng import Rng

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_CHANCE = 0.01
"""Least probability of a wrong label on the list. Chosen on the pictures of ``sample_data/tasks`` with 5 % flipped labels, for
a recall of 0.9; other pictures gave the figures in ``docs/howto/tasks.md``."""
LOWEST_RATE, LOWEST_CONFIDENT = 0.001, 0.005
"""The shares of wrong labels that are assumed at least: for the list, and while the models learn."""
STACK_PENALTY = 0.1
"""The second step's ``c``: its inputs are few."""
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Values of ``c`` for numbers."""
ROUNDS = 2
_LEAST, _HIGHEST_RATE = 1e-3, 0.4


@dataclass(frozen=True, eq=False)
class LabelsOutOfFold:
    """Probabilities of labels, by models that did not learn from the image.

    Attributes:
        by_picture: ``(N, L)``, by the features alone.
        probabilities: ``(N, L)``, also by the other labels of the image.
        folds: ``(N,)``, the fold of each image.
        error_rate: the estimated share of wrong ones among all labels that are there or not.
    """

    by_picture: Float
    probabilities: Float
    folds: NDArray[np.int64]
    error_rate: float


def labels_out_of_fold(
    table: NDArray[Any], given: Bools, groups: NDArray[np.int64], rng: Rng, rows: NDArray[np.int64] | None = None
) -> LabelsOutOfFold:
    """The probabilities of each image's labels, by the folds that it is not in.

    Args:
        table: ``(N, D)`` features, possibly memory-mapped.
        given: ``(N, L)``: which labels the images have.
        groups: rows with the same number are never on both sides.
        rows: the numbers of the rows of ``table`` that count, instead of all.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    fold = _folds(groups, rng)
    values = principal_components(table, DIMENSIONS, rows).astype(np.float64)
    some = np.sort(rng.permutation(len(values))[:MOST_TO_CHOOSE])
    target = given.astype(np.float64)
    penalty = _best(labels_along, losses_of_labels, PENALTIES, values[some], target[some], fold[some])
    by_picture, stacked = target, target
    for _ in range(ROUNDS):
        by_picture = sigmoid(_scores(labels_along, values, target, fold, penalty))
        target = trusted(given, by_picture, confident_rate(given, by_picture))
        stacked = _stacked(by_picture, target, fold, rng)
        target = trusted(given, stacked, confident_rate(given, stacked))
    return LabelsOutOfFold(by_picture, stacked, fold, error_rate(given, stacked))


def numbers_out_of_fold(
    table: NDArray[Any], values: Float, groups: NDArray[np.int64], rng: Rng, rows: NDArray[np.int64] | None = None
) -> Float:
    """``(N,)``: the number of each image, predicted by the folds that it is not in.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    fold = _folds(groups, rng)
    features = principal_components(table, DIMENSIONS, rows).astype(np.float64)
    middle, spread = float(np.median(values)), float(np.std(values)) or 1.0
    target = ((values - middle) / spread)[:, None]
    some = np.sort(rng.permutation(len(features))[:MOST_TO_CHOOSE])
    ridge = _best(numbers_along, losses_of_numbers, RIDGES, features[some], target[some], fold[some])
    return np.asarray(_scores(numbers_along, features, target, fold, ridge)[:, 0] * spread + middle)


def chance_of_wrong(given: Bools, probabilities: Float, rate: float) -> Float:
    """The probability that each label is wrong, by Bayes' theorem, if ``rate`` of them were flipped at random. ``(N, L)``"""
    own = np.where(given, probabilities, 1 - probabilities)
    return np.asarray((1 - own) * rate / ((1 - own) * rate + own * (1 - rate) + 1e-12))


def suspected(given: Bools, found: LabelsOutOfFold, least_chance: float = LEAST_CHANCE) -> list[tuple[int, int, str, float]]:
    """Labels that are wrong with at least this probability, and contradicted: the other answer is more likely.

    Returns:
        (image, label, ``missing`` or ``wrong``, that probability), the most probable first.
    """
    wrong = chance_of_wrong(given, found.probabilities, found.error_rate)
    contradicted = np.where(given, found.probabilities, 1 - found.probabilities) < 0.5
    rows, labels = np.nonzero((wrong >= least_chance) & contradicted)
    order = np.lexsort((labels, rows, -wrong[rows, labels]))
    return [
        (row, at, "wrong" if given[row, at] else "missing", float(wrong[row, at]))
        for row, at in zip(rows[order].tolist(), labels[order].tolist(), strict=True)
    ]


def trusted(given: Bools, probabilities: Float, rate: float) -> Float:
    """The probability that the image truly has each label: what it is labelled with, as far as that is likely. ``(N, L)``"""
    wrong = chance_of_wrong(given, probabilities, rate)
    return np.where(given, 1 - wrong, wrong)


def error_rate(given: Bools, probabilities: Float) -> float:
    """The share of wrong labels that explains the probabilities best (expectation maximisation).

    It is rather too low, since unsure probabilities explain wrong labels too. So labels that can't be told apart raise no
    suspicion.
    """
    rate = 0.05
    for _ in range(50):
        rate = float(np.clip(chance_of_wrong(given, probabilities, rate).mean(), LOWEST_RATE, _HIGHEST_RATE))
    return rate


def confident_rate(given: Bools, probabilities: Float) -> float:
    """The share of labels that confidently are wrong: the probability is beyond the mean of the images of the other side."""
    wrong = 0
    for at in range(given.shape[1]):
        have, p = given[:, at], probabilities[:, at]
        if have.any() and not have.all():
            sure, sure_not = (p >= p[have].mean()) & (p > 0.5), (p <= p[~have].mean()) & (p < 0.5)
            wrong += int((~have & sure).sum() + (have & sure_not).sum())
    return max(wrong / max(1, given.size), LOWEST_CONFIDENT)


# --- details -------------------------------------------------------------------------------------------------------------


def _folds(groups: NDArray[np.int64], rng: Rng) -> NDArray[np.int64]:
    if (number := len(np.unique(groups))) < FOLDS:
        raise ValueError(f"{number} groups: expected {FOLDS} at least")
    return fold_of_groups(np.zeros(len(groups), np.int64), groups, rng)


def _scores(along: Callable[..., Any], x: Float, y: Float, fold: NDArray[np.int64], c: float, most: Any = None) -> Float:
    """``(N, L)``, the linear model's scores of each row by the other folds; ``most`` numbers the rows to learn from."""
    from threadpoolctl import threadpool_limits

    found = np.zeros((len(x), y.shape[1]))
    learning = np.ones(len(x), np.bool_) if most is None else most
    with threadpool_limits(1):  # more threads would sum in another order
        for one in range(FOLDS):
            inside, outside = (fold != one) & learning, fold == one
            if inside.any() and outside.any():
                kernel, bias = next(along(x[inside], y[inside], np.ones(int(inside.sum())), (c,)))
                found[outside] = x[outside] @ kernel + bias
    return found


def _best(along: Any, losses: Any, cs: Sequence[float], x: Float, y: Float, fold: NDArray[np.int64]) -> float:
    """The strength with the lowest loss out of fold."""
    from threadpoolctl import threadpool_limits

    found = np.zeros(len(cs))
    with threadpool_limits(1):
        for one in range(FOLDS):
            inside, outside = fold != one, fold == one
            if inside.any() and outside.any():
                solved = along(x[inside], y[inside], np.ones(int(inside.sum())), cs)
                found += [losses(x[outside], y[outside], *each).sum() for each in solved]
    return cs[int(np.argmin(found))]


def _stacked(by_picture: Float, target: Float, fold: NDArray[np.int64], rng: Rng) -> Float:
    """The second step: each label by the log odds of all, and by the other labels of the image."""
    odds, said = _log_odds(by_picture), _log_odds(target)
    some = np.zeros(len(odds), np.bool_)
    some[rng.permutation(len(odds))[:MOST_TO_CHOOSE]] = True
    found = np.empty_like(by_picture)
    for at in range(by_picture.shape[1]):
        number = target.sum(axis=1) - target[:, at]
        x = np.column_stack([odds, np.delete(said, at, axis=1), number, number**2])
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
        found[:, at] = sigmoid(_scores(labels_along, x, target[:, at : at + 1], fold, STACK_PENALTY, some))[:, 0]
    return found


def _log_odds(probabilities: Float) -> Float:
    held = probabilities.clip(_LEAST, 1 - _LEAST)
    return np.asarray(np.log(held / (1 - held)))
