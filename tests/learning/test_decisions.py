"""Decision rules: targets and costs are read, thresholds chosen on val, and every figure equals a direct computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from pipekit.builtin.evaluate import decision as measured_rule
from pipekit.builtin.evaluate.intervals import mean_of_levels
from pipekit.errors import UserError
from pipekit.learning.decisions import (
    Target,
    asked_for,
    check_costs,
    choose_costs,
    choose_threshold,
    cost_matrix,
    decision_of,
    needed_images,
    parse_target,
    positive_class,
    threshold_for,
)
from pipekit.learning.predictions import answers, to_plain
from pipekit.learning.predictor import Predictor

TWO = ("defect", "ok")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("recall of defect >= 0.95", Target("recall", "defect", 0.95)),
        ("  precision of the big dog>=.9 ", Target("precision", "the big dog", 0.9)),
        ("recall of 'a >= 0.2' >= 95 %", Target("recall", "a >= 0.2", 0.95)),
        ("recall of ok >= 1", Target("recall", "ok", 1.0)),
    ],
)
def test_a_target_is_read(text: str, found: Target) -> None:
    assert parse_target(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recall defect >= 0.95", "a target reads 'recall of CLASS >= 0.95'"),
        ("recall of defect > 0.95", "a target reads"),
        ("recall of >= 0.95", "a target reads"),
        ("f1 of defect >= 0.5", "a target reads"),
        ("recall of defect >= 0.95; import os", "a target reads"),
        ("recall of defect >= 0", "above 0 and at most 1"),
        ("recall of defect >= 95", "above 0 and at most 1"),
        ("recall of defect >= 120 %", "above 0 and at most 1"),
    ],
)
def test_what_is_no_target_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_target(text)


def test_a_target_needs_two_classes_of_which_it_names_one() -> None:
    assert positive_class(parse_target("recall of ok >= 0.9"), TWO) == 1
    with pytest.raises(UserError, match="the model has no class 'defekt'") as caught:
        positive_class(parse_target("recall of defekt >= 0.9"), TWO)
    assert "defect" in caught.value.hint
    with pytest.raises(UserError, match="a threshold is for two classes, and the model has 3"):
        positive_class(parse_target("recall of ok >= 0.9"), (*TWO, "dirty"))


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({"defect": {"ok": -1}}, "a number from 0 up"),
        ({"defect": {"ok": float("inf")}}, "a number from 0 up"),
        ({"defect": {"defect": 1}}, "a correct prediction costs nothing"),
    ],
)
def test_impossible_costs_are_refused(costs: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_costs(costs)


def test_costs_name_the_model_s_classes_and_a_mistake_costs_one_unless_stated() -> None:
    assert cost_matrix({"defect": {"ok": 5, "defect": 0}}, TWO).tolist() == [[0, 5], [1, 0]]
    assert cost_matrix({"b": {"c": 3}}, ("a", "b", "c")).tolist() == [[0, 1, 1], [1, 0, 3], [1, 1, 0]]
    for costs in ({"dirty": {"ok": 2}}, {"ok": {"dirty": 2}}):
        with pytest.raises(UserError, match="cost: the model has no class 'dirty'"):
            cost_matrix(costs, TWO)
    with pytest.raises(UserError, match="no mistake costs anything"):
        cost_matrix({"defect": {"ok": 0}, "ok": {"defect": 0}}, TWO)


# --- thresholds ----------------------------------------------------------------------------------------------------------


def drawn(count: int, seed: int, ties: bool = False) -> tuple[Any, Any]:
    """Probabilities of "defect", and whether each image is one."""
    rng = np.random.default_rng(seed)
    positive = rng.random(count) ** 2
    own = rng.random(count) < positive
    own[:2] = True, False
    return (np.round(positive, 1) if ties else positive), own


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("value", [0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("figure", ["recall", "precision"])
def test_a_threshold_is_the_best_of_all_that_reach_the_target(figure: str, value: float, seed: int) -> None:
    positive, own = drawn(60, seed, ties=seed % 2 == 1)
    target = Target(figure, "defect", value)

    def figures(threshold: float) -> tuple[float, float]:
        said = positive >= threshold
        return float(said[own].mean()), float(own[said].mean()) if said.any() else 0.0

    every = [figures(at) for at in (0, *np.unique(positive))]
    good = [pair for pair in every if pair[0 if figure == "recall" else 1] >= value - 1e-12]
    if not good:
        with pytest.raises(UserError, match="no threshold reaches 'precision of defect"):
            threshold_for(target, positive, own)
        return
    recall, precision = figures(threshold_for(target, positive, own))
    if figure == "recall":
        assert recall == min(pair[0] for pair in good), "the highest threshold that reaches it"
    else:
        assert precision >= value - 1e-12
        assert recall == max(pair[0] for pair in good)


def test_a_threshold_lies_between_probabilities_that_occur() -> None:
    positive, own = np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, True, False, False])
    assert threshold_for(Target("recall", "defect", 1.0), positive, own) == pytest.approx(0.4)
    assert threshold_for(Target("recall", "defect", 0.5), positive, own) == pytest.approx(0.75)


@pytest.mark.parametrize("own", [np.zeros(4, bool), np.ones(4, bool)])
def test_val_without_images_of_a_class_is_an_error_with_the_number_needed(own: Any) -> None:
    with pytest.raises(UserError, match="val has no image of ") as caught:
        threshold_for(Target("recall", "defect", 0.95), np.linspace(0, 1, 4), own)
    assert "72 support 0.95" in caught.value.hint


@pytest.mark.parametrize("value", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_number_of_images_needed_is_that_of_the_exact_interval(value: float) -> None:
    need = needed_images(value)
    assert need is not None
    lows = [float(beta.ppf(0.025, count, 1)) for count in (need - 1, need)]
    assert lows[0] < value <= lows[1] + 1e-12
    assert needed_images(1.0) is None


def test_what_is_stored_has_the_figures_of_val_and_says_where_they_are_few() -> None:
    positive, own = drawn(400, 3)
    rows, y_true = np.stack([positive, 1 - positive], axis=1), np.where(own, 0, 1)
    entry = choose_threshold(parse_target("recall of defect >= 0.9"), TWO, rows, y_true)
    found = np.round(positive, 6) >= entry["threshold"]
    val = entry["val"]
    assert (val["num_right"], val["num_counted"], val["num_images"]) == ((found & own).sum(), own.sum(), 400)
    assert val["value"] == found[own].mean() >= 0.9
    low, high = beta.ppf(
        [0.025, 0.975],
        [(found & own).sum(), (found & own).sum() + 1],
        [own.sum() - (found & own).sum() + 1, own.sum() - (found & own).sum()],
    )
    assert (val["low"], val["high"]) == (pytest.approx(low), pytest.approx(high))
    assert val["default"] == (positive >= 0.5)[own].mean()
    assert entry["doubt"] == ""
    few = choose_threshold(parse_target("recall of defect >= 0.95"), TWO, rows[:40], y_true[:40])
    assert f"val has {own[:40].sum()} images of 'defect', too few" in few["doubt"]
    assert "72 are needed" in few["doubt"]
    rule = decision_of({"classes": list(TWO), "decision": {**entry, "temperature": 1.0}}, None)
    np.testing.assert_array_equal(rule.decide(np.round(rows, 6)), np.where(found, 0, 1))


# --- costs ---------------------------------------------------------------------------------------------------------------


def test_the_rule_of_costs_has_the_lowest_expected_cost_for_each_image() -> None:
    rng = np.random.default_rng(1)
    rows = rng.dirichlet([0.7] * 3, 200)
    y_true = np.array([rng.choice(3, p=row) for row in rows])
    costs = {"a": {"b": 8.0}, "c": {"a": 0.0}}
    entry = choose_costs(costs, ("a", "b", "c"), rows, y_true)
    matrix = np.array([[0, 8, 1], [1, 0, 1], [0, 1, 0]])
    assert entry["costs"] == matrix.tolist()
    expected = [[sum(row[i] * matrix[i, j] for i in range(3)) for j in range(3)] for row in np.round(rows, 6)]
    chosen = np.argmin(expected, axis=1)
    rule = decision_of({"classes": ["a", "b", "c"], "decision": entry}, None)
    np.testing.assert_array_equal(rule.decide(np.round(rows, 6)), chosen)
    assert entry["val"]["chosen"] == pytest.approx(np.mean([matrix[t, c] for t, c in zip(y_true, chosen, strict=True)]))
    assert entry["val"]["default"] == pytest.approx(matrix[y_true, np.round(rows, 6).argmax(axis=1)].mean())
    assert entry["val"]["chosen"] < entry["val"]["default"]


def test_two_classes_are_decided_at_the_threshold_that_the_costs_imply() -> None:
    entry = choose_costs({"defect": {"ok": 4.0}, "ok": {"defect": 1.0}}, TWO, np.array([[0.5, 0.5]]), np.array([0]))
    rule = decision_of({"classes": list(TWO), "decision": entry}, None)
    positive = np.array([0.19, 0.21, 0.5])  # Elkan 2001: 1 / (1 + 4)
    assert rule.decide(np.stack([positive, 1 - positive], axis=1)).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        3,
        {},
        {"costs": [[0]]},
        {"costs": "x"},
        {"costs": [[0, -1], [1, 0]]},
        {"rule": "threshold", "costs": [[0, 1], [1, 0]]},
    ],
)
def test_a_model_without_a_usable_rule_is_refused(entry: Any) -> None:
    with pytest.raises(UserError, match=r"the model in runs/x(: the entry| has no decision rule)") as caught:
        decision_of({"classes": list(TWO), "decision": entry}, Path("runs/x"))
    assert "calibrate" in caught.value.hint


# --- the evaluated split -------------------------------------------------------------------------------------------------


def test_the_figures_of_the_evaluated_split_are_those_of_a_direct_computation() -> None:
    positive, own = drawn(300, 8)
    rows, y_true = np.stack([positive, 1 - positive], axis=1), np.where(own, 0, 1)
    info: dict[str, Any] = {"classes": list(TWO)}
    entry = choose_threshold(parse_target("recall of defect >= 0.95"), TWO, rows[:60], y_true[:60])
    found = measured_rule.measure(
        {**info, "decision": {**entry, "temperature": 2.0}}, rows**2 / (rows**2).sum(axis=1, keepdims=True), y_true, None
    )
    said = np.round(positive, 6) >= entry["threshold"]  # the temperature 2 gives the roots
    assert found["recall"]["chosen"]["value"] == said[own].mean()
    assert found["precision"]["chosen"]["value"] == own[said].mean()
    assert found["recall"]["default"]["value"] == (positive >= 0.5)[own].mean()
    assert found["met"] == (said[own].mean() >= 0.95)
    assert found["confusion_matrix"] == [[(said & own).sum(), (~said & own).sum()], [(said & ~own).sum(), (~said & ~own).sum()]]
    entry = choose_costs({"defect": {"ok": 6.0}}, TWO, rows[:60], y_true[:60])
    found = measured_rule.measure({**info, "decision": {**entry, "temperature": 1.0}}, rows, y_true, None)
    chosen = np.where(positive * 6 > (1 - positive), 0, 1)
    cost = np.where(own & (chosen == 1), 6.0, np.where(~own & (chosen == 0), 1.0, 0.0))
    before = np.where(own & (positive < 0.5), 6.0, np.where(~own & (positive >= 0.5), 1.0, 0.0))
    for name, value in (("chosen", cost.mean()), ("default", before.mean()), ("difference", (cost - before).mean())):
        assert found["cost"][name]["value"] == pytest.approx(value)
        assert found["cost"][name]["low"] <= value <= found["cost"][name]["high"]


def test_the_interval_of_one_level_is_the_exact_one() -> None:
    found = mean_of_levels(np.array([1.0] * 3 + [0.0] * 17), np.array([0.0, 1.0]))
    assert (found["low"], found["high"]) == (pytest.approx(beta.ppf(0.025, 3, 18)), pytest.approx(beta.ppf(0.975, 4, 17)))


@pytest.mark.parametrize("levels", [(1.0, 5.0), (1.0, 50.0), (-3.0, 4.0)])
def test_intervals_of_costs_hold_also_for_rare_expensive_mistakes(levels: tuple[float, float]) -> None:
    rng = np.random.default_rng(5)
    shares, there, held = (0.1, 0.01), np.array(levels), 0
    truth = float(np.dot(shares, levels))
    for _ in range(300):
        values = rng.choice([0.0, *levels], 60, p=[0.89, *shares])
        found = mean_of_levels(values, there)
        assert found["low"] is not None
        assert found["high"] is not None
        held += found["low"] <= truth <= found["high"]
    assert held >= 285


# --- predictions ---------------------------------------------------------------------------------------------------------


def test_predictions_follow_the_rule_and_the_confidence_is_that_of_the_predicted_class(tmp_path: Path) -> None:
    from pipekit import images

    images.write(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    entry = choose_costs({"defect": {"ok": 9.0}}, TWO, np.array([[0.5, 0.5]]), np.array([0]))
    info = {"classes": list(TWO), "decision": {**entry, "temperature": 0.5}, "calibration": {"temperature": 0.5}}

    def probabilities(batch: Any) -> Any:
        return np.array([[0.4, 0.6]] * len(batch), np.float32)

    own = Predictor(TWO, (4, 4, 3), info, probabilities, tmp_path)
    plain, decided = asked_for(own, False, False), asked_for(own, False, True)
    assert plain == (own, None)
    (found,) = answers(decided[0], [str(tmp_path / "a.png")], decision=decided[1])
    assert (found.predicted, found.confidence) == ("defect", pytest.approx(0.16 / 0.52, abs=1e-6))
    assert to_plain(found, 1) == {
        "image": found.image,
        "predicted": "defect",
        "confidence": found.confidence,
        "top": [{"class": "ok", "probability": pytest.approx(0.36 / 0.52, abs=1e-6)}],
    }
    inside = Predictor(TWO, (4, 4, 3), {**info, "decision": {**info["decision"], "applied": True}}, probabilities)  # type: ignore[dict-item]
    assert asked_for(inside, False, False)[1] is not None, "an export with its rule decides by it in any case"
    with pytest.raises(UserError, match="has no decision rule"):
        asked_for(Predictor(TWO, (4, 4, 3), {"classes": list(TWO)}, probabilities), False, True)
