"""Large buffers: the same bytes in memory and in a file without a name, whose memory can be given back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit.files import buffers
from pipekit.files.buffers import Growing, Mapped, Placed, in_steps, joined_pieces, release


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "STEP_BYTES", 4)


@pytest.mark.parametrize("move_at", [0, 2, 5, None])
def test_bytes_grow_in_memory_or_in_a_file(tmp_path: Path, move_at: int | None) -> None:
    made, pieces = Growing(), [b"ab", b"", b"cdefgh", b"i", b"jk"]
    for place, piece in enumerate([*pieces, b""]):
        if place == move_at:
            made.move_to(tmp_path / "new")
            made.move_to(tmp_path / "new")
        made.add(piece)
    whole = made.whole()
    assert bytes(whole) == b"".join(pieces)
    assert isinstance(whole, Mapped) is (move_at is not None)
    assert not [*tmp_path.rglob("*.*")], "the file has no name"


def test_a_file_of_nothing_is_nothing(tmp_path: Path) -> None:
    made = Growing()
    made.move_to(tmp_path)
    assert bytes(made.whole()) == b""
    assert bytes(Placed(0, tmp_path).whole()) == b""


@pytest.mark.parametrize("in_file", [False, True])
def test_bytes_come_in_any_order(tmp_path: Path, in_file: bool) -> None:
    source = iter(b"efghijklmnop")

    def into(place: memoryview) -> None:
        place[:] = bytes(next(source) for _ in range(len(place)))

    made = Placed(18, tmp_path if in_file else None)
    made.fill(4, 9, into)
    made.put(0, b"abcd")
    made.put(16, b"qr")
    made.fill(13, 3, into)
    assert bytes(made.whole()) == b"abcdefghijklmnopqr"


def test_released_bytes_are_read_again(tmp_path: Path) -> None:
    made = Growing()
    made.move_to(tmp_path)
    made.add(np.arange(5000, dtype="<u4").tobytes())
    whole = made.whole()
    assert isinstance(whole, Mapped)
    array = np.frombuffer(whole, "<u4")
    for part in (whole, memoryview(whole), array, array.reshape(-1, 2)[3:], memoryview(array)):
        release(part)
        assert array.tolist() == [*range(5000)]
    assert whole.piece(8, 12) == b"\2\0\0\0"
    for other in (None, b"abc", np.arange(3), memoryview(b"abc")):
        release(other)


def test_pieces_are_joined_and_taken_step_by_step(tmp_path: Path) -> None:
    assert [bytes(step) for step in in_steps([b"abcdefghij", b"", bytearray(b"klmn")])] == [
        b"abcd",
        b"efgh",
        b"ij",
        b"",
        b"klmn",
    ]
    for pieces in ([b"a", memoryview(b"b")], [b"abcdefghij", b"k"]):
        assert bytes(joined_pieces(pieces, tmp_path)) == b"".join(pieces)


def resident_pages(data: Mapped) -> int:
    """The number of the pages of mapped bytes that are in this process's memory, as Linux states it."""
    at, listed = np.frombuffer(data, np.uint8).ctypes.data, Path("/proc/self/smaps").read_text("ascii").splitlines()
    begin = next(place for place, line in enumerate(listed) if line.startswith(f"{at:x}-") or line.startswith(f"{at:08x}-"))
    return next(int(line.split()[1]) for line in listed[begin:] if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux states the memory of a mapping")
def test_what_is_released_or_read_by_pieces_is_in_memory_no_longer(tmp_path: Path) -> None:
    made = Growing()
    made.move_to(tmp_path)
    made.add(bytes(1 << 20))
    whole = made.whole()
    assert isinstance(whole, Mapped)
    assert whole.piece(5, 50_000) == bytes(49_995)
    assert resident_pages(whole) == 0
    assert np.frombuffer(whole, np.uint8).sum() == 0
    assert resident_pages(whole) > 0
    release(whole)
    assert resident_pages(whole) == 0
