"""The small decision tree of `shortcuts` against that of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from pipekit.builtin.inspect.small_tree import Node, fit_tree


def leaves(node: Node) -> int:
    return 1 if node.below is None or node.above is None else leaves(node.below) + leaves(node.above)


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_tree_of_scikit_learn(seed: int) -> None:
    """Where two splits are equally good, scikit-learn draws one: columns are continuous, and no leaf has few rows."""
    rng = np.random.default_rng(seed)
    num_classes, num_rows = int(rng.integers(2, 6)), int(rng.integers(60, 500))
    classes = rng.choice(num_classes, num_rows, p=rng.dirichlet(np.full(num_classes, 5.0)))
    values = rng.normal(size=(num_rows, 6)).astype(np.float32).astype(np.float64)
    values[:, 2] += classes
    values[:, 4] += 0.5 * (classes == 1)
    fewest = int(rng.integers(5, 15))
    theirs = DecisionTreeClassifier(max_depth=3, min_samples_leaf=fewest, class_weight="balanced", random_state=0)
    theirs.fit(values, classes)
    ours = fit_tree(values, classes, 3, fewest)
    others = rng.normal(size=(2000, 6)).astype(np.float32).astype(np.float64) * 2
    assert leaves(ours) == theirs.get_n_leaves()
    assert (ours.place, pytest.approx(ours.threshold, abs=1e-6)) == (theirs.tree_.feature[0], theirs.tree_.threshold[0])
    np.testing.assert_array_equal(ours.predict(others), theirs.predict(others))


def test_equal_values_are_never_parted_and_leaves_are_large_enough() -> None:
    values = np.array([[1.0], [1.0], [1.0], [2.0], [2.0], [3.0]])
    classes = np.array([7, 7, 9, 9, 9, 7])
    tree = fit_tree(values, classes, 3, 2)
    assert (tree.threshold, tree.predict(values).tolist()) == (1.5, [7, 7, 7, 9, 9, 9])
    assert fit_tree(values, classes, 3, 4).below is None
    assert fit_tree(np.ones((6, 2)), classes, 3, 1).below is None
    assert fit_tree(values, classes, 0, 1).answer in (7, 9)
