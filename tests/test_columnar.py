"""Columns: what goes into bytes comes out, blocks are joined, and a revision says of a sample what it says of its part."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.columnar import Chosen, Columns, Few, Revision, Texts, columns_of, from_bytes, joined, short_hashes, to_bytes
from pipekit.files.buffers import Growing

texts = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=5)


def plain(columns: Any) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


def block(rows: list[tuple[str, str | None, int]]) -> dict[str, Any]:
    return {
        "text": Texts.of(row[0] for row in rows),
        "few": Few.of(row[1] for row in rows),
        "number": np.array([row[2] for row in rows], np.int64),
        "pair": np.array([(row[2], 7) for row in rows], np.float64).reshape(len(rows), 2),
    }


rows = st.lists(st.tuples(texts, st.none() | texts, st.integers(-(2**63), 2**63 - 1)), max_size=8)


@given(rows)
def test_columns_come_back_from_their_bytes(some: list[Any]) -> None:
    assert plain(from_bytes(to_bytes(block(some)))) == plain(block(some))


def test_bytes_of_columns_take_no_copy_besides_the_result() -> None:
    columns = {"number": np.arange(500_000), "label": Few.of(["cat"] * 500_000), "every other": np.arange(10)[::2]}
    tracemalloc.start()
    try:
        made = to_bytes(columns, b"before")
        assert tracemalloc.get_traced_memory()[1] < 1.2 * len(made)
    finally:
        tracemalloc.stop()
    assert made == b"before" + to_bytes(columns)
    assert from_bytes(made[6:])["every other"].tolist() == [0, 2, 4, 6, 8]  # type: ignore[union-attr]


@given(st.lists(rows, min_size=1, max_size=4))
def test_joined_blocks_are_the_block_of_all_rows(some: list[list[Any]]) -> None:
    assert plain(joined(list(map(block, some)))) == plain(block([row for part in some for row in part]))


def test_texts_are_taken_by_their_numbers() -> None:
    made = Texts.of(["a", "", "Ä\udc80", "d"])
    assert made.take([2, 0, 1]) == ["Ä\udc80", "a", ""]
    assert made.tolist() == ["a", "", "Ä\udc80", "d"]


def test_rows_are_read_by_part() -> None:
    parts = [["a", "b"], [], ["c", "d", "e"]]
    read: list[tuple[int, Sequence[int]]] = []

    def rows_of(part: int, places: Sequence[int]) -> list[str]:
        read.append((part, places))
        return [parts[part][place] for place in places]

    made = Columns({}, [2, 0, 3], rows_of)
    assert made.rows([4, 2, 3]) == {4: "e", 2: "c", 3: "d"}
    assert read == [(2, [2, 0, 1])]
    assert made.num_rows == 5


def test_short_hashes_are_those_of_sha256() -> None:
    ((low, high), empty) = short_hashes(["abc", ""]).tolist()
    assert (low.to_bytes(8, "little") + high.to_bytes(8, "little")).hex() == "ba7816bf8f01cfea414140de5dae2223"
    assert empty == [0, 0]


def test_rows_of_no_index_are_one_part() -> None:
    made = columns_of(iter(["b", "a"]), lambda rows, params: {"text": Texts.of(rows)})
    assert (made["text"].tolist(), made.counts, made.rows([1])) == (["b", "a"], [2], {1: "a"})


def test_a_revision_depends_on_the_samples_of_a_part_alone() -> None:
    def revision(split: list[str | None], keep: list[bool], counts: tuple[int, ...] = (2, 1)) -> Revision:
        fold = np.array([1, -1, 2])
        fields: dict[str, Any] = {"split": Few(Few.of(["train", "val"]).codes[[0, 0, 1]], ("train", "val")), "extra.fold": fold}
        fields["split"].codes[:] = [-1 if name is None else ("train", "val").index(name) for name in split]
        return Revision(Texts.of("abc"), counts, fields, np.array(keep))

    one = revision(["train", None, "val"], [True, True, True])
    assert (one("a"), one("b"), one("c")) == (
        {"split": "train", "extra": {"fold": 1}},
        {},
        {"split": "val", "extra": {"fold": 2}},
    )
    other = revision(["train", None, "val"], [True, True, False])
    assert (other("a"), other("c"), other("z")) == (one("a"), None, None)
    assert one.of_part(0, 2) == other.of_part(0, 2)
    assert one.of_part(2, 3) != other.of_part(2, 3)
    assert one.of_part(0, 2) != revision(["val", None, "val"], [True, True, True]).of_part(0, 2)


@settings(max_examples=120)
@given(st.lists(st.text(st.sampled_from("ab\0é\ud800😀/"), max_size=20)), st.sampled_from([1, 3, 1 << 16]), st.booleans())
def test_texts_are_sorted_as_python_sorts_them(some: list[str], at_once: int, mapped: bool) -> None:
    """A text may be the beginning of another one, may end in zero bytes, and may be there twice."""
    column = Texts.of(some)
    if mapped and column.data:
        data = Growing()
        data.move_to(tempfile.gettempdir())
        data.add(column.data)
        column = Texts(column.sizes, data.whole())
        assert (column.tolist(), [*map(column.__getitem__, range(len(some)))]) == (some, some)
    with mock.patch("pipekit.columnar._SORTED_AT_ONCE", at_once):
        order = column.sorted_order()
    assert sorted(order.tolist()) == list(range(len(some)))
    assert list(Chosen(column, order)) == sorted(some)
    assert list(Chosen(column, order)[1:]) == sorted(some)[1:]
