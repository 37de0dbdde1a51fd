"""None of these: the limit keeps its promise, copies don't lower it, and a model's folder is held to its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.builtin.train.none_of_these import groups_of
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.learning import unknown
from pipekit.learning.unknown import FILE, Unknown, expected_share, fit, load_unknown, stored


def cloud(count: int, seed: int, centre: int = 0) -> NDArray[Any]:
    """Features around the direction of a centre."""
    rng = np.random.default_rng(seed)
    return (np.eye(20)[centre] * 4 + rng.normal(0, 0.5, (count, 20))).astype(np.float16)


def fitted(features: NDArray[Any], groups: NDArray[Any] | None = None, share: float = 0.05) -> Unknown:
    numbers = np.arange(len(features)) % 2
    found = fit(features, numbers, np.arange(len(features)) if groups is None else groups, share, np.random.default_rng(0))
    assert found is not None
    return found[0]


@pytest.mark.parametrize("count", [20, 40, 600])
def test_of_further_images_of_the_kind_at_most_the_share_is_rejected_and_foreign_ones_are(count: int) -> None:
    draws = range(20 if count < 300 else 6)
    rejected = [float((fitted(cloud(count, seed)).scores(cloud(300, 99 + seed)) > 1).mean()) for seed in draws]
    rank_share = 1 / 21 if count == 20 else 0.05  # the most that the largest of 20 can promise
    assert 0.6 * rank_share < np.mean(rejected) < 1.4 * rank_share
    assert (fitted(cloud(count, 1)).scores(cloud(300, 5, centre=7)) > 1).all()


def test_the_share_that_so_few_images_promise_is_stated() -> None:
    low, high = expected_share(20, 0.05)
    rejected = [float((fitted(cloud(20, seed)).scores(cloud(400, 500 + seed)) > 1).mean()) for seed in range(150)]
    inside = np.mean([low - 1 / 400 <= share <= high for share in rejected])
    assert 0.9 < inside <= 1
    assert high > 0.15
    assert expected_share(1400, 0.05)[1] < 0.065


def test_copies_of_an_original_do_not_lower_the_limit() -> None:
    originals, further = cloud(200, 3), cloud(300, 4)
    copies = np.concatenate([originals + np.random.default_rng(copy).normal(0, 0.01, originals.shape) for copy in range(4)])
    grouped, ungrouped = fitted(copies, np.tile(np.arange(200), 4)), fitted(copies)
    assert (grouped.scores(further) > 1).mean() < 0.1
    assert (ungrouped.scores(further) > 1).mean() > 0.3, "what happens where each copy meets the others"


def test_groups_are_copies_equal_files_and_groups_of_the_dataset() -> None:
    samples = [
        Sample("cat/1.jpg", "a", "hash a", "cat"),
        Sample("cat/1.aug1.jpg", "b", "hash b", "cat"),
        Sample("dog/2.jpg", "c", "hash b", "dog"),
        Sample("dog/3.jpg", "d", "hash d", "dog", extra={"group": "rex"}),
        Sample("dog/4.jpg", "e", "hash e", "dog", extra={"group": "rex"}),
        Sample("dog/5.jpg", "f", "", "dog"),
        Sample("dog/6.jpg", "g", "", "dog"),
    ]
    first, second, third, *others = groups_of(samples).tolist()
    assert first == second == third
    assert others[0] == others[1]
    assert len({first, *others}) == 4


def test_each_class_is_stored_as_far_as_it_has_images(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.repeat([0, 1, 2], [5, 400, 2000])
    chosen = stored(numbers, np.random.default_rng(0))
    assert np.bincount(numbers[chosen]).tolist() == [5, 253, 254]
    many = np.repeat(np.arange(200), 9)
    assert np.bincount(many[stored(many, np.random.default_rng(0))]).tolist() == [4] * 200
    monkeypatch.setattr(unknown, "MOST_STORED", 40)
    assert len(stored(numbers, np.random.default_rng(0))) == 40


def test_few_originals_set_no_limit() -> None:
    features = cloud(30, 0)
    assert fit(features, np.zeros(30, np.int64), np.arange(30) % 9, 0.05, np.random.default_rng(0)) is None


def test_a_folder_is_held_to_its_description(tmp_path: Path) -> None:
    found = fitted(cloud(20, 0))
    assert load_unknown(tmp_path, {}) is None
    with pytest.raises(UserError, match=rf"has no {FILE}"):
        load_unknown(tmp_path, {"unknown": {"limit": 1.0}})
    found.save(tmp_path)
    again = load_unknown(tmp_path, {"unknown": {"limit": 1.0}})
    assert again is not None
    assert again.digest() == found.digest()
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        load_unknown(tmp_path, {"unknown": {"limit": 1.0}})
    Unknown(found.prototypes, float("nan")).save(tmp_path)
    with pytest.raises(UserError, match="its numbers are no features"):
        load_unknown(tmp_path, {"unknown": {"limit": 1.0}})


def test_scores_do_not_depend_on_the_length_of_features() -> None:
    found = fitted(cloud(20, 0))
    rows = cloud(5, 8).astype(np.float64)
    np.testing.assert_allclose(found.scores(rows), found.scores(3 * rows), rtol=1e-6)
    assert np.isfinite(found.scores(np.zeros((1, 20)))).all()
