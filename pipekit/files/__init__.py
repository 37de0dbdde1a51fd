"""Files in folder trees and inside tar archives: ``…/files.tar#512+9000.jpg`` is 9,000 bytes from byte 512.

Millions of loose files overload a file system; one tar per shard does not. A path into a tar is text like any other path,
has the member's suffix, and works wherever an image is read with :func:`read_bytes`.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pipekit.errors import UserError
from pipekit.files.buffers import Buffer
from pipekit.files.suffixes import IMAGE_SUFFIXES, codec_for, image_suffixes, suffixes_of_pillow, use_codecs
from pipekit.files.tars import TarWriter
from pipekit.files.trees import (
    ALL_LISTED,
    ARCHIVE_SUFFIXES,
    LISTED,
    NAMES_AT_ONCE,
    OUTPUT_MARK,
    SETTLED_S,
    STATE,
    Listing,
    TreeState,
    file_state,
    files_in,
    folders_in,
    has_file,
    is_archive,
    is_folder,
    is_settled,
    joined_names,
    own_output_below,
    scan,
    settled_before,
    state_of,
    stats_of,
    tree_state,
    unreadable_below,
    walk,
)

__all__ = [
    "ALL_LISTED",
    "ARCHIVE_SUFFIXES",
    "AT_ONCE_BYTES",
    "IMAGE_SUFFIXES",
    "LISTED",
    "MAX_TAR_TEXT_BYTES",
    "NAMES_AT_ONCE",
    "OUTPUT_MARK",
    "SETTLED_S",
    "STATE",
    "Buffer",
    "Listing",
    "PlainTable",
    "TarHeaderError",
    "TarWriter",
    "TreeState",
    "codec_for",
    "expanded",
    "file_state",
    "files_in",
    "folders_in",
    "guarded",
    "has_file",
    "hash_file",
    "image_suffixes",
    "is_archive",
    "is_folder",
    "is_settled",
    "joined_names",
    "on_disk",
    "on_read",
    "open_tar",
    "own_output_below",
    "plain_rows",
    "read_bytes",
    "scan",
    "settled_before",
    "split_packed",
    "state_of",
    "stats_of",
    "suffixes_of_pillow",
    "tar_members",
    "tree_state",
    "unguarded",
    "unreadable_below",
    "use_codecs",
    "walk",
    "write_new",
    "write_text",
]

AT_ONCE_BYTES = 1_000_000
"""Smaller files are hashed in one piece."""

MAX_TAR_TEXT_BYTES = 1 << 20
"""Maximum size of a header of a tar that holds a long name or attributes: ``tarfile`` reads it into memory."""

_TAR_TEXTS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_PACKED = re.compile(r"^(?P<tar>.*\.tar)#(?P<offset>\d+)\+(?P<size>\d+)(?:\.[^./\\]*)?$", re.DOTALL)


def split_packed(path: str | os.PathLike[str]) -> tuple[str, int, int] | None:
    """(tar, offset, size) in bytes for a path into a tar, else None."""
    place = os.fspath(path)
    if ".tar#" not in place:  # nearly every path, in a fifth of the time
        return None
    found = _PACKED.match(place)
    return (found["tar"], int(found["offset"]), int(found["size"])) if found else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` replaced; of a user who does not exist it stays as it is, where ``Path.expanduser`` raises.

    >>> str(expanded("~nobody-has-this-name/photos"))
    '~nobody-has-this-name/photos'
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def on_disk(path: str | os.PathLike[str]) -> str:
    """The file on disk behind a path: itself, or the tar that contains it."""
    packed = split_packed(path)
    return os.fspath(path) if packed is None or Path(path).exists() else packed[0]


on_read: Callable[[str, bytes], None] | None = None
"""Called by :func:`read_bytes` with the path and the bytes: a store compares them with the hash that it keeps."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read the content of a file, also inside a tar.

    Raises:
        OSError: it can't be read, or is a pipe or a device, which might never end.
        DamagedError: it lies in a store and is not what was put there.
    """
    packed = split_packed(path)
    if packed is None or Path(path).exists():
        _check_regular(path)
        with open(path, "rb") as file:
            data = file.read()
    else:
        with open(packed[0], "rb") as file:
            file.seek(packed[1])
            data = file.read(packed[2])
    if on_read is not None:
        on_read(os.fspath(path), data)
    return data


def hash_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, as hex. Raises like :func:`read_bytes`."""
    if split_packed(path) is not None and not Path(path).exists():
        return hashlib.sha256(read_bytes(path)).hexdigest()
    size_bytes = _check_regular(path)
    with open(path, "rb", buffering=0) as file:
        if size_bytes <= AT_ONCE_BYTES:  # most photographs; a buffer for parts takes longer to make than one to read
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: str | os.PathLike[str], data: bytes | Iterable[Buffer], mode: int = 0o644) -> None:
    """Write a new file, of one piece or several. Raises OSError, also if the disk accepts only a part."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        for piece in (data,) if isinstance(data, bytes) else data:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: after a kill or a power cut it is the old one or the new one.

    Raises:
        UserError: it can't be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise UserError(
            f"can't write {path}: {error.strerror}", "Check that the folder exists and that you may write to it."
        ) from error


def _check_regular(path: str | os.PathLike[str]) -> int:
    """The size of a file in bytes. Raises OSError for anything but a regular file."""
    found = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return found.st_size


class TarHeaderError(tarfile.TarError):
    """A header of a tar claims a size that no honest archive has."""


class _CheckedTarInfo(tarfile.TarInfo):
    """A header whose claims are checked before ``tarfile`` reserves the memory that they ask for, or moves backwards."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        is_text = info.type in _TAR_TEXTS
        if info.size < 0 or (is_text and info.size > MAX_TAR_TEXT_BYTES):
            raise TarHeaderError(f"a header claims {info.size:,} bytes{' of names and attributes' if is_text else ''}")
        return info


def open_tar(path: Path, mode: Literal["r:*", "r:"] = "r:*") -> tarfile.TarFile:
    """Open a tar that may be hostile; read its members with :func:`tar_members`.

    Raises:
        tarfile.TarError: it is no tar, or damaged.
        OSError: it can't be read.
    """
    try:
        return tarfile.open(path, mode, tarinfo=_CheckedTarInfo)
    except RecursionError:
        raise TarHeaderError("headers follow each other without a member") from None


def tar_members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members one at a time; none is kept in memory.

    Raises:
        tarfile.TarError: the tar is damaged, or a size is negative (``tarfile`` would read the same members for ever).
    """
    try:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            if member.size < 0:
                raise TarHeaderError(f"{member.name!r} claims {member.size:,} bytes")
            yield member
    except RecursionError:
        raise TarHeaderError("headers follow each other without a member") from None


# --- tables for people ---------------------------------------------------------------------------------------------------

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Text that spreadsheets take for a formula, and such text behind apostrophes."""


class PlainTable:
    """Writes CSV that people open in spreadsheets: an apostrophe stands before a cell that would be a formula there.

    Names of files and classes come from strangers, and ``=HYPERLINK(...)`` is a valid one. Numbers stay as they are.
    :func:`plain_rows` takes the apostrophe away again.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._writer = csv.writer(self, lineterminator="\r\n")  # a carriage return is quoted only where lines end in one

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")

    def writerow(self, row: Iterable[Any]) -> None:
        self._writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def guarded(cell: str) -> str:
    """The text for a cell of a spreadsheet.

    >>> guarded("=1+1"), guarded("-0.5"), guarded("cat")
    ("'=1+1", '-0.5', 'cat')
    """
    if not _FORMULA.match(cell):
        return cell
    with contextlib.suppress(ValueError):
        float(cell)
        if not cell[0].isspace():
            return cell
    return f"'{cell}"


def unguarded(cell: str) -> str:
    """What :func:`guarded` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def plain_rows(table: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    """The rows of a table that :class:`PlainTable` wrote."""
    for row in table:
        yield {name: unguarded(cell) if isinstance(cell, str) else cell for name, cell in row.items()}
