"""The figures of an evaluation, against formulas, published values, scikit-learn and simulation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

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
from pipekit.learning import temperature as scaling
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
    safe = scaling.normalised(probabilities)
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


def test_exact_intervals_agree_with_published_values() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 5.
    published = {(81, 263): (0.2527, 0.3676), (15, 148): (0.0578, 0.1617), (0, 20): (0.0, 0.1684), (1, 29): (0.0009, 0.1776)}
    for (hits, total), bounds in published.items():
        assert intervals.exact(hits, total) == pytest.approx(bounds, abs=5e-5)


@given(st.integers(0, 500), st.integers(1, 500))
def test_exact_intervals_are_symmetric_and_inside_the_unit_interval(hits: int, total: int) -> None:
    hits = min(hits, total)
    low, high = intervals.exact(hits, total)
    assert 0 <= low <= hits / total <= high <= 1
    assert intervals.exact(total - hits, total) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("shares", "accuracy", "size"),
    [
        ([0.95, 0.05], 0.97, 300),  # resampling the images covers 48 % here
        ([0.98, 0.02], 0.97, 600),
        ([0.1] * 10, 0.97, 100),  # Jeffreys' prior on each class covers 55 % here
        ([0.25, 0.2, 0.15, 0.1, 0.1, 0.04, 0.04, 0.04, 0.04, 0.04], 0.8, 300),
    ],
)
def test_intervals_cover_the_truth_with_uneven_classes(shares: list[float], accuracy: float, size: int) -> None:
    """``benchmarks/coverage.py`` has the whole grid."""
    rng, number, trials = np.random.default_rng(5), len(shares), 300
    mistakes = (1 - np.eye(number)) * (1 - accuracy) / (number - 1)
    chances = np.array(shares)[:, None] * (np.eye(number) * accuracy + mistakes)
    true = {name: value for name, (value, _) in intervals.influences(chances).items()}
    nobody, covered, given_for = np.zeros(0, np.int64), dict.fromkeys(true, 0), 0
    for draw in rng.multinomial(size, chances.ravel(), trials):
        found = intervals.averages(draw.reshape(number, number), nobody, nobody, None)
        given_for += found["macro_f1"]["low"] is not None
        for name, one in found.items():
            covered[name] += one["low"] is not None and one["low"] <= true[name] <= one["high"]
    assert given_for > trials / 2
    for name, count in covered.items():
        assert count / given_for >= 0.93, name


def test_influences_are_the_derivatives_of_the_averages() -> None:
    rng = np.random.default_rng(2)
    counts, step = rng.integers(1, 30, (4, 4)).astype(float), 1e-6
    for name, (value, each) in intervals.influences(counts).items():
        slopes = np.zeros((4, 4))
        for place in np.ndindex(4, 4):
            more = counts.copy()
            more[place] += step
            slopes[place] = (intervals.influences(more)[name][0] - value) / step * counts.sum()
        each = each - (counts * each).sum() / counts.sum()  # how many images there are changes nothing
        assert each == pytest.approx(slopes, abs=1e-3), name


def test_no_average_has_an_interval_where_a_class_has_fewer_than_five_images() -> None:
    nobody = np.zeros(0, np.int64)
    assert intervals.averages(np.array([[50, 2], [1, 3]]), nobody, nobody, None)["macro_f1"]["low"] is None
    assert intervals.averages(np.array([[50, 2], [1, 4]]), nobody, nobody, None)["macro_f1"]["low"] is not None


def test_groups_widen_every_interval_and_the_design_effect_is_found() -> None:
    """Groups of eight images with one result each are eight times as large as they are many."""
    rng = np.random.default_rng(4)
    groups, right = np.repeat(np.arange(60), 8), np.repeat(rng.random(60) < 0.7, 8)
    alone, together = intervals.share_of(right), intervals.share_of(right, groups)
    ratio = (together["high"] - together["low"]) / (alone["high"] - alone["low"])
    assert ratio == pytest.approx(8**0.5, rel=0.1)
    y_true = np.repeat(rng.integers(0, 2, 60), 8)
    probabilities = np.eye(2)[np.where(right, y_true, 1 - y_true)]
    plain = measure(y_true, probabilities, ("a", "b"), rng_for(0, "t"), resamples=0)
    wide = measure(y_true, probabilities, ("a", "b"), rng_for(0, "t"), resamples=0, groups=groups)
    assert wide["per_class"][0]["roc_auc_interval"]["low"] is not None
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert wide[name]["value"] == plain[name]["value"]
        assert wide[name]["high"] - wide[name]["low"] > 2 * (plain[name]["high"] - plain[name]["low"])


@pytest.mark.parametrize(("alike", "accuracy"), [(0.3, 0.8), (0.6, 0.95)])
def test_intervals_of_grouped_images_cover_the_truth(alike: float, accuracy: float) -> None:
    rng, numbers, covered = np.random.default_rng(6), np.repeat(np.arange(50), 8), 0
    for _ in range(300):
        chance = rng.beta(accuracy * (1 / alike - 1), (1 - accuracy) * (1 / alike - 1), 50)
        found = intervals.share_of(rng.random(400) < np.repeat(chance, 8), numbers)
        covered += found["low"] <= accuracy <= found["high"]
    assert covered / 300 >= 0.93


def test_the_area_under_the_curve_has_an_interval_also_at_one() -> None:
    found = intervals.auc(np.arange(30.0) + 100, np.arange(50.0))
    assert found["value"] == found["high"] == 1
    assert 0.85 < found["low"] < 0.95
    assert intervals.auc(np.arange(9.0), np.arange(50.0))["low"] is None


def test_intervals_of_the_area_under_the_curve_cover_the_truth() -> None:
    from scipy.stats import norm

    rng, covered = np.random.default_rng(7), 0
    for _ in range(300):
        found = intervals.auc(rng.normal(norm.ppf(0.95) * 2**0.5, 1, 20), rng.normal(size=80))
        covered += found["low"] <= 0.95 <= found["high"]
    assert covered / 300 >= 0.93


def test_groups_divide_the_images_under_the_curve() -> None:
    """Eight images of one score each count as one; none below ten groups in the class; images that are alone change nothing."""
    rng = np.random.default_rng(9)
    some, others, alone = rng.normal(1, 1, 20), rng.normal(size=30), (np.arange(20), np.arange(20, 50))
    plain = intervals.auc(some, others)
    assert intervals.auc(some, others, alone) == pytest.approx(plain)
    often = intervals.auc(some.repeat(8), others.repeat(8), (alone[0].repeat(8), alone[1].repeat(8)))
    assert often["value"] == pytest.approx(plain["value"])
    assert often["high"] - often["low"] == pytest.approx(plain["high"] - plain["low"], rel=0.1)
    few = intervals.auc(some, others, (np.arange(20) % 9, np.arange(20, 50)))
    assert (few["value"], few["low"]) == (plain["value"], None)


@pytest.mark.parametrize("sign", [1, -1])
def test_intervals_of_the_area_of_groups_cover_the_truth(sign: int) -> None:
    """Groups of both classes: their images score high together, or are hard together, as Obuchowski allows for."""
    from scipy.stats import norm

    rng, covered, numbers = np.random.default_rng(10), 0, np.repeat(np.arange(40), 6)
    for _ in range(200):
        positive = rng.random(240) < 0.5
        own = rng.normal(size=40)[numbers] * np.where(positive, 1, sign)
        scores = 0.6**0.5 * own + 0.4**0.5 * rng.normal(size=240) + positive * norm.ppf(0.85) * 2**0.5
        found = intervals.auc(scores[positive], scores[~positive], (numbers[positive], numbers[~positive]))
        covered += found["low"] <= 0.85 <= found["high"]
    assert covered / 200 >= 0.93


def test_a_calibrated_model_s_error_is_called_chance_and_an_overconfident_one_s_is_not() -> None:
    rng = np.random.default_rng(8)
    confidence = rng.uniform(0.5, 1, 300)
    honest = calibration.level_if_perfect(confidence, rng.random(300) < confidence, 15, rng, 400)
    over = calibration.level_if_perfect(confidence, rng.random(300) < confidence - 0.15, 15, rng, 400)
    assert honest["p"] > 0.05 > over["p"]
    assert 0.03 < honest["mean"] < honest["high"] < 0.12


def test_a_very_overconfident_model_s_temperature_is_found_from_unrounded_probabilities() -> None:
    """Rounded to six decimals, the same predictions ask for a temperature a fifth lower."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = (honest.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    over = scaling.scaled(honest, 1 / 5.87, scaling.UNROUNDED)
    assert scaling.fit_temperature(over, y_true, scaling.UNROUNDED) == pytest.approx(5.87, rel=0.05)
    assert scaling.fit_temperature(np.round(over, 6), y_true) < 5.2


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
    sharpened = scaling.scaled(honest, 1 / true_temperature)
    assert scaling.fit_temperature(sharpened, y_true) == pytest.approx(true_temperature, rel=0.05)


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
        return scaling.log_loss(scaling.scaled(probabilities, float(np.exp(log_t))), y_true)

    expected = float(np.exp(golden_section(loss, np.log(0.05), np.log(20.0))))
    assert scaling.fit_temperature(probabilities, y_true) == pytest.approx(expected, abs=0.00051)


def test_few_sure_mistakes_do_not_ask_for_more_certainty() -> None:
    """With log losses kept below ln 1e7, T = 0.05 would fit best."""
    y_true = np.zeros(200, np.int64)
    probabilities = np.tile([0.999998, 0.000001, 0.000001], (200, 1))
    probabilities[:2] = [0.000001, 0.999998, 0.000001]
    probabilities[2:6] = [0.5, 0.3, 0.2]
    assert scaling.fit_temperature(probabilities, y_true) > 1


def test_where_no_temperature_is_better_the_coldest_is_taken() -> None:
    y_true = np.array([0, 1, 0])
    assert scaling.fit_temperature(np.eye(2)[y_true], y_true) == 0.05
    assert scaling.fit_temperature(np.full((3, 2), 0.5), y_true) == 0.05


@pytest.mark.parametrize(("margin", "temperature"), [(1.37, 0.053), (1.41, 0.05)])
def test_log_losses_that_differ_by_a_million_millionth_are_equal(margin: float, temperature: float) -> None:
    """One correct prediction by a clear margin, and one mistake by so little that the loss is lowest at T = 1/19.

    At T = 1/20 it is higher by ``exp(-19 m) (m - 1 + exp(-m)) / 2`` for a margin m: 1.5e-12 and 0.8e-12.
    """
    mistake = 2 * margin * math.exp(-19 * margin)
    surest = 1 / (1 + np.exp(-np.array([margin, mistake])))
    found = scaling.fit_temperature(np.stack([surest, 1 - surest], axis=1), np.array([0, 1]))
    assert found == pytest.approx(temperature, abs=1e-4)


@given(answers(), st.floats(0.1, 10))
def test_a_temperature_keeps_the_answers(drawn: tuple[NDArray[np.int64], NDArray[np.float64]], temperature: float) -> None:
    _, probabilities = drawn
    after = scaling.scaled(probabilities, temperature)
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


def test_without_a_mistake_no_certainty_is_claimed() -> None:
    y_true = np.array([0, 1, 2] * 8)
    metrics = found_for(y_true, np.eye(3)[y_true])
    assert metrics["macro_f1"]["value"] == metrics["macro_f1"]["high"] == 1
    assert 0.75 < metrics["macro_f1"]["low"] < 0.95
    assert metrics["accuracy"]["low"] == pytest.approx(intervals.exact(24, 24)[0])
    assert metrics["accuracy"]["low"] < 0.9


def test_a_probability_of_nought_costs_as_much_as_one_in_ten_million() -> None:
    """Probabilities are stored to six decimals: ln(10^7) = 16.118, no infinity."""
    assert scaling.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(16.118, abs=0.001)


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
    assert scaling.fit_temperature(np.array([[0.1, 0.9], [0.9, 0.1]])[y_true], y_true) == pytest.approx(20, abs=0.01)


def slice_rows(right_inside: int, inside: int, columns: int = 1) -> list[dict[str, Any]]:
    """A slice ``a`` of a column with ``right_inside`` of ``inside`` correct, beside 180 of 200 correct ones."""
    extras = [{"c0": "a"}] * inside + [{"c0": "b"}] * 200
    extras = [{**extra, **{f"c{i}": f"{place % 12}" for i in range(1, columns)}} for place, extra in enumerate(extras)]
    samples = [Sample(str(i), "", extra=extra) for i, extra in enumerate(extras)]
    correct = np.r_[np.arange(inside) < right_inside, np.arange(200) < 180]
    return [row for row in slices.by_slice(samples, {}, correct, ()) if (row["by"], row["slice"]) == ("c0", "a")]


def test_ten_images_are_not_called_weaker() -> None:
    (row,) = slice_rows(5, 10)
    assert row["accuracy"]["high"] < 0.9
    assert (row["weaker"], row["p_holm"]) == (False, None)


def test_a_slice_is_weaker_only_beyond_the_number_of_slices_tried() -> None:
    (alone,), (among_many,) = slice_rows(31, 40), slice_rows(31, 40, columns=4)
    assert alone["p_holm"] < among_many["p_holm"]
    assert not among_many["weaker"]
    (clear,) = slice_rows(20, 40, columns=4)
    assert clear["weaker"]
