"""The content-addressed store: finished work in folders named after the hash of its inputs.

::

    .pipekit/
      shards/ab/<key>/       rows.jsonl and the files of one shard
      artifacts/ab/<key>/    manifest.json and the files (or rows.jsonl) of one stage run
      work/<key>/            checkpoints of a stage that was started and is not finished
      tmp/                   work in progress; a finished folder moves to its place in one atomic rename
      hashes.sqlite          the hash of every file seen, by (path, size, mtime, inode)

There are no locks. Two processes that compute the same key produce the same bytes; the first rename wins and the other's work
is discarded. A folder that exists is complete.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.errors import UserError
from pipekit.store.file_hashes import HashMemory

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors that concern the whole disk, whichever file raised them."""


def store_of(base_dir: Path, is_project: bool = False) -> Path:
    """The store for work in ``base_dir``, for reading and writing.

    It is ``PIPEKIT_STORE`` if that is set, ``.pipekit`` in a project, and :func:`shared_store` in any other folder.

    Args:
        is_project: a pipeline runs in this folder, which makes it a project; otherwise a folder is a project if it has a
            ``pipeline.toml`` or a ``.pipekit``.
    """
    chosen = os.environ.get("PIPEKIT_STORE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if is_project or (base_dir / "pipeline.toml").exists() or (base_dir / ".pipekit").is_dir():
        return base_dir / ".pipekit"
    return shared_store()


def shared_store() -> Path:
    """The store in the user's cache folder, shared by all folders that are not projects."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "pipekit" / "store"


class Store:
    """The folder ``.pipekit`` of a project.

    Args:
        root: the folder; made when something is first written.
        read_only: hashes of files are looked up and not added.

    Raises:
        UserError: on writing, if the disk is full or the folder can't be written.
    """

    def __init__(self, root: Path, read_only: bool = False) -> None:
        self.root = Path(os.path.abspath(root))
        self._read_only = read_only
        self._hashes: HashMemory | None = None

    @property
    def hashes(self) -> HashMemory:
        if self._hashes is None:
            if not self._read_only:
                self._ensure(self.root)
            self._hashes = HashMemory(self.root / "hashes.sqlite", read_only=self._read_only)
        return self._hashes

    def close(self) -> None:
        """Close the cache of file hashes; the next use opens it again."""
        if self._hashes is not None:
            self._hashes.close()
            self._hashes = None

    def shard_dir(self, key: str) -> Path:
        return self.root / "shards" / key[:2] / key

    def artifact_dir(self, key: str) -> Path:
        return self.root / "artifacts" / key[:2] / key

    def young_keys(self) -> set[str]:
        """Keys of stage runs that finished within the last week."""
        now = time.time()
        return {path.name for path in _children(self.root / "artifacts", 2) if _is_young(path, now, TMP_KEPT_S)}

    def work_dir(self, key: str) -> Path:
        return self._ensure(self.root / "work" / key)

    def is_begun(self, key: str) -> bool:
        """Whether a stage run was started and not finished."""
        return (self.root / "work" / key).is_dir()

    def has_shard(self, key: str) -> bool:
        return (self.shard_dir(key) / "rows.jsonl").is_file()

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of a finished stage run, or None. A run whose files are missing is not finished."""
        path = self.artifact_dir(key) / "manifest.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None
        return found if all((self.root / place).is_dir() for place in found["uses"]) else None

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Context manager for an empty scratch folder. Whatever is left in it at the end is removed."""
        folder = self._ensure(self.root / "tmp" / f"{os.getpid()}@{_machine()}-{uuid.uuid4().hex[:12]}")
        try:
            yield folder
        except OSError as error:
            if error.errno in DISK_ERRORS or str(error.filename or "").startswith(f"{self.root}{os.sep}"):
                raise translate_os_error(error, self.root) from error
            raise  # the file is outside the store
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, folder: Path, place: Path, proof: str) -> bool:
        """Move a finished folder to its place in one step.

        Args:
            proof: the file whose presence shows that the folder is complete.

        Returns:
            False if another process was first; its identical result stays.
        """
        self._ensure(place.parent)
        for _ in range(3):
            try:
                folder.rename(place)
                return True
            except OSError as error:
                if (place / proof).is_file():
                    return False
                if not place.exists():
                    raise translate_os_error(error, place) from error
                shutil.rmtree(place, ignore_errors=True)  # damaged by hand: its proof file is missing
        raise UserError(f"can't write {place}", "Is another program holding it? Remove the folder and run again.")

    def discard(self, key: str) -> None:
        """Discard a stage run and its shards (``--again``): one rename moves them aside before they are removed."""
        manifest = self.manifest(key) or {}
        for place in [self.artifact_dir(key), *(self.shard_dir(shard) for shard in manifest.get("shards", ()))]:
            self.remove(place)
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    def clean(self) -> None:
        """Remove incomplete work of killed processes."""
        now = time.time()
        for path in list(_children(self.root / "tmp", 1)):
            if _is_abandoned(path, now):
                shutil.rmtree(path, ignore_errors=True)

    def remove(self, place: Path) -> None:
        if place.exists():
            aside = self._ensure(self.root / "tmp") / f"gone-{uuid.uuid4().hex[:12]}"
            with contextlib.suppress(FileNotFoundError):
                place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _ensure(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, folder) from error
        return folder


def translate_os_error(error: OSError, place: Path) -> UserError:
    """The message and hint for a full disk, a read-only folder and similar errors."""
    hints = {
        errno.ENOSPC: f"The disk that holds {place} is full. `pipekit gc` frees what no recent run uses.",
        errno.EROFS: f"{place} is on a read-only file system. Choose another place with PIPEKIT_STORE.",
        errno.EACCES: f"You may not write {place}. Choose another place with PIPEKIT_STORE.",
        errno.EPERM: f"You may not write {place}. Choose another place with PIPEKIT_STORE.",
        errno.EDQUOT: f"Your disk quota on {place} is used up. `pipekit gc` frees what no recent run uses.",
    }
    name = f": {error.filename}" if error.filename else ""
    return UserError(f"{error.strerror or error}{name}", hints.get(error.errno or 0, ""))


# --- hashes of files -----------------------------------------------------------------------------------------------------


# --- garbage -------------------------------------------------------------------------------------------------------------


SHARDS_KEPT_S = 24 * 3600
"""Finished shards of unfinished stages are kept for one day."""

WORK_KEPT_S = 30 * 24 * 3600
"""Checkpoints that are unchanged for a month belong to abandoned trainings."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What ``gc`` would free: folders and their size (including hard links to files that ``runs/`` still shows)."""

    folders: tuple[Path, ...]
    num_files: int
    size_bytes: int


TMP_KEPT_S = 7 * 24 * 3600
"""Scratch folders of other machines that share the store are kept for a week: they may be in use."""


def find_garbage(store: Store, keep: Iterable[str]) -> Garbage:
    """Find everything in the store that no key in ``keep`` (keys of stage runs) needs."""
    kept = set(keep)
    manifests = [manifest for key in sorted(kept) if (manifest := store.manifest(key))]
    wanted = {store.artifact_dir(key) for key in kept}
    wanted |= {store.shard_dir(shard) for manifest in manifests for shard in manifest["shards"]}
    wanted |= {store.root / place for manifest in manifests for place in manifest["uses"]}
    now = time.time()
    folders = [path for path in _children(store.root / "artifacts", 2) if path not in wanted]
    # Shards that no finished run names may belong to a stopped stage that is resumed tomorrow.
    folders += [
        path for path in _children(store.root / "shards", 2) if path not in wanted and not _is_young(path, now, SHARDS_KEPT_S)
    ]
    folders += [
        path for path in _children(store.root / "work", 1) if store.manifest(path.name) or not _is_young(path, now, WORK_KEPT_S)
    ]
    folders += [path for path in _children(store.root / "tmp", 1) if _is_abandoned(path, now)]
    num_files = size = 0
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                num_files += 1
                size += path.stat().st_size
    return Garbage(tuple(folders), num_files, size)


def _is_young(path: Path, now: float, seconds: float) -> bool:
    try:
        return now - path.stat().st_mtime < seconds
    except OSError:
        return True


def _machine() -> str:
    return socket.gethostname().replace("-", "_").replace(os.sep, "_")


def _is_alive(pid: str) -> bool:
    """Whether a process is running; a zombie (ended, not yet waited for) is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _is_abandoned(path: Path, now: float) -> bool:
    """Whether the process that created a scratch folder has ended. A live one may train for days without touching it."""
    pid, _, machine = path.name.partition("-")[0].partition("@")
    if pid.isdigit() and machine == _machine() and Path("/proc/self").exists():
        return not _is_alive(pid)
    try:
        return now - path.stat().st_mtime > TMP_KEPT_S
    except OSError:
        return False


def _children(folder: Path, depth: int) -> Iterator[Path]:
    if folder.is_dir():
        for child in sorted(folder.iterdir()):
            if depth == 1:
                yield child
            else:
                yield from _children(child, depth - 1)
