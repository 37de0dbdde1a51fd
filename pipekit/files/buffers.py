"""Large buffers outside memory: bytes that are collected in a file without a name, and mapped when they are complete."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Any, BinaryIO, cast

LARGE_BYTES = 4 << 20
"""Size from which a buffer is a file: the hashes of 60,000 images are in memory, those of 70,000 are not."""

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


def new_file(folder: str | os.PathLike[str]) -> BinaryIO:
    """A file without a name on the disk of a folder."""
    import tempfile

    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


class Growing:
    """Bytes that come one after the other.

    Args:
        folder: where a large buffer is a file; None: all are in memory.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder, self._data = folder, bytearray()
        self._file: BinaryIO | None = None

    def __iadd__(self, data: Any) -> Growing:
        if self._file is not None:
            self._file.write(data)
            return self
        self._data += data
        if self._folder is not None and len(self._data) >= LARGE_BYTES:
            self._file = new_file(self._folder)
            self._file.write(self._data)
            self._data = bytearray()
        return self

    def whole(self) -> bytearray | Mapped:
        return self._data if self._file is None else Mapped.of(self._file)


class Placed:
    """Bytes of a known number that come in any order; see :class:`Growing`."""

    def __init__(self, size: int, folder: str | os.PathLike[str] | None = None) -> None:
        self._file = new_file(folder) if folder is not None and size >= LARGE_BYTES else None
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


def release(data: object) -> None:
    """Give the memory of mapped bytes back."""
    if isinstance(data, Mapped):
        data.release()
