"""Constants of verdicts, intervals, advice and solvers that were tuned by hand: a little below each, and a little above."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.augment_check.outputs import verdict
from pipekit.builtin.evaluate.intervals import auc, averages, bounds
from pipekit.builtin.explain.maps import is_constant
from pipekit.builtin.explain.pages import overlay
from pipekit.builtin.exporters.of_task import _numbers
from pipekit.builtin.models import logistic_regression
from pipekit.builtin.report import abstention, next_steps, summary
from pipekit.builtin.train.ahead import tell
from pipekit.keypoints.hog import blocks
from pipekit.learning import advice, linear_solvers, near_copies
from pipekit.learning.advice import Case, _frozen_errors, case_of
from pipekit.learning.embeddings import Embedded
from pipekit.learning.multilabel_metrics import suspects
from pipekit.learning.neighbours import Neighbours
from pipekit.learning.significance import design_effect, of_resamples
from pipekit.learning.temperature import fit_temperature
from pipekit.learning.templates import Work, gradient_descent_s
from pipekit.learning.thresholds import Target, threshold_for
from pipekit.learning.unknown import Unknown, unit

# --- verdicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drop", "less_sure", "said"),
    [
        (0.015, 0.04, "harmless"),
        (0.015, 0.06, "unsure"),  # from 5 points of probability on
        (0.03, 0.0, "costs"),  # from 2 points of accuracy on
        (0.15, 0.0, "costs"),
        (0.25, 0.0, "fails"),  # from half of the 40 points above chance on
    ],
)
def test_an_op_fails_at_half_of_the_accuracy_and_costs_from_two_points_on(drop: float, less_sure: float, said: str) -> None:
    measured: Any = SimpleNamespace(
        knows_something=True, accuracy=0.9, chance=0.5, drop=[drop], low=[0.001], confidence_drop=[less_sure]
    )
    assert verdict(measured, 0) == said


@pytest.mark.parametrize(("extreme", "bright"), [(30, True), (70, False)])
def test_half_a_percent_of_extreme_pixels_do_not_darken_a_map(extreme: int, bright: bool) -> None:
    """Of 10,000 pixels, so many have fifty times the evidence of the others."""
    found = np.ones((100, 100), np.float32)
    found.ravel()[:extreme] = 50
    found.ravel()[5000:] = 0
    made = overlay(np.zeros((100, 100, 3), np.uint8), found)
    assert bool(made[20, 50].mean() > 80) is bright


@pytest.mark.parametrize(("spread", "constant"), [(0.7e-6, True), (1.4e-6, False)])
def test_a_map_that_differs_by_the_rounding_of_float32_is_constant(spread: float, constant: bool) -> None:
    assert is_constant(np.array([[1.0, 1 + spread]])) is constant


@pytest.mark.parametrize(("apart", "same"), [(0.7, 1), (1.4, 0)])
def test_two_numbers_within_a_tenth_of_the_spread_are_nearly_the_same(apart: float, same: int) -> None:
    trained: Any = SimpleNamespace(info={"value": {"spread": 10.0}})
    assert _numbers(trained, np.array([5.0]), np.array([5.0 + apart]), [])["same_class"] == same


@pytest.mark.parametrize(("seconds", "said"), [(0.8, False), (1.2, True)])
def test_a_training_of_a_minute_is_announced(seconds: float, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(multiply_adds=1e10 * (60 * seconds - 10) / 300, training_bytes=lambda _: 1e9)
    monkeypatch.setattr("pipekit.builtin.train.ahead.summarize_model", lambda _: found)
    events: list[Any] = []
    ctx: Any = SimpleNamespace(event=lambda *words, **values: events.append(words))
    params: Any = SimpleNamespace(patience=None, epochs=1)
    tell(ctx, None, params, Work(100, 100, 0, 2, (8, 8, 3), 1), 8)
    assert bool(events) is said


# --- intervals -----------------------------------------------------------------------------------------------------------


def test_an_average_over_classes_has_the_quantile_of_96_percent() -> None:
    """Balanced accuracy by hand: two classes of 50 images, and 1.96² images are added, half of them mistakes."""
    added = 1.96**2 / 4
    right, mistakes = 40 + added, 10 + added
    recall = right / (right + mistakes)
    error = math.sqrt(2 * recall * (1 - recall) / (right + mistakes)) / 2
    low, high = bounds(np.array([[40.0, 10.0], [10.0, 40.0]]))["balanced_accuracy"]
    assert (high - low) / (2 * error) == pytest.approx(2.0537, abs=0.02)  # the normal quantile of 0.98


@pytest.mark.parametrize(("smallest", "has_interval"), [(4, False), (5, True)])
def test_an_average_needs_five_images_of_each_class(smallest: int, has_interval: bool) -> None:
    true = np.array([0] * smallest + [1] * 9)
    found = averages(np.diag([smallest, 9]), true, true, None)
    assert (found["macro_f1"]["low"] is not None) is has_interval


@pytest.mark.parametrize(("positive", "has_interval"), [(9, False), (10, True)])
def test_an_area_under_the_curve_needs_ten_images_on_each_side(positive: int, has_interval: bool) -> None:
    found = auc(np.linspace(0.3, 1, positive), np.linspace(0, 0.7, 30))
    assert (found["low"] is not None) is has_interval


@pytest.mark.parametrize(("count", "has_interval"), [(99, False), (100, True)])
def test_an_interval_by_resampling_needs_a_hundred_resamples(count: int, has_interval: bool) -> None:
    found = of_resamples(0.5, np.linspace(0.1, 0.9, count), 200)
    assert (found["difference"]["low"] is not None) is has_interval


def test_a_quarter_of_an_extreme_group_is_added_to_the_design_effect() -> None:
    """Ten groups of four, one of them all mistakes: 3.6 within and 16 between, by hand; 2.262 is Student's t."""
    extremes = 0.9**2 + 0.1**2
    found = (16 + 0.25 * 16 * extremes) / (3.6 + 0.25 * 4 * extremes) * (2.262157 / 1.959964) ** 2
    assert design_effect(np.repeat([1.0, 0.0], [4, 36]), np.arange(40) // 4) == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize(("sharpest", "found"), [(0.04, 0.05), (0.06, 0.06), (19.0, 19.0), (21.0, 20.0)])
def test_a_temperature_lies_between_a_twentieth_and_twenty(sharpest: float, found: float) -> None:
    """Logits that are right in 90 % of the cases if they are divided by the temperature."""
    small = 1 / (1 + 9**sharpest)
    probabilities = np.array([[1 - small, small]] * 10)
    assert fit_temperature(probabilities, np.array([0] * 9 + [1]), 1e-300) == pytest.approx(found, rel=0.02)


# --- sentences of the report ---------------------------------------------------------------------------------------------


class Evaluated:
    """As much of an evaluation as a section needs."""

    split = "test"

    def __init__(self, count: int, metrics: dict[str, Any]) -> None:
        self.count, self.metrics = count, metrics

    def __len__(self) -> int:
        return self.count


@pytest.mark.parametrize(("support", "said"), [(19, True), (20, False)])
def test_metrics_of_fewer_than_twenty_images_are_guesses(support: int, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "leaks", lambda _: iter(()))
    per_class, calibration = [{"class": "cat", "support": support}], {"overconfidence": 0.0}
    evaluation: Any = Evaluated(40, {"num_failed": 0, "per_class": per_class, "calibration": calibration})
    assert any("fewer than" in words for words in summary.doubts(evaluation)) is said


@pytest.mark.parametrize(("count", "is_there"), [(19, False), (20, True)])
def test_a_curve_of_abstention_needs_twenty_images(count: int, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abstention, "_figure", lambda _: ())
    evaluation: Any = Evaluated(count, {"abstention": {"aurc": 0.1, "aurc_random": 0.2, "aurc_best": 0.1, "rows": [ROW]}})
    ctx: Any = None
    assert (abstention.section(ctx, evaluation) is not None) is is_there


ROW = {"coverage": 1.0, "num_answered": 9, "confidence": 0.5, "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}}


@pytest.mark.parametrize(("width", "said"), [(0.08, False), (0.12, True)])
def test_an_interval_wider_than_ten_points_needs_more_images(width: float, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "case_of_evaluation", lambda _: Case(weak=False, gap=None, few=False, pretrained=True))
    metrics = dict.fromkeys(("name_groups", "near_copies", "label_errors", "confused_most", "temperature"))
    accuracy = {"value": 0.9, "low": 0.9 - width / 2, "high": 0.9 + width / 2}
    evaluation: Any = Evaluated(100, {"accuracy": accuracy, **metrics})
    monkeypatch.setattr(next_steps, "knows_something", lambda _: True)
    assert any("Collect more" in step for step in next_steps.next_steps(evaluation)) is said


# --- advice, thresholds and estimates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "few"), [(1999, True), (2000, False)])
def test_fewer_than_a_thousand_images_of_a_class_are_few(images: int, few: bool) -> None:
    assert case_of({}, images, 2, weak=False).few is few


@pytest.mark.parametrize(
    ("images_a_class", "val", "errors", "may_pay"),
    [(100, 50, 0.06, True), (99, 50, 0.06, False), (100, 49, 0.06, False), (100, 50, 0.04, False)],
)
def test_fine_tuning_may_pay_with_enough_images_and_mistakes(
    images_a_class: int, val: int, errors: float, may_pay: bool
) -> None:
    model = {"features": "pretrained", "images": {"val": val}, "history": [{"val_accuracy": 1 - errors}]}
    assert (_frozen_errors(model, images_a_class) is not None) is may_pay


@pytest.mark.parametrize(("count", "has_own"), [(4, False), (5, True)])
def test_a_threshold_of_a_label_needs_five_images_with_it(count: int, has_own: bool) -> None:
    true = np.arange(20) >= 20 - count
    assert (threshold_for(true, np.where(true, 0.3, 0.1), Target("f1")) != 0.5) is has_own


@pytest.mark.parametrize(("count", "listed"), [(4, False), (5, True)])
def test_a_missing_label_is_suspected_where_five_images_have_it(count: int, listed: bool) -> None:
    true = (np.arange(21) < count)[:, None]
    probabilities = np.where(true, 0.9, 0.1)
    probabilities[20] = 0.99
    assert bool(suspects(true, probabilities, ["ripe"])) is listed


def test_the_cost_of_a_training_is_estimated_from_its_multiply_adds() -> None:
    """100 images three times and 50 once, at 1e8 multiply-adds each: 3.5 s at 1e10 a second, after 10 s to start."""
    assert gradient_descent_s(Work(150, 100, 50, 2, (8, 8, 3), 1), 1e8) == pytest.approx(13.5)


def test_the_distance_to_training_images_is_the_mean_of_three() -> None:
    known = unit(np.array([[1.0, 0], [1, 0.1], [1, 0.3], [0, 1], [0, -1], [-1, 0]])).astype(np.float32)
    (score,) = Unknown(known, 1.0).scores(np.array([[1.0, 0]]))
    assert score == pytest.approx(1 - (1 + 1 / math.sqrt(1.01) + 1 / math.sqrt(1.09)) / 3, abs=1e-6)


# --- solvers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "parts"), [(49, 6), (50, 1)])
def test_a_penalty_is_chosen_on_fifty_held_out_images_or_five_folds_too(held: int, parts: int) -> None:
    """Every part is solved with each of the six candidates."""
    solved: list[float] = []

    def along(x: Any, y: Any, weights: Any, cs: Any) -> Any:
        for c in cs:
            solved.append(c)
            yield np.zeros((x.shape[1], 1)), np.zeros(1)

    x, y = np.ones((100, 2)), np.ones((100, 1))
    linear_solvers.choose_c(along, linear_solvers.losses_of_numbers, x[:50], y[:50], np.ones(50), (x[:held], y[:held]), 0)
    assert sorted(solved) == sorted([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0] * parts)


@pytest.mark.parametrize(("held", "parts"), [(49, 6), (50, 1)])
def test_classes_are_solved_on_the_same_parts(held: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def losses(part: Any, c: float) -> Any:
        asked.append(c)
        return np.ones(1)

    monkeypatch.setattr(logistic_regression, "_losses", losses)
    x, numbers = np.ones((50, 2)), np.arange(50) % 2
    logistic_regression.choose_c(x, numbers, np.ones(50), x[:held], numbers[:held], 0)
    assert sorted(asked) == sorted([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0] * parts)


def test_blocks_of_histograms_are_clipped_at_a_fifth() -> None:
    """One large and 99 small values: the large one is cut to 0.2 of the block's length, and the block is scaled again."""
    histograms = np.full((1, 1, 100), 1.0, np.float32)
    histograms[0, 0, 0] = 100
    small = 1 / math.sqrt(100**2 + 99)
    expected = 0.2 / math.sqrt(0.2**2 + 99 * small**2)
    assert blocks(histograms, 1, "l2_hys")[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("norm", "expected"), [("l1_sqrt", math.sqrt(0.5)), ("l2_hys", 0.2 / math.sqrt(0.2**2 + 1e-10))])
def test_a_plain_block_is_hardly_stretched(norm: Any, expected: float) -> None:
    """A value as large as the constant that is added, 1e-5."""
    assert blocks(np.full((1, 1, 1), 1e-5, np.float32), 1, norm)[0] == pytest.approx(expected, rel=1e-3)


# --- near duplicates by features -----------------------------------------------------------------------------------------


def compared(number: int, copies: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many pairs are compared of images with one neighbour each, if so many of the pairs compared at a time are copies."""
    monkeypatch.setattr(near_copies, "compare", lambda ctx, dataset, pairs: dict.fromkeys(pairs[:copies], "cropped"))
    ids = tuple(f"{at:05}" for at in range(number))
    similarities: Any = (0.9999 - 0.9 * np.arange(number) / number)[:, None]
    nearest = Neighbours((np.arange(number)[:, None] + 1) % number, similarities)
    ctx: Any = None
    dataset: Any = [SimpleNamespace(id=name, sha256=name) for name in ids]
    return near_copies.find_copies(ctx, dataset, Embedded(ids, np.zeros((number, 2), np.float16), {}), nearest).compared


@pytest.mark.parametrize(("images", "pairs"), [(1000, 101), (10_000, 227)])
def test_a_hundred_pairs_or_a_fiftieth_of_the_images_are_compared_at_a_time(
    images: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those as similar as the last one in hundredths."""
    assert compared(images, 0, monkeypatch) == pairs


@pytest.mark.parametrize(("copies", "pairs"), [(2, 101), (3, 1000)])
def test_the_search_ends_where_fewer_than_a_fiftieth_are_copies(
    copies: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compared(1000, copies, monkeypatch) == pairs
