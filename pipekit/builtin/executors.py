"""Built-in executors: ``map`` in this thread, in threads, in processes, or automatically chosen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice

from pipekit.contract import Params, ShardResult, ShardTask, param
from pipekit.processes import NotStartedError, allowed, can_be_copied, start_early
from pipekit.processes import pool as new_pool

Run = Callable[[ShardTask], ShardResult]

MAX_DEATHS = 2
"""Maximum number of worker deaths per shard; after that the shard itself is at fault."""


MAX_STARTS = 3
"""Maximum number of tries to start processes."""
START_AGAIN_S = 0.2
"""Pause before the next try: the system needs a moment until a killed process is gone."""

MANY = 500
"""Minimum number of images for which starting worker processes pays off, if they are forked."""
MANY_FOR_FRESH = 3_000
"""The same if each process imports the libraries by itself."""


class PoolParams(Params):
    """Parameters of a pool."""

    workers: int | None = param(None, "Number of shards to run at once; by default the run's number of workers", ge=1, le=4096)


def auto(run: Run, tasks: Iterable[ShardTask], params: PoolParams) -> Iterator[ShardResult]:
    """Processes for many images, else threads.

    OpenCV and the JPEG codecs release the interpreter lock, but the code between their calls does not: on many images that
    costs more than starting processes. Threads are used in any case where processes could do harm: for functions of plugins,
    because nobody knows what each process would import; once TensorFlow is loaded; and outside of the command, because new
    processes import the script that started them.
    """
    feed = iter(tasks)
    first, found, enough = [], 0, MANY if can_be_copied() else MANY_FOR_FRESH
    for task in feed:
        first.append(task)
        found += len(task.rows)
        if found >= enough:
            break
    many = found >= enough and first[0].target.startswith("pipekit.")
    pool = processes if many and "tensorflow" not in sys.modules and allowed() else threads
    return pool(run, chain(first, feed), params)


def serial(run: Run, tasks: Iterable[ShardTask], params: Params) -> Iterator[ShardResult]:
    """One shard after another, in this thread."""
    return map(run, tasks)


def threads(run: Run, tasks: Iterable[ShardTask], params: PoolParams) -> Iterator[ShardResult]:
    """A pool of threads. OpenCV, NumPy and the JPEG codecs release the interpreter lock; memory is shared."""
    pool = ThreadPoolExecutor(params.workers, thread_name_prefix="shard")
    try:
        yield from _bounded(pool, run, iter(tasks), params.workers or 1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def processes(run: Run, tasks: Iterable[ShardTask], params: PoolParams) -> Iterator[ShardResult]:
    """A pool of fresh processes, for ops written in Python. Shards that were running when a process died are retried once.

    Where processes can't be started, because the one that they are copied from was killed, a new one is started; if that
    fails too, threads continue.

    Raises:
        NotStartedError: there is no shared memory left.
    """
    workers = params.workers or 1
    feed, deaths = iter(tasks), dict[str, int]()
    again: list[ShardTask] = []
    starts = 0
    while True:
        pool = new_pool(workers)
        held: dict[str, ShardTask] = {}
        try:
            # chain instead of a generator: an abandoned generator closes the one that it reads from, which loses the rest
            yield from _bounded(pool, run, chain(_popped(again), feed), workers, held)
            return
        except NotStartedError as error:
            starts += 1
            again = [*held.values(), *again]
            if error.is_full:
                raise
            if starts == MAX_STARTS:
                yield from threads(run, chain(again, feed), params)
                return
            time.sleep(START_AGAIN_S)
        except BrokenProcessPool:
            again = []
            for task in held.values():
                deaths[task.key] = deaths.get(task.key, 0) + 1
                if deaths[task.key] < MAX_DEATHS:
                    again.append(task)
                else:
                    reason = "the process that worked on it died, twice (out of memory, or a crash in a library)"
                    yield ShardResult(task.key, len(task.rows), 0, 0, 0.0, reason)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _popped(tasks: list[ShardTask]) -> Iterator[ShardTask]:
    while tasks:
        yield tasks.pop(0)


def _bounded(
    pool: Executor, run: Run, tasks: Iterator[ShardTask], workers: int, held: dict[str, ShardTask] | None = None
) -> Iterator[ShardResult]:
    """Results as they complete; only as many tasks are taken as keep the workers busy, so memory use stays constant."""
    waiting: dict[Future[ShardResult], ShardTask] = {}
    held = {} if held is None else held
    while True:
        for task in islice(tasks, max(0, 2 * workers - len(waiting))):
            held[task.key] = task
            waiting[pool.submit(run, task)] = task
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            result = future.result()
            del held[waiting.pop(future).key]
            yield result


def _start_early_if_allowed() -> None:
    if "tensorflow" not in sys.modules and allowed():
        start_early()


# What a run takes where one worker is all it may have, and nobody has set a parameter.
for several in (auto, threads, processes):
    several.for_one_worker = serial  # type: ignore[attr-defined]

# The run may start processes on this machine for work of its own.
for several in (auto, processes):
    several.starts_processes = True  # type: ignore[attr-defined]

# What a run calls as soon as it meets many new files.
processes.prepare = start_early  # type: ignore[attr-defined]
auto.prepare = _start_early_if_allowed  # type: ignore[attr-defined]
