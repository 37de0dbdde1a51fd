"""Linear solvers of several labels and of numbers: equal to scikit-learn's, and the same bytes on any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipekit.learning.linear_solvers import CANDIDATES, choose_c, losses_of_labels, solve_labels, solve_number
from pipekit.learning.logistic_path import labels_along, sigmoid


def clouds(number: int, dimensions: int, seed: int = 7) -> tuple[Any, Any, Any]:
    """Features, three labels with the last one on all images, weights."""
    chance = np.random.default_rng(seed)
    x, weights = chance.normal(size=(number, dimensions)), chance.random(number) + 0.5
    return x, np.column_stack([x[:, 0] + chance.normal(size=number) > 0, x[:, 1] > 0.7, np.ones(number)]).astype(float), weights


@pytest.mark.parametrize(("number", "dimensions"), [(80, 6), (30, 50), (2, 3)])
@pytest.mark.parametrize("weighted", [True, False])
def test_labels_are_solved_as_by_scikit_learn_along_the_path(number: int, dimensions: int, weighted: bool) -> None:
    """More images than features, and fewer; the second label can be told apart without a mistake."""
    from sklearn.linear_model import LogisticRegression

    x, y, weights = clouds(number, dimensions)
    weights = weights if weighted else np.ones(number)
    for c, (kernel, bias) in zip(CANDIDATES, labels_along(x, y, weights, CANDIDATES), strict=True):
        for at in range(2):
            if len(np.unique(y[:, at])) == 2:
                theirs = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y[:, at], weights)
                assert kernel[:, at] == pytest.approx(theirs.coef_[0], rel=1e-5, abs=1e-6)
                assert sigmoid(x @ kernel[:, at] + bias[at]) == pytest.approx(theirs.predict_proba(x)[:, 1], abs=1e-6)
        assert kernel[:, 2].tolist() == [0] * dimensions
        assert bias[2] == pytest.approx(np.log((weights.sum() + 0.5) / 0.5))


def test_copies_of_images_and_features_without_variance_are_solved() -> None:
    x, y, weights = clouds(12, 40)
    x[:, 5:] = 0
    twice = np.concatenate([x, x])
    once, bias = solve_labels(x, y, 2 * weights, 0.3)
    again, of_both = solve_labels(twice, np.concatenate([y, y]), np.concatenate([weights, weights]), 0.3)
    assert again == pytest.approx(once, abs=1e-7)
    assert of_both[:2] == pytest.approx(bias[:2], abs=1e-7)
    assert solve_labels(np.zeros((4, 3)), np.array([[0.0], [1], [1], [1]]), np.ones(4), 1.0)[1][0] == pytest.approx(np.log(3))


def test_no_images_are_a_probability_of_a_half() -> None:
    kernel, bias = solve_labels(np.empty((0, 4)), np.empty((0, 2)), np.empty(0), 1.0)
    assert (kernel.shape, bias.tolist()) == ((4, 2), [0.0, 0.0])


def test_a_ridge_regression_equals_scikit_learns() -> None:
    from sklearn.linear_model import Ridge

    x, _, weights = clouds(80, 6)
    for rows in (x, x[:4]):
        number = rows[:, :1] * 3 + 2
        theirs = Ridge(alpha=1 / 0.3).fit(rows, number[:, 0], weights[: len(rows)])
        kernel, bias = solve_number(rows, number, weights[: len(rows)], 0.3)
        assert kernel[:, 0] == pytest.approx(theirs.coef_, abs=1e-8)
        assert bias[0] == pytest.approx(theirs.intercept_, abs=1e-8)


def test_the_strength_is_chosen_by_the_loss_on_held_out_images() -> None:
    x, y, weights = clouds(160, 6)
    losses = [losses_of_labels(x[80:], y[80:], *solve_labels(x[:80], y[:80], weights[:80], c)).mean() for c in CANDIDATES]
    chosen = choose_c(labels_along, losses_of_labels, x[:80], y[:80], weights[:80], (x[80:], y[80:]), 1)
    assert chosen == CANDIDATES[int(np.argmin(losses))]
