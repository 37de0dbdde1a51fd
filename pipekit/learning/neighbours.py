"""The nearest images by their features: cosine similarities of centred rows, without comparing all pairs of a large table.

Up to :data:`EXACT` rows, all are compared. Beyond that, each row lies in the cell of the nearest of ``N / CELL`` rows that
were drawn at random, and is compared with the rows of the :data:`PROBES` cells that are nearest to it (an inverted file index,
Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor search", section IV, without the quantization). So the
time grows with the number of rows, but for ``N² / CELL`` comparisons with centres, and memory holds a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.mapped import read_blocks, read_rows
from pipekit.rng import Rng

EXACT = 4096
CELL = 128
PROBES = 8
_BLOCK = 1024

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest rows of each row, most similar first.

    Attributes:
        numbers: ``(N, k) int64``; -1 where there are fewer.
        similarities: ``(N, k) float32``, -1..1; -1 where there are fewer.
    """

    numbers: NDArray[np.int64]
    similarities: NDArray[np.float32]


class Directions:
    """The rows of a table, centred and of length 1, a block at a time.

    Args:
        table: ``(N, D)``, any floating-point type, possibly memory-mapped.

    Features of a network are sums of positive responses, so that all point into one corner of the space: without their mean,
    similarities differ more between different images (Mu and Viswanath 2018, "All-but-the-Top").
    """

    def __init__(self, table: NDArray[Any]) -> None:
        self._table = table
        total = np.zeros(table.shape[1], np.float64)
        for _, rows in read_blocks(table, _BLOCK):
            total += rows.sum(0, dtype=np.float64)
        self._mean = (total / max(1, len(table))).astype(np.float32)

    def __len__(self) -> int:
        return len(self._table)

    def at(self, numbers: NDArray[np.int64] | slice) -> Rows:
        rows = read_rows(self._table, numbers)
        rows -= self._mean
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return rows

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        for start in range(0, len(self), _BLOCK):
            yield start, self.at(slice(start, start + _BLOCK))


def nearest(directions: Directions, count: int, rng: Rng) -> Neighbours:
    """The ``count`` nearest other rows of each row.

    >>> table = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.9, 0.1, 0]], np.float16)
    >>> nearest(Directions(table), 1, np.random.default_rng(0)).numbers[:, 0].tolist()
    [3, 2, 1, 0]
    """
    numbers = np.full((len(directions), count), -1, np.int64)
    best = np.full((len(directions), count), -1.0, np.float32)
    if len(directions) <= EXACT:
        everything, every = directions.at(slice(None)), np.arange(len(directions))
        for start, rows in directions.blocks():
            _merge(numbers, best, every[start : start + len(rows)], rows @ everything.T, every)
        return Neighbours(numbers, best)
    for asking, members in _cells(directions, rng):
        own = directions.at(members)
        for start in range(0, len(asking), _BLOCK):
            some = asking[start : start + _BLOCK]
            _merge(numbers, best, some, directions.at(some) @ own.T, members)
    return Neighbours(numbers, best)


def nearest_of(directions: Directions, asking: NDArray[np.int64], count: int) -> Neighbours:
    """The nearest other rows of a few rows, compared with all."""
    numbers = np.full((len(directions), count), -1, np.int64)
    best = np.full((len(directions), count), -1.0, np.float32)
    own = directions.at(asking)
    for start, rows in directions.blocks():
        _merge(numbers, best, asking, own @ rows.T, np.arange(start, start + len(rows)))
    return Neighbours(numbers[asking], best[asking])


def _cells(directions: Directions, rng: Rng) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each cell: the rows that are compared with it, and the rows in it."""
    number = len(directions) // CELL
    centres = directions.at(np.sort(rng.choice(len(directions), number, replace=False)))
    near = np.empty((len(directions), PROBES), np.int32)
    for start, rows in directions.blocks():
        similarities = rows @ centres.T
        similarities += rng.random(similarities.shape, np.float32) * 1e-4  # equal images are spread over equal centres
        near[start : start + len(rows)] = _largest(similarities, PROBES)
    asking = np.argsort(near.ravel(), kind="stable")
    inside = np.argsort(near[:, 0], kind="stable")
    ends = np.cumsum(np.bincount(near.ravel(), minlength=number))
    inside_ends = np.cumsum(np.bincount(near[:, 0], minlength=number))
    for cell in range(number):
        first, own = (int(array[cell - 1]) if cell else 0 for array in (ends, inside_ends))
        members = inside[own : inside_ends[cell]]
        if len(members):
            yield asking[first : ends[cell]] // PROBES, members


def _merge(
    numbers: NDArray[np.int64],
    best: NDArray[np.float32],
    asking: NDArray[np.int64],
    similarities: Rows,
    members: NDArray[np.int64],
) -> None:
    """Keep the largest of what is known of the rows ``asking`` and of their similarities to ``members``."""
    similarities[asking[:, None] == members[None]] = -2.0  # a row is no neighbour of itself
    count = best.shape[1]
    columns = _largest(similarities, min(count, similarities.shape[1]))
    values = np.concatenate([best[asking], np.take_along_axis(similarities, columns, 1)], 1)
    found = np.concatenate([numbers[asking], members[columns]], 1)
    found[values < -1.5], values[values < -1.5] = -1, -1.0
    order = _largest(values, count)
    best[asking], numbers[asking] = np.take_along_axis(values, order, 1), np.take_along_axis(found, order, 1)


def _largest(values: Rows, count: int) -> NDArray[np.int64]:
    """The columns of the largest values of each row, largest first; equal values in the order of their columns."""
    chosen = np.argpartition(-values, count - 1, axis=1)[:, :count] if count < values.shape[1] else None
    if chosen is None:
        return np.argsort(-values, axis=1, kind="stable")[:, :count]
    chosen.sort(axis=1)
    order = np.argsort(-np.take_along_axis(values, chosen, 1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(chosen, order, 1), np.int64)
