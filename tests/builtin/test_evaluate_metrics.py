"""The figures of an evaluation, against formulas, published values, scikit-learn and simulation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.evaluate import calibration, intervals, slices
from pipekit.builtin.evaluate.describe import describe_image
from pipekit.builtin.evaluate.metrics import measure
from pipekit.contract import Sample
from pipekit.learning.label_errors import confident_class, suspects
from pipekit.rng import rng_for


@st.composite
def answers(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """True classes and probabilities, degenerate ones too: one class, no positives, ties, certainty."""
    num_classes, count = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(0, draw(st.sampled_from([2, 4, 1000])), (count, num_classes)) + draw(st.sampled_from([1e-9, 0.5]))
    y_true = rng.integers(0, draw(st.integers(1, num_classes)), count)
    return y_true, np.round(scores / scores.sum(axis=1, keepdims=True), 6)


def found_for(y_true: NDArray[np.int64], probabilities: NDArray[np.float64], resamples: int = 50) -> dict:
    names = tuple("abcdefgh"[: probabilities.shape[1]])
    return measure(y_true, probabilities, names, rng_for(0, "test"), resamples=resamples)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_counts_and_shares_agree_with_their_definitions(drawn: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    y_true, probabilities = drawn
    metrics = found_for(y_true, probabilities)
    said = [max(range(len(row)), key=lambda j: (row[j], -j)) for row in probabilities.tolist()]
    pairs = list(zip(y_true.tolist(), said, strict=True))
    assert metrics["accuracy"]["value"] == pytest.approx(sum(t == p for t, p in pairs) / len(pairs))
    for i, row in enumerate(metrics["per_class"]):
        tp, fp = sum(t == p == i for t, p in pairs), sum(p == i != t for t, p in pairs)
        fn, tn = sum(t == i != p for t, p in pairs), sum(t != i and p != i for t, p in pairs)
        assert (row["tp"], row["fp"], row["fn"], row["tn"]) == (tp, fp, fn, tn)
        assert row["precision"]["value"] == (pytest.approx(tp / (tp + fp)) if tp + fp else None)
        assert row["recall"]["value"] == (pytest.approx(tp / (tp + fn)) if tp + fn else None)
        assert row["specificity"]["value"] == (pytest.approx(tn / (tn + fp)) if tn + fp else None)
        assert metrics["confusion_matrix"][i][i] == tp
    assert sum(map(sum, metrics["confusion_matrix"])) == len(y_true)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_averages_and_losses_agree_with_scikit_learn(drawn: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    from sklearn import metrics as sk

    y_true, probabilities = drawn
    metrics, said = found_for(y_true, probabilities, 0), probabilities.argmax(axis=1)
    labels = list(range(probabilities.shape[1]))
    for name, found in metrics["averages"].items():
        assert found["f1"] == pytest.approx(sk.f1_score(y_true, said, labels=labels, average=name, zero_division=0))
        precision = sk.precision_score(y_true, said, labels=labels, average=name, zero_division=0)
        assert found["precision"] == pytest.approx(precision)
        assert found["recall"] == pytest.approx(sk.recall_score(y_true, said, labels=labels, average=name, zero_division=0))
    present = np.unique(y_true)
    recalls = sk.recall_score(y_true, said, labels=present, average="macro", zero_division=0)
    assert metrics["balanced_accuracy"]["value"] == pytest.approx(recalls)
    assert metrics["macro_f1"]["value"] == pytest.approx(intervals.macro_f1(np.array([metrics["confusion_matrix"]], float))[0])
    safe = calibration.normalised(probabilities)
    assert metrics["log_loss"] == pytest.approx(sk.log_loss(y_true, safe, labels=labels), abs=1e-9)
    assert metrics["confusion_matrix"] == sk.confusion_matrix(y_true, said, labels=labels).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # undefined for one class: then ours is None
        kappa, matthews = sk.cohen_kappa_score(y_true, said), sk.matthews_corrcoef(y_true, said)
    assert metrics["kappa"] == (None if np.isnan(kappa) else pytest.approx(kappa))
    assert metrics["matthews"] == pytest.approx(matthews)
    for i, row in enumerate(metrics["per_class"]):
        positive, score = y_true == i, probabilities[:, i]
        f1 = sk.f1_score(positive, said == i, zero_division=np.nan)
        assert row["f1"]["value"] == (None if np.isnan(f1) else pytest.approx(f1))
        area = sk.roc_auc_score(positive, score) if 0 < positive.sum() < len(y_true) else None
        assert row["roc_auc"] == (None if area is None else pytest.approx(area))
        average = sk.average_precision_score(positive, score) if positive.any() else None
        assert row["average_precision"] == (None if average is None else pytest.approx(average))
    if len(labels) == 2:
        brier = sk.brier_score_loss(y_true == 1, probabilities[:, 1])
        assert metrics["brier"] == pytest.approx(2 * brier, abs=1e-5)  # over both classes, as Brier 1950 has it
    # scikit-learn refuses ties in top-k when it can't rank them; without ties the two agree
    if len(labels) > 2 and all(len(set(row)) == len(row) for row in probabilities.tolist()):
        expected = sk.top_k_accuracy_score(y_true, probabilities, k=2, labels=labels)
        assert metrics["top_k"]["2"]["value"] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(answers())
def test_every_figure_is_json_and_every_interval_holds_its_value(drawn: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    import json

    metrics = found_for(*drawn)
    json.dumps(metrics, allow_nan=False)
    for found in [metrics["accuracy"], *(row[name] for row in metrics["per_class"] for name in ("precision", "recall"))]:
        if found["value"] is not None:
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (hits, total), bounds in published.items():
        assert intervals.wilson(hits, total) == pytest.approx(bounds, abs=5e-5)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_is_symmetric_and_inside_the_unit_interval(hits: int, total: int) -> None:
    hits = min(hits, total)
    low, high = intervals.wilson(hits, total)
    assert 0 <= low <= hits / total <= high <= 1
    assert intervals.wilson(total - hits, total) == pytest.approx((1 - high, 1 - low))


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    """Wilson's for the accuracy, the bootstrap's for the balanced accuracy and macro F1, on simulated test sets."""
    rng = np.random.default_rng(5)
    chances = np.array([[0.26, 0.05, 0.02], [0.04, 0.22, 0.04], [0.03, 0.06, 0.28]])
    statistics = {"balanced": intervals.balanced_accuracy, "macro": intervals.macro_f1}
    true = {name: float(function(chances[None])[0]) for name, function in statistics.items()}
    trials, covered = 1500, {"accuracy": 0, "balanced": 0, "macro": 0}
    for trial in range(trials):
        matrix = rng.multinomial(200, chances.ravel()).reshape(3, 3)
        low, high = intervals.wilson(int(np.trace(matrix)), 200)
        covered["accuracy"] += low <= np.trace(chances) <= high
        bounds = intervals.bootstrap_matrix(matrix, statistics, rng_for(trial, "cover"), 400)
        for name, (low_bound, high_bound) in bounds.items():
            covered[name] += bool(low_bound <= true[name] <= high_bound)
    for name, count in covered.items():
        assert 0.93 <= count / trials <= 0.97, name


def test_the_bootstrap_of_the_matrix_is_the_bootstrap_of_the_images() -> None:
    rng = np.random.default_rng(1)
    y_true, said = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    said = np.where(rng.random(90) < 0.7, y_true, said)
    matrix = np.zeros((3, 3), np.int64)
    np.add.at(matrix, (y_true, said), 1)
    draws = []
    for _ in range(4000):
        chosen = rng.integers(0, 90, 90)
        resampled = np.zeros((3, 3))
        np.add.at(resampled, (y_true[chosen], said[chosen]), 1)
        draws.append(intervals.macro_f1(resampled[None])[0])
    low, high = intervals.bootstrap_matrix(matrix, {"f": intervals.macro_f1}, rng_for(0, "b"), 4000)["f"]
    assert (low, high) == (
        pytest.approx(np.quantile(draws, 0.025), abs=0.01),
        pytest.approx(np.quantile(draws, 0.975), abs=0.01),
    )


def test_calibration_error_by_hand() -> None:
    """Four bins: (0.25, 0.5] holds 2 images of mean 0.45, one right; (0.75, 1] holds 3 of mean 0.9, two right."""
    top = np.array([0.5, 0.4, 0.8, 0.9, 1.0])
    probabilities = np.stack([top, *[(1 - top) / 3] * 3], axis=1)
    y_true = np.array([0, 1, 0, 0, 2])
    found = calibration.calibration(probabilities, y_true, 4)
    assert found["expected_error"] == pytest.approx(2 / 5 * abs(0.5 - 0.45) + 3 / 5 * abs(2 / 3 - 0.9))
    assert found["max_error"] == pytest.approx(0.9 - 2 / 3)
    assert [b["count"] for b in found["bins"]] == [0, 2, 0, 3]


@settings(max_examples=50, deadline=None)
@given(answers(), st.integers(2, 20))
def test_calibration_error_agrees_with_the_reference_code(
    drawn: tuple[NDArray[np.int64], NDArray[np.float64]], bins: int
) -> None:
    """The loop of Guo et al.'s released code: bins open below and closed above, weighted by their share of the images."""
    y_true, probabilities = drawn
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true
    edges = np.linspace(0, 1, bins + 1)
    expected = 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += abs(confidence[inside].mean() - correct[inside].mean()) * inside.mean()
    assert calibration.calibration(probabilities, y_true, bins)["expected_error"] == pytest.approx(expected)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(true_temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (20_000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = (honest.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    sharpened = calibration.scaled(honest, 1 / true_temperature)
    assert calibration.fit_temperature(sharpened, y_true) == pytest.approx(true_temperature, rel=0.05)


def golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    ratio = (5**0.5 - 1) / 2
    while high - low > 1e-9:
        left, correct = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, correct) if loss(left) <= loss(correct) else (left, high)
    return (low + high) / 2


@pytest.mark.parametrize("seed", range(20))
def test_the_temperature_is_that_of_a_golden_section_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, rng.choice([0.5, 1, 2]), (200, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = np.where(rng.random(200) < 0.3, rng.integers(0, 4, 200), logits.argmax(axis=1))

    def loss(log_t: float) -> float:
        return calibration.log_loss(calibration.scaled(probabilities, float(np.exp(log_t))), y_true)

    expected = float(np.exp(golden_section(loss, np.log(0.05), np.log(20.0))))
    assert calibration.fit_temperature(probabilities, y_true) == pytest.approx(expected, abs=0.00051)


def test_few_sure_mistakes_do_not_ask_for_more_certainty() -> None:
    """With log losses kept below ln 1e7, T = 0.05 would fit best."""
    y_true = np.zeros(200, np.int64)
    probabilities = np.tile([0.999998, 0.000001, 0.000001], (200, 1))
    probabilities[:2] = [0.000001, 0.999998, 0.000001]
    probabilities[2:6] = [0.5, 0.3, 0.2]
    assert calibration.fit_temperature(probabilities, y_true) > 1


def test_where_no_temperature_is_better_the_coldest_is_taken() -> None:
    y_true = np.array([0, 1, 0])
    assert calibration.fit_temperature(np.eye(2)[y_true], y_true) == 0.05
    assert calibration.fit_temperature(np.full((3, 2), 0.5), y_true) == 0.05


@pytest.mark.parametrize(("margin", "temperature"), [(1.37, 0.053), (1.41, 0.05)])
def test_log_losses_that_differ_by_a_million_millionth_are_equal(margin: float, temperature: float) -> None:
    """One correct prediction by a clear margin, and one mistake by so little that the loss is lowest at T = 1/19.

    At T = 1/20 it is higher by ``exp(-19 m) (m - 1 + exp(-m)) / 2`` for a margin m: 1.5e-12 and 0.8e-12.
    """
    mistake = 2 * margin * math.exp(-19 * margin)
    surest = 1 / (1 + np.exp(-np.array([margin, mistake])))
    found = calibration.fit_temperature(np.stack([surest, 1 - surest], axis=1), np.array([0, 1]))
    assert found == pytest.approx(temperature, abs=1e-4)


@given(answers(), st.floats(0.1, 10))
def test_a_temperature_keeps_the_answers(drawn: tuple[NDArray[np.int64], NDArray[np.float64]], temperature: float) -> None:
    _, probabilities = drawn
    after = calibration.scaled(probabilities, temperature)
    assert after.sum(axis=1) == pytest.approx(np.ones(len(after)))
    chosen = after[np.arange(len(after)), probabilities.argmax(axis=1)]
    assert chosen == pytest.approx(after.max(axis=1))


def test_confident_learning_finds_the_labels_that_were_swapped() -> None:
    rng = np.random.default_rng(11)
    correct = rng.integers(0, 3, 300)
    logits = rng.normal(0, 0.1, (300, 3))
    logits[np.arange(300), correct] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels, swapped = correct.copy(), set(range(0, 300, 20))
    for i in swapped:
        labels[i] = (labels[i] + 1) % 3
    found = {int(row["id"]) for row in suspects([str(i) for i in range(300)], labels, probabilities, "abc")}
    assert found == swapped


def test_confident_class_by_hand() -> None:
    """Thresholds: class 0 (0.9 + 0.5) / 2 = 0.7, class 1 0.6. Row 1 reaches neither, row 2 its own."""
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    assert confident_class(np.array([0, 0, 1]), probabilities).tolist() == [0, -1, 1]


def test_ties_in_top_k_go_to_the_first_class() -> None:
    probabilities = np.full((4, 4), 0.25)
    metrics = found_for(np.arange(4), probabilities, 0)
    assert metrics["top_k"]["2"]["value"] == 0.5
    assert metrics["accuracy"]["value"] == 0.25


def test_an_undefined_figure_is_null_not_zero() -> None:
    metrics = found_for(np.zeros(5, np.int64), np.tile([0.9, 0.1], (5, 1)))
    other = metrics["per_class"][1]
    assert other["precision"]["value"] is None
    assert other["recall"]["value"] is None
    assert other["f1"] == {"value": None, "low": None, "high": None}
    assert other["roc_auc"] is None
    assert metrics["matthews"] == 0 or metrics["matthews"] is None
    assert not any(isinstance(value, float) and math.isnan(value) for value in metrics.values())


def test_without_a_mistake_the_bootstrap_claims_no_certainty() -> None:
    y_true = np.array([0, 1, 2] * 8)
    metrics = found_for(y_true, np.eye(3)[y_true])
    assert metrics["macro_f1"] == {"value": 1.0, "low": None, "high": None}
    assert metrics["accuracy"]["low"] == pytest.approx(intervals.wilson(24, 24)[0])
    assert metrics["accuracy"]["low"] < 0.9


def test_a_probability_of_nought_costs_as_much_as_one_in_ten_million() -> None:
    """Probabilities are stored to six decimals: ln(10^7) = 16.118, no infinity."""
    assert calibration.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(16.118, abs=0.001)


def test_fifty_suspects_are_listed() -> None:
    y_true = np.repeat([0, 1, 0], [60, 60, 60])
    probabilities = np.array([[0.9, 0.1]] * 60 + [[0.1, 0.9]] * 60 + [[0.05, 0.95]] * 60)
    assert len(suspects([str(i) for i in range(180)], y_true, probabilities, "ab")) == 50


@pytest.mark.parametrize(("count", "thirds"), [(15, 3), (14, 0)])
def test_a_third_is_a_slice_from_five_images_on(count: int, thirds: int) -> None:
    samples = [Sample(str(i), "") for i in range(count)]
    traits = {name: np.arange(1.0, count + 1) for name in slices.TRAITS}
    rows = slices.by_slice(samples, traits, np.ones(count, bool), ())
    assert sum(row["by"] == "brightness" for row in rows) == thirds


@pytest.mark.parametrize(("values", "rows"), [(12, 12), (13, 0)])
def test_a_column_of_many_values_makes_no_slices(values: int, rows: int) -> None:
    samples = [Sample(str(i), "", extra={"camera": i % values}) for i in range(2 * values)]
    assert len(slices.by_slice(samples, {}, np.ones(2 * values, bool), ())) == rows


@pytest.mark.parametrize(("stripe_px", "is_sharp"), [(1, False), (2, True)])
def test_images_are_described_at_a_longer_side_of_256_px(tmp_path: Path, stripe_px: int, is_sharp: bool) -> None:
    """At 512 px, stripes of 1 px are averaged out, and stripes of 2 px stay."""
    columns = np.where(np.arange(512) // stripe_px % 2, 156, 100).astype(np.uint8)
    images.write(tmp_path / "stripes.png", np.tile(columns[None, :, None], (400, 1, 3)))
    (found,) = describe_image(Sample("stripes.png", str(tmp_path / "stripes.png")), None, ctx=None)  # type: ignore[arg-type]
    assert (found["sharpness"] > 1000) == is_sharp


def test_a_model_that_is_surely_wrong_gets_the_hottest_temperature() -> None:
    y_true = np.array([0, 1, 0])
    assert calibration.fit_temperature(np.array([[0.1, 0.9], [0.9, 0.1]])[y_true], y_true) == pytest.approx(20, abs=0.01)
