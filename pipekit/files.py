"""Files in folder trees and inside tar archives: ``…/files.tar#512+9000.jpg`` is 9,000 bytes from byte 512.

Millions of loose files overload a file system; one tar per shard does not. A path into a tar is text like any other path,
has the member's suffix, and works wherever an image is read with :func:`read_bytes`.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import heapq
import os
import re
import stat
import struct
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, TypeVar

from pipekit.errors import UserError

OUTPUT_MARK = ".pipekit-output"
"""A folder with this file is pipekit's own output. It is read only if it is named itself, and skipped inside a folder above it
(a pipeline may lie inside its image folder)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes by which importers recognise images."""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

NAMES_AT_ONCE = 50_000
"""Maximum number of names of one folder that are sorted in memory; larger folders are sorted on disk."""

LISTED, FOLDERS_LISTED = 10_000, 8
"""Limits of the cache of folder listings: names per folder, and folders. An entry is valid until its folder changes."""

SETTLED_S = 0.05
"""A file younger than this could still change within one tick of the file system's clock."""

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
    found = _PACKED.match(os.fspath(path))
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


def write_new(path: str | os.PathLike[str], data: bytes, mode: int = 0o644) -> None:
    """Write a new file. Raises OSError, also if the disk accepts only a part."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        rest = memoryview(data)
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


def pack(folder: Path, tar: Path, beside: Mapping[str, Mapping[str, bytes]]) -> dict[str, str]:
    """Pack all files of a folder into a tar and remove them. The same files always give the same bytes.

    WebDataset can read the tar: members of one sample are adjacent and share their name up to the first dot.

    Args:
        beside: for a file's path below ``folder`` (with ``/``), further members of its sample by suffix: ``{".cls": b"cat"}``.

    Returns:
        for each file's path below ``folder`` (with ``/``), its location ``#offset+size.suffix``.
    """
    places: dict[str, str] = {}
    with tar.open("wb") as out:
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            stem = f"{name.rpartition('/')[0]}/{path.stem.replace('.', '_')}".lstrip("/")
            data = path.read_bytes()
            places[name] = f"#{_add(out, stem + path.suffix, data)}+{len(data)}{path.suffix}"
            for suffix, text in beside.get(name, {}).items():
                _add(out, stem + suffix, text)
            path.unlink()
        out.write(b"\0" * (2 * tarfile.BLOCKSIZE))
    return places


def _add(out: BinaryIO, name: str, data: bytes) -> int:
    """Add a member; returns the offset of its content."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 0, 0o444
    out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    place = out.tell()
    out.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
    return place


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


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))


# --- trees ---------------------------------------------------------------------------------------------------------------


def walk(root: Path) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the folders below ``root``, itself first, each with an iterable of its file names that can be read once; sorted.

    Memory holds the names of one folder, at most :data:`NAMES_AT_ONCE` of them. Symbolic links are followed, each real folder
    once, so a cycle of links ends. Hidden entries, macOS's archive metadata and pipekit's own output below ``root`` are
    skipped (:func:`own_output_below` lists the latter).
    """
    return _walk(root, lambda folder, folders: _sorted(_files_among(folder, folders)))


STATE = struct.Struct("=4q")
"""A file's state: size, mtime and ctime in ns, inode. An editor of a file can set back all of these but the ctime."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The visible files of one folder in the order of the file system, which an unchanged folder keeps.

    Attributes:
        names: of the files that have a state.
        states: their states (:data:`STATE`), one after the other.
        gone: names of links to nowhere, and of files that disappeared meanwhile.
        settled_ns: a file whose mtime and ctime are earlier has changed if, and only if, its state has.
    """

    names: list[str]
    states: bytes
    gone: list[str]
    settled_ns: int


def scan(root: Path) -> Iterator[tuple[str, Listing]]:
    """Yield the folders that :func:`walk` yields, in the same order, each with the states of its files.

    A file is ``stat``-ed once. Memory holds one folder.
    """
    return _walk(root, _listed)


def state_of(found: os.stat_result) -> bytes:
    """A file's state in 32 bytes."""
    numbers = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    try:
        return STATE.pack(*numbers)
    except struct.error:  # inodes of some network file systems have 64 bits without a sign
        return struct.pack("=4Q", *(number & 0xFFFF_FFFF_FFFF_FFFF for number in numbers))


# Windows puts neither the inode nor a current size into the listing of a folder.
_stat: Callable[[os.DirEntry[str]], os.stat_result] = os.stat if os.name == "nt" else os.DirEntry.stat


def _listed(folder: str, folders: list[str]) -> Listing:
    """The files of a folder; names of visible folders are appended to ``folders``. Raises OSError."""
    names: list[str] = []
    states, gone, settled_ns, pack = bytearray(), [], settled_before(), STATE.pack
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == "." or name == "__MACOSX":
                continue
            try:
                if entry.is_dir():
                    folders.append(name)
                    continue
                now = _stat(entry)
                # Not by `state_of`: a call takes as long as everything else here but the `stat`.
                states += pack(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
            except OSError:
                gone.append(name)
                continue
            except struct.error:
                states += state_of(now)
            names.append(name)
    return Listing(names, bytes(states), gone, settled_ns)


Read = TypeVar("Read")


def _walk(root: Path, read: Callable[[str, list[str]], Read]) -> Iterator[tuple[str, Read]]:
    """What ``read`` makes of each folder; it appends the names of the folders in it to its second argument."""
    seen: set[tuple[int, int]] = set()
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        folders: list[str] = []
        try:
            if not _is_new(folder, seen) or (folder != str(root) and _is_marked(folder)):
                continue
            found = read(folder, folders)
        except OSError:
            continue
        yield folder, found
        stack.extend(os.path.join(folder, name) for name in sorted(folders, reverse=True))  # noqa: PTH118


def has_file(root: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether :func:`walk` would find a file with one of these suffixes (in lower case); stops at the first one."""
    seen: set[tuple[int, int]] = set()
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        folders: list[str] = []
        with contextlib.suppress(OSError):
            if not _is_new(folder, seen) or (folder != str(root) and _is_marked(folder)):
                continue
            if any(name.lower().endswith(suffixes) for name in _files_among(folder, folders)):
                return True
        stack.extend(os.path.join(folder, name) for name in folders)  # noqa: PTH118
    return False


def own_output_below(root: Path) -> list[str]:
    """The folders that :func:`walk` skips as pipekit's own output, as sorted paths below ``root`` with ``/``.

    Run folders are omitted: nobody mistakes them for images.
    """
    seen: set[tuple[int, int]] = set()
    stack, found = [str(root)], []
    while stack:
        folder = stack.pop()
        folders: list[str] = []
        with contextlib.suppress(OSError):
            if not _is_new(folder, seen):
                continue
            if folder != str(root) and _is_marked(folder):
                if next(Path(folder).glob("*/run.json"), None) is None:
                    found.append(os.path.relpath(folder, root).replace(os.sep, "/"))
                continue
            for _ in _files_among(folder, folders):
                pass
        stack.extend(os.path.join(folder, name) for name in folders)  # noqa: PTH118
    return sorted(found)


def unreadable_below(root: Path) -> list[tuple[str, str]]:
    """The folders that :func:`walk` skips because they can't be read: their paths and the reasons, sorted."""
    seen: set[tuple[int, int]] = set()
    stack, found = [str(root)], []
    while stack:
        folder = stack.pop()
        folders: list[str] = []
        try:
            if not _is_new(folder, seen) or (folder != str(root) and _is_marked(folder)):
                continue
            for _ in _files_among(folder, folders):
                pass
        except FileNotFoundError:  # a link to nothing, or gone by now
            continue
        except OSError as error:
            found.append((folder, error.strerror or str(error)))
        stack.extend(os.path.join(folder, name) for name in folders)  # noqa: PTH118
    return sorted(found)


def files_in(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Yield the names of one folder's visible files with these suffixes (in lower case); not recursive, unsorted, streamed."""
    with contextlib.suppress(OSError):
        yield from (name for name in _files_among(str(folder), []) if name.lower().endswith(suffixes))


def folders_in(folder: Path) -> list[str]:
    """The names of the visible folders in one folder, sorted; empty if it can't be read."""
    folders: list[str] = []
    with contextlib.suppress(OSError):
        for _ in _files_among(str(folder), folders):
            pass
    return sorted(folders)


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Add a folder to ``seen``; returns False if it was there already. Raises OSError."""
    here = os.stat(folder)  # noqa: PTH116
    before = len(seen)
    seen.add((here.st_dev, here.st_ino))
    return len(seen) > before


def _is_marked(folder: str) -> bool:
    return os.path.lexists(os.path.join(folder, OUTPUT_MARK))  # noqa: PTH118


_looked: dict[str, tuple[tuple[int, int], list[str], list[str]]] = {}
"""Folder -> its mtime and inode, and the names of its files and folders: importers list the same folder twenty times."""


def _files_among(folder: str, folders: list[str]) -> Iterator[str]:
    """Yield the names of a folder's visible files; names of visible folders are appended to ``folders``. Raises OSError."""
    here = os.stat(folder)  # noqa: PTH116
    state = here.st_mtime_ns, here.st_ino
    known = _looked.get(folder)
    if known and known[0] == state:
        folders += known[2]
        yield from known[1]
        return
    names: list[str] = []
    before = len(folders)
    with os.scandir(folder) as scan:
        for entry in scan:
            name = entry.name
            if name.startswith(".") or name == "__MACOSX":
                continue
            if is_folder(entry):
                folders.append(name)
            else:
                if len(names) < LISTED:
                    names.append(name)
                yield name
    if len(names) < LISTED and is_settled(state[0]):
        if len(_looked) >= FOLDERS_LISTED:
            _looked.clear()
        _looked[folder] = state, names, folders[before:]


def _sorted(names: Iterator[str]) -> Iterable[str]:
    """Sort names: a list, or for very many an iterator that merges temporary files."""
    runs: list[Iterator[str]] = []
    while len(some := sorted(islice(names, NAMES_AT_ONCE))) == NAMES_AT_ONCE:
        runs.append(_written(some))
    return heapq.merge(some, *runs) if runs else some


def _written(names: list[str]) -> Iterator[str]:
    """Move the names to a temporary file and iterate over it; the file is removed at the end."""
    import json
    import tempfile

    def read() -> Iterator[str]:
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            file.writelines(f"{json.dumps(name)}\n" for name in names)
            file.seek(0)
            names.clear()
            yield ""
            yield from map(json.loads, file)

    lines = read()
    next(lines)  # start the generator, so that it closes its file even if nobody reads a name
    return lines


def is_settled(mtime_ns: int) -> bool:
    """Whether a file or folder with this mtime is unchanged for as long as its mtime stays the same."""
    return mtime_ns < settled_before()


def settled_before() -> int:
    """The latest time, in ns since 1970, at which a file that is settled now was changed."""
    return time.time_ns() - int(SETTLED_S * 1e9)


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder. False also for a link that points to itself: opening it raises the error."""
    try:
        return entry.is_dir()
    except OSError:
        return False


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
