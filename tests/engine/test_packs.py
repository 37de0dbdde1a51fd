"""Packs: whatever pack there is, damaged ones included, the columns are those of all blocks; and few blocks are read."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import columnar
from pipekit.columnar import Column, Few, Texts, joined
from pipekit.engine import packs
from pipekit.engine.packs import packed_columns
from pipekit.errors import UserError
from pipekit.files import buffers
from pipekit.files.buffers import Mapped
from pipekit.store.store import Store


def block(name: str) -> dict[str, Column]:
    """Columns that follow from the name; labels are new in some blocks, and come in another order in others."""
    chance = random.Random(name)
    count = chance.choice([1, 2, 5])
    labels = [chance.choice(["cat", "dog", "é", None, f"only {name[:1]}"]) for _ in range(count)]
    return {
        "id": Texts.of(f"{name}/{number}é" * chance.choice([0, 1, 3]) for number in range(count)),
        "label": Few.of(labels),
        "size": np.array([chance.random() for _ in range(count)]),
        "print": np.array([[chance.randrange(256) for _ in range(3)] for _ in range(count)], np.uint8),
        "problem": Few.of([None] * count),
    }


def plain(columns: Mapping[str, Column]) -> dict[str, Any]:
    """All of columns, the numbers of texts included."""
    return {
        name: (column.names, column.codes.tolist()) if isinstance(column, Few) else (type(column).__name__, column.tolist())
        for name, column in columns.items()
    }


class Reads:
    """Reads blocks, and counts them."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.count = names, 0

    def __call__(self, number: int) -> dict[str, Column]:
        self.count += 1
        return block(self.names[number])


def changed(names: list[str], chance: random.Random, step: int) -> list[str]:
    made = [name for name in names if chance.random() > 0.04] or names[:1]
    for number in range(chance.choice([0, 1, 1, 2, 9])):
        made.insert(chance.randrange(len(made) + 1), f"{chance.randrange(10)} new {step} {number}")
    if chance.random() < 0.1:
        chance.shuffle(made)
    return made


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mapped", [False, True])
def test_after_any_changes_the_columns_are_those_of_all_blocks(
    mapped: bool, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mapped:
        monkeypatch.setattr(packs, "MANY", 1)
        monkeypatch.setattr(columnar, "MANY", 1)
    chance, path = random.Random(seed), str(tmp_path / "store/memory/pack")
    names = [f"{number % 10} {number}" for number in range(chance.choice([2, 30, 80]))]
    for step in range(12):
        names, store = changed(names, chance, step), Store(tmp_path / "store")
        columns, counts = packed_columns(store, path, names, Reads(names))
        assert plain(columns) == plain(joined(map(block, names)))
        assert counts == [len(block(name)["size"]) for name in names]
        assert any(isinstance(getattr(column, "data", None), Mapped) for column in columns.values()) is mapped
    assert not [*(tmp_path / "store/tmp").glob("*")]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def empty(data: bytes, chance: random.Random) -> bytes:
    return b""


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("harm", [cut, flipped, empty])
def test_a_damaged_pack_is_moved_aside_and_written_anew(
    harm: Callable[[bytes, random.Random], bytes], seed: int, tmp_path: Path
) -> None:
    names, path = [f"{number % 10} {number}" for number in range(20)], tmp_path / "store/memory/pack"
    packed_columns(Store(tmp_path / "store"), str(path), names, Reads(names))
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(harm(whole, random.Random(seed)))
    store, told = Store(tmp_path / "store"), list[str]()
    store.on_damage = told.append
    names = [*names, "new"]
    columns, _ = packed_columns(store, str(path), names, Reads(names))
    assert plain(columns) == plain(joined(map(block, names)))
    assert len(told) == 1
    reads = Reads(names)
    packed_columns(Store(tmp_path / "store"), str(path), names, reads)
    assert reads.count == 0, "it is whole again"


def test_few_blocks_are_read_and_a_pack_is_written_when_many_are_loose(tmp_path: Path) -> None:
    names, path = [str(number) for number in range(packs.LOOSE * 2)], tmp_path / "store/memory/pack"
    packed_columns(Store(tmp_path / "store"), str(path), names, Reads(names))
    written = path.stat().st_ino
    for loose in (1, 2):  # as many are gone
        others = [*names[loose:], *(f"new {number}" for number in range(loose))]
        reads = Reads(others)
        packed_columns(Store(tmp_path / "store"), str(path), others, reads)
        assert reads.count == loose
        assert (path.stat().st_ino == written) is (loose == 1), "two of 32 may be loose, and not four"


def test_the_next_stage_gets_the_same_columns_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, path, store = ["a", "b"], str(tmp_path / "store/memory/pack"), Store(tmp_path / "store")
    first, counts = packed_columns(store, path, names, Reads(names))
    Path(path).unlink()
    reads = Reads(names)
    assert packed_columns(store, path, names, reads) == (first, counts)
    assert reads.count == 0
    monkeypatch.setattr(packs, "RECENT_BYTES", 10)
    packed_columns(store, path, ["c"], Reads(["c"]))
    packed_columns(store, path, names, reads)
    assert reads.count == 2, "what takes much memory is not kept"
    store.close()
    assert not store.recent


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(columnar, "MANY", 1)
    monkeypatch.setattr(buffers, "_new_file", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        packed_columns(Store(tmp_path / "store"), str(tmp_path / "store/memory/pack"), ["a"], Reads(["a"]))
    assert "gc --min-age 0" in caught.value.hint


def test_the_names_of_a_block_are_kept_as_numbers(tmp_path: Path) -> None:
    """At a hundred classes each block has them in another order: as texts, these lists took 33 MB of a million images."""
    names = [f"class {number}" for number in range(100)]

    def read(number: int) -> dict[str, Column]:
        return {"label": Few.of(random.Random(number).sample(names, 60))}

    files, path = [str(number) for number in range(200)], str(tmp_path / "store/memory/pack")
    columns, _ = packed_columns(Store(tmp_path / "store"), path, files, read)
    assert columns["label"].tolist() == [name for number in range(200) for name in read(number)["label"].tolist()]
    assert Path(path).stat().st_size < 200 * 60 * (4 + 5)


def test_a_store_that_is_read_only_gets_no_pack(tmp_path: Path) -> None:
    names, path = ["a", "b"], tmp_path / "store/memory/pack"
    columns, _ = packed_columns(Store(tmp_path / "store", read_only=True), str(path), names, Reads(names))
    assert plain(columns) == plain(joined(map(block, names)))
    assert not path.exists()
