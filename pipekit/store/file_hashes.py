"""Hashes of files, cached by path, size, mtime, ctime and inode."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

from pipekit.errors import UserError
from pipekit.files import hash_file, is_settled, split_packed, walk


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a tree: its path below the root (with ``/``), its location, and its SHA-256 ("" if unreadable)."""

    name: str
    path: str
    sha256: str


State: TypeAlias = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode. Only the ctime can't be set back by whoever edits a file."""


Remembered: TypeAlias = tuple[int, int, int, int, str]


COLUMNS = ("dir", "name", "size", "mtime_ns", "ctime_ns", "inode", "sha256", "crc32")


NEXT_FILES = 512
"""Number of files of a folder that are looked up at once."""


AT_ONCE = 16
"""Number of files per thread task: for a single photograph, the handover takes as long as the hashing."""


class HashMemory:
    """A cache of SHA-256 hashes by (path, size, mtime, ctime, inode): an unchanged tree is only ``stat``-ed.

    One SQLite file, safe for several processes; ``threads`` read the files that are not cached. 60,000 unchanged files take
    under a second. If the file is damaged or can't be written, this process keeps its hashes in memory only: a lost
    cache costs a second hashing, nothing else.

    Args:
        read_only: leave the file as it is, and make none.
    """

    def __init__(self, path: Path, threads: int = 1, read_only: bool = False) -> None:
        self.on_hash: Callable[[], None] | None = None
        self.threads = threads
        self._read_only = read_only
        self._unsaved: dict[str, dict[str, Remembered]] = {}
        # A folder, the rows fetched last for it, and the first name among them.
        self._near: tuple[str, dict[str, Remembered], str] = "", {}, ""
        if read_only:
            self._db = self._open_to_read(path)
            return
        try:
            self._db = self._open(path)
        except sqlite3.OperationalError:  # locked for a minute, or not writable: it may be whole
            self._db = self._open(None)
        except sqlite3.DatabaseError:
            for part in ("", "-wal", "-shm"):
                path.with_name(path.name + part).unlink(missing_ok=True)
            self._db = self._open(path)

    @staticmethod
    def _open(path: Path | None) -> sqlite3.Connection:
        db = sqlite3.connect(path or ":memory:", timeout=60, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")
            if _columns(db) not in ((), COLUMNS):  # an older version wrote it: everything is hashed once more
                db.execute("DROP TABLE IF EXISTS files")
            db.execute(
                "CREATE TABLE IF NOT EXISTS files (dir TEXT, name TEXT, size INT, mtime_ns INT, ctime_ns INT, inode INT, "
                "sha256 TEXT, crc32 INT, PRIMARY KEY (dir, name)) WITHOUT ROWID"
            )
        except sqlite3.Error:
            db.close()
            raise
        return db

    @classmethod
    def _open_to_read(cls, path: Path) -> sqlite3.Connection:
        """The file where there is one that can be read. A connection that could write removes its lock files at the end."""
        if path.is_file():
            db = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            try:
                db.execute("PRAGMA query_only=ON")
                if _columns(db) == COLUMNS:
                    return db
            except sqlite3.Error:
                pass
            db.close()
        return cls._open(None)

    def close(self) -> None:
        self._db.close()

    def file(self, path: str | os.PathLike[str]) -> str:
        """The hash of one file. Raises OSError where it can't be read."""
        if split_packed(path) is not None:
            return hash_file(path)
        folder, name = os.path.split(os.path.abspath(path))
        text = _text(name)
        last_folder, near, last = self._near  # read and replaced together: other threads use it too
        if folder != last_folder or text not in near:
            # Files are requested in the order of their names: if this one follows the last, prefetch the next ones.
            near = self._known(folder, text, count=NEXT_FILES if folder == last_folder and last < text else 1)
            self._near = folder, near, text
        path = os.path.join(folder, name)  # noqa: PTH118
        state, known = _state(path), near.get(text)
        if known and known[:-1] == state:
            return known[-1]
        if self.on_hash is not None:
            self.on_hash()
        found = hash_file(path)
        if is_settled(max(state[1:3])):
            self._remember(folder, [(name, *state, found)])
            near[text] = (*state, found)
        return found

    def knows(self, folder: Path) -> bool:
        """Whether any file of this folder was ever hashed."""
        return bool(self._known(str(folder), "", count=1))

    def tree(self, root: Path) -> Iterator[FileEntry]:
        """Yield every file below ``root`` in a fixed order, folder by folder, without hidden files and pipekit's own output."""
        with contextlib.ExitStack() as stack:
            read: Callable[..., Iterator[list[str]]] = map
            if self.threads > 1:
                read = stack.enter_context(ThreadPoolExecutor(self.threads, thread_name_prefix="hash")).map
            for folder, names in walk(root):
                below = os.path.relpath(folder, root)
                prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
                rest = iter(names)
                while some := list(islice(rest, NEXT_FILES)):
                    paths = [os.path.join(folder, name) for name in some]  # noqa: PTH118
                    for name, path, found in zip(some, paths, self._hashes(read, folder, some, paths), strict=True):
                        yield FileEntry(prefix + name, path, found)

    def _hashes(self, read: Callable[..., Iterator[list[str]]], folder: str, names: list[str], paths: list[str]) -> list[str]:
        """The hashes of files of one folder, given by sorted names; "" for one that can't be read."""
        texts = [_text(name) for name in names]
        known = self._known(folder, min(texts), max(texts))
        hashes = [""] * len(names)
        unknown: list[tuple[str, int, State]] = []
        for number, (name, path) in enumerate(zip(names, paths, strict=True)):
            was = known.get(texts[number])
            with contextlib.suppress(OSError):
                state = _state(path)
                if was and was[:-1] == state:
                    hashes[number] = was[-1]
                else:
                    unknown.append((name, number, state))
        news = []
        asked = [paths[number] for _, number, _ in unknown]
        made = chain.from_iterable(read(_hash_some, [asked[at : at + AT_ONCE] for at in range(0, len(asked), AT_ONCE)]))
        for (name, number, state), found in zip(unknown, made, strict=True):
            if self.on_hash is not None:
                self.on_hash()
            hashes[number] = found
            if found and is_settled(max(state[1:3])):
                news.append((name, *state, found))
        self._remember(folder, news)
        return hashes

    def content(self, path: Path) -> str:
        """The digest of a file, or of a folder: the names below it and the hash of each file.

        If ``path`` has ``passed_over``, files with one of these suffixes are excluded from a folder's digest.
        """
        if not path.is_dir():
            try:
                return self.file(path)
            except OSError as error:
                raise UserError(f"can't read {path}: {error.strerror}", "Check its permissions.") from error
        hashed = hashlib.sha256()
        passed_over = tuple(getattr(path, "passed_over", ()))
        for entry in self.tree(path):
            if entry.name.lower().endswith(passed_over):
                continue
            hashed.update(f"{entry.name}\0{entry.sha256}\n".encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()

    def _known(self, folder: str, first: str, last: str | None = None, count: int = -1) -> dict[str, Remembered]:
        """The cached hashes of a folder's files, starting at the name ``first``: up to ``last``, or a limited number."""
        query = "SELECT name, size, mtime_ns, ctime_ns, inode, sha256, crc32 FROM files WHERE dir = ? AND name >= ?"
        values: tuple[Any, ...] = (_text(folder), first)
        if last is not None:
            query, values = f"{query} AND name <= ?", (*values, last)
        try:
            rows = self._db.execute(f"{query} ORDER BY name LIMIT ?", (*values, count))
            # SQLite notices damage to its structure, not to a value: with a hash that has changed, every key would be another.
            found = {row[0]: row[1:-1] for row in rows if row[-1] == _crc32(row[1:-1])}
        except sqlite3.DatabaseError:
            self._forget()
            found = {}
        return found | self._unsaved.get(_text(folder), {})

    def _remember(self, folder: str, rows: list[tuple[Any, ...]]) -> None:
        place = _text(folder)
        if self._read_only:
            self._unsaved.setdefault(place, {}).update((_text(row[0]), row[1:]) for row in rows)
        elif rows:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(place, _text(row[0]), *row[1:], _crc32(row[1:])) for row in rows],
                )
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError:
                self._forget()

    def _forget(self) -> None:
        """Continue without the file: it is damaged, or the disk is full."""
        self._db.close()
        self._db = self._open(None)


def _columns(db: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(row[1] for row in db.execute("PRAGMA table_info(files)"))


def _crc32(remembered: tuple[Any, ...]) -> int:
    """A checksum of a file's state and hash."""
    return zlib.crc32(repr(remembered).encode("utf-8", "surrogatepass"))


def _state(path: str) -> State:
    now = os.stat(path)  # noqa: PTH116
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino


def _hash_some(paths: list[str]) -> list[str]:
    """The hashes of files; "" for one that can't be read."""
    hashes = [""] * len(paths)
    for number, path in enumerate(paths):
        with contextlib.suppress(OSError):
            hashes[number] = hash_file(path)
    return hashes


def _text(name: str) -> str:
    """A file name as valid text; bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
