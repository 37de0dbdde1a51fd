"""A small decision tree: Gini impurity, balanced classes, as ``sklearn.tree.DecisionTreeClassifier``.

The tree of scikit-learn takes a second to import, as long as the decoding of a thousand images. A tree of depth three on ten
properties is short; ``tests/builtin/test_small_tree.py`` compares both. Of equally good splits the first property's is taken.
Breiman et al., "Classification and Regression Trees", 1984.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_GAP = 1e-7
"""Two values closer than this are one value, as in scikit-learn."""


@dataclass(frozen=True)
class Node:
    """A node: rows with ``values[:, place] <= threshold`` go below, the others above; a leaf has neither.

    Attributes:
        answer: the class of a leaf's rows, by their weights.
    """

    answer: int
    place: int = -1
    threshold: float = 0.0
    below: Node | None = None
    above: Node | None = None

    def predict(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The classes of ``(N, P)`` values, ``(N,)``."""
        if self.below is None or self.above is None:
            return np.full(len(values), self.answer, np.int64)
        first = values[:, self.place] <= self.threshold
        found = np.empty(len(values), np.int64)
        found[first], found[~first] = self.below.predict(values[first]), self.above.predict(values[~first])
        return found


def fit_tree(values: NDArray[np.float64], classes: NDArray[np.int64], depth: int, fewest: int) -> Node:
    """Fit a tree.

    Args:
        values: ``(N, P)``, finite.
        classes: ``(N,)``; each class has the same total weight.
        depth: the most conditions from the root to a leaf.
        fewest: the fewest rows of a leaf.

    Example:
        >>> import numpy as np
        >>> tree = fit_tree(np.array([[1.0], [2.0], [8.0], [9.0]]), np.array([3, 3, 5, 5]), depth=3, fewest=1)
        >>> tree.threshold, tree.predict(np.array([[0.0], [10.0]])).tolist()
        (5.0, [3, 5])
    """
    names, at, counts = np.unique(classes, return_inverse=True, return_counts=True)
    weights = np.zeros((len(classes), len(names)))
    weights[np.arange(len(classes)), at] = (len(classes) / (len(names) * counts))[at]
    return _grow(values, weights, names.astype(np.int64), depth, fewest)


def _grow(values: NDArray[np.float64], weights: NDArray[np.float64], names: NDArray[np.int64], depth: int, fewest: int) -> Node:
    total = weights.sum(axis=0)
    answer = int(names[total.argmax()])
    if depth == 0 or np.count_nonzero(total) < 2:
        return Node(answer)
    best, split = -np.inf, None
    for place in range(values.shape[1]):
        found = _best_split(values[:, place], weights, total, fewest)
        if found is not None and found[0] > best:
            best, split = found[0], (place, found[1])
    if split is None:
        return Node(answer)
    first = values[:, split[0]] <= split[1]
    return Node(
        answer,
        *split,
        _grow(values[first], weights[first], names, depth - 1, fewest),
        _grow(values[~first], weights[~first], names, depth - 1, fewest),
    )


def _best_split(
    column: NDArray[np.float64], weights: NDArray[np.float64], total: NDArray[np.float64], fewest: int
) -> tuple[float, float] | None:
    """The purity of the best split of a property, and its threshold: the middle between two neighbouring values."""
    order = np.argsort(column, kind="stable")
    column = column[order]
    ends = np.flatnonzero(np.diff(column) > LEAST_GAP)  # the last row of each value
    ends = ends[(ends + 1 >= fewest) & (len(column) - ends - 1 >= fewest)]
    if not len(ends):
        return None
    below = np.cumsum(weights[order], axis=0)[ends]
    above = total - below
    purity = (below**2).sum(1) / below.sum(1) + (above**2).sum(1) / above.sum(1)
    at = int(purity.argmax())
    return float(purity[at]), float((column[ends[at]] + column[ends[at] + 1]) / 2)
