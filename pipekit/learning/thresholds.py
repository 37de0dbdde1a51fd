"""Thresholds of several labels: above which probability an image counts as having a label, chosen on held-out images."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError

FEWEST = 5
"""Images with a label, and without it, below which its threshold stays 0.5: the best threshold of so few is chance."""


@dataclass(frozen=True)
class Target:
    """What a threshold is chosen for: ``f1``; ``precision >= 0.9`` or ``recall >= 0.9``; or a probability for all labels.

    >>> [str(Target.read(text)) for text in ("f1", "recall>=0.9", "0.3")]
    ['f1', 'recall >= 0.9', '0.3']
    """

    metric: str
    least: float = 0.0

    @classmethod
    def read(cls, text: str) -> Target:
        """Raises UserError."""
        if text.strip() == "f1":
            return cls("f1")
        match = re.fullmatch(r"\s*(?:(precision|recall)\s*>=\s*)?(0?\.\d+|0|1|1\.0*)\s*", text)
        if match is None:
            raise UserError(
                f"threshold = {text!r}", 'Expected "f1", "precision >= 0.9", "recall >= 0.9" or a number such as "0.5".'
            )
        return cls(match[1] or "fixed", float(match[2]))

    def __str__(self) -> str:
        return (
            self.metric
            if self.metric == "f1"
            else f"{self.least:g}"
            if self.metric == "fixed"
            else (f"{self.metric} >= {self.least:g}")
        )


def threshold_for(true: NDArray[np.bool_], probabilities: NDArray[np.float64], target: Target) -> float:
    """The threshold of one label; an image has it from that probability on.

    It lies halfway between two probabilities that occur. Of thresholds that are equally good, the middle one is taken. If no
    threshold reaches the precision, the one with the highest is taken.

    >>> threshold_for(np.array([False] * 5 + [True] * 5), np.linspace(0.05, 0.95, 10), Target("f1"))
    0.5
    """
    if target.metric == "fixed":
        return target.least
    if min(true.sum(), len(true) - true.sum()) < FEWEST:
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    scores, hits = probabilities[order], np.cumsum(true[order])
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    hits, chosen = hits[ends], ends + 1
    precision, recall = hits / chosen, hits / true.sum()
    borders = np.append((scores[ends[:-1]] + scores[ends[:-1] + 1]) / 2, scores[-1] / 2)
    f1 = 2 * hits / (chosen + true.sum())
    if target.metric == "f1":
        best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    elif target.metric == "recall":
        best = np.flatnonzero(recall >= target.least - 1e-12)[:1]
    else:
        good = np.flatnonzero(precision >= target.least - 1e-12)
        best = good[-1:] if len(good) else np.flatnonzero(precision >= precision.max() - 1e-12)[-1:]
    return float(np.clip(borders[best[len(best) // 2]], 0.0, 1.0))
