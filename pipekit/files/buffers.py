"""Large buffers outside memory: bytes that are collected in a file without a name, and mapped when they are complete."""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, BinaryIO, TypeAlias, cast

Buffer: TypeAlias = bytes | bytearray | memoryview

Folder: TypeAlias = "str | os.PathLike[str]"
"""A folder; files without a name are on its disk."""

MANY = 100_000
"""Number of rows from which their columns are mapped."""

STEP_BYTES = 1 << 20
"""Number of bytes that are copied at once."""


class Mapped(mmap.mmap):
    """The bytes of a file that has no name, so that nobody can change or truncate it. What is read stays in memory until
    :meth:`release`, except what :meth:`piece` reads."""

    file: BinaryIO

    @classmethod
    def of(cls, file: BinaryIO) -> Mapped:
        file.flush()
        made = cls(file.fileno(), 0, access=mmap.ACCESS_READ)
        made.file = file
        weakref.finalize(made, file.close)
        return made

    def piece(self, begin: int, end: int) -> bytes:
        """Some bytes."""
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), end - begin, begin)
        return self[begin:end]

    def release(self) -> None:
        """Give the memory back; the bytes stay in the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.madvise(mmap.MADV_DONTNEED)


def _new_file(folder: Folder) -> BinaryIO:
    import tempfile

    _return_arrays()
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


@cache
def _return_arrays() -> None:
    """Let glibc return the memory of each freed array. By itself it keeps those of up to 32 MB: 80 MB at a million images."""
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, STEP_BYTES // 2)


M_MMAP_THRESHOLD = -3
"""In ``malloc.h``: the size from which an allocation is a mapping by itself."""


class Growing:
    """Bytes that come one after the other."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._file: BinaryIO | None = None

    def add(self, data: Any) -> None:
        if self._file is None:
            self._data += data
        else:
            self._file.write(data)

    def move_to(self, folder: Folder) -> None:
        """Collect them in a file from now on."""
        if self._file is None:
            self._file = _new_file(folder)
            self._file.write(self._data)
            self._data = bytearray()

    def whole(self) -> bytearray | Mapped:
        if self._file is not None and self._file.tell():
            return Mapped.of(self._file)
        if self._file is not None:
            self._file.close()
        return self._data


class Placed:
    """Bytes of a known number that come in any order.

    Args:
        folder: where they are collected in a file; None: in memory.
    """

    def __init__(self, size: int, folder: Folder | None = None) -> None:
        self._file = None if folder is None or not size else _new_file(folder)
        self._data = bytearray(size if self._file is None else 0)

    def fill(self, at: int, size: int, into: Callable[[memoryview], object]) -> None:
        """Fill some bytes by a function that fills a piece of memory; it is called for one piece after the other."""
        if self._file is None:
            into(memoryview(self._data)[at : at + size])
            return
        piece = memoryview(bytearray(min(size, STEP_BYTES)))
        for begin in range(at, at + size, STEP_BYTES):
            some = piece[: min(STEP_BYTES, at + size - begin)]
            into(some)
            self.put(begin, some)

    def put(self, at: int, data: Any) -> None:
        if self._file is None:
            self._data[at : at + len(data)] = data
            return
        self._file.seek(at)
        self._file.write(data)

    def whole(self) -> bytearray | Mapped:
        return self._data if self._file is None else Mapped.of(self._file)


def joined_pieces(pieces: Sequence[Buffer], folder: Folder) -> Buffer:
    """Pieces as one; if they are large, without their memory."""
    if sum(map(len, pieces)) < STEP_BYTES:
        return b"".join(pieces)
    made = Growing()
    made.move_to(folder)
    for piece in in_steps(pieces):
        made.add(piece)
    return memoryview(made.whole())


def release(data: Any) -> None:
    """Give the memory of mapped bytes back; of an array, or a view, of such bytes too. Nothing happens to others."""
    while data is not None and not isinstance(data, Mapped):
        data = data.obj if isinstance(data, memoryview) else getattr(data, "base", None)
    if data is not None:
        data.release()


def in_steps(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """Pieces of memory; large ones step by step: each is given back before the next one is taken."""
    for piece in pieces:
        if len(piece) <= STEP_BYTES:
            yield piece
            release(piece)
            continue
        view = memoryview(piece)
        for begin in range(0, len(view), STEP_BYTES):
            yield view[begin : begin + STEP_BYTES]
            release(view)
