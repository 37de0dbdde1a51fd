"""What a store keeps of folders outside it: the hashes of their files as of now, and former states of whole trees.

::

    tree/<24 digits>        of one folder, named by the hash of its path: its files' names, states (size, times, inode), hashes
    tree/ab/<digest>        a state, named by the hash of its text: the files of a folder, or the folders of a tree
    tree/roots/<24 digits>  of one tree: the digest of its newest state
    tree/tmp/               what is being written; a file moves to its place in one rename

No path or time is in a state, so equal folders share one. All of it is a cache: what is damaged counts as missing, and what
can't be written stays in the memory of the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.files import STATE, joined_names, stats_of
from pipekit.owners import new_owner
from pipekit.store.leases import last_use, use

FORMAT = 1
"""Part of every file but states. What another version wrote is recomputed."""

HASH = 32
"""Bytes of a SHA-256."""

UNREADABLE = bytes(HASH)
"""Stands for the hash of a file that can't be read."""

FOLDER, TREE = b"pipekit folder 1\n", b"pipekit tree 1\n"
"""First lines of states."""

GONE_KEPT_S = 30 * 24 * 3600
"""``gc`` keeps the hashes of a folder that has disappeared for a month: its drive may be plugged in again."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a folder: their names, their states (:data:`pipekit.files.STATE`) and SHA-256s one after the other."""

    names: list[str]
    states: bytes = b""
    hashes: bytes = b""

    def state(self, number: int) -> bytes:
        return self.states[STATE.size * number : STATE.size * (number + 1)]

    def hash(self, number: int) -> bytes:
        return self.hashes[HASH * number : HASH * (number + 1)]

    def numbers(self) -> dict[str, int]:
        """The place of each name among the names."""
        return dict(zip(self.names, range(len(self.names)), strict=True))

    def only(self, numbers: Iterable[int]) -> Files:
        """Some of the files, in this order."""
        some = list(numbers)
        states, hashes = b"".join(map(self.state, some)), b"".join(map(self.hash, some))
        return Files([self.names[number] for number in some], states, hashes)

    def with_news(self, news: Mapping[str, tuple[bytes, bytes]]) -> Files:
        """These files, with states and hashes by name that replace what is there."""
        rest = self.only(number for number, name in enumerate(self.names) if name not in news)
        states = b"".join((rest.states, *(state for state, _ in news.values())))
        return Files([*rest.names, *news], states, b"".join((rest.hashes, *(made for _, made in news.values()))))


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a folder as a whole.

    Attributes:
        stats: :func:`stats_of` its files.
        digests: of its state, by the suffixes that the state leaves out, joined by spaces; "" for a state without a file.
        body: SHA-256 of the files' text.
    """

    stats: str
    digests: dict[str, str]
    body: str


def place_of(folder: str) -> str:
    """The name of the file about a folder, given by its absolute path."""
    return hashlib.sha256(folder.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class TreeFolder:
    """The folder ``tree`` of a store.

    Args:
        read_only: write nothing; what is learned stays in memory.
    """

    def __init__(self, root: Path, read_only: bool = False) -> None:
        self._root = root
        self._read_only = read_only
        self._kept: dict[str, bytes] = {}

    # --- the files of a folder as of now

    def head(self, place: str) -> Head | None:
        """What is known of a folder; its files are not read."""
        plain = _checked(self.first_line(place))
        if plain is None:
            return None
        return Head(plain["stats"], plain["digests"], plain["body"])

    def files(self, place: str) -> Files:
        """The files of a folder whose hashes are known; none where the memory is damaged."""
        line, _, body = (self._read(place) or b"").partition(b"\n")
        plain = _checked(line)
        if plain is None or hashlib.sha256(body).hexdigest() != plain["body"]:
            return Files([])
        names, rest = _split(body)
        end = STATE.size * len(names)
        return Files(names, rest[:end], rest[end:])

    def put_files(self, place: str, folder: str, files: Files, digests: dict[str, str]) -> None:
        """Remember files of a folder, and the digests of its states if these are all its files."""
        body = b"".join((joined_names(files.names), files.states, files.hashes))
        stats = stats_of(files.names, files.states)
        plain = {"stats": stats, "digests": digests, "body": hashlib.sha256(body).hexdigest(), "path": folder}
        self._write(place, _signed(plain) + body)

    # --- states, by their digests

    def put_state(self, kind: bytes, names: list[str], hashes: bytes) -> str:
        """Keep a state and return its digest. One that is there stays."""
        text = b"".join((kind, joined_names(names), hashes))
        digest = hashlib.sha256(text).hexdigest()
        if not self.has_state(digest):
            self._write(_state(digest), text)
        return digest

    def has_state(self, digest: str) -> bool:
        name = _state(digest)
        return name in self._kept or os.path.exists(self._path(name))  # noqa: PTH110

    def state(self, kind: bytes, digest: str) -> dict[str, str] | None:
        """The hashes in a state by their names; None if it is not kept, or of another kind.

        A damaged one is removed, so that it is written anew when a tree is in this state again.
        """
        text = self._read(_state(digest))
        if text is None:
            return None
        if hashlib.sha256(text).hexdigest() != digest:
            if not self._read_only:
                with contextlib.suppress(OSError):
                    (self._root / _state(digest)).unlink(missing_ok=True)
            return None
        if not text.startswith(kind):
            return None
        names, rest = _split(text[len(kind) :])
        hashes = rest.hex()
        return {name: hashes[at : at + 2 * HASH] for name, at in zip(names, range(0, len(hashes), 2 * HASH), strict=True)}

    # --- the newest states of trees

    def put_root(self, root: str, suffixes: str, digest: str) -> None:
        """Note the newest state of a tree. The one before it counts as used now: ``gc`` keeps it for a while."""
        place = f"roots/{place_of(root + os.sep + suffixes)}"
        before = (_checked(self._read(place)) or {}).get("digest")
        if before == digest:
            return
        if not self._read_only:
            for used in filter(None, (before, digest)):
                use(self._root / _state(used))
        self._write(place, _signed({"digest": digest, "path": root}))

    # --- files

    def first_line(self, name: str) -> bytes | None:
        if (kept := self._kept.get(name)) is not None:
            return kept.partition(b"\n")[0]
        with contextlib.suppress(OSError), open(self._path(name), "rb") as file:
            return file.readline()
        return None

    def _read(self, name: str) -> bytes | None:
        if (kept := self._kept.get(name)) is not None:
            return kept
        with contextlib.suppress(OSError), open(self._path(name), "rb") as file:
            return file.read()
        return None

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)  # noqa: PTH118

    def _write(self, name: str, data: bytes) -> None:
        if not self._read_only:
            path, made = self._root / name, self._root / "tmp" / new_owner()
            try:
                made.parent.mkdir(parents=True, exist_ok=True)
                path.parent.mkdir(exist_ok=True)
                made.write_bytes(data)
                made.replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    made.unlink(missing_ok=True)
            else:
                self._kept.pop(name, None)
                return
        self._kept[name] = data


def _state(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


def _split(joined: bytes) -> tuple[list[str], bytes]:
    """The names, and what follows them."""
    length, _, rest = joined.partition(b"\n")
    end = int(length)
    return rest[:end].decode("utf-8", "surrogatepass").split("\0") if end else [], rest[end:]


def _signed(plain: dict[str, Any]) -> bytes:
    """A line of JSON after its own hash."""
    text = json.dumps({"format": FORMAT, **plain}, sort_keys=True).encode("ascii")
    return hashlib.sha256(text).hexdigest().encode("ascii") + b" " + text + b"\n"


def _checked(line: bytes | None) -> dict[str, Any] | None:
    """What :func:`_signed` was given, by this version; None for anything else."""
    stated, _, text = (line or b"").rstrip(b"\n").partition(b" ")
    if hashlib.sha256(text).hexdigest().encode("ascii") != stated:
        return None
    plain: dict[str, Any] = json.loads(text)
    return plain if plain["format"] == FORMAT else None


# --- what nobody needs any more


def forget_files(root: Path) -> None:
    """Forget the hashes of all files as of now. Former states stay: their names are the hashes of their content."""
    for path in _files_in(root):
        path.unlink(missing_ok=True)


def drop_older_formats(store: Path) -> None:
    """Remove the file in which former versions kept hashes."""
    for part in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            (store / f"hashes.sqlite{part}").unlink(missing_ok=True)


def stale_files(root: Path, before: float) -> list[Path]:
    """States that are neither the newest of a tree nor were written or replaced since ``before`` (in seconds since 1970).

    So are hashes of folders that disappeared a month ago.
    """
    gone_before = min(before, time.time() - GONE_KEPT_S)
    files = TreeFolder(root, read_only=True)
    stale, needed = [], set()
    for path in (*_files_in(root), *_files_in(root / "roots")):
        plain = _checked(files.first_line(path.relative_to(root).as_posix()))
        if last_use(path) < (before if plain is None else gone_before) and not (plain and os.path.isdir(plain["path"])):  # noqa: PTH112
            stale.append(path)
        elif plain and "digest" in plain:
            needed.add(plain["digest"])
    states = [path for group in sorted(root.glob("??")) for path in _files_in(group)]
    old = [path for path in states if last_use(path) < before]
    needed |= {path.name for path in states}.difference(path.name for path in old)
    for digest in list(needed):
        needed.update((files.state(TREE, digest) or {}).values())
    return stale + [path for path in old if path.name not in needed]


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
