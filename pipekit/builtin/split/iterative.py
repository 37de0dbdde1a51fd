"""Iterative stratification of images with several labels: K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of
multi-label data", ECML PKDD 2011, algorithm 1; then single images are exchanged where that brings a label nearer to its ideal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.split.allocate import Unit, position

Float = NDArray[np.float64]

ROUNDS = 20
"""Maximum number of passes of exchanges."""


def iterative(units: Sequence[Unit], fractions: Mapping[str, float], seed: int) -> list[str]:
    """Assign each unit, so that ``fractions`` hold for every label and for the images as a whole.

    The label with the fewest images left is dealt first, each of its units to the split that lacks it most. Units that already
    have a place keep it; larger units go first.
    """
    names = list(fractions)
    labels = sorted({label for unit in units for label, _ in unit.classes})
    column = {label: number for number, label in enumerate(labels)}
    table = np.zeros((len(units), len(labels) + 1))
    for row, unit in enumerate(units):
        for label, count in unit.classes:
            table[row, column[label]] = count
        table[row, -1] = unit.size  # the images as a whole, as one more label
    places = np.array([names.index(unit.place) if unit.place else -1 for unit in units])
    shares = np.array([fractions[name] for name in names])
    lacks = shares[:, None] * table.sum(axis=0)
    for placed in np.flatnonzero(places >= 0):
        lacks[places[placed]] -= table[placed]
    free = places < 0
    order = np.array([position(seed, unit.key) if free[row] else 2.0 for row, unit in enumerate(units)])
    _deal(table, places, lacks, order)
    _exchange(table, places, lacks, np.flatnonzero(free), order)
    return [names[place] for place in places]


def _deal(table: Float, places: NDArray[np.int64], lacks: Float, order: Float) -> None:
    left = places < 0
    while left.any():
        counts = (table[left] > 0).sum(axis=0)
        of_labels = np.where(counts[:-1] > 0, counts[:-1], np.inf)
        label = int(np.argmin(of_labels)) if len(of_labels) and np.isfinite(of_labels).any() else -1
        rows = np.flatnonzero(left & (table[:, label] > 0))
        for row in sorted(rows, key=lambda row: (-table[row, label], order[row])):
            # the largest lack of this label; of equal ones the split that lacks most images, then the first
            wanted = lacks[:, label].round(9)
            best = np.flatnonzero(wanted == wanted.max())
            place = int(best[np.argmax(lacks[best, -1].round(9))])
            places[row] = place
            lacks[place] -= table[row]
            left[row] = False


def _exchange(table: Float, places: NDArray[np.int64], lacks: Float, free: NDArray[np.int64], order: Float) -> None:
    """Move units while that lowers the sum of squares of what the splits lack, counting only what is off by more than rounding.

    Algorithm 1 is greedy: a label that is dealt late pays for the others. A move changes two splits.
    """
    for _ in range(ROUNDS):
        moved = False
        for row in free[np.argsort(order[free], kind="stable")]:
            here, own = places[row], table[row]
            gain = _cost(lacks[here]) - _cost(lacks[here] + own) + _costs(lacks) - _costs(lacks - own)
            gain[here] = 0
            there = int(np.argmax(gain.round(9)))
            if gain[there] > 1e-6:
                lacks[here] += own
                lacks[there] -= own
                places[row], moved = there, True
        if not moved:
            return


def _cost(lacks: Float) -> float:
    return float(_costs(lacks[None])[0])


def _costs(lacks: Float) -> Float:
    """For each split. Less than one image from the ideal costs little; what is beyond it costs its square."""
    off = np.abs(lacks)
    found: Float = (0.01 * off**2 + np.maximum(0, off - 0.999) ** 2).sum(axis=1)
    return found
