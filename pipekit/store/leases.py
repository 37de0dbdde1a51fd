"""Leases: garbage collection leaves what a live run uses.

While a run lives, it has a file in ``leases/``, and it sets the time of each folder of the store that it uses to now. So
everything that a live run uses is younger than its lease, and ``gc`` removes nothing that is younger than the oldest lease.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pipekit.owners import is_abandoned, new_owner

LEASE_SLACK_S = 120.0
"""Folders older than the oldest lease by less than this are kept too: clocks of file systems are coarse."""


@contextlib.contextmanager
def lease(root: Path) -> Iterator[None]:
    """Protect everything in a store that is used from now on. If a process is killed, its lease ends too."""
    folder = root / "leases"
    file = folder / new_owner()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError:  # a store that can't be written can't be cleaned from here either
        file = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def oldest_lease(root: Path) -> float | None:
    """When the oldest live run took its lease, in seconds since 1970; leases of dead processes are removed."""
    folder, oldest, now = root / "leases", None, time.time()
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if is_abandoned(file, now):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            continue
        with contextlib.suppress(OSError):
            since = file.stat().st_mtime
            oldest = since if oldest is None else min(oldest, since)
    return oldest


def use(place: str | Path) -> None:
    """Mark a folder of the store as used now."""
    try:  # noqa: SIM105 (done for every shard)
        os.utime(place)
    except OSError:
        pass


def last_use(place: Path) -> float:
    """When a folder was made or used, in seconds since 1970; now if that is unknown."""
    try:
        return place.stat().st_mtime
    except OSError:
        return time.time()
