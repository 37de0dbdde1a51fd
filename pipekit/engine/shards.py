"""Shards of samples: group samples, look up finished shards, run the missing ones, and sort the results.

A shard is the set of samples whose hashed ids begin with the same bits, with as few bits as keep it within the shard size.
So adding a sample changes one shard (or splits one in two), and the order in which samples come changes nothing. The shards of
a dataset are the parts of its index (:mod:`pipekit.store.parts`): for those that are finished, no row is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pipekit.contract import Failure, ShardResult, ShardTask
from pipekit.engine.keys import shard_key
from pipekit.engine.resume import take_finished_shard
from pipekit.engine.worker import DAMAGED, Job, run_shard
from pipekit.errors import DamagedError, StageError
from pipekit.store.locations import Row
from pipekit.store.parts import (
    FAILED,
    OF,
    PLAIN,
    SUMMARY,
    Part,
    content_digest,
    image_digest,
    located,
    rows_of,
    twins,
)
from pipekit.store.rows import Sorter, decode, read_lines
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

T = TypeVar("T")

MAX_BITS = 64
PROGRESS_EVERY_S = 0.1


def grouped(pairs: Iterator[tuple[str, T]], shard_size: int) -> Iterator[list[T]]:
    """Group (hexadecimal hash, item) pairs, which are sorted by hash, into shards of items; memory holds one shard.

    A shard has the items whose hashes share a prefix, in bits; at most ``shard_size`` of them.
    """
    return (items for _, _, items in cut(pairs, shard_size))


def cut(pairs: Iterator[tuple[str, T]], shard_size: int, top: tuple[int, int] = (0, 0)) -> Iterator[tuple[int, int, list[T]]]:
    """Like :func:`grouped`, each with its prefix and the length of that in bits; all below the prefix ``top``."""
    buffer: list[tuple[int, T]] = []
    waiting = [top]  # the leftmost is last
    while waiting:
        prefix, bits = waiting.pop()
        buffer += [(int(key[:16], 16), item) for key, item in islice(pairs, shard_size + 1 - len(buffer))]
        count = next((n for n, (key, _) in enumerate(buffer) if key >> (MAX_BITS - bits) != prefix), len(buffer))
        if count > shard_size and bits < MAX_BITS:
            waiting += [(2 * prefix + 1, bits + 1), (2 * prefix, bits + 1)]
            continue
        if count:
            yield prefix, bits, [item for _, item in buffer[:count]]
            del buffer[:count]


def by_hash(rows: Iterable[Row], shard_size: int, scratch: Path) -> Iterator[list[Row]]:
    """Rows in any order, in groups that each become a shard or a part, each in the order of ids.

    Raises:
        UserError: two rows have the same id.
    """
    return (group for _, _, group in cut_by_hash(rows, shard_size, scratch))


def cut_by_hash(rows: Iterable[Row], shard_size: int, scratch: Path) -> Iterator[tuple[int, int, list[Row]]]:
    """Like :func:`by_hash`, each group as :func:`cut` yields it."""
    sorter = Sorter(scratch / "in")
    for row in rows:
        sorter.add(hashlib.sha256(row["id"].encode("utf-8", "surrogatepass")).hexdigest(), row)
    for prefix, bits, group in cut(_no_twins(iter(sorter)), shard_size):
        group.sort(key=lambda row: str(row["id"]))
        yield prefix, bits, group


def _no_twins(pairs: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    previous = ""
    for key, row in pairs:
        if key == previous:
            raise twins(row["id"])
        previous = key
        yield key, row


@dataclass(frozen=True)
class Group:
    """Samples that become one shard.

    Attributes:
        count: the number of samples.
        digest: what the shard's key depends on.
        rows: reads the samples as packed rows.
        part: the part of an index that they are; None for samples that are in no index.
    """

    count: int
    digest: str
    rows: Callable[[], list[Row]]
    part: Part | None = None


def group_of(rows: list[Row], sees_images_only: bool) -> Group:
    """A group of rows that are in memory."""
    rows = [seen(row) for row in rows] if sees_images_only else rows
    return Group(len(rows), image_digest(rows) if sees_images_only else content_digest(rows), lambda: rows)


def group_of_part(root: Path, part: Part, sees_images_only: bool) -> Group:
    """A group of rows that are read from the store if they are needed."""

    def rows() -> list[Row]:
        return [seen(row) if sees_images_only else row for row in rows_of(root, part)]

    return Group(len(part), part.images if sees_images_only else part.digest, rows, part)


def seen(row: Row) -> Row:
    """What a function is given that depends on the image alone."""
    return {name: row[name] for name in ("id", "image", "sha256") if name in row}


@dataclass
class ShardJob:
    """One mapping of a function over samples.

    Attributes:
        base: what every shard's key is made of besides its samples.
        task: makes the task from a key and packed rows.
        execute: the executor with its parameters: tasks in, results out.
        job: what this process gives to its own threads, under the name ``scope``.
        found: called with the key of each shard that is taken from the store.
        again: do every shard anew, finished or not: a failure that a sample had once (a lost network drive) is kept with it.
    """

    base: str
    task: Callable[[str, tuple[Row, ...]], ShardTask]
    execute: Callable[[Callable[[ShardTask], ShardResult], Iterable[ShardTask]], Iterator[ShardResult]]
    store: Store
    progress: Callable[[int, int], None]
    scope: str
    job: Job
    found: Callable[[str], None] = lambda key: None
    again: bool = False
    keys: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    failed_in: list[Group] = field(default_factory=list)
    num_cached: int = 0

    def run(self, groups: Iterable[Group], total: int, absorb: Callable[[Group, Path], None]) -> None:
        """Do what is missing, and call ``absorb`` with each group and the folder of its finished shard, in any order.

        Raises:
            StageError: a shard could not be done.
        """
        pending: dict[str, Group] = {}
        lock = threading.Lock()
        done, last = 0, 0.0

        def finish(group: Group, place: Path) -> None:
            nonlocal done, last
            with lock:
                self._note_failures(place, group)
                absorb(group, place)
                done += group.count
                if time.monotonic() - last > PROGRESS_EVERY_S or done == total:
                    last = time.monotonic()
                    self.progress(done, total)

        def take(key: str, group: Group, place: Path) -> None:
            finish(group, place)
            self.num_cached += group.count
            self.found(key)

        def tasks() -> Iterator[ShardTask]:
            for group in groups:
                key = shard_key(self.base, group.digest)
                self.keys.append(key)
                if take_finished_shard(self.store, key, partial(take, key, group), self.again):
                    continue
                pending[key] = group
                yield self.task(key, tuple(group.rows()))

        results_of = self.execute(run_shard, tasks())
        try:
            for result in results_of:
                if not isinstance(result, ShardResult) or result.key not in pending:
                    what = f"{result.key!r} again" if isinstance(result, ShardResult) else type(result).__name__
                    raise StageError(f"the executor must yield run(task) once for each task, and yielded {what}")
                if result.error.startswith(DAMAGED):
                    raise DamagedError(*json.loads(result.error.removeprefix(DAMAGED)))
                if result.error:
                    raise StageError(result.error.strip())
                finish(pending.pop(result.key), self.store.shard_dir(result.key))
        finally:
            getattr(results_of, "close", lambda: None)()  # a pool must not work on for a stage that has failed
        if done < total:
            lost = total - done
            raise StageError(f"the executor lost {lost} samples", "Run the same command again, or choose another executor.")

    def _note_failures(self, place: Path, group: Group) -> None:
        path = f"{place}{os.sep}{FAILED}"
        failed = list(read_lines(Path(path))) if os.stat(path).st_size else []  # noqa: PTH116 (done for every shard)
        if failed:
            self.failed_in.append(group)
            inputs = {row["id"]: row["image"] for row in group.rows()}
            self.failures += [Failure(found["id"], found["reason"], inputs.get(found["id"], "")) for found in failed]


def part_in(store: Store, place: Path, of: Part | None) -> Part | None:
    """A finished shard as a part of an index; None if its rows are no samples, or lie elsewhere."""
    path = f"{place}{os.sep}{SUMMARY}"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    guard.check(path, data)
    plain: dict[str, Any] = decode(data)
    if plain.pop("has_inputs") and of is None:
        return None
    own = str(place)[len(str(store.root)) + 1 :].replace(os.sep, "/")
    uses = {*plain.pop("uses"), *([own] if plain.pop("has_files") else []), *(() if of is None else of.uses)}
    return replace(Part.from_plain({**plain, "place": own, "uses": sorted(uses)}), of=of)


def shard_rows(store: Store, place: Path, group: Group) -> Iterator[Row]:
    """The rows of a finished shard that is no part of an index, with packed locations."""
    own, inputs = place.relative_to(store.root).as_posix(), None
    for row in read_lines(place / "rows.jsonl"):
        if PLAIN not in row:
            if inputs is None:
                inputs = {source["id"]: source for source in group.rows()}
            source = inputs[row.pop(OF, row["id"])]
            row["image"] = located(row["image"], own, source["image"])
            if mask := row.get("targets", {}).get("mask"):
                row["targets"]["mask"] = located(mask, own, source.get("targets", {}).get("mask", ""))
        yield row
