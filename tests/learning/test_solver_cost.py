"""Estimated times of solvers: they grow with the data, and what they count is what the solvers do, to a factor of two."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest

from pipekit.builtin.models.logistic_regression import CANDIDATES, scale_of
from pipekit.learning import logistic_path
from pipekit.learning.solver_cost import MOST_ITERATIONS, OPERATIONS_A_SECOND, OWN, iterations, passes, solver_s

Float = np.typing.NDArray[np.float64]


def features(images: int, classes: int) -> tuple[Float, np.typing.NDArray[np.int64]]:
    """Classes that overlap; a few directions hold most of the variance, as in the features of a network."""
    rng = np.random.default_rng(0)
    spread = np.arange(1, 257) ** -0.9
    numbers = np.arange(images) % classes
    rows = (rng.normal(size=(classes, 256))[numbers] + 2 * rng.normal(size=(images, 256))) * spread
    middle, scale = scale_of(rows)
    return (rows - middle) / scale, numbers


def near(estimated: float, counted: float) -> bool:
    return counted / 2 <= estimated <= 2 * counted


@pytest.mark.parametrize(("images", "classes"), [(100, 2), (400, 2), (200, 10), (400, 20)])
def test_l_bfgs_takes_about_as_many_iterations(images: int, classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, numbers = features(images, classes)
    counted = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for c in CANDIDATES:
            counted += int(LogisticRegression(C=c, max_iter=1000, tol=1e-5).fit(rows, numbers).n_iter_.max())
    assert near(iterations(images, classes, len(CANDIDATES)), counted), counted


@pytest.mark.parametrize(("images", "labels"), [(100, 3), (400, 10)])
def test_newton_s_method_makes_about_as_many_passes(images: int, labels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    scores = logistic_path._Side.scores

    def counting(side: logistic_path._Side, point: Float) -> Float:
        nonlocal counted
        counted += point.shape[1]
        return scores(side, point)

    monkeypatch.setattr(logistic_path._Side, "scores", counting)
    rows, numbers = features(images, labels)
    for _ in logistic_path.labels_along(rows, np.eye(labels)[numbers], np.ones(images), CANDIDATES):
        pass
    assert near(passes(images, len(CANDIDATES)), counted / labels), counted / labels


@pytest.mark.parametrize("task", ["classes", "multilabel", "number"])
def test_more_of_anything_takes_longer(task: str) -> None:
    def seconds(images: int = 500, dimensions: int = 1280, classes: int = 4, strengths: int = 6) -> float:
        return solver_s(task, images, dimensions, classes, strengths)

    for name in ("images", "dimensions", "strengths", *(() if task == "number" else ("classes",))):
        found = [seconds(**{name: value}) for value in (1, 2, 10, 100, 1000, 10_000)]
        assert all(one < other for one, other in pairwise(found)), (name, found)


def test_a_solver_ends_and_its_own_work_counts() -> None:
    assert iterations(10**9, 1000, 6) == 6 * MOST_ITERATIONS
    assert iterations(10, 2, 6) < 6 * MOST_ITERATIONS
    alone = solver_s("classes", 1, 1280, 2, 6) / iterations(1, 2, 6)
    assert solver_s("classes", 1 + OWN, 1280, 2, 6) / iterations(1 + OWN, 2, 6) == pytest.approx(2 * alone, rel=0.01)
    assert solver_s("number", 1000, 1000, 1, 3) == pytest.approx(3 * 1.4e10 / OPERATIONS_A_SECOND)
