"""The content-addressed store: finished work in folders named after the hash of its inputs.

::

    .pipekit/
      shards/ab/<key>/       rows.jsonl and the files of one shard
      artifacts/ab/<key>/    manifest.json and the files of one stage run; of a dataset, the list of its parts
      parts/ab/<hash>.jsonl  rows of datasets
      columns/ab/<name>.<function>  columns made of the rows of a part or a shard; they go with it
      memory/<name>          what a stage notes for its next run
      work/<key>/            a stage that was begun and is not done: its checkpoints
      tmp/                   work in progress; a folder moves to its place in one rename, completely or not at all
      damaged/               damaged folders, moved aside and recomputed
      leases/                live runs, whose folders ``gc`` leaves alone
      format                 the version of the store; results of an older one are removed
      unsynced/              runs whose last work may not be on the disk yet
      unchanged/             what a command printed, and the states of all files that this depends on
      tree/                  the hash of every file seen, by (path, size, mtime, ctime, inode), and former states of trees

Nothing is locked. Two processes that make the same thing make the same bytes; the first rename wins and the other's work is
dropped. A folder is done if it is whole: it states the sizes and hashes of its files
(:mod:`pipekit.store.wholeness`). A damaged one is moved aside, named in a warning, and recomputed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.errors import UserError
from pipekit.files import Buffer, expanded
from pipekit.owners import TMP_KEPT_S, is_abandoned, new_owner, remove_abandoned
from pipekit.store.columns import read_checked, write_checked
from pipekit.store.durability import is_off, sync_folder, syncs_whole_disks
from pipekit.store.file_hashes import HashMemory
from pipekit.store.folder_states import drop_older_formats, forget_files, stale_files
from pipekit.store.leases import LEASE_SLACK_S, last_use, oldest_lease, use
from pipekit.store.wholeness import COLUMNS, FORMAT, MEMORY, PARTS, guard, problem_of, seal

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
        return expanded(chosen).absolute()
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
        root: the folder; created at the first write.
        read_only: write nothing: no hash of a file is added, nothing is moved aside.

    Attributes:
        on_damage: called with a sentence for each folder that was moved aside because it is not whole.
        recent: what was read last and may be asked for again, by the path of its file.

    Raises:
        UserError: on writing, if the disk is full or the folder can't be written.
    """

    def __init__(self, root: Path, read_only: bool = False) -> None:
        self.read_only = read_only
        self.root = Path(os.path.abspath(root))
        self.on_damage: Callable[[str], None] | None = None
        self._hashes: HashMemory | None = None
        self._whole: set[str] = set()
        self.recent: dict[str, Any] = {}
        self._shard_dirs: dict[str, Path] = {}
        self._places: dict[str, Path] = {}
        guard.watch(self.root)

    @property
    def hashes(self) -> HashMemory:
        if self._hashes is None:
            if not self.read_only:
                self._ensure(self.root)
                drop_older_formats(self.root)
            self._hashes = HashMemory(self.root / "tree", read_only=self.read_only)
        return self._hashes

    def close(self) -> None:
        """Close the cache of file hashes; the next use opens it again."""
        if self._hashes is not None:
            self._hashes.close()
            self._hashes = None
        self.recent.clear()

    def shard_dir(self, key: str) -> Path:
        place = self._shard_dirs.get(key)
        if place is None:
            place = self._shard_dirs[key] = self.root.joinpath("shards", key[:2], key)
        return place

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
        """Whether a shard is present and whole; a damaged one is moved aside."""
        return self._has(self.shard_dir(key))

    def has_part(self, place: str) -> bool:
        """Whether a part of an index is present, by its place below the store."""
        path = f"{self.root}{os.sep}{place}"
        if self.read_only:
            return os.path.exists(path)  # noqa: PTH110 (done for every part)
        try:
            os.utime(path)  # it is used, as :func:`use` says
        except FileNotFoundError:
            return False
        except OSError:
            return os.path.exists(path)  # noqa: PTH110
        return True

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of a finished stage run, or None. A run that is damaged, or whose files are gone, is not finished."""
        place = self.artifact_dir(key)
        if not self._has(place):
            return None
        try:
            data = (place / "manifest.json").read_bytes()
        except OSError:
            return None  # another process has just removed it
        if guard.expected(str(place / "manifest.json")) != hashlib.sha256(data).hexdigest():
            self.set_aside(place, "manifest.json has changed")
            return None
        found: dict[str, Any] = json.loads(data)
        if found.get("parts", {}).get("format", FORMAT) < FORMAT:
            return None  # an older version made it, which the next run removes
        for used in found["uses"]:
            if not self._has(self._used(used)):
                self.set_aside(place, f"{used} is gone")
                return None
        return found

    def _used(self, place: str) -> Path:
        """A place below the store as a path; kept, since the same thousands are asked for by each stage."""
        path = self._places.get(place)
        if path is None:
            path = self._places[place] = self.root / place
        return path

    def _has(self, place: Path) -> bool:
        """Whether a folder is there and whole by its own statement; checked once in the life of this object."""
        path = str(place)  # a Path takes longer than the question
        if not os.path.exists(path):  # noqa: PTH110 (done for every shard)
            return False
        if path in self._whole:
            return True
        if problem := problem_of(path):
            self.set_aside(place, problem)
            return False
        self._whole.add(path)
        if not self.read_only:
            use(path)
        return True

    def set_aside(self, place: Path, problem: str) -> None:
        """Move a damaged folder to ``damaged/``, so that it is recomputed, and warn."""
        self._whole.discard(str(place))
        if self.read_only:
            return
        aside = self.root / "damaged" / f"{time.strftime('%Y%m%dT%H%M%S')}-{place.name[:16]}-{uuid.uuid4().hex[:6]}"
        try:
            aside.parent.mkdir(exist_ok=True)
            place.rename(aside)
        except FileNotFoundError:
            return  # another process was first
        except OSError as error:
            raise translate_os_error(error, place) from error
        if self.on_damage is not None:
            below = place.relative_to(self.root).as_posix()
            self.on_damage(f"{below} in the store is damaged ({problem}); it was moved to {aside} and is recomputed")

    # --- what is made of rows, and notes of stages ---

    def checked(self, path: str) -> bytes | None:
        """The bytes of a file of columns, or of a stage's notes; None if there is none. A damaged one is moved aside."""
        try:
            return read_checked(path)
        except ValueError as error:
            self.set_aside(Path(path), str(error))
            return None

    def write_checked(self, path: str, *pieces: Buffer) -> None:
        """Write a file of columns, or a stage's notes."""
        if not self.read_only:
            try:
                write_checked(self.root, path, pieces)
            except OSError as error:
                raise translate_os_error(error, Path(path)) from error

    def forget_hashes(self) -> None:
        """Remove the cache of file hashes: every file is read again."""
        self.close()
        forget_files(self.root / "tree")

    def place_of(self, path: str | Path) -> Path | None:
        """The folder of the shard or artifact that a path leads to or into, or the part that it is; None for any other path."""
        path = Path(os.path.abspath(path))
        if not path.is_relative_to(self.root):
            return None
        below = path.relative_to(self.root).parts
        if len(below) == 3 and below[0] == PARTS:
            return path
        return self.root.joinpath(*below[:3]) if len(below) >= 3 and below[0] in ("shards", "artifacts") else None

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for work in progress. Files that are still in it at the end are removed."""
        folder = self._ensure(self.root / "tmp" / new_owner())
        try:
            yield folder
        except OSError as error:
            if error.errno in DISK_ERRORS or str(error.filename or "").startswith(f"{self.root}{os.sep}"):
                raise translate_os_error(error, self.root) from error
            raise  # the file is outside the store
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        folder: Path,
        place: Path,
        hashes: Mapping[str, str] | None = None,
        parts: Mapping[str, str] | None = None,
    ) -> bool:
        """State what a finished folder contains, and move it to its place in one step.

        Args:
            hashes: known hashes of files, by the path below the folder.
            parts: hashes of parts of files (``files.tar#512+9000.jpg``).

        Returns:
            False if another process was first; its identical result stays.
        """
        seal(folder, hashes, parts)
        if not is_off() and not syncs_whole_disks():
            sync_folder(folder)
        self._ensure(place.parent)
        for _ in range(3):
            try:
                folder.rename(place)
                return True
            except OSError as error:
                if not place.exists():
                    raise translate_os_error(error, place) from error
                if self._has(place):  # else it was moved aside
                    return False
        raise UserError(f"can't write {place}", "Is another program holding it? Remove the folder and run again.")

    def discard(self, key: str) -> None:
        """Discard a stage run and its shards (``--again``): one rename moves them aside before they are removed."""
        manifest = self.manifest(key) or {}
        for place in [self.artifact_dir(key), *(self.shard_dir(shard) for shard in manifest.get("shards", ()))]:
            self.remove(place)
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    def clean(self) -> None:
        """Remove incomplete work and leases of killed processes."""
        for folder in ("tmp", "leases", "tree/tmp"):
            remove_abandoned(self.root / folder)
        remove_abandoned(self.root / "unsynced", ".*")  # markers that were being written

    def remove(self, place: Path) -> None:
        self._whole.discard(str(place))
        if place.exists():
            aside = self._ensure(self.root / "tmp") / new_owner()
            with contextlib.suppress(FileNotFoundError):
                place.rename(aside)
                _remove(aside)

    def _ensure(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, folder) from error
        return folder


def translate_os_error(error: OSError, place: Path) -> UserError:
    """The message and hint for a full disk, a read-only folder and similar errors."""
    hints = {
        errno.ENOSPC: f"The disk that holds {place} is full. `pipekit gc --min-age 0` frees what no recent run uses.",
        errno.EROFS: f"{place} is on a read-only file system. Choose another place with PIPEKIT_STORE.",
        errno.EACCES: f"You may not write {place}. Choose another place with PIPEKIT_STORE.",
        errno.EPERM: f"You may not write {place}. Choose another place with PIPEKIT_STORE.",
        errno.EDQUOT: f"Your disk quota on {place} is used up. `pipekit gc --min-age 0` frees what no recent run uses.",
    }
    name = f": {error.filename}" if error.filename else ""
    return UserError(f"{error.strerror or error}{name}", hints.get(error.errno or 0, ""))


# --- garbage -------------------------------------------------------------------------------------------------------------


WORK_KEPT_S = 30 * 24 * 3600
"""Checkpoints that are unchanged for a month belong to abandoned trainings."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What ``gc`` would free: folders and their size (including hard links to files that ``runs/`` still shows).

    Attributes:
        states: files about folders outside the store that nothing needs, and records of old runs; they are among the
            ``num_files`` too.
        before: the time, in seconds since 1970, before which they were used last.
    """

    folders: tuple[Path, ...]
    num_files: int
    size_bytes: int
    states: tuple[Path, ...] = ()
    before: float = float("inf")


KINDS = ("artifacts", "shards", PARTS)

MIN_AGE_S = 24 * 3600
"""Results that were made or used within a day are not garbage by default."""


def find_garbage(
    store: Store,
    keep: Iterable[str],
    min_age_s: float = MIN_AGE_S,
    records: Iterable[Path] = (),
    before: float | None = None,
) -> Garbage:
    """Everything in the store that no key in ``keep`` (keys of stage runs) needs, and that no run uses.

    Args:
        min_age_s: keep results that were made or used within this number of seconds. Results that a running run may use are
            always kept.
        records: records of runs that go if they are that old.
        before: what :func:`limit_of_age` returned before ``keep`` was read from the records of runs: a run that ended in
            between either had a lease then, or is among the records.
    """
    kept = set(keep)
    manifests = [manifest for key in sorted(kept) if (manifest := store.manifest(key))]
    wanted = {store.artifact_dir(key) for key in kept}
    wanted |= {store.shard_dir(shard) for manifest in manifests for shard in manifest["shards"]}
    wanted |= {store.root / place for manifest in manifests for place in manifest["uses"]}
    wanted |= {store.root / MEMORY / note for manifest in manifests for note in manifest.get("notes", ())}
    now = time.time()
    before = limit_of_age(store, min_age_s) if before is None else before
    folders = [
        path for kind in KINDS for path in _children(store.root / kind, 2) if path not in wanted and last_use(path) < before
    ]
    gone = {path.name.partition(".")[0] for path in folders}
    folders += [path for path in _children(store.root / COLUMNS, 2) if _is_orphaned(store, path, gone, before)]
    folders += [path for path in _children(store.root / MEMORY, 1) if path not in wanted and last_use(path) < before]
    folders += [path for path in _children(store.root / "work", 1) if _is_left(store, path, now, before)]
    folders += [path for path in _children(store.root / "tmp", 1) if is_abandoned(path, now)]
    folders += [path for path in _children(store.root / "damaged", 1) if last_use(path) < before]
    states = (*stale_files(store.root / "tree", before), *(path for path in records if last_use(path) < before))
    sizes = [_size(path) for folder in folders for path in [folder, *folder.rglob("*")] if path.is_file()]
    return Garbage(tuple(folders), len(sizes) + len(states), sum(sizes) + sum(map(_size, states)), states, before)


def _size(path: Path) -> int:
    """The size of a file in bytes; 0 if another process has just removed it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_left(store: Store, work: Path, now: float, before: float) -> bool:
    """Whether nothing needs the folder of an unfinished stage: it has finished since, or it has left nothing, or long ago."""
    if store.manifest(work.name) or not _is_young(work, now, WORK_KEPT_S):
        return True
    return last_use(work) < before and not any(work.iterdir())


def _is_orphaned(store: Store, columns: Path, gone: Collection[str], before: float) -> bool:
    """Whether the part or the shard that columns were made of is gone, or goes now."""
    name = columns.name.partition(".")[0]
    if name in gone:
        return True
    is_there = (store.root / PARTS / name[:2] / f"{name}.jsonl").exists() or store.shard_dir(name).exists()
    return not is_there and last_use(columns) < before


def limit_of_age(store: Store, min_age_s: float) -> float:
    """The time, in seconds since 1970, before which a result must have been used last to be garbage."""
    oldest = oldest_lease(store.root)
    limit = time.time() - min_age_s
    return limit if oldest is None else min(limit, oldest - LEASE_SLACK_S)


def free(store: Store, garbage: Garbage, min_age_s: float = MIN_AGE_S) -> int:
    """Remove garbage, except what a run has begun to use since it was found. Returns the number of folders removed."""
    removed = 0
    for place in garbage.folders:
        is_checked = place.parent.parent.name in KINDS or place.parent.name == MEMORY
        if is_checked and last_use(place) >= min(garbage.before, limit_of_age(store, min_age_s)):
            continue
        store.remove(place)
        removed += 1
    for path in garbage.states:  # one that is needed again meanwhile is written again
        path.unlink(missing_ok=True)
    return removed


def _remove(path: Path) -> None:
    """Remove a folder, or a file."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_young(path: Path, now: float, seconds: float) -> bool:
    try:
        return now - path.stat().st_mtime < seconds
    except OSError:
        return True


def _children(folder: Path, depth: int) -> Iterator[Path]:
    if folder.is_dir():
        for child in sorted(folder.iterdir()):
            if depth == 1:
                yield child
            else:
                yield from _children(child, depth - 1)
