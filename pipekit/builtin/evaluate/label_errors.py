"""Suspected label errors by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning", section 3).

The model has not seen these labels in training, so its probabilities are out of sample, as the method requires.
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
    ids: Sequence[str], y_true: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Images that confidently belong to another class than their label, in order of the normalised margin."""
    confident = confident_class(y_true, probabilities)
    found = np.flatnonzero((confident >= 0) & (confident != y_true))
    margin = probabilities[found, y_true[found]] - probabilities[found, confident[found]]
    return [
        {
            "id": ids[i],
            "label": classes[y_true[i]],
            "suggested": classes[confident[i]],
            "p_label": float(probabilities[i, y_true[i]]),
            "p_suggested": float(probabilities[i, confident[i]]),
        }
        for i in found[np.lexsort((found, margin))][:MOST]
        if probabilities[i, y_true[i]] < probabilities[i, confident[i]]
    ]
