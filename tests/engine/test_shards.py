"""Grouping samples into shards."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.engine.shards import grouped

ids = st.sets(st.text("abc123/", max_size=6), max_size=60)
sizes = st.integers(1, 9)


def shards(names: set[str], shard_size: int) -> list[frozenset[str]]:
    pairs = sorted((hashlib.sha256(name.encode()).hexdigest(), name) for name in names)
    return [frozenset(shard) for shard in grouped(iter(pairs), shard_size)]


@given(ids, sizes)
def test_every_sample_is_in_one_shard_and_none_is_too_large(names: set[str], shard_size: int) -> None:
    found = shards(names, shard_size)
    assert sorted(name for shard in found for name in shard) == sorted(names)
    assert all(1 <= len(shard) <= shard_size for shard in found)
    assert len(names) > shard_size or len(found) <= 1


@settings(max_examples=200)
@given(ids, st.text("abc123/", max_size=6), sizes)
def test_a_sample_more_changes_one_shard_or_splits_it(names: set[str], extra: str, shard_size: int) -> None:
    before, after = set(shards(names - {extra}, shard_size)), set(shards(names | {extra}, shard_size))
    gone, new = before - after, after - before
    assert len(gone) <= 1
    assert len(new) <= 2
    assert frozenset().union(*new) == frozenset().union(*gone) | {extra}


def test_shards_come_one_at_a_time() -> None:
    """Memory holds one shard: not more pairs are taken than are needed to see where it ends."""
    taken = 0

    def pairs():  # type: ignore[no-untyped-def]
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield f"{number * 2**64 // 100_000:016x}", str(number)

    first = next(grouped(pairs(), 10))
    assert 5 <= len(first) <= 10
    assert taken <= 22


def test_samples_whose_hashes_begin_alike_stay_apart_as_far_as_bits_go() -> None:
    pairs = [(f"{'f' * 15}{number:x}", str(number)) for number in range(16)]
    assert [len(shard) for shard in grouped(iter(pairs), 3)] == [2] * 8
