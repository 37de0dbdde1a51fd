"""Neighbours of more rows than are compared one with another, against all pairs; and the memory that mapped rows take."""

from __future__ import annotations

import mmap
import tracemalloc
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.learning import neighbours
from pipekit.learning.mapped import read_blocks, read_rows, release
from pipekit.learning.near_copies import _pairs, _Texts
from pipekit.learning.neighbours import Directions, Neighbours, nearest
from pipekit.learning.out_of_fold import principal_components

LIMIT = 0.8
"""Two rows of a higher cosine are a pair. Rows of one subject have about 0.5, copies about 0.9."""


def subjects(count: int, width: int = 48) -> NDArray[np.float16]:
    """Rows of 40 subjects; a quarter of them are copies of another row."""
    rng = np.random.default_rng(3)
    rows = rng.normal(0, 1, (40, width))[rng.integers(0, 40, count)] + rng.normal(0, 1, (count, width))
    copies = rng.permutation(count)[: count // 2].reshape(2, -1)
    rows[copies[0]] = rows[copies[1]] + rng.normal(0, 0.4, (count // 4, width))
    return rows.astype(np.float16)


def test_without_all_pairs_99_of_100_pairs_above_the_limit_are_found_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """156 cells; 8 are searched for each row: 5 % of all comparisons."""
    monkeypatch.setattr(neighbours, "EXACT", 100)
    monkeypatch.setattr(neighbours, "CELL", 16)
    table = subjects(2500)
    rows = Directions(table).at(slice(None))
    pairs = np.argwhere(np.triu(rows @ rows.T > LIMIT, 1))
    assert len(pairs) > 500
    found, again = (nearest(Directions(table), 8, np.random.default_rng(0)) for _ in range(2))
    there = (found.numbers[pairs[:, 0]] == pairs[:, 1:]).any(1) | (found.numbers[pairs[:, 1]] == pairs[:, :1]).any(1)
    assert there.mean() >= 0.99
    np.testing.assert_array_equal(found.numbers, again.numbers)
    np.testing.assert_array_equal(found.similarities, again.similarities)


def mapped(folder: Path, table: NDArray[Any], mode: Any = "r") -> Any:
    np.save(folder / "table.npy", table)
    return np.load(folder / "table.npy", mmap_mode=mode)


def test_rows_of_a_mapped_table_are_those_of_the_table(tmp_path: Path) -> None:
    table = np.arange(60, dtype=np.float16).reshape(20, 3)
    found = mapped(tmp_path, table)
    some = np.array([19, 3, 4])
    np.testing.assert_array_equal(read_rows(found, some), table[some].astype(np.float32))
    blocks = [(start, rows.tolist()) for start, rows in read_blocks(found, 2, some)]
    assert blocks == [(0, table[[19, 3]].tolist()), (2, table[[4]].tolist())]
    assert [start for start, _ in read_blocks(found, 8)] == [0, 8, 16]


def test_changes_that_are_in_memory_alone_stay(tmp_path: Path) -> None:
    table = mapped(tmp_path, np.zeros((2000, 8), np.float16), "c")
    table[7] = 1
    release(table)
    assert table[7].tolist() == [1] * 8


@pytest.mark.skipif(not (hasattr(mmap, "MADV_DONTNEED") and Path("/proc/self/smaps").is_file()), reason="needs Linux")
def test_pages_of_a_mapped_table_do_not_add_up(tmp_path: Path) -> None:
    table = mapped(tmp_path, np.ones((20_000, 64), np.float16))  # 2.5 MB

    def resident_kb() -> int:
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        return next(int(line.split()[1]) for line in lines if "table.npy" in line for line in lines if line.startswith("Rss"))

    assert (np.asarray(table) == 1).all()
    assert resident_kb() > 2000
    assert sum(float(rows.sum()) for _, rows in Directions(table).blocks()) == 0
    assert resident_kb() < 200


def test_principal_components_of_many_rows_hold_their_result_and_a_block(tmp_path: Path) -> None:
    table = mapped(tmp_path, subjects(20_000, 32))
    chosen = np.flatnonzero(np.arange(len(table)) % 5)
    tracemalloc.start()
    found = principal_components(table, 32, chosen)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, principal_components(np.asarray(table[chosen]), 32))
    assert peak < found.nbytes + 1_500_000


def test_each_pair_of_different_files_is_compared_once_the_most_similar_first() -> None:
    """Rows 0 and 1 are neighbours of one another; rows 0 and 2 are one file; row 3 is no image of the dataset."""
    numbers = np.array([[1, 2], [0, 2], [0, 3], [1, -1]])
    similarities = np.array([[0.7, 1], [0.7, 0.9], [1, 0.8], [0.6, -1]], np.float32)
    pairs, values = _pairs(Neighbours(numbers, similarities), ["a", "b", "a", ""])
    assert pairs.tolist() == [[1, 2], [0, 1]]
    assert values.tolist() == [0.9, 0.7]


def test_landmarks_are_read_from_the_file_whatever_the_order() -> None:
    with TemporaryFile() as file:
        texts = _Texts(file)
        for name in "abc":
            texts[name] = name * (ord(name) % 4)
        assert [texts[name] for name in "cabd"] == ["ccc", "a", "bb", ""]
