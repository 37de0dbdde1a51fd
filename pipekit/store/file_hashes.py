"""Hashes of files, cached by path, size, mtime, ctime and inode; digests of trees, and what has changed between two of them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import (
    STATE,
    Listing,
    TreeState,
    file_state,
    hash_file,
    settled_before,
    split_packed,
    state_of,
    stats_of,
)
from pipekit.files.scanning import kept_scan
from pipekit.store.folder_states import FOLDER, HASH, TREE, UNREADABLE, Files, TreeFolder, place_of


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a tree: its path below the root (with ``/``), its location, and its SHA-256 ("" if unreadable)."""

    name: str
    path: str
    sha256: str


TOP = "."
"""A tree's own folder, among the paths below it."""

NEXT_FILES = 512
"""Number of files that are hashed between two opportunities to save."""

SLOW_S = 50e-6
"""Seconds a file above which threads share the hashing: 16 us are usual for one of 3 kB in memory, 100 for one of 110 kB."""

AT_ONCE = 16
"""Number of files per thread task: for a single photograph, the handover takes as long as the hashing."""

NAMES_NEAR = 100_000
"""Maximum number of names in memory of folders whose files are requested one by one."""

SAVING_SHARE = 0.05
"""Maximum share of the time that saving may take while a folder's files are hashed; at its end everything is saved."""


@dataclass(frozen=True, slots=True)
class _Near:
    """A folder whose files are requested one by one.

    Attributes:
        numbers: the places of names among the files.
        news: states and hashes made since, by name; not saved yet.
    """

    files: Files
    numbers: dict[str, int]
    news: dict[str, tuple[bytes, bytes]]

    def known(self, name: str, state: bytes) -> str | None:
        """The hash of a file if it is known in this state."""
        if new := self.news.get(name):
            return new[1].hex() if new[0] == state else None
        number = self.numbers.get(name)
        return None if number is None or self.files.state(number) != state else self.files.hash(number).hex()


@dataclass(frozen=True, slots=True)
class _Hashed:
    """The files of a folder with their hashes.

    Attributes:
        files: all of them; unreadable ones have no true state and hash.
        settled: those whose hashes hold as long as their states do.
        is_saved: whether the latter are what is saved.
    """

    files: Files
    settled: Files
    is_saved: bool


class HashMemory:
    """A cache of SHA-256 hashes by (path, size, mtime, ctime, inode): an unchanged tree is only ``stat``-ed.

    A small file per folder, safe for several processes (:mod:`pipekit.store.folder_states`); ``threads`` read the files that
    are not cached. 60,000 unchanged files take hardly longer than asking for their sizes. If the cache is damaged or can't be
    written, this process keeps its hashes in memory only: a lost cache costs a second hashing, nothing else.

    Args:
        path: the folder of the cache.
        read_only: don't change the folder, and create none.

    Attributes:
        on_hash: called for each file that is hashed.
        on_new: called with the number of a folder's files that will be hashed, before any thread is started for them.
        states: the state (:func:`pipekit.files.tree_state`) in which each path had the content that :meth:`content` returned;
            "" if it may have another content in the same state.
    """

    def __init__(self, path: Path, threads: int = 1, read_only: bool = False) -> None:
        self.on_hash: Callable[[], None] | None = None
        self.on_new: Callable[[int], None] | None = None
        self.threads = threads
        self.states: dict[str, str] = {}
        self._tree = TreeFolder(path, read_only)
        self._near: dict[str, _Near] = {}  # the folder used last is at the end
        self._lock = threading.Lock()  # of `_near`: several threads ask for single files
        self._may_save = 0.0

    def close(self) -> None:
        """Save what is not saved yet."""
        with self._lock:
            while self._near:
                self._leave(next(iter(self._near)))

    def knows(self, folder: Path) -> bool:
        """Whether any file of this folder was ever hashed."""
        place = os.path.abspath(folder)
        with self._lock:
            near = self._near.get(place)
        return bool(near and near.news) or self._tree.head(place_of(place)) is not None

    # --- single files

    def file(self, path: str | os.PathLike[str]) -> str:
        """The hash of one file. Raises OSError if it can't be read."""
        if split_packed(path) is not None:
            return hash_file(path)
        path = os.path.abspath(path)
        folder, name = os.path.split(path)
        settled_ns = settled_before()
        now = os.stat(path)  # noqa: PTH116
        state = state_of(now)
        with self._lock:
            known = self._folder(folder).known(name, state)
        if known is not None:
            return known
        if self.on_hash is not None:
            self.on_hash()
        found = hash_file(path)
        if max(now.st_mtime_ns, now.st_ctime_ns) < settled_ns:
            with self._lock:
                self._folder(folder).news[name] = state, bytes.fromhex(found)
                if time.monotonic() >= self._may_save:
                    self._leave(folder)
        return found

    def _folder(self, folder: str) -> _Near:
        near = self._near.pop(folder, None)
        if near is None:
            files = self._tree.files(place_of(folder))
            near = _Near(files, files.numbers(), {})
            num_names = len(near.numbers) + sum(len(other.numbers) + len(other.news) for other in self._near.values())
            while self._near and num_names > NAMES_NEAR:
                oldest = next(iter(self._near))
                num_names -= len(self._near[oldest].numbers) + len(self._near[oldest].news)
                self._leave(oldest)
        self._near[folder] = near
        return near

    def _leave(self, folder: str) -> None:
        """Add what is new of a folder to what any process has saved of it by now."""
        near = self._near.pop(folder, None)
        if near and near.news:
            self._save(folder, self._tree.files(place_of(folder)).with_news(near.news))

    def _save(self, folder: str, files: Files, digests: dict[str, str] | None = None) -> None:
        started = time.monotonic()
        self._tree.put_files(place_of(folder), folder, files, digests or {})
        ended = time.monotonic()
        self._may_save = ended + (ended - started) / SAVING_SHARE

    # --- trees

    def tree(self, root: Path) -> Iterator[FileEntry]:
        """Yield every file below ``root`` in a fixed order, folder by folder, without hidden files and pipekit's own output."""
        for folder, below, listing in _scanned(root):
            place = os.path.abspath(folder)
            hashed = self._hashed(place, listing)
            if not hashed.is_saved:
                self._save(place, hashed.settled)
            prefix = "" if below == TOP else f"{below}/"
            names, hashes = hashed.files.names, hashed.files.hashes
            for number in sorted(range(len(names)), key=names.__getitem__):
                found = hashes[HASH * number : HASH * (number + 1)]
                path = os.path.join(folder, names[number])  # noqa: PTH118
                yield FileEntry(prefix + names[number], path, "" if found == UNREADABLE else found.hex())

    def content(self, path: Path) -> str:
        """The digest of a file, or of a folder: the names below it and the hash of each file.

        If ``path`` has ``passed_over``, files with one of these suffixes are excluded from a folder's digest.
        The digest of a folder is also the token of its state for :meth:`changes`.
        """
        if not path.is_dir():
            self._note_state(path, file_state(path))
            try:
                return self.file(path)
            except OSError as error:
                raise UserError(f"can't read {path}: {error.strerror}", "Check its permissions.") from error
        passed_over = tuple(getattr(path, "passed_over", ()))
        names, digests, state = [], bytearray(), TreeState()
        for folder, below, listing in _scanned(path):
            digest, stats, is_settled = self._digest(os.path.abspath(folder), listing, passed_over)
            state.add(folder[len(str(path)) :], listing, stats, is_settled)
            if digest:
                names.append(below)
                digests += bytes.fromhex(digest)
        self._note_state(path, state.digest)
        found = self._tree.put_state(TREE, names, bytes(digests))
        self._tree.put_root(os.path.abspath(path), " ".join(passed_over), found)
        return found

    def changes(self, root: Path, since: str, until: str | None = None) -> list[tuple[str, str | None]] | None:
        """What was added, changed or removed below ``root``, by name (with ``/``).

        Args:
            since: what :meth:`content` of ``root`` was.
            until: what it was later; by default the tree is scanned now.

        Returns:
            each name with the SHA-256 of the file ("" if unreadable), or with None if it was removed, sorted; None if one of
            the states is no longer known.
        """
        until = self.content(root) if until is None else until
        if since == until:
            return []
        before, after = self._tree.state(TREE, since), self._tree.state(TREE, until)
        if before is None or after is None:
            return None
        found: list[tuple[str, str | None]] = []
        for below in before.keys() | after.keys():
            if before.get(below) == after.get(below):
                continue
            old, new = self._files_of(before.get(below)), self._files_of(after.get(below))
            if old is None or new is None:
                return None
            prefix = "" if below == TOP else f"{below}/"
            found += [(prefix + name, new.get(name)) for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        return sorted(found)

    def _files_of(self, digest: str | None) -> dict[str, str] | None:
        """The hashes in a folder's state, by name."""
        found = {} if digest is None else self._tree.state(FOLDER, digest)
        return found and {name: "" if made == UNREADABLE.hex() else made for name, made in found.items()}

    # --- folders of a tree

    def _note_state(self, path: Path, state: str) -> None:
        if self.states.setdefault(str(path), state) != state:
            self.states[str(path)] = ""  # it has changed between two calls

    def _digest(self, folder: str, listing: Listing, passed_over: tuple[str, ...]) -> tuple[str, str, bool]:
        """The digest of a folder's state, which is kept; "" if it has no files.

        Returns:
            the digest, :func:`pipekit.files.stats_of` the files, and whether these can't change without another state.
        """
        if not listing.names and not listing.gone:
            return "", "", True
        left_out = " ".join(passed_over)
        head, stats = self._tree.head(place_of(folder)), stats_of(listing.names, listing.states)
        digests = dict(head.digests) if head and head.stats == stats else {}
        if not listing.gone:
            found = digests.get(left_out)
            if found is not None and (not found or self._tree.has_state(found)):
                return found, stats, True
        hashed = self._hashed(folder, listing)
        files = hashed.files
        chosen = [number for number, name in enumerate(files.names) if not name.lower().endswith(passed_over)]
        chosen.sort(key=files.names.__getitem__)
        names, hashes = [files.names[number] for number in chosen], b"".join(map(files.hash, chosen))
        found = self._tree.put_state(FOLDER, names, hashes) if names else ""
        is_whole = len(hashed.settled.names) == len(files.names)
        if is_whole or not hashed.is_saved:
            self._save(folder, hashed.settled, {**digests, left_out: found} if is_whole else {})
        return found, stats, is_whole

    def _hashed(self, folder: str, listing: Listing) -> _Hashed:
        """Hash the files of a folder whose states are not those that are saved."""
        with self._lock:
            self._leave(folder)
        saved = self._tree.files(place_of(folder))
        names, states = listing.names, listing.states
        if saved.names == names and saved.states == states and not listing.gone:
            return _Hashed(saved, saved, is_saved=True)
        numbers, hashes, unknown = saved.numbers(), bytearray(HASH * len(names)), []
        for number, name in enumerate(names):
            was = numbers.get(name)
            if was is not None and saved.state(was) == states[STATE.size * number : STATE.size * (number + 1)]:
                hashes[HASH * number : HASH * (number + 1)] = saved.hash(was)
            else:
                unknown.append(number)
        if unknown and self.on_new is not None:
            self.on_new(len(unknown))
        for at in range(0, len(unknown), NEXT_FILES):
            if at and time.monotonic() >= self._may_save:
                self._save(folder, _settled(listing, hashes, unknown))
            some = unknown[at : at + NEXT_FILES]
            paths = [os.path.join(folder, names[number]) for number in some]  # noqa: PTH118
            for number, found in zip(some, self._hash(paths), strict=True):
                hashes[HASH * number : HASH * (number + 1)] = bytes.fromhex(found) or UNREADABLE
        settled, num_gone = _settled(listing, hashes, unknown), len(listing.gone)
        files = Files(names + listing.gone, states + bytes(STATE.size * num_gone), bytes(hashes) + UNREADABLE * num_gone)
        return _Hashed(files, settled, is_saved=settled == saved)

    def _hash(self, paths: list[str]) -> Iterator[str]:
        """The hashes of files; "" for one that can't be read.

        Threads share the work if the first files take long, for they are large, or the disk must be waited for. Small files in
        memory take twice the processor time in threads: these wait for Python's lock at each of its calls.
        """
        tasks = [paths[at : at + AT_ONCE] for at in range(0, len(paths), AT_ONCE)]
        with contextlib.ExitStack() as stack:
            read: Callable[..., Iterator[list[str]]] = map
            started = time.perf_counter()
            first = [_hash_some(task) for task in tasks[:1]]
            is_slow = time.perf_counter() - started > SLOW_S * len(paths[:AT_ONCE])
            if self.threads > 1 and len(tasks) > 1 and is_slow:
                from concurrent.futures import ThreadPoolExecutor  # an unchanged tree needs no threads

                read = stack.enter_context(ThreadPoolExecutor(self.threads, thread_name_prefix="hash")).map
            for found in chain.from_iterable(chain(first, read(_hash_some, tasks[1:]))):
                if self.on_hash is not None:
                    self.on_hash()
                yield found


def _scanned(root: Path) -> Iterator[tuple[str, str, Listing]]:
    """The folders of a tree: each one's path, its path below the root (with ``/``), and its files."""
    start = len(str(root))
    for folder, listing in kept_scan(root):
        yield folder, folder[start:].replace(os.sep, "/").lstrip("/") or TOP, listing


def _settled(listing: Listing, hashes: bytearray, unknown: list[int]) -> Files:
    """The files of a folder that have a hash which holds as long as their states do."""
    files = Files(listing.names, listing.states, bytes(hashes))
    left_out = {
        number
        for number in unknown
        if files.hash(number) == UNREADABLE or max(STATE.unpack(files.state(number))[1:3]) >= listing.settled_ns
    }
    return files.only(number for number in range(len(files.names)) if number not in left_out) if left_out else files


def _hash_some(paths: list[str]) -> list[str]:
    """The hashes of files; "" for one that can't be read."""
    hashes = [""] * len(paths)
    for number, path in enumerate(paths):
        with contextlib.suppress(OSError):
            hashes[number] = hash_file(path)
    return hashes
