"""Thumbnails, made when they are first asked for, and kept: many small files in a few large ones."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PACKS = 16
"""The first four bits of an image's hash choose the file: several servers and threads seldom wait for one another."""

_HEAD = struct.Struct("<16sI")


class Thumbs:
    """JPEG files by the hash of their image, in ``thumbs-<size>-<0..f>.pack``: hash, length, file, one after another.

    A file is only appended to, under a lock. What a killed process wrote in part is cut off by the next one that opens it.
    """

    def __init__(self, folder: Path, max_px: int = 160) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.max_px = max_px
        self._packs = [_Pack(folder / f"thumbs-{max_px}-{number:x}.pack") for number in range(PACKS)]

    def get(self, key: bytes, make: Callable[[], bytes]) -> bytes:
        """The thumbnail of the image with a SHA-256; made if there is none yet."""
        pack = self._packs[key[0] % PACKS]
        found = pack.read(key[:16])
        if found is None:
            found = make()
            pack.append(key[:16], found)
        return found

    def close(self) -> None:
        for pack in self._packs:
            pack.close()


class _Pack:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1
        self._places: dict[bytes, tuple[int, int]] = {}
        self._end = 0
        self._lock = threading.Lock()

    def read(self, key: bytes) -> bytes | None:
        with self._lock:
            self._open()
            place = self._places.get(key)
        return None if place is None else os.pread(self._handle, place[1], place[0])

    def append(self, key: bytes, data: bytes) -> None:
        with self._lock, _locked(self._handle):
            self._scan()  # what another server has appended
            if key not in self._places:
                os.pwrite(self._handle, _HEAD.pack(key, len(data)) + data, self._end)
                self._places[key] = (self._end + _HEAD.size, len(data))
                self._end += _HEAD.size + len(data)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            with _locked(self._handle):
                self._scan()

    def _scan(self) -> None:
        size = os.fstat(self._handle).st_size
        while self._end + _HEAD.size <= size:
            key, length = _HEAD.unpack(os.pread(self._handle, _HEAD.size, self._end))
            if self._end + _HEAD.size + length > size:
                break
            self._places[key] = (self._end + _HEAD.size, length)
            self._end += _HEAD.size + length
        if self._end < size:
            os.ftruncate(self._handle, self._end)


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Hold the lock of an open file. On Windows there is none: run one server for a folder there."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def packed(parts: Sequence[bytes]) -> bytes:
    """The number of parts, their lengths, then the parts, one after another."""
    return struct.pack(f"<I{len(parts)}I", len(parts), *map(len, parts)) + b"".join(parts)
