"""What a finished run depended on, as states of files: if they all are as they were, the same command would change nothing.

A run leaves a *basis*: the states of its sources, of the code that was loaded, of its results in the store, and of its folder
under ``runs/``. Comparing them takes a ``stat`` for each file, and loads neither plugins nor pipekit's own heavy modules. A
difference says nothing, except that the run must find out what it means. So this module may be wrong in one direction only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from pipekit.engine.code_state import code_state, hashed, state_of
from pipekit.files.scanning import kept_tree_state

FOLDER = "unchanged"
"""The folder of a store with a basis for each command line."""

MAX_KEPT = 8
"""Maximum number of command lines (and terminals) that are remembered for a store."""

QUIET = ("tmp", "tree/tmp", "leases", "unsynced")
"""Folders of a store that are empty unless a run is running, was killed, or a power cut came: then a run has to clean up."""


@dataclass(frozen=True)
class Basis:
    """What a finished run depended on.

    Attributes:
        sources: the state of each file or folder that the run read, by its path.
        texts: the SHA-256 of files that are small, or that the run writes itself; "" for one that is not there.
        code: the state of each file and folder of code.
        places: the folders and files of the store with its results.
        stored: the state of all of these.
        run_dir: its folder under ``runs/``.
        shown: the state of that.
        text: what the command prints if nothing has changed; :data:`TIME` stands for the number of seconds.
    """

    sources: dict[str, str]
    texts: dict[str, str]
    code: dict[str, str]
    places: tuple[str, ...]
    stored: str
    run_dir: str
    shown: str
    text: str = ""

    def holds(self, root: Path) -> bool:
        """Whether everything is as it was; ``root`` is the store. Only then the results are marked as used now."""
        if not _is_quiet(root) or self.shown != shown_state(self.run_dir):
            return False
        if any(text_state(path) != state for path, state in self.texts.items()):
            return False
        if any(code_state(path) != state for path, state in self.code.items()):
            return False
        if any(kept_tree_state(path) != state for path, state in self.sources.items()):
            return False
        if self.stored != stored_state(root, self.places):
            return False
        for place in self.places:
            os.utime(f"{root}{os.sep}{place}")  # as :func:`pipekit.store.leases.use` does
        return True


# --- files of bases ------------------------------------------------------------------------------------------------------


def read_basis(root: Path, name: str) -> Basis | None:
    """The basis that was kept under a name; None if there is none, or not a whole one."""
    try:
        line, _, text = (root / FOLDER / name).read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest().encode("ascii") != line:
        return None
    plain = json.loads(text)
    return Basis(**{**plain, "places": tuple(plain["places"])})


def write_basis(root: Path, name: str, basis: Basis) -> None:
    """Keep a basis; it appears in one rename. Raises OSError."""
    from pipekit.owners import new_owner

    text = json.dumps(vars(basis)).encode("ascii")
    folder, scratch = root / FOLDER, root / "tmp" / new_owner()
    folder.mkdir(exist_ok=True)
    scratch.parent.mkdir(exist_ok=True)
    try:
        scratch.write_bytes(hashlib.sha256(text).hexdigest().encode("ascii") + b"\n" + text)
        scratch.replace(folder / name)
    finally:
        scratch.unlink(missing_ok=True)
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[MAX_KEPT:]:
        path.unlink(missing_ok=True)


# --- states --------------------------------------------------------------------------------------------------------------


def text_state(path: str) -> str:
    """The SHA-256 of a file; "" if it can't be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def stored_state(root: Path, places: Iterable[str]) -> str:
    """The state of folders and files of a store. Times of access and of links do not count: views are links to files."""
    return hashed(_stored(root, places))


def _stored(root: Path, places: Iterable[str]) -> Iterator[str]:
    for place in places:
        path = f"{root}{os.sep}{place}"
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError:
            yield f"{place} gone"
            continue
        if not S_ISDIR(found.st_mode):  # its mtime is that of its last use
            yield f"{place} {found.st_size} {found.st_ino}"
            continue
        yield place
        yield from sorted(_files(path, ""))


def _files(folder: str, below: str) -> Iterator[str]:
    """The states of the files in a folder of the store; an entry is ``stat``-ed once."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path, f"{below}{entry.name}/")
                continue
            now = os.stat(entry.path)  # noqa: PTH116 (what the listing of a folder holds is no state on Windows)
            yield f"{below}{entry.name} {now.st_size} {now.st_mtime_ns} {now.st_ino}"


def shown_state(run_dir: str) -> str:
    """The state of what lies at the top of a run's folder."""
    try:
        with os.scandir(run_dir) as entries:
            found = sorted((entry.name, "" if entry.is_dir() else " ".join(state_of(entry.path))) for entry in entries)
    except OSError:
        return ""
    return hashed(f"{name}\0{state}" for name, state in found)


def _is_quiet(root: Path) -> bool:
    """Whether no run is running in a store, and none was killed."""
    for name in QUIET:
        try:
            with os.scandir(f"{root}{os.sep}{name}") as entries:
                if next(entries, None) is not None:
                    return False
        except FileNotFoundError:
            continue
    return True
