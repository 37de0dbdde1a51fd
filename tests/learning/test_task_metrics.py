"""Metrics of several labels, numbers and ordered classes: equal to scikit-learn's; thresholds and intervals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from pipekit.errors import UserError
from pipekit.learning import multilabel_metrics as several
from pipekit.learning import number_metrics as numbers
from pipekit.learning.conformal import half_width
from pipekit.learning.thresholds import Target, threshold_for

CLOSE = {"rel": 1e-9, "abs": 1e-9}


def cases() -> dict[str, tuple[Any, Any]]:
    """True labels and scores: random ones, ties, labels of all or none, one image, one label."""
    chance = np.random.default_rng(0)
    true = chance.random((60, 5)) < chance.random(5)
    scores = np.clip(0.3 * true + chance.random((60, 5)) * 0.8, 0, 1)
    return {
        "random": (true, scores),
        "ties": (true, np.round(scores, 1)),
        "all and none": (np.column_stack([np.ones(20), np.zeros(20), true[:20, 0]]).astype(bool), chance.random((20, 3))),
        "one image": (np.array([[True, False]]), np.array([[0.9, 0.2]])),
        "nothing predicted": (true, np.zeros(true.shape)),
        "no labels": (np.zeros((6, 3), bool), np.full((6, 3), 0.7)),
    }


@pytest.mark.parametrize("name", cases())
def test_figures_of_several_labels_equal_those_of_scikit_learn(name: str) -> None:
    from sklearn import metrics

    true, scores = cases()[name]
    predicted = scores >= 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = metrics.precision_recall_fscore_support(true, predicted, average=None, zero_division=0)
        for found, theirs in zip(several.precision_recall_f1(true, predicted), wanted, strict=False):
            assert found == pytest.approx(theirs, **CLOSE)
        averages = several.averages(true, predicted)
        for average in ("micro", "macro", "weighted", "samples"):
            theirs = metrics.precision_recall_fscore_support(true, predicted, average=average, zero_division=0)[:3]
            assert [averages[f"{average}_{one}"] for one in ("precision", "recall", "f1")] == pytest.approx(theirs, **CLOSE)
        assert averages["subset_accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted), **CLOSE)
        assert averages["hamming_loss"] == pytest.approx(metrics.hamming_loss(true, predicted), **CLOSE)
        for at in range(true.shape[1]):
            ap, area = several.average_precision(true[:, at], scores[:, at]), several.auc(true[:, at], scores[:, at])
            if true[:, at].any():
                assert ap == pytest.approx(metrics.average_precision_score(true[:, at], scores[:, at]), **CLOSE)
            else:
                assert ap is None
            if true[:, at].any() and not true[:, at].all():
                assert area == pytest.approx(metrics.roc_auc_score(true[:, at], scores[:, at]), **CLOSE)
            else:
                assert area is None


def test_co_occurrence_and_confusion_of_labels() -> None:
    true = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    predicted = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0]], bool)
    assert several.co_occurrence(true).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert several.confusions(true, predicted).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("true", [np.linspace(-3, 9, 40), np.zeros(5), np.full(4, 2.5), np.array([1.0])])
def test_figures_of_numbers_equal_those_of_scikit_learn(true: Any) -> None:
    from sklearn import metrics

    for predicted in (true.copy(), true + np.random.default_rng(0).normal(size=len(true))):
        found = numbers.errors_of(true, predicted)
        assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true, predicted), **CLOSE)
        assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, predicted), **CLOSE)
        assert found["median_error"] == pytest.approx(metrics.median_absolute_error(true, predicted), **CLOSE)
        assert found["mape"] == pytest.approx(metrics.mean_absolute_percentage_error(true, predicted), rel=1e-9)
        if len(true) > 1:
            assert found["r2"] == pytest.approx(metrics.r2_score(true, predicted), **CLOSE)


def test_kappa_and_distances_of_ordered_classes() -> None:
    from sklearn.metrics import cohen_kappa_score

    chance = np.random.default_rng(1)
    true, predicted = chance.integers(0, 4, 90), chance.integers(0, 4, 90)
    wanted = cohen_kappa_score(true, predicted, weights="quadratic", labels=range(4))
    assert numbers.quadratic_kappa(true, predicted, 4) == pytest.approx(wanted, **CLOSE)
    assert numbers.quadratic_kappa(np.zeros(3, int), np.zeros(3, int), 2) is None
    assert numbers.distances(np.array([0, 1, 2]), np.array([0, 2, 0]), 3) == [1, 1, 1]


def test_conformal_intervals_cover_90_percent() -> None:
    chance = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        held, new = chance.standard_t(3, 60), chance.standard_t(3, 60)
        found = half_width(held, np.zeros(60))
        assert found is not None
        covered.append((np.abs(new) <= found["half_width"]).mean())
    assert 0.88 <= np.mean(covered) <= 0.92


@pytest.mark.parametrize(("text", "precision", "recall"), [("precision >= 0.8", 0.8, 0.0), ("recall >= 0.9", 0.0, 0.9)])
def test_a_threshold_keeps_its_target(text: str, precision: float, recall: float) -> None:
    chance = np.random.default_rng(4)
    true = chance.random(300) < 0.3
    scores = np.clip(0.35 * true + chance.random(300) * 0.65, 0, 1)
    found = several.precision_recall_f1(true[:, None], scores[:, None] >= threshold_for(true, scores, Target.read(text)))
    assert found[0][0] >= precision
    assert found[1][0] >= recall


def test_the_threshold_of_f1_is_the_best_one() -> None:
    chance = np.random.default_rng(5)
    true = chance.random(120) < 0.2
    scores = np.round(np.clip(0.2 * true + chance.random(120) * 0.8, 0, 1), 2)
    best = max(several.precision_recall_f1(true[:, None], scores[:, None] >= at)[2][0] for at in np.unique(scores))
    at = threshold_for(true, scores, Target("f1"))
    assert several.precision_recall_f1(true[:, None], scores[:, None] >= at)[2][0] == pytest.approx(best)


def test_few_images_keep_the_threshold_at_a_half() -> None:
    assert threshold_for(np.array([True] * 4 + [False] * 90), np.linspace(1, 0, 94), Target("f1")) == 0.5
    with pytest.raises(UserError, match="threshold = 'f2'"):
        Target.read("f2")


def test_planted_label_errors_are_suspects() -> None:
    chance = np.random.default_rng(6)
    clean = chance.random((600, 4)) < 0.4
    probabilities = np.clip(np.where(clean, 0.85, 0.15) + chance.normal(0, 0.1, clean.shape), 0, 1)
    planted = chance.random(clean.shape) < 0.03
    found = {(row, int(label)) for row, label, _, _ in several.suspects(clean ^ planted, probabilities, "0123")}
    wanted = set(zip(*map(np.ndarray.tolist, np.nonzero(planted)), strict=True))
    assert len(found & wanted) >= 0.9 * len(wanted)
    assert len(found & wanted) >= 0.8 * len(found)


def test_ordered_classes_are_measured_in_their_order() -> None:
    from pipekit.builtin.evaluate import ordinal

    true, predicted = np.array([0, 1, 2, 2, 0, 1]), np.array([0, 2, 1, 2, 1, 1])
    found = ordinal.measure(true, predicted, ("high", "low", "mid"), ("low", "mid", "high"), None, np.random.default_rng(0))
    assert found is not None
    assert found["by_distance"] == [3, 2, 1]
    assert (found["too_low"], found["too_high"]) == (2, 1)
    assert found["within_one"]["value"] == pytest.approx(5 / 6)
    assert ordinal.measure(true, predicted, ("a", "b", "c"), ("a", "b"), None, None) is None
