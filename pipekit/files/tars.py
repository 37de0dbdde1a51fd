"""Write the files of a shard into one tar, in the order in which they are made. WebDataset can read it."""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

MODE = 0o444
"""Nobody may write to what lies in a store."""


class TarWriter:
    """A tar that is being written. The same files in the same order always give the same bytes.

    Members of one sample are adjacent and share their name up to the first dot, as WebDataset expects.

    Attributes:
        places: for each file's name, its location ``#offset+size.suffix``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=1 << 18)
        self._hashed: hashlib._Hash | None = hashlib.sha256()
        self._size = 0
        self.places: dict[str, str] = {}

    def add(self, name: str, data: bytes, beside: Mapping[str, bytes] | None = None) -> str:
        """Add a file and return its location.

        Args:
            name: its path below the folder of the shard's files, with ``/``.
            beside: further members of its sample by suffix: ``{".cls": b"cat"}``.
        """
        folder, _, base = name.rpartition("/")
        stem, dot, suffix = base.rpartition(".")
        if not stem:  # no suffix, or a name that begins with its only dot
            stem, dot, suffix = base, "", ""
        stem = f"{folder}/{stem.replace('.', '_')}".lstrip("/")
        parts = [header_of(stem + dot + suffix, len(data)), data, _padding(data)]
        place = self.places[name] = f"#{self._size + len(parts[0])}+{len(data)}{dot}{suffix}"
        for other, text in (beside or {}).items():
            parts += [header_of(stem + other, len(text)), text, _padding(text)]
        self._write(b"".join(parts))
        return place

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)
        if self._hashed is not None:
            self._hashed.update(data)

    def state(self) -> tuple[int, int]:
        """What :meth:`back_to` takes to drop all that is added from now on."""
        return self._size, len(self.places)

    def back_to(self, state: tuple[int, int]) -> None:
        """Drop what was added since ``state``."""
        size, count = state
        if size == self._size:
            return
        self._file.seek(size)
        self._file.truncate()
        self._size = size
        self._hashed = None  # what was dropped is in it
        for name in list(self.places)[count:]:
            del self.places[name]

    def finish(self) -> str:
        """Finish the tar; returns its SHA-256, or "" if that is not known. An empty tar is removed."""
        empty = not self._size
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._file.close()
        if empty:
            self._path.unlink()
            return ""
        self._path.chmod(MODE)
        return "" if self._hashed is None else self._hashed.hexdigest()

    def abandon(self) -> None:
        """Close the file, whatever is in it."""
        with contextlib.suppress(OSError):
            self._file.close()


def _padding(data: bytes) -> bytes:
    return b"\0" * (-len(data) % tarfile.BLOCKSIZE)


def header_of(name: str, size_bytes: int) -> bytes:
    """The header of a member, as ``tarfile`` makes it, in a twentieth of the time."""
    if len(name) > tarfile.LENGTH_NAME or not name.isascii() or size_bytes >= 8**11:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size_bytes, 0, MODE
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    field, size = name.encode("ascii"), b"%011o\0" % size_bytes
    return b"%b%b%b%b%06o\0 %b" % (field.ljust(100, b"\0"), _OWNER, size, _TIME, _SUM + sum(field) + sum(size), _REST)


_EMPTY = tarfile.TarInfo("")
_EMPTY.mtime, _EMPTY.mode = 0, MODE
_HEADER = _EMPTY.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
_OWNER, _TIME, _REST = _HEADER[100:124], _HEADER[136:148], _HEADER[156:]
_SUM = sum(_OWNER + _TIME + _REST) + 8 * ord(" ")
"""The sum of a header without its name and size; the sum itself counts as blanks."""
