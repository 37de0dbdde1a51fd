"""What the evaluation of a number says against its own figures."""

from __future__ import annotations

from typing import Any

import pytest

from pipekit.builtin.evaluate.numbers import doubts


def metrics(**changed: Any) -> dict[str, Any]:
    """Figures that contradict nothing: a shift that may be chance, an interval that holds as often as promised."""
    return {
        "value": {"name": "angle", "unit": "deg"},
        "mae": {"value": 4.0, "low": 3.5, "high": 4.5},
        "bias": {"value": 0.3, "low": -0.2, "high": 0.8},
        "prediction_interval": {"level": 0.9, "coverage": {"value": 0.87, "low": 0.8, "high": 0.92}},
    } | changed


def test_figures_that_agree_raise_no_doubt() -> None:
    assert doubts(metrics()) == []
    assert doubts(metrics(prediction_interval=None)) == []


def test_an_interval_that_does_not_hold_is_said() -> None:
    found = {"level": 0.9, "coverage": {"value": 0.4, "low": 0.34, "high": 0.46}}
    (said,) = doubts(metrics(prediction_interval=found))
    assert said.startswith("the prediction interval holds for 0.400 (95 % interval 0.340 to 0.460) of the images, not for 90%")


@pytest.mark.parametrize(("value", "word"), [(2.0, "much"), (-2.0, "little")])
def test_a_shift_that_is_half_of_the_error_is_said(value: float, word: str) -> None:
    (said,) = doubts(metrics(bias={"value": value, "low": value - 0.5, "high": value + 0.5}))
    assert said == f"the predictions are 2 deg too {word} on average: most of the error is this shift"


@pytest.mark.parametrize(
    "bias",
    [{"value": 1.9, "low": 1.5, "high": 2.4}, {"value": 2.1, "low": -0.1, "high": 4}, {"value": 3, "low": None, "high": None}],
)
def test_a_small_shift_or_one_that_may_be_chance_is_not_said(bias: dict[str, Any]) -> None:
    assert doubts(metrics(bias=bias)) == []
