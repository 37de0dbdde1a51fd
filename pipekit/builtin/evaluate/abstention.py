"""Abstention: the accuracy on the images that the model answers, if it leaves those with the lowest confidence to a person.

The curve is that of Y. Geifman and R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017; its area
(AURC) that of Y. Geifman et al., "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import Groups, share_of

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3)
"""Shares of the images that the table has."""

MOST_POINTS = 200
"""Maximum number of points of the curve in ``metrics.json``."""


def measure(confidence: NDArray[np.float64], correct: NDArray[np.bool_], groups: Groups) -> dict[str, Any]:
    """The curve, its area, and the accuracy at a few coverages with intervals.

    Images of equal confidence can only be answered together, so a point stands for one confidence: all images that have at
    least as much are answered.

    Returns:
        ``aurc``: the area under the error rate over the share answered; ``aurc_random``: that of answering at random, which is
        the error rate; ``aurc_best``: that of a model that knows its mistakes. ``rows``: the table. ``curve``: ``coverage``,
        ``accuracy``.
    """
    count, right = len(correct), int(correct.sum())
    steps = np.unique(confidence)[::-1]
    place = np.searchsorted(-steps, -confidence)
    answered = np.bincount(place, minlength=len(steps)).cumsum()
    hits = np.bincount(place, weights=correct, minlength=len(steps)).cumsum()
    rows: list[dict[str, Any]] = []
    for wanted in COVERAGES:
        enough = int(np.searchsorted(answered, np.ceil(wanted * count - 1e-9)))
        if rows and rows[-1]["num_answered"] == answered[enough]:
            continue
        kept = confidence >= steps[enough]
        accuracy = share_of(correct[kept], None if groups is None else groups[kept])
        own = {"confidence": float(steps[enough]), "num_answered": int(answered[enough]), "coverage": answered[enough] / count}
        rows.append({**own, "coverage": float(own["coverage"]), "accuracy": accuracy})
    shown = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_POINTS)).round().astype(int))
    return {
        "aurc": area(answered, answered - hits),
        "aurc_random": (count - right) / count,
        "aurc_best": area(np.arange(1, count + 1), np.maximum(0, np.arange(1, count + 1) - right)),
        "rows": rows,
        "curve": {
            "coverage": (answered[shown] / count).round(6).tolist(),
            "accuracy": (hits[shown] / answered[shown]).round(6).tolist(),
        },
    }


def area(answered: NDArray[Any], mistakes: NDArray[Any]) -> float:
    """The mean error rate among the k most confident images, over k = 1 … N.

    Args:
        answered: the images at or above each confidence, increasing; ``mistakes``: the mistakes among them. Within a step of
            equal confidence, the images come in random order: the expected number of mistakes rises linearly.
    """
    ks = np.arange(1, int(answered[-1]) + 1)
    expected = np.interp(ks, np.concatenate([[0], answered]), np.concatenate([[0], mistakes]))
    return float((expected / ks).mean())
