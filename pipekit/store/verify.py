"""Compare a store's files with their hashes: all files (``pipekit verify``), or those that a power cut may have damaged."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipekit.owners import remove_abandoned
from pipekit.store.durability import SLACK_S, Marker, boot_id, markers_in, sync_disk, write_synced
from pipekit.store.leases import last_use
from pipekit.store.store import Store
from pipekit.store.wholeness import COLUMNS, MEMORY, PARTS, problem_of

ARTIFACTS = "artifacts"

CHECKPOINT = "checkpoint"
"""A folder in the ``work_dir`` of a stage; the stage itself syncs its files."""


@dataclass(frozen=True)
class Damage:
    """A folder of the store that is not whole.

    Attributes:
        place: below the store: ``shards/ab/abcd…``.
        problem: in a few words: ``files/cat_1.jpg has changed``.
    """

    place: str
    problem: str


def places_in(store: Store) -> list[Path]:
    """The folders of all shards and artifacts, all parts of indexes, and what is kept beside them."""
    places = [*_entries(store, "shards"), *_entries(store, ARTIFACTS)]
    groups = [*_folders(store.root / PARTS), *_folders(store.root / COLUMNS), store.root / MEMORY]
    return places + [place for group in groups if group.is_dir() for place in sorted(group.iterdir())]


def _entries(store: Store, kind: str) -> list[Path]:
    return [place for group in _folders(store.root / kind) for place in _folders(group)]


def verify(store: Store, *, repair: bool = False, progress: Callable[[int, int], None] | None = None) -> Iterator[Damage]:
    """Read every file of the store and compare it with its hash; then look whether all is there that results consist of.

    Args:
        repair: move damaged folders aside, so that the next run recomputes them.
        progress: called with the number of finished folders and their total.
    """
    places, damaged = places_in(store), set[str]()
    for number, place in enumerate(places, 1):
        problem = problem_of(place, hashes=True)
        if problem and place.exists():  # else a run or `gc` has removed it meanwhile
            found = Damage(place.relative_to(store.root).as_posix(), problem)
            damaged.add(found.place)
            yield found
            if repair:
                store.set_aside(place, problem)
        if progress is not None:
            progress(number, len(places))
    yield from _incomplete(store, damaged, repair)


def _incomplete(store: Store, damaged: set[str], repair: bool) -> Iterator[Damage]:
    """The results of stages that lack a part or a shard. One that was just found damaged is no second finding."""
    for place in _entries(store, ARTIFACTS):
        name, used = place.relative_to(store.root).as_posix(), _uses(place)
        gone = [one for one in used if one not in damaged and not (store.root / one).exists()]
        lost = gone or [one for one in used if one in damaged]
        if name in damaged or not lost or not place.exists():
            continue
        problem = f"{lost[0]} is gone" + (f", and {len(lost) - 1:,} more" if len(lost) > 1 else "")
        if gone:
            yield Damage(name, problem)
        if repair:
            store.set_aside(place, problem)


def _uses(artifact: Path) -> list[str]:
    """The places below the store that a result consists of."""
    try:
        uses: list[str] = json.loads((artifact / "manifest.json").read_bytes()).get("uses", [])
    except (OSError, ValueError):
        return []
    return uses


def recover(store: Store, progress: Callable[[int, int], None] | None = None) -> list[Damage]:
    """After a power cut, or a crash of the system, move aside the results that did not reach the disk.

    Results made since the last sync are compared with their hashes, all others with their sizes. The folders of runs since
    then are rebuilt, and the cache of file hashes is removed.

    Returns:
        the damaged folders; empty if the machine did not go down while a run was writing.
    """
    now = boot_id()
    markers = [marker for marker in markers_in(store.root) if marker.boot != now]
    if not markers:
        return []
    since = min(marker.since for marker in markers) - SLACK_S
    found = []
    places = places_in(store)
    for number, place in enumerate(places, 1):
        if problem := problem_of(place, hashes=last_use(place) >= since):
            found.append(Damage(place.relative_to(store.root).as_posix(), problem))
            store.set_aside(place, problem)
        if progress is not None:
            progress(number, len(places))
    if not any(marker.file.exists() for marker in markers):
        return found  # another process has done the rest, and is running by now
    store.forget_hashes()
    _drop_unsynced_work(store.root / "work")
    _drop_broken_records(store.root / "runs")
    for marker in markers:
        _show_anew(marker)
    if sync_disk(store.root):
        for marker in markers:
            marker.file.unlink(missing_ok=True)
        remove_abandoned(store.root / "unsynced", ".*")
    return found


def _drop_unsynced_work(work: Path) -> None:
    """Remove caches of unfinished stages, whatever their age: they are written in place, which no folder's time shows.

    Checkpoints stay: they are synced when they are written.
    """
    for stage in _folders(work):
        for path in list(stage.iterdir()):
            if path.name != CHECKPOINT:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _drop_broken_records(runs: Path) -> None:
    for record in sorted(runs.glob("*/*.json")):
        try:
            json.loads(record.read_text(encoding="utf-8", errors="surrogatepass"))
        except (OSError, ValueError):
            record.unlink(missing_ok=True)


def _show_anew(marker: Marker) -> None:
    """Mark a run's folder as one without results, so that the next run builds it again."""
    file = Path(marker.run_dir) / "run.json"
    if not marker.run_dir or not file.is_file():
        return
    with contextlib.suppress(OSError):
        write_synced(file, json.dumps({"name": file.parent.name, "status": "interrupted", "stages": []}) + "\n")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
