"""Suspected label errors by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning", section 3).

The method requires probabilities of a model that has not learned from these labels: those of a test split, or those of
:mod:`pipekit.learning.out_of_fold`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 50
"""Maximum number of suspects in the list: a person checks each."""


def confident_class(y_true: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class that each image confidently belongs to, or -1 (the paper's equation 1).

    A class's threshold is its mean probability over the images with its label. An image belongs to the most probable class
    among those whose threshold it reaches.
    """
    num_classes = probabilities.shape[1]
    thresholds = np.array(
        [probabilities[y_true == j, j].mean() if (y_true == j).any() else np.inf for j in range(num_classes)], np.float64
    )
    reached = np.where(probabilities >= thresholds - 1e-12, probabilities, -1.0)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def suspects(
    ids: Sequence[str],
    y_true: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """Images that confidently belong to another class than their label, in order of the normalised margin."""
    confident = confident_class(y_true, probabilities)
    found = np.flatnonzero((confident >= 0) & (confident != y_true))
    margin = probabilities[found, y_true[found]] - probabilities[found, confident[found]]
    return [
        _suspect(ids[i], classes, probabilities[i], int(y_true[i]), int(confident[i]))
        for i in found[np.lexsort((found, margin))][:MOST]
        if probabilities[i, y_true[i]] < probabilities[i, confident[i]]
    ]


LEAST_CHANCE = 0.12
"""Least probability of a wrong label for an image on the list of a whole dataset. Chosen on 1,000 photographs of cats and dogs
and 2,000 of Fashion-MNIST with 5 % flipped labels, for a recall of 0.9 at a precision of 0.6 on the latter."""

_LOWEST_RATE = 0.005


def chance_of_a_wrong_label(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], error_rate: float
) -> NDArray[np.float64]:
    """The probability that each image's label is wrong, by Bayes' theorem.

    A label is wrong with the prior probability ``error_rate``, and then any other class's with the same probability. The
    probabilities of an image say how likely each class is to be the true one.
    """
    rate = max(error_rate, _LOWEST_RATE)
    own = probabilities[np.arange(len(labels)), labels]
    wrong = (1 - own) * rate / max(1, probabilities.shape[1] - 1)
    return np.asarray(wrong / (wrong + own * (1 - rate) + 1e-12), np.float64)


def suspects_of_dataset(
    ids: Sequence[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    error_rate: float,
) -> list[dict[str, Any]]:
    """The images of a whole dataset whose label is wrong with a probability of at least :data:`LEAST_CHANCE`, most probable
    first, in the form of :func:`suspects`.

    Args:
        probabilities: out of fold.
        error_rate: the estimated share of wrong labels: that of the images which confidently belong to another class.
    """
    chance = chance_of_a_wrong_label(labels, probabilities, error_rate)
    best = probabilities.argmax(axis=1)
    found = np.flatnonzero((chance >= LEAST_CHANCE) & (best != labels))
    order = found[np.lexsort((found, -chance[found]))]
    return [_suspect(ids[i], classes, probabilities[i], int(labels[i]), int(best[i])) for i in order]


def _suspect(
    name: str, classes: Sequence[str], probabilities: NDArray[np.float64], label: int, suggested: int
) -> dict[str, Any]:
    return {
        "id": name,
        "label": classes[label],
        "suggested": classes[suggested],
        "p_label": float(probabilities[label]),
        "p_suggested": float(probabilities[suggested]),
    }
