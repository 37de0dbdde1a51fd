"""Samples in shards: grouping, looking up, running what is missing, and putting the results in order.

A shard is the set of samples whose hashed ids begin with the same bits, with as few bits as keep it within the shard size.
So adding a sample changes one shard (or splits one in two), and the order in which samples come changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from pipekit.contract import Failure, ShardResult, ShardTask
from pipekit.engine.keys import shard_key
from pipekit.engine.worker import DAMAGED, INPUT, OF, PLAIN, SHARD, run_shard
from pipekit.errors import DamagedError, StageError, UserError
from pipekit.store.locations import Locations, Row
from pipekit.store.rows import Sorter, read_lines
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

T = TypeVar("T")

MAX_BITS = 64
PROGRESS_EVERY_S = 0.1


def grouped(pairs: Iterator[tuple[str, T]], shard_size: int) -> Iterator[list[T]]:
    """Shards of items from (hexadecimal hash, item) pairs in the order of their hashes; memory holds one shard.

    A shard is a prefix of the hash, in bits, with at most ``shard_size`` samples.
    """
    buffer: list[tuple[int, T]] = []
    waiting = [(0, 0)]  # (prefix, its length in bits), the leftmost on top
    while waiting:
        prefix, bits = waiting.pop()
        buffer += [(int(key[:16], 16), item) for key, item in islice(pairs, shard_size + 1 - len(buffer))]
        count = next((n for n, (key, _) in enumerate(buffer) if key >> (MAX_BITS - bits) != prefix), len(buffer))
        if count > shard_size and bits < MAX_BITS:
            waiting += [(2 * prefix + 1, bits + 1), (2 * prefix, bits + 1)]
            continue
        if count:
            yield [item for _, item in buffer[:count]]
            del buffer[:count]


@dataclass
class ShardJob:
    """One mapping of a function over samples.

    Attributes:
        base: what every shard's key is made of besides its rows.
        task: makes the task from a key and packed rows.
        execute: the executor with its parameters: tasks in, results out.
        found: called with the key of each shard that is taken from the store.
        again: do every shard anew, finished or not: a failure that a sample had once (a lost network drive) is kept with it.
    """

    base: str
    task: Callable[[str, tuple[Row, ...]], ShardTask]
    execute: Callable[[Callable[[ShardTask], ShardResult], Iterable[ShardTask]], Iterator[ShardResult]]
    store: Store
    locations: Locations
    shard_size: int
    progress: Callable[[int, int], None]
    found: Callable[[str], None] = lambda key: None
    again: bool = False
    keys: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    num_samples: int = 0
    num_cached: int = 0

    def run(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What the function yields for ``rows`` (with packed locations), in the order of ids.

        Raises:
            UserError: two samples have one id.
            StageError: a shard could not be done.
        """
        with self.store.scratch() as scratch:
            sorter = Sorter(scratch / "in")
            for row in rows:
                sorter.add(hashlib.sha256(row["id"].encode("utf-8", "surrogatepass")).hexdigest(), row)
                self.num_samples += 1
            results = Sorter(scratch / "out")
            self._work(_no_twins(iter(sorter)), results)
            for _, row in results:
                yield row

    def _work(self, pairs: Iterator[tuple[str, Row]], results: Sorter) -> None:
        pending: dict[str, list[Row]] = {}
        lock = threading.Lock()
        done, last = 0, 0.0

        def absorb(key: str, rows: list[Row]) -> None:
            nonlocal done, last
            with lock:
                self._absorb(key, rows, results)
                done += len(rows)
                if time.monotonic() - last > PROGRESS_EVERY_S or done == self.num_samples:
                    last = time.monotonic()
                    self.progress(done, self.num_samples)

        def tasks() -> Iterator[ShardTask]:
            for rows in grouped(pairs, self.shard_size):
                key = shard_key(self.base, rows)
                self.keys.append(key)
                if self.again:
                    self.store.remove(self.store.shard_dir(key))
                if self.store.has_shard(key):
                    try:
                        absorb(key, rows)
                        self.num_cached += len(rows)
                        self.found(key)
                        continue
                    except DamagedError as error:
                        self.store.set_aside(self.store.shard_dir(key), error.problem)
                        guard.take_noted()
                pending[key] = rows
                yield self.task(key, tuple(rows))

        results_of = self.execute(run_shard, tasks())
        try:
            for result in results_of:
                if result.error.startswith(DAMAGED):
                    raise DamagedError(*json.loads(result.error.removeprefix(DAMAGED)))
                if result.error:
                    raise StageError(result.error.strip())
                absorb(result.key, pending.pop(result.key))
        finally:
            getattr(results_of, "close", lambda: None)()  # a pool must not work on for a stage that has failed
        if done < self.num_samples:
            lost = self.num_samples - done
            raise StageError(f"the executor lost {lost} samples", "Run the same command again, or choose another executor.")

    def _absorb(self, key: str, rows: list[Row], results: Sorter) -> None:
        """Take a finished shard's rows, with their files where they are now."""
        inputs = {row["id"]: row for row in rows}
        place = self.locations.pack(str(self.store.shard_dir(key)))
        made = list(read_lines(self.store.shard_dir(key) / "rows.jsonl"))  # whole, or nothing of it is taken
        failed = list(read_lines(self.store.shard_dir(key) / "failed.jsonl"))
        for row in made:
            results.add(row["id"], _unshard(row, place, inputs))
        self.failures += [
            Failure(found["id"], found["reason"], inputs.get(found["id"], {}).get("image", "")) for found in failed
        ]


def _no_twins(pairs: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    previous = ""
    for key, row in pairs:
        if key == previous:
            raise UserError(f"two samples have the id {row['id']!r}", "Ids must be unique within a dataset.")
        previous = key
        yield key, row


def _unshard(row: Row, place: str, inputs: Mapping[str, Row]) -> Row:
    """A row of a shard with ``@shard/`` and ``@input`` replaced by packed locations."""
    if PLAIN in row:
        return row
    source = inputs[row.pop(OF, row["id"])]

    def locate(path: str, of_input: str) -> str:
        if path == INPUT:
            return of_input
        return f"{place}/{path[len(SHARD) :]}" if path.startswith(SHARD) else path

    row["image"] = locate(row["image"], source["image"])
    if mask := row.get("targets", {}).get("mask"):
        row["targets"]["mask"] = locate(mask, source.get("targets", {}).get("mask", ""))
    return row
