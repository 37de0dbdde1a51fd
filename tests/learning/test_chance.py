"""Is a model better than chance? The test that every verdict asks."""

from __future__ import annotations

import pytest

from pipekit.learning.chance import better_than_chance, knows_something, trained_to_know


@pytest.mark.parametrize(
    ("hits", "total", "chance", "better"),
    [
        (51, 120, 0.5, False),  # 0.425 of two classes
        (69, 120, 0.5, False),  # 0.575: the interval begins below 0.5
        (75, 120, 0.5, True),
        (95, 100, 0.95, False),  # the most frequent class is as good
        (0, 10, 0.5, False),
    ],
)
def test_the_interval_must_lie_above_the_most_frequent_class(hits: int, total: int, chance: float, better: bool) -> None:
    assert better_than_chance(hits, total, chance) == better


def test_a_report_says_it_by_its_own_interval() -> None:
    assert knows_something({"accuracy": {"low": 0.61}, "baseline": {"accuracy": 0.6}})
    assert not knows_something({"accuracy": {"low": 0.59}, "baseline": {"accuracy": 0.6}})


def test_a_model_says_it_by_its_kept_epoch_on_val() -> None:
    model = {
        "history": [{"val_accuracy": 0.9}, {"val_accuracy": 0.55}],
        "kept_epoch": 2,
        "images": {"train": 400, "val": 100},
        "val_most_frequent": 0.5,
    }
    assert trained_to_know(model) is False
    assert trained_to_know({**model, "kept_epoch": 1}) is True
    assert trained_to_know({**model, "val_most_frequent": None}) is None
    assert trained_to_know({}) is None
    assert trained_to_know({**model, "kept_epoch": 1, "val_groups": 5}) is False  # 0.9 of five patients
