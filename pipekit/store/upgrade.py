"""Stores of older versions: their results can't be used any longer, so they are removed, and their size is reported.

What people keep stays: ``runs/`` with its models and reports, split files, and the records of runs.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pipekit.owners import is_abandoned, new_owner
from pipekit.store.durability import write_synced
from pipekit.store.store import Store, translate_os_error
from pipekit.store.wholeness import COLUMNS, FORMAT, MEMORY, PARTS

RESULTS = ("artifacts", "shards", PARTS, COLUMNS, MEMORY, "work", "damaged")
"""The folders of a store that hold what can be recomputed."""


@dataclass(frozen=True)
class Replaced:
    """What was removed from a store of an older version."""

    num_files: int
    size_bytes: int

    def __str__(self) -> str:
        return (
            f"the store held results of an older version of pipekit, which this one can't use: {self.num_files:,} files with "
            f"{self.size_bytes / 1e6:,.1f} MB were removed. Everything is recomputed; splits, models and runs/ stay"
        )


def replace_old(store: Store) -> Replaced | None:
    """Remove the results of an older version, unless a run that is under way uses them; None if there are none."""
    mark = store.root / "format"
    version, is_damaged = _version(store.root, mark)
    if (version >= FORMAT and not is_damaged) or _others_run(store.root):
        return None
    try:
        replaced = Replaced(0, 0) if version >= FORMAT else _remove_results(store)
        write_synced(mark, f"{FORMAT}\n")
    except OSError as error:
        raise translate_os_error(error, store.root) from error
    return replaced if replaced.num_files else None


def _version(root: Path, mark: Path) -> tuple[int, bool]:
    """The version of a store, and whether the file that states it is damaged; then the newest manifest tells."""
    with contextlib.suppress(OSError):
        text = mark.read_bytes()
        if text.strip().isdigit():
            return int(text), False
        versions = [0]
        for manifest in root.glob("artifacts/*/*/manifest.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                versions.append(int(json.loads(manifest.read_bytes())["parts"]["format"]))
        return max(versions), True
    return 0, False


def _remove_results(store: Store) -> Replaced:
    """Remove what can be recomputed. It is moved away at once: a run that begins meanwhile makes folders of its own."""
    aside = store.root / "tmp" / new_owner()
    for name in RESULTS:
        if (store.root / name).is_dir():
            aside.mkdir(parents=True, exist_ok=True)
            (store.root / name).rename(aside / name)
    num_files = size_bytes = 0
    for place, _, names in os.walk(aside):
        num_files += len(names)
        for name in names:
            with contextlib.suppress(OSError):
                size_bytes += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118 (done for every file)
    store.remove(aside)
    return Replaced(num_files, size_bytes)


def _others_run(root: Path) -> bool:
    """Whether another process holds the store."""
    folder = root / "leases"
    own = f"{os.getpid()}@"
    leases = list(folder.iterdir()) if folder.is_dir() else []
    return any(not lease.name.startswith(own) and not is_abandoned(lease) for lease in leases)
