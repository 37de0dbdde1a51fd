"""Pairs of copies for stages: with notes, and once for two stages that ask for the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipekit.images import recalled_pairs as recalling
from pipekit.images.near_duplicates import Prints, fingerprint, near_pairs_since, packed, unpacked
from pipekit.images.recalled_pairs import SEARCHES, recalled_pairs
from pipekit.images.symmetric_copies import symmetric_pairs_since


class Notes:
    """The notes of a stage."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def recall(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def remember(self, name: str, data: bytes) -> None:
        self.kept[name] = data


def prints_of(count: int) -> Prints:
    rng = np.random.default_rng(5)
    pictures = [np.kron(rng.integers(0, 256, (6, 6)), np.ones((12, 12))).astype(np.uint8) for _ in range(count)]
    pictures += [pictures[0][:, ::-1], pictures[1]]
    return unpacked(packed([fingerprint(np.ascontiguousarray(one)[..., None]) for one in pictures]))


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The searches that ran."""
    found: list[str] = []

    def noting(name: str, search: Any) -> Any:
        return lambda *given: found.append(name) or search(*given)

    monkeypatch.setattr(recalling, "SEARCHES", {name: noting(name, search) for name, search in SEARCHES.items()})
    monkeypatch.setattr(recalling, "_last", {})
    return found


def test_two_stages_get_the_same_pairs_by_one_search(searched: list[str]) -> None:
    prints, first, second = prints_of(10), Notes(), Notes()
    whole = [search(prints, 6, None) for search in (near_pairs_since, symmetric_pairs_since)]
    assert [pairs.tolist() for pairs, _ in whole] == [[[1, 11]], [[0, 10]]]
    for notes in (first, second):
        ctx: Any = notes
        assert [pairs.tolist() for pairs in recalled_pairs(ctx, prints, 6)] == [pairs.tolist() for pairs, _ in whole]
        assert notes.kept == {name: kept for name, (_, kept) in zip(SEARCHES, whole, strict=True)}, "for a run by itself"
    assert searched == [*SEARCHES]


def test_other_images_or_another_limit_are_searched(searched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ctx: Any = Notes()
    for count, bits in ((10, 6), (11, 6), (11, 4), (11, 4)):
        found = recalled_pairs(ctx, prints_of(count), bits)
        assert [pairs.tolist() for pairs in found] == [[[1, count + 1]], [[0, count]]]
    assert len(searched) == 3 * len(SEARCHES)
    monkeypatch.setattr(recalling, "KEPT_IMAGES", 3)
    recalled_pairs(ctx, prints_of(12), 6)
    recalled_pairs(ctx, prints_of(12), 6)
    assert len(searched) == 5 * len(SEARCHES), "pairs of many images are not kept in memory"
