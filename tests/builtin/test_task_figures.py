"""Every figure of a report of several labels and of a number is scikit-learn's, to 1e-9, on random and degenerate inputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.evaluate import numbers, several, task_slices
from pipekit.builtin.evaluate.of_task import Answered
from pipekit.contract import Dataset, Sample
from pipekit.learning import multilabel_metrics as figures
from pipekit.learning import number_metrics

CLOSE = {"rel": 1e-9, "abs": 1e-9}
NAMES = ("a", "b", "c", "d")
PARAMS: Any = SimpleNamespace(resamples=0, slices=())
CONTEXT: Any = SimpleNamespace(rng=lambda name: np.random.default_rng(0))


@pytest.fixture(autouse=True)
def without_slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They read the images."""
    monkeypatch.setattr(task_slices, "_traits", lambda ctx, found: {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about figures that it can't compute
        yield


def answered(samples: list[Sample], rows: Any, info: dict[str, Any]) -> Answered:
    counts = {name: sum(name in (one.labels or ()) for one in samples) for name in NAMES}
    dataset = Dataset(Path(), "", {"counts": {"train": counts}}, lambda _: iter(samples), lambda _: iter(samples))
    return Answered(tuple(samples), np.asarray(rows, np.float64), None, (), {"classes": NAMES, **info}, dataset, "test")


def labelled() -> dict[str, tuple[Any, Any]]:
    """True labels and probabilities: random ones of many sizes, ties, labels on all images or none, one image, certainty."""
    found = {}
    for seed in range(12):
        chance = np.random.default_rng(seed)
        true = chance.random((int(chance.integers(1, 80)), 4)) < chance.random(4)
        scores = np.clip(0.4 * true + chance.random(true.shape) * 0.7, 0, 1)
        found[f"random {seed}"] = true, np.round(scores, 1 if seed % 3 == 0 else 6)
    true, scores = found["random 1"]
    return found | {
        "no label": (np.zeros_like(true), scores),
        "every label": (np.ones_like(true), scores),
        "nothing predicted": (true, np.zeros_like(scores)),
        "everything predicted": (true, np.ones_like(scores)),
        "perfect": (true, true * 1.0),
        "wrong": (true, ~true * 1.0),
    }


@pytest.mark.parametrize("name", labelled())
def test_the_report_of_several_labels_has_scikit_learns_figures(name: str) -> None:
    from sklearn import metrics as theirs

    true, scores = labelled()[name]
    samples = [Sample(f"{at}", "", labels=tuple(np.array(NAMES)[row]), split="train") for at, row in enumerate(true)]
    at = {"a": 0.5, "b": 0.35, "c": 0.6, "d": 0.5}
    found = several.measure(CONTEXT, answered(samples, scores, {"thresholds": at}), PARAMS)
    predicted = scores >= np.array([at[one] for one in NAMES])
    for average in ("micro", "macro", "weighted", "samples"):
        wanted = theirs.precision_recall_fscore_support(true, predicted, average=average, zero_division=0)[:3]
        assert [found[f"{average}_{one}"]["value"] for one in ("precision", "recall", "f1")] == pytest.approx(wanted, **CLOSE)
    assert found["subset_accuracy"]["value"] == pytest.approx(theirs.accuracy_score(true, predicted), **CLOSE)
    assert found["hamming_loss"]["value"] == pytest.approx(theirs.hamming_loss(true, predicted), **CLOSE)
    with_images = true.any(axis=0)
    if with_images.any():
        wanted = theirs.average_precision_score(true[:, with_images], scores[:, with_images], average="macro")
        assert found["mean_average_precision"]["value"] == pytest.approx(wanted, **CLOSE)
    else:
        assert found["mean_average_precision"]["value"] is None
    each = theirs.precision_recall_fscore_support(true, predicted, average=None, zero_division=0)
    tables = theirs.multilabel_confusion_matrix(true, predicted)
    for place, label in enumerate(NAMES):
        own, (has, score) = found["per_label"][label], (true[:, place], scores[:, place])
        assert [own[one]["value"] for one in ("precision", "recall", "f1")] == pytest.approx(
            [one[place] for one in each[:3]], **CLOSE
        )
        assert (own["images"], own["predicted"]) == (tables[place][1].sum(), tables[place][:, 1].sum())
        assert found["co_occurrence"][place][place] == each[3][place]
        ap, area = own["average_precision"]["value"], own["auc"]["value"]
        assert ap == (pytest.approx(theirs.average_precision_score(has, score), **CLOSE) if has.any() else None)
        assert area == (pytest.approx(theirs.roc_auc_score(has, score), **CLOSE) if has.any() and not has.all() else None)
    constant = np.tile(true.mean(axis=0) > 0.5, (len(true), 1))
    base = theirs.precision_recall_fscore_support(true, constant, average="macro", zero_division=0)[2]
    assert found["baseline"]["macro_f1"] == pytest.approx(base, **CLOSE)


def test_the_calibration_error_is_that_of_scikit_learns_bins() -> None:
    from sklearn.calibration import calibration_curve

    for seed in range(5):
        chance = np.random.default_rng(seed)
        p = chance.random(200)
        true = chance.random(200) < p**2
        shares, means = calibration_curve(true, p, n_bins=15)
        counts = np.histogram(p, 15, (0, 1))[0]
        wanted = (np.abs(shares - means) * counts[counts > 0]).sum() / 200
        assert figures.calibration_error(true, p) == pytest.approx(wanted, **CLOSE)


def values() -> dict[str, tuple[Any, Any]]:
    found = {}
    for seed in range(10):
        chance = np.random.default_rng(seed)
        true = chance.normal(size=int(chance.integers(2, 90))) * 10.0 ** (seed % 5 - 2) + 5
        found[f"random {seed}"] = true, true + chance.normal(size=len(true))
    same = np.full(6, 2.5)
    return found | {
        "constant": (same, same + np.arange(6)),
        "constant and right": (same, same),
        "constant predictions": (np.arange(6.0) + 1, same),
        "one image": (same[:1], same[:1] + 1),
        "zeros": (np.array([0.0, 0, 3]), np.array([0.0, 1, 3])),
        "large": (np.arange(9.0) * 1e9, np.arange(9.0) * 1e9 + 1),
        "opposite": (np.arange(8.0), -np.arange(8.0)),
    }


@pytest.mark.parametrize("name", values())
def test_the_report_of_a_number_has_scikit_learns_figures(name: str) -> None:
    from sklearn import metrics as theirs
    from sklearn.dummy import DummyRegressor

    true, predicted = values()[name]
    samples = [Sample(f"{at}", "", value=float(one)) for at, one in enumerate(true)]
    about = {"value": {"name": "a", "interval": {"level": 0.9, "half_width": 1.0, "images": 9}}}
    found = numbers.measure(CONTEXT, answered(samples, predicted[:, None], about), PARAMS)
    constant = DummyRegressor().fit(true[:, None], true).predict(true[:, None])
    for said, wrong in ((lambda one: found[one]["value"], predicted), (lambda one: found["baseline"][one], constant)):
        assert said("mae") == pytest.approx(theirs.mean_absolute_error(true, wrong), **CLOSE)
        assert said("rmse") == pytest.approx(theirs.root_mean_squared_error(true, wrong), **CLOSE)
        assert said("median_error") == pytest.approx(theirs.median_absolute_error(true, wrong), **CLOSE)
        assert said("mape") == pytest.approx(theirs.mean_absolute_percentage_error(true, wrong), **CLOSE)
        assert said("bias") == pytest.approx(np.mean(wrong - true), **CLOSE)
        if len(true) > 1:  # scikit-learn has no R2 of one image
            assert said("r2") == pytest.approx(theirs.r2_score(true, wrong), **CLOSE)
    inside = (np.abs(predicted - true) <= 1.0).mean()
    assert found["prediction_interval"]["coverage"]["value"] == pytest.approx(inside, **CLOSE)


@pytest.mark.parametrize("seed", range(8))
def test_the_kappa_of_ordered_classes_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import cohen_kappa_score

    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 60))
    true, predicted = chance.integers(0, 1 + seed % 5, count), chance.integers(0, 5, count)
    found = number_metrics.quadratic_kappa(true, predicted, 5)
    wanted = cohen_kappa_score(true, predicted, weights="quadratic", labels=range(5))
    assert (np.isnan(wanted) and found is None) or found == pytest.approx(wanted, **CLOSE)
