"""The images that are nearest to given ones, by the cosine of their features: all rows are compared, a part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

Id = TypeVar("Id", bound=str | int)


class Nearest(Generic[Id]):
    """The nearest rows to each of some vectors, a part of the rows at a time; memory holds one part.

    Attributes:
        found: for each vector (id, cosine), the nearest first; equal ones by id.
        num_seen: number of rows.
    """

    def __init__(self, vectors: Vectors, count: int) -> None:
        self._vectors, self._count = unit(vectors), count
        self.found: list[list[tuple[Id, float]]] = [[] for _ in vectors]
        self.num_seen = 0

    def add(self, ids: Sequence[Id], table: NDArray[Any]) -> None:
        """Compare further rows."""
        if not len(ids):
            return
        self.num_seen += len(ids)
        # Not a matrix product: its last digits depend on the number of threads, and so would the order of equal ones.
        cosines: NDArray[np.float64] = np.einsum("nd,qd->qn", unit(table), self._vectors).astype(np.float64).round(4)
        for number, values in enumerate(cosines):
            likely = np.argsort(-values, kind="stable")
            if len(likely) > self._count:
                likely = np.flatnonzero(values >= values[likely[self._count - 1]])
            found: list[tuple[Id, float]] = [(ids[at], float(values[at])) for at in likely.tolist()]
            self.found[number] = sorted([*self.found[number], *found], key=lambda pair: (-pair[1], pair[0]))[: self._count]


def unit(table: Any) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    rows = np.asarray(table, np.float32)
    made: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return made
