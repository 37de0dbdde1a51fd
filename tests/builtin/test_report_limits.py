"""The limits by which a report's words change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipekit.builtin.report import slices
from pipekit.builtin.report.next_steps import next_steps
from pipekit.builtin.report.summary import doubts, how_good, named_alike


class Measured(SimpleNamespace):
    """As much of an evaluation as the words are made from."""

    def __len__(self) -> int:
        return 200


def measured(model: dict[str, Any] | None = None, **metrics: Any) -> Any:
    calm = {
        "accuracy": {"value": 0.9, "low": 0.88, "high": 0.92},
        "baseline": {"class": "a", "accuracy": 0.5},
        "near_copies": None,
        "label_errors": [],
        "confused_most": [],
        "temperature": None,
        "calibration": {"expected_error": 0.1, "overconfidence": 0.0},
        "num_failed": 0,
        "per_class": [],
    }
    return Measured(
        metrics=calm | metrics,
        model=model or {},
        split="test",
        learned_from="train",
        classes=("a", "b"),
        dataset=SimpleNamespace(counts={"train": {"a": 1000, "b": 1000}}),
        confidence=SimpleNamespace(mean=lambda: 0.95),
    )


def test_a_calm_report_has_no_doubts() -> None:
    assert next_steps(measured()) == next_steps(measured(model={"history": []}))
    assert "Test it on images from elsewhere" in next_steps(measured())[0]
    assert list(doubts(measured())) == []


def test_copies_and_label_conflicts_are_counted_in_every_report() -> None:
    none = {"count": 0, "num_pairs": 0, "pairs": []}
    calm = list(doubts(measured(near_copies={"count": 0}, label_conflicts=none)))
    assert calm[0].startswith("0 of 200 test images have a copy in train")
    assert calm[1].startswith("0 of 200 test images are in the dataset again under another label")
    folds = measured(near_copies={"count": 2, "accuracy_without": {"value": 1.0, "low": None}}, label_conflicts=none)
    folds.learned_from = "another fold"
    assert next(doubts(folds)).startswith("**Warning: 2 of 200 test images have a copy in another fold**")
    (unknown, _) = doubts(measured(near_copies=None, label_conflicts=none))
    assert "near_copies = false" in unknown
    some = {"count": 3, "num_pairs": 2, "pairs": []}
    assert any("3 of 200 test images are in the dataset again" in words for words in doubts(measured(label_conflicts=some)))


@pytest.mark.parametrize(("low", "said"), [(0.6, "Weaker than the other images"), (0.4, "Without a verdict")])
def test_slices_of_a_model_that_knows_nothing_have_no_verdict(low: float, said: str) -> None:
    accuracy = {"value": 0.7, "low": low, "high": 0.9}
    row = {"by": "camera", "slice": "old", "count": 50, "accuracy": accuracy, "p_holm": 0.01, "weaker": True}
    found = slices.section(None, measured(slices=[row], accuracy=accuracy))  # type: ignore[arg-type]
    assert said in found.markdown


def test_an_interval_says_what_it_takes_for_granted() -> None:
    accuracy = {"value": 0.9, "low": 0.88, "high": 0.92, "correct": 180}
    alone = how_good(measured(accuracy=accuracy, num_groups=None, groups=None))
    copies = how_good(measured(accuracy=accuracy, num_groups=190, groups="copies"))
    named = how_good(measured(accuracy=accuracy, num_groups=40, groups="named"))
    assert "If these images are independent" in alone
    assert "Copies of one image count as one: 190 groups. If these are independent" in copies
    assert "They come in 40 groups" in named
    assert "independent" not in named


def test_names_of_patients_in_train_and_test_are_no_reassurance() -> None:
    found = {"words": "the names look like groups: 960 images", "option": "--group-pattern 'P'", "in_train": 199}
    assert named_alike(measured()) == ""
    words = named_alike(measured(name_groups=found))
    assert "199 of 200 test images have the stem of a training image" in words
    assert "split with `--group-pattern 'P'`" in words
    assert "--group-pattern 'P'" in next_steps(measured(name_groups=found))[0]
    assert "the interval is too narrow" in named_alike(measured(name_groups={**found, "in_train": 0}))


@pytest.mark.parametrize(("width", "more"), [(0.11, True), (0.09, False)])
def test_an_interval_of_more_than_ten_points_asks_for_more_images(width: float, more: bool) -> None:
    steps = next_steps(measured(accuracy={"value": 0.9, "low": 0.85, "high": 0.85 + width}))
    assert any("four times as many (800)" in step for step in steps) == more


@pytest.mark.parametrize(("gap", "told"), [(0.11, True), (0.09, False)])
def test_ten_points_better_on_training_images_is_overfitting(gap: float, told: bool) -> None:
    steps = next_steps(measured(model={"history": [{"accuracy": 0.8 + gap, "val_accuracy": 0.8}]}))
    assert any("overfits" in step for step in steps) == told


@pytest.mark.parametrize(("error", "told"), [(0.074, True), (0.076, False)])
def test_a_temperature_is_worth_a_fifth_of_the_error(error: float, told: bool) -> None:
    """Of an error of 0.1: less than 0.8 * 0.1 - 0.005 = 0.075."""
    steps = next_steps(measured(temperature={"temperature": 1.5, "expected_error": error}))
    assert any("temperature scaling" in step for step in steps) == told


@pytest.mark.parametrize(("support", "told"), [(19, True), (20, False)])
def test_figures_of_a_class_with_fewer_than_twenty_images_are_guesses(support: int, told: bool) -> None:
    said = list(doubts(measured(per_class=[{"class": "a", "support": support}])))
    assert any("fewer than 20 images of *a*" in words for words in said) == told


@pytest.mark.parametrize(("over", "told"), [(0.06, True), (-0.06, True), (0.04, False)])
def test_five_points_too_sure_is_said(over: float, told: bool) -> None:
    said = list(doubts(measured(calibration={"expected_error": 0.1, "overconfidence": over})))
    assert any("Its probabilities are too" in words for words in said) == told
