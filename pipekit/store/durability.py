"""After a power cut no result is wrong: work that was not yet on the disk is detected and recomputed.

Waiting for the disk after each shard would take longer than making it. Instead the process that runs a pipeline leaves a
marker ``unsynced/<boot id>.<owner>.json``, itself synced, before it writes anything. A thread calls ``syncfs`` about every ten
seconds and at the end of the run, and the marker states since when nothing has been synced. A run that finds the marker of
another boot knows that the machine went down: :func:`pipekit.store.verify.recover` compares younger results with their hashes.

Without ``syncfs`` (macOS, Windows), each file is synced before its folder moves to its place, and no marker is
needed. Nothing notices a drive that is pulled while the machine stays up: run ``pipekit verify`` to find the damage.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipekit.owners import is_abandoned, new_owner

SYNC_EVERY_S = 10.0
"""Maximum number of seconds of work that a power cut can lose, plus the time that the disk needs."""

SLACK_S = 120.0
"""Results older than the marker by less than this are compared too: clocks of file systems are coarse."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def _syncfs() -> Callable[[int], int] | None:
    """``syncfs(2)`` of the C library, or None."""
    try:
        found = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):
        return None
    found.argtypes, found.restype = [ctypes.c_int], ctypes.c_int
    return lambda handle: int(found(handle))


def boot_id() -> str:
    """An id of this boot of the machine; "" if the system provides none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_off() -> bool:
    """Whether the user gave up durability for speed (``PIPEKIT_SYNC=off``): for stores that are thrown away."""
    return os.environ.get("PIPEKIT_SYNC", "").lower() in ("off", "0", "no")


def syncs_whole_disks() -> bool:
    """Whether one call syncs all that was written; otherwise :func:`sync_folder` syncs each folder."""
    return bool(_syncfs()) and bool(boot_id())


def sync_disk(folder: Path) -> bool:
    """Wait until the disk that holds ``folder`` has all that was written to it; False if that is not possible."""
    call = _syncfs()
    if call is None:
        return False
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            return call(handle) == 0
        finally:
            os.close(handle)
    return False


def sync_folder(folder: Path) -> None:
    """Wait until all files of a folder are on the disk, one after the other."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync_file(os.path.join(place, name))  # noqa: PTH118
        sync_file(place)


def settle(folder: Path) -> None:
    """Wait until the files of a finished folder are on the disk, before it moves to its place."""
    if not is_off() and not sync_disk(folder):
        sync_folder(folder)


def sync_file(path: str | Path) -> None:
    """Wait until a file or a folder is on the disk."""
    # Windows flushes only what is open for writing, and opens no folder and no read-only file so: these are not synced there.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            _flush(handle)
        finally:
            os.close(handle)


def _flush(handle: int) -> None:
    """``fsync``; on macOS the stronger call, without which the drive may keep the data in its own memory."""
    try:
        import fcntl

        request: int = fcntl.F_FULLFSYNC  # type: ignore[attr-defined, unused-ignore]
    except (ImportError, AttributeError):
        os.fsync(handle)
        return
    try:
        fcntl.fcntl(handle, request)
    except OSError:  # a network drive has only the weaker one
        os.fsync(handle)


def write_synced(path: Path, text: str) -> None:
    """Replace a file so that after a power cut it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{new_owner()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        _flush(file.fileno())
    temporary.replace(path)
    sync_file(path.parent)
    sync_file(path.parent.parent)  # where the folder is new


@dataclass(frozen=True)
class Marker:
    """The time (in seconds since 1970) since which a process of a boot has written without a sync, and its run's folder."""

    file: Path
    boot: str
    since: float
    run_dir: str


def markers_in(root: Path) -> Iterator[Marker]:
    """The markers in a store. One that can't be read counts as one of another boot that synced nothing."""
    folder = root / "unsynced"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            shown = str(root / plain["run_dir"]) if plain["run_dir"] else ""
            yield Marker(path, str(plain["boot"]), float(plain["since"]), os.path.normpath(shown) if shown else "")
        except (OSError, ValueError, KeyError, TypeError):
            yield Marker(path, "", 0.0, "")


class Syncing:
    """Keeps what a run writes to a store durable: a marker, a sync about every ten seconds, one at the end.

    Args:
        root: the store.
        run_dir: where the run publishes its results; rebuilt after a power cut.
        owner: names the process, so that each process has its own marker.
    """

    def __init__(self, root: Path, run_dir: Path, owner: str) -> None:
        self.root, self.run_dir = root, run_dir
        self._file = root / "unsynced" / f"{boot_id()}.{owner}.json"
        self._active = not is_off() and syncs_whole_disks()
        self._begun = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = time.monotonic()

    def begin(self) -> None:
        """Leave the marker, and start to sync. Call it before anything is written; later calls do nothing."""
        if self._begun or not self._active:
            return
        self._begun = True
        self._mark(time.time())
        self._thread = threading.Thread(target=self._keep_on, name="sync", daemon=True)
        self._thread.start()

    def begin_for_the_dead(self) -> None:
        """Begin if a process of this boot was killed after its last change: a run that makes nothing would leave its marker."""
        if self._begun or not self._active or not self._of_the_dead():
            return
        try:
            self.begin()
        except OSError:  # a store that can't be written
            self._begun = False

    def soon(self) -> None:
        """Sync after a stage, unless that was done a moment ago."""
        if self._begun and time.monotonic() - self._last > SYNC_EVERY_S / 2:
            self._sync()

    def end(self) -> None:
        """Sync one last time. Remove the marker, and the markers that dead processes of this boot left."""
        if not self._begun:
            return
        self._begun = False
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        finished = [marker for marker in self._of_the_dead() if self._is_on_disk_of_store(Path(marker.run_dir))]
        done = sync_disk(self.root)
        if not self._is_on_disk_of_store(self.run_dir):
            done = sync_disk(self.run_dir) and done
        if done:
            for file in (self._file, *(marker.file for marker in finished)):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def _of_the_dead(self) -> list[Marker]:
        """Markers of this boot whose processes were killed: their files are on the disk after the next sync."""
        here = boot_id()
        return [marker for marker in markers_in(self.root) if marker.boot == here and is_abandoned(marker.file.with_suffix(""))]

    def _is_on_disk_of_store(self, run_dir: Path) -> bool:
        try:
            return run_dir.stat().st_dev == self.root.stat().st_dev
        except OSError:
            return True  # no results are published

    def _keep_on(self) -> None:
        while not self._end.wait(SYNC_EVERY_S):
            self._sync()

    def _sync(self) -> None:
        before = time.time()
        if sync_disk(self.root):
            with contextlib.suppress(OSError):
                self._mark(before)
        self._last = time.monotonic()

    def _mark(self, since: float) -> None:
        project = self.root.parent
        # A project may be moved, and a drive mounted elsewhere, before it is used again.
        is_inside = self.run_dir.is_relative_to(project)
        shown = Path(os.pardir) / self.run_dir.relative_to(project) if is_inside else self.run_dir
        plain = {"boot": boot_id(), "since": since, "run_dir": str(shown)}
        write_synced(self._file, json.dumps(plain) + "\n")
