"""Neighbours without all pairs, out-of-fold probabilities, and suspected label errors of a whole dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipekit.learning import neighbours
from pipekit.learning.label_errors import chance_of_a_wrong_label, suspects_of_dataset
from pipekit.learning.neighbours import Directions, nearest, nearest_of
from pipekit.learning.out_of_fold import fold_of_groups, out_of_fold, principal_components


def clouds(count: int = 200, classes: int = 3, width: int = 24, apart: float = 4.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    return (rng.normal(0, 1, (classes, width)) * apart / 2)[labels] + rng.normal(0, 1, (count, width)), labels


def test_cells_find_the_copies_that_all_pairs_find(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(0, 1, (1500, 32)).astype(np.float16)
    table[750:] = table[:750] + rng.normal(0, 0.2, (750, 32))
    every = nearest(Directions(table), 3, np.random.default_rng(0))
    assert (every.numbers[:750, 0] == np.arange(750, 1500)).all()
    monkeypatch.setattr(neighbours, "EXACT", 100)
    monkeypatch.setattr(neighbours, "CELL", 32)
    some = nearest(Directions(table), 3, np.random.default_rng(0))
    assert (some.numbers[:, 0] == every.numbers[:, 0]).mean() > 0.98
    asked = np.array([5, 900])
    np.testing.assert_array_equal(nearest_of(Directions(table), asked, 3).numbers, every.numbers[asked])


def test_many_equal_images_are_spread_over_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT", 100)
    table = np.ones((3000, 8), np.float16)
    table[:, 0] = np.arange(3000) < 300
    cells = list(neighbours._cells(Directions(table), np.random.default_rng(0)))
    assert max(len(members) for _, members in cells) < 600
    assert sum(len(members) for _, members in cells) == 3000


def test_groups_are_never_on_both_sides_and_classes_are_dealt_out() -> None:
    _, labels = clouds()
    groups = np.arange(200) // 3
    fold = fold_of_groups(labels, groups, np.random.default_rng(0))
    assert all(len(set(fold[groups == group])) == 1 for group in range(67))
    fold = fold_of_groups(labels, np.arange(200), np.random.default_rng(0))
    counts = np.array([[(fold[labels == one] == number).sum() for number in range(5)] for one in range(3)])
    assert counts.max() - counts.min() <= 1


def test_principal_components_keep_distances_in_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = clouds(width=6)
    whole = principal_components(table, 6)
    monkeypatch.setattr("pipekit.learning.out_of_fold._BLOCK", 7)
    np.testing.assert_allclose(np.abs(principal_components(table, 6)), np.abs(whole), atol=1e-3)
    ratio = np.linalg.norm(whole[0] - whole[1]) / np.linalg.norm(table[0] - table[1])
    assert np.linalg.norm(whole[5] - whole[9]) / np.linalg.norm(table[5] - table[9]) == pytest.approx(ratio, rel=1e-3)


def test_flipped_labels_are_found_and_few_others() -> None:
    table, true = clouds(300)
    flipped = np.arange(0, 300, 20)
    labels = true.copy()
    labels[flipped] = (labels[flipped] + 1) % 3
    found = out_of_fold(table, labels, np.arange(300), np.random.default_rng(0))
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert (found.probabilities.argmax(1) == true).mean() > 0.98
    ids = [str(number) for number in range(300)]
    rows = suspects_of_dataset(ids, labels, found.probabilities, "abc", float(found.doubted.mean()))
    assert {int(row["id"]) for row in rows} == set(flipped.tolist())
    assert set(rows[0]) == {"id", "label", "suggested", "p_label", "p_suggested"}
    again = out_of_fold(table, labels, np.arange(300), np.random.default_rng(0))
    np.testing.assert_array_equal(again.probabilities, found.probabilities)


def test_a_copy_in_another_fold_can_not_vouch_for_a_wrong_label() -> None:
    """Every image is there twice with the same wrong label: only folds that keep the two together show it."""
    table, true = clouds(120, classes=2)
    labels = true.copy()
    labels[:6] = 1 - labels[:6]
    doubled, both = np.concatenate([table, table]), np.concatenate([labels, labels])
    groups = np.arange(240) % 120
    found = out_of_fold(doubled, both, groups, np.random.default_rng(0))
    assert (found.probabilities[:6].argmax(1) == true[:6]).all()


def test_one_class_or_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="1 classes"):
        out_of_fold(np.eye(8), np.zeros(8, np.int64), np.arange(8), np.random.default_rng(0))
    with pytest.raises(ValueError, match="3 groups"):
        out_of_fold(np.eye(6), np.arange(6) % 2, np.arange(6) // 2, np.random.default_rng(0))


def test_the_chance_of_a_wrong_label_by_hand() -> None:
    """Two classes, 10 % wrong: 0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.9) = 0.08 / 0.26."""
    found = chance_of_a_wrong_label(np.array([0]), np.array([[0.2, 0.8]]), 0.1)
    assert found[0] == pytest.approx(0.08 / 0.26)
