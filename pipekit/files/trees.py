"""Folder trees: which files are in them, in a fixed order, and what pipekit itself has written there."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

OUTPUT_MARK = ".pipekit-output"
"""A folder with this file is pipekit's own output. It is read only if it is named itself, and skipped inside a folder above it
(a pipeline may lie inside its image folder)."""

LEFT_BEHIND = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that macOS, Windows, Linux and Synology's file servers make themselves: archive metadata, thumbnails and waste
bins. What lies in them is no part of a dataset, and their names are no classes."""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

NAMES_AT_ONCE = 50_000
"""Maximum number of names of one folder that are sorted in memory; larger folders are sorted on disk."""

SETTLED_S = 0.05
"""A file younger than this could still change within one tick of the file system's clock."""


LISTED, ALL_LISTED = 10_000, 100_000
"""Limits of the cache of folder listings: names per folder, and of all folders. An entry is valid until its folder changes."""


def walk(root: Path) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the folders below ``root``, itself first, each with an iterable of its file names that can be read once; sorted.

    Memory holds the names of one folder, at most :data:`NAMES_AT_ONCE` of them. Symbolic links are followed, each real folder
    once, so a cycle of links ends. Hidden entries, :data:`LEFT_BEHIND` and pipekit's own output below ``root`` are
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


def scan_below(root: str, below: list[str], seen: set[tuple[int, int]]) -> Iterator[tuple[str, Listing]]:
    """The rest of the :func:`scan` of a tree, from some of its folders on; they are in the order of a scan.

    Args:
        seen: the real folders that were scanned before, as (device, inode); those that follow are added.
    """
    return _walk_from(below[::-1], root, _listed, seen)


def tree_state(root: str | Path) -> str:
    """The names and states of all files that :func:`scan` finds, or the state of one file; "" if that is unknown."""
    if not os.path.isdir(root):  # noqa: PTH112
        return file_state(root)
    state = TreeState()
    for folder, listing in scan(Path(root)):
        state.add(folder[len(str(root)) :], listing, stats_of(listing.names, listing.states) if listing.names else "")
    return state.digest


def file_state(path: str | Path) -> str:
    """The state of a file as text; "" where it can't be ``stat``-ed, or is so young that it may still change unnoticed."""
    settled_ns = settled_before()
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    return state_of(found).hex() if max(found.st_mtime_ns, found.st_ctime_ns) < settled_ns else ""


class TreeState:
    """Collects :func:`tree_state` from the listings of a tree."""

    def __init__(self) -> None:
        self._hashed, self._is_known = hashlib.sha256(), True

    def add(self, below: str, listing: Listing, stats: str, is_settled: bool = True) -> None:
        """Add a folder.

        Args:
            stats: :func:`stats_of` its files.
            is_settled: whether its files can't change without another state.
        """
        self._is_known = self._is_known and is_settled and not listing.gone
        if listing.names:
            self._hashed.update(f"{below.replace(os.sep, '/').strip('/')}\0{stats}\n".encode("utf-8", "surrogatepass"))

    @property
    def digest(self) -> str:
        return self._hashed.hexdigest() if self._is_known else ""


def stats_of(names: list[str], states: bytes) -> str:
    """The digest of the names and states of a folder's files, in the order of the file system."""
    hashed = hashlib.sha256(joined_names(names))
    hashed.update(states)
    return hashed.hexdigest()


def joined_names(names: list[str]) -> bytes:
    """Names as bytes after their length, also those that are no valid text."""
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return b"%d\n%s" % (len(text), text)


def state_of(found: os.stat_result) -> bytes:
    """A file's state in 32 bytes."""
    numbers = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    try:
        return STATE.pack(*numbers)
    except struct.error:  # inodes of some network file systems have 64 bits without a sign
        return struct.pack("=4Q", *(number & 0xFFFF_FFFF_FFFF_FFFF for number in numbers))


_BY_DESCRIPTOR = os.scandir in os.supports_fd
"""Whether files can be ``stat``-ed relative to their open folder: the system then looks up one name and no path for each."""

# Windows puts neither the inode nor a current size into the listing of a folder.
_stat: Callable[[os.DirEntry[str]], os.stat_result] = os.stat if os.name == "nt" else os.DirEntry.stat


def _listed(folder: str, folders: list[str]) -> Listing:
    """The files of a folder; names of visible folders are appended to ``folders``. Raises OSError."""
    names: list[str] = []
    states, gone, settled_ns, pack = bytearray(), [], settled_before(), STATE.pack
    here, before = os.stat(folder), len(folders)  # noqa: PTH116
    with _open_folder(folder) as place, os.scandir(place) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == "." or name in LEFT_BEHIND:
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
    if not gone and len(names) < LISTED:
        _keep_listing(folder, (here.st_mtime_ns, here.st_ino), names, folders[before:])
    return Listing(names, bytes(states), gone, settled_ns)


@contextlib.contextmanager
def _open_folder(folder: str) -> Iterator[str | int]:
    """What to list a folder by. Raises OSError."""
    if not _BY_DESCRIPTOR:
        yield folder
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        yield place
    finally:
        os.close(place)


Read = TypeVar("Read")


def _walk(root: Path, read: Callable[[str, list[str]], Read]) -> Iterator[tuple[str, Read]]:
    """What ``read`` makes of each folder; it appends the names of the folders in it to its second argument."""
    return _walk_from([str(root)], str(root), read, set())


def _walk_from(
    stack: list[str], root: str, read: Callable[[str, list[str]], Read], seen: set[tuple[int, int]]
) -> Iterator[tuple[str, Read]]:
    """:func:`_walk` from some folders, the last one first; those that are in ``seen`` are skipped."""
    while stack:
        folder = stack.pop()
        folders: list[str] = []
        try:
            if not _is_new(folder, seen) or (folder != root and _is_marked(folder)):
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
            if _has_none(folder, suffixes):
                _add_folders(folder, folders)
            elif any(name.lower().endswith(suffixes) for name in _files_among(folder, folders)):
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
            _add_folders(folder, folders)
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
            _add_folders(folder, folders)
        except (FileNotFoundError, NotADirectoryError):  # a link to nothing, or gone by now; a file
            continue
        except OSError as error:
            found.append((folder, error.strerror or str(error)))
        stack.extend(os.path.join(folder, name) for name in folders)  # noqa: PTH118
    return sorted(found)


def files_in(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Yield the names of one folder's visible files with these suffixes (in lower case); not recursive, unsorted, streamed."""
    with contextlib.suppress(OSError):
        if suffixes == ("",):
            yield from _files_among(str(folder), [])
        elif not _has_none(str(folder), suffixes):
            yield from (name for name in _files_among(str(folder), []) if name.lower().endswith(suffixes))


def _has_none(folder: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a listing that is kept has no file with these suffixes: of ten importers, nine ask for what is not there."""
    here = os.stat(folder)  # noqa: PTH116
    known = _looked.get(folder)
    if not known or known[0] != (here.st_mtime_ns, here.st_ino):
        return False
    if folder not in _endings or _endings[folder][0] != known[0]:
        _endings[folder] = known[0], frozenset(name.rpartition(".")[2].lower() for name in known[1])
    endings = _endings[folder][1]
    return all("." in suffix and suffix.rpartition(".")[2] not in endings for suffix in suffixes)


def folders_in(folder: Path) -> list[str]:
    """The names of the visible folders in one folder, sorted; empty if it can't be read."""
    folders: list[str] = []
    with contextlib.suppress(OSError):
        _add_folders(str(folder), folders)
    return sorted(folders)


def _add_folders(folder: str, folders: list[str]) -> None:
    """Append the names of the visible folders in a folder. Raises OSError."""
    here = os.stat(folder)  # noqa: PTH116
    known = _looked.get(folder)
    if known and known[0] == (here.st_mtime_ns, here.st_ino):
        folders += known[2]
        return
    for _ in _files_among(folder, folders):
        pass


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

_endings: dict[str, tuple[tuple[int, int], frozenset[str]]] = {}
"""Folder of :data:`_looked` -> its state then, and what follows the last dot of its files' names, in lower case."""

_room = [ALL_LISTED]
"""The number of further names that fit into the cache."""


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
            if name.startswith(".") or name in LEFT_BEHIND:
                continue
            if is_folder(entry):
                folders.append(name)
            else:
                if len(names) < LISTED:
                    names.append(name)
                yield name
    if len(names) < LISTED:
        _keep_listing(folder, state, names, folders[before:])


def _keep_listing(folder: str, state: tuple[int, int], names: list[str], folders: list[str]) -> None:
    """Keep what a folder lists for :func:`_files_among`, if its state tells whether it lists something else later."""
    known = _looked.get(folder)
    if (known and known[0] == state) or not is_settled(state[0]):
        return
    if len(names) + 1 > _room[0]:
        _looked.clear()
        _endings.clear()
        _room[0] = ALL_LISTED
    _room[0] -= len(names) + 1
    _looked[folder] = state, names, folders


def noted(folder: str) -> tuple[tuple[int, int], list[str], list[str]] | None:
    """What is kept of a folder's listing, for another process."""
    return _looked.get(folder)


def note(folder: str, state: tuple[int, int], names: list[str], folders: list[str]) -> None:
    """Keep what :func:`noted` has returned in another process."""
    _keep_listing(folder, state, names, folders)


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
