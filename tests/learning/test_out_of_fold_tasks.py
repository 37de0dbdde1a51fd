"""Out-of-fold predictions of several labels and of numbers: planted errors are found, copies stay on one side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.learning import out_of_fold_tasks
from pipekit.learning.multilabel_metrics import auc
from pipekit.learning.out_of_fold import PENALTIES
from pipekit.learning.out_of_fold_tasks import (
    LEAST_CHANCE,
    LOWEST_CONFIDENT,
    LOWEST_RATE,
    chance_of_wrong,
    confident_rate,
    error_rate,
    labels_out_of_fold,
    numbers_out_of_fold,
    suspected,
    trusted,
)


def pictures(count: int = 400, noise: float = 0.7) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features of images with one or two of four labels: the sum of the labels' directions, and noise."""
    rng = np.random.default_rng(0)
    true = np.zeros((count, 4), np.bool_)
    for row in true:
        row[rng.choice(4, int(rng.integers(1, 3)), replace=False)] = True
    return true @ rng.normal(size=(4, 24)) + rng.normal(0, noise, (count, 24)), true


def test_flipped_labels_are_found_with_a_recall_of_nine_tenths() -> None:
    table, true = pictures()
    flipped = np.random.default_rng(1).random(true.shape) < 0.05
    found = labels_out_of_fold(table, true ^ flipped, np.arange(len(true)), np.random.default_rng(0))
    listed = suspected(true ^ flipped, found)
    right = sum(bool(flipped[row, at]) for row, at, _, _ in listed)
    assert right / flipped.sum() >= 0.9
    assert right / len(listed) >= 0.8
    assert {kind for _, _, kind, _ in listed} == {"missing", "wrong"}
    assert all(((true ^ flipped)[row, at]) == (kind == "wrong") for row, at, kind, _ in listed)
    chances = [chance for *_, chance in listed]
    assert chances == sorted(chances, reverse=True)
    assert min(chances) >= LEAST_CHANCE
    assert len(suspected(true ^ flipped, found, 0.9)) < len(listed)


def test_the_other_labels_of_an_image_tell_what_the_picture_alone_does_not() -> None:
    """Each image has exactly one of two labels that look alike."""
    table, true = pictures(600, 3.0)
    true[:, 3] = ~true[:, 2]
    found = labels_out_of_fold(table, true, np.arange(len(true)), np.random.default_rng(0))
    alone, together = (auc(true[:, 3], some[:, 3]) for some in (found.by_picture, found.probabilities))
    assert alone is not None
    assert together is not None
    assert alone < 0.92
    assert together > 0.98


def test_copies_do_not_vouch_for_each_other() -> None:
    """Features without any information, each image three times: whoever learned from a copy would know its labels."""
    rng = np.random.default_rng(0)
    table = np.repeat(rng.normal(size=(80, 16)), 3, axis=0)
    true = np.repeat(rng.random((80, 1)) < 0.5, 3, axis=0)
    groups = np.repeat(np.arange(80), 3)
    found = labels_out_of_fold(table, true, groups, np.random.default_rng(0))
    area = auc(true[:, 0], found.by_picture[:, 0])
    assert area is not None
    assert area < 0.65
    assert all(len(np.unique(found.folds[groups == group])) == 1 for group in range(80))
    again = labels_out_of_fold(table, true, groups, np.random.default_rng(0))
    assert np.array_equal(found.probabilities, again.probabilities)


def test_numbers_are_predicted_without_learning_from_them() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 20))
    values = 40 + 3 * table[:, 0] + rng.normal(0, 0.5, 300)
    values[7] += 30
    said = numbers_out_of_fold(table, values, np.arange(300), np.random.default_rng(0))
    residuals = values - said
    assert np.argmax(np.abs(residuals)) == 7
    assert np.median(np.abs(residuals)) < 0.6
    assert residuals[7] > 25


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 groups: expected 5"):
        numbers_out_of_fold(np.eye(8), np.arange(8.0), np.arange(8) % 4, np.random.default_rng(0))


def test_the_chance_of_a_wrong_label_is_that_of_bayes() -> None:
    given, p = np.array([[True], [False]]), np.array([[0.2], [0.2]])
    wrong = chance_of_wrong(given, p, 0.1)
    assert wrong[:, 0] == pytest.approx([0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.9), 0.2 * 0.1 / (0.2 * 0.1 + 0.8 * 0.9)])
    assert trusted(given, p, 0.1)[:, 0] == pytest.approx([1 - wrong[0, 0], wrong[1, 0]])


def test_the_rate_is_the_share_of_confidently_wrong_labels_and_never_none() -> None:
    p = np.repeat([0.1, 0.9], 50)[:, None]
    given = p > 0.5
    assert confident_rate(given, p) == LOWEST_CONFIDENT == 0.005
    given[[0, 1, 99]] ^= True
    assert confident_rate(given, p) == pytest.approx(0.03)


def test_the_rate_of_the_list_is_that_of_flips_where_labels_can_be_told_and_none_where_not() -> None:
    p = np.repeat([0.001, 0.999], 100)[:, None]
    given = p > 0.5
    assert error_rate(given, p) == LOWEST_RATE == 0.001
    given[:10] ^= True
    assert error_rate(given, p) == pytest.approx(0.05, abs=0.002)
    unsure = np.full((200, 1), 0.5)
    assert error_rate(np.arange(200)[:, None] % 2 == 0, unsure) == pytest.approx(0.05), "it says nothing"
    assert not suspected(np.ones((200, 1), np.bool_), SimpleNamespace(probabilities=unsure, error_rate=0.05))  # type: ignore[arg-type]


@pytest.mark.parametrize(("chance", "listed"), [(0.0095, 0), (0.0105, 1)])
def test_a_label_is_listed_from_a_chance_of_one_in_a_hundred(chance: float, listed: int) -> None:
    rate = 0.002
    own = rate * (1 - chance) / (rate * (1 - chance) + chance * (1 - rate))
    found: Any = SimpleNamespace(probabilities=np.array([[own], [0.0]]), error_rate=rate)
    assert len(suspected(np.array([[True], [False]]), found)) == listed


def test_the_strengths_that_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def best(along: Any, losses: Any, cs: Any, *_: Any) -> float:
        tried.append(cs)
        return float(cs[0])

    def scores(along: Any, x: Any, y: Any, fold: Any, c: float, *_: Any) -> Any:
        tried.append(c)
        return np.zeros(y.shape)

    monkeypatch.setattr(out_of_fold_tasks, "_best", best)
    monkeypatch.setattr(out_of_fold_tasks, "_scores", scores)
    given = np.tile([[True, False], [False, True]], (10, 1))
    labels_out_of_fold(np.eye(20), given, np.arange(20), np.random.default_rng(0))
    assert tried == [PENALTIES, *(2 * [0.001, 0.1, 0.1])]
    tried.clear()
    numbers_out_of_fold(np.eye(20), np.arange(20.0), np.arange(20), np.random.default_rng(0))
    assert tried == [(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), 1e-5]
