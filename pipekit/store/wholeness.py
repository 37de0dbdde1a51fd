"""Complete or absent: each folder of the store states the size and the hash of all its files, and is checked against them.

``contents.json`` is written last, before the folder moves to its place. Its first line is JSON, ``{"files": {"rows.jsonl":
[size, sha256], ...}}``; its second line is the SHA-256 of the first, so that a damaged statement is noticed too.

Opening a folder checks the statement and the sizes, which costs one ``stat`` per file. Hashes are checked when the bytes are
read anyway, by ``pipekit verify``, and after an unclean shutdown of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import orjson

from pipekit import files as reading
from pipekit.errors import DamagedError
from pipekit.files import hash_file

CONTENTS = "contents.json"

FORMAT = 4
"""Version of the store. Raise it when results or keys are made in another way: older results are removed and recomputed."""

Contents: TypeAlias = dict[str, tuple[int, str]]
"""Path below the folder (with ``/``) -> size in bytes and SHA-256."""


def seal(folder: Path, known: Mapping[str, str] | None = None, parts: Mapping[str, str] | None = None) -> None:
    """State what a finished folder contains.

    Args:
        known: known hashes, by the path below the folder; other files are read.
        parts: hashes of parts of files: ``files.tar#512+9000.jpg``.
    """
    files = {}
    for below, path in _files(folder):
        sha256 = (known or {}).get(below) or hash_file(path)
        files[below] = [os.stat(path).st_size, sha256]  # noqa: PTH116 (done for every file)
    text = json.dumps({"files": files, "parts": dict(parts or {})}, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    line = text.encode("utf-8", "surrogatepass")
    (folder / CONTENTS).write_bytes(line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n")


def contents_of(folder: Path) -> Contents | None:
    """The contents that a folder states; None if it states none, or the statement is damaged."""
    statement = _statement(os.fspath(folder))
    return None if statement is None else {name: (size, sha256) for name, (size, sha256) in statement["files"].items()}


def _statement(folder: str) -> dict[str, Any] | None:
    found = _versioned(folder)
    return None if found is None else found[1]


def _versioned(folder: str) -> tuple[tuple[int, int], dict[str, Any]] | None:
    """The inode and the mtime of a statement, and what it says."""
    try:
        with open(f"{folder}{os.sep}{CONTENTS}", "rb", buffering=0) as file:
            state = os.fstat(file.fileno())
            line, _, rest = file.read().partition(b"\n")
    except OSError:
        return None
    if rest.strip() != hashlib.sha256(line).hexdigest().encode():
        return None
    try:
        statement: dict[str, Any] = orjson.loads(line)
    except ValueError:  # a name that is not UTF-8
        statement = json.loads(line.decode("utf-8", "surrogatepass"))
    return (state.st_ino, state.st_mtime_ns), statement


def problem_of(folder: str | Path, *, hashes: bool = False) -> str:
    """Why a folder is not whole, in a few words; "" if it is.

    Args:
        hashes: read all files, which finds every change; otherwise only sizes are compared.
    """
    root = os.fspath(folder)
    *_, above, parent, _ = ("", "", *root.split(os.sep))  # noqa: PTH206 (done for every shard)
    is_checked = above == COLUMNS or parent == MEMORY
    if is_checked or above == PARTS:
        try:
            return "" if not hashes else _problem_of_checked(Path(root)) if is_checked else _problem_of_part(Path(root))
        except OSError as error:
            return f"it can't be read: {error.strerror}"
    found = _versioned(root)
    if found is None:
        return f"{CONTENTS} is missing or damaged"
    for name, (size, sha256) in found[1]["files"].items():
        path = f"{root}/{name}"
        try:
            actual = os.stat(path).st_size  # noqa: PTH116
            if actual != size:
                return f"{name} has {actual:,} bytes instead of {size:,}"
            if hashes and hash_file(path) != sha256:
                return f"{name} has changed"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} can't be read: {error.strerror}"
    guard.learn(root, found)
    return ""


def _problem_of_part(file: Path) -> str:
    return "" if hash_file(file) == file.name.partition(".")[0] else "it has changed"


def _problem_of_checked(file: Path) -> str:
    """The same for a file whose first line states the hash of the others."""
    line, _, rest = file.read_bytes().partition(b"\n")
    return "" if line == hashlib.sha256(rest).hexdigest().encode("ascii") else "it has changed"


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """(path below, path) of all files but the statement, in a fixed order."""
    root = os.fspath(folder)
    for place, folders, names in os.walk(root):
        folders.sort()
        below = place[len(root) + 1 :].replace(os.sep, "/")
        for name in sorted(names):
            path = f"{below}/{name}" if below else name
            if path != CONTENTS:
                yield path, os.path.join(place, name)  # noqa: PTH118


# --- hashes of what is read ----------------------------------------------------------------------------------------------

KNOWN_FOLDERS = 64
"""Number of folders whose statements are kept in memory: the files that a stage reads in turn lie in few folders."""

KINDS = ("shards", "artifacts")

PARTS = "parts"
"""The folder of files that are named by the hash of their bytes; see :mod:`pipekit.store.parts`."""

COLUMNS, MEMORY = "columns", "memory"
"""The folders of files that state their own hashes; see :mod:`pipekit.store.columns`."""


class Guard:
    """Compares each file of a store that is read completely with its hash, wherever in the process it is read.

    A mismatch raises :class:`~pipekit.errors.DamagedError`, and is noted, so that code that swallows errors can't hide it.
    """

    def __init__(self) -> None:
        self._roots: tuple[str, ...] = ()
        self._known: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}
        self._noted: list[DamagedError] = []
        self._checked = threading.local()
        self._lock = threading.Lock()

    def watch(self, root: Path) -> None:
        """Compare the files that are read from this store too."""
        place = f"{root}{os.sep}"
        if place not in self._roots:
            self._roots = (*self._roots, place)
        reading.on_read = self.check

    def check(self, path: str, data: bytes) -> None:
        """Compare the bytes of a file with its hash; a file outside stores, or without a known hash, passes."""
        if path == getattr(self._checked, "path", None):
            self._checked.path = None
            return  # this thread has just compared it
        expected = self.expected(path)
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            self.note(path, "its bytes have changed")

    def check_file(self, path: str) -> None:
        """Read a file of a store and compare it, so that the next read need not; any other file passes unread."""
        self._checked.path = None
        expected = self.expected(path)
        if expected is None:
            return
        try:
            actual = hash_file(path)
        except FileNotFoundError:
            self.note(path, "it is gone")
        if actual != expected:
            self.note(path, "its bytes have changed")
        self._checked.path = path

    def expected(self, path: str) -> str | None:
        """The hash that a file of a finished folder had when it was made."""
        folder, below = self._split(path)
        if folder and folder == path:
            return os.path.basename(path).partition(".")[0]  # noqa: PTH119 (done for every file that is read)
        if not folder:
            return None
        statement, name = self._of(folder), below.replace(os.sep, "/")
        file = statement["files"].get(name)
        sha256: str | None = statement["parts"].get(name) if file is None else file[1]
        return sha256

    def place_of(self, path: str) -> Path | None:
        """The folder of a shard or an artifact that a file lies in, or the part that it is; None for a file of no store."""
        folder, _ = self._split(path)
        return Path(folder) if folder else None

    def _split(self, path: str) -> tuple[str, str]:
        """The folder of a shard or an artifact, and the path below it; a part is a file by itself."""
        for root in self._roots:
            if path.startswith(root):
                steps = path[len(root) :].split(os.sep, 3)
                if len(steps) == 4 and steps[0] in KINDS:
                    return f"{root}{steps[0]}{os.sep}{steps[1]}{os.sep}{steps[2]}", steps[3]
                if len(steps) == 3 and steps[0] == PARTS:
                    return path, ""
        return "", ""

    def note(self, path: str, problem: str) -> NoReturn:
        """Note damage and raise it."""
        error = DamagedError(path, problem)
        with self._lock:
            self._noted.append(error)
        raise error

    def take_noted(self) -> DamagedError | None:
        """Damage that was noticed since the last call, or None."""
        with self._lock:
            noted, self._noted = self._noted, []
        return noted[0] if noted else None

    def learn(self, folder: str, found: tuple[tuple[int, int], dict[str, Any]]) -> None:
        """Keep what a folder states for the files that are read next."""
        with self._lock:
            if len(self._known) >= KNOWN_FOLDERS:
                self._known.pop(next(iter(self._known)))
            self._known[folder] = found

    def _of(self, folder: str) -> dict[str, Any]:
        try:
            state = os.stat(f"{folder}{os.sep}{CONTENTS}")  # noqa: PTH116 (done for every file that is read)
        except OSError:
            return NOTHING
        version = (state.st_ino, state.st_mtime_ns)
        found = self._known.get(folder)
        if found is None or found[0] != version:
            found = version, _statement(folder) or NOTHING
            self.learn(folder, found)
        return found[1]


NOTHING: dict[str, Any] = {"files": {}, "parts": {}}


guard = Guard()
"""The guard of this process."""
