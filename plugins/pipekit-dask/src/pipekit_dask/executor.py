"""The executor `dask`: run shards as Dask tasks.

A shard is frozen plain data and its result goes to the store, so Dask transfers little: a task of some kilobytes, and a few
numbers as its result. If a worker dies, its shards run again elsewhere; finished shards are found in the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import pipekit

if TYPE_CHECKING:
    from distributed import Client

LOOK_EVERY_S = 2.0
"""Interval for polling the number of worker threads: a cluster may grow and shrink during a run."""


class DaskParams(pipekit.Params):
    """Parameters of dask."""

    address: str = pipekit.param(
        "", "The scheduler: tcp://host:8786. Default: DASK_SCHEDULER_ADDRESS; without that, worker processes on this machine"
    )
    scheduler_file: str = pipekit.param("", "Instead of the address: the file written by a scheduler (--scheduler-file)")
    workers: int | None = pipekit.param(
        None, "Number of worker processes on this machine, if no scheduler is given. Default: the run's workers", ge=1, le=4096
    )
    in_flight: int = pipekit.param(3, "Number of shards queued or running per worker thread", unit="shards", ge=1, le=100)
    timeout_s: float = pipekit.param(30.0, "Timeout for connecting to the scheduler", unit="s", gt=0, le=3600)


def dask(
    run: Callable[[pipekit.ShardTask], pipekit.ShardResult], tasks: Iterable[pipekit.ShardTask], params: DaskParams
) -> Iterator[pipekit.ShardResult]:
    """Run shards on a Dask cluster. Every worker needs the same plugins, and sees the project's folder under the same path."""
    from distributed import as_completed

    tasks = iter(tasks)
    first = list(islice(tasks, 1))
    if not first:
        return
    with ExitStack() as stack:
        client = _connect(params, stack)
        room = _Room(client, params.in_flight)
        held: dict[Any, pipekit.ShardTask] = {}
        done = as_completed()

        def submit(task: pipekit.ShardTask) -> None:
            # pure=False: two concurrent runs on one cluster each run their own tasks. The store prevents duplicate work.
            future = client.submit(run, task, pure=False, key=f"{task.stage}-{task.key[:16]}-{time.monotonic_ns()}")
            held[future] = task
            done.add(future)

        stack.callback(lambda: client.cancel(list(held), force=True) if held else None)
        submit(first[0])
        for task in islice(tasks, room.free(len(held))):
            submit(task)
        for future in done:
            task = held.pop(future)
            yield _result(future, task)
            for task in islice(tasks, max(0, room.free(len(held)))):
                submit(task)


def _connect(params: DaskParams, stack: ExitStack) -> Client:
    """A client of the given scheduler, or of a cluster on this machine; closed with ``stack``."""
    from distributed import Client, LocalCluster

    address = params.address or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if params.scheduler_file or address:
        where = params.scheduler_file or address
        try:
            if params.scheduler_file:
                client = Client(scheduler_file=params.scheduler_file, timeout=params.timeout_s)
            else:
                client = Client(address, timeout=params.timeout_s)
        except (OSError, TimeoutError, ValueError) as error:
            raise pipekit.UserError(
                f"no Dask scheduler answers at {where!r}: {error}", "Is it running? Start one: dask scheduler"
            ) from error
        return stack.enter_context(client)
    cluster = LocalCluster(
        n_workers=params.workers or 1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    return stack.enter_context(Client(stack.enter_context(cluster)))


class _Room:
    """The number of further shards to submit to the cluster."""

    def __init__(self, client: Client, in_flight: int) -> None:
        self._client, self._in_flight = client, in_flight
        self._threads, self._asked = 1, 0.0

    def free(self, held: int) -> int:
        if time.monotonic() - self._asked > LOOK_EVERY_S:
            self._threads = max(1, sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._in_flight * self._threads - held


def _result(future: Any, task: pipekit.ShardTask) -> pipekit.ShardResult:
    """The worker's result; a shard that Dask abandoned is a failed shard with the reason."""
    error = future.exception()
    if error is None:
        result: pipekit.ShardResult = future.result()
        return result
    if type(error).__name__ == "KilledWorker":
        reason = "every worker that ran it died (out of memory, or a crash in a library)"
    else:
        reason = f"{type(error).__name__}: {error}"
    return pipekit.ShardResult(task.key, len(task.rows), 0, 0, 0.0, f"a shard could not be run on the cluster: {reason}")
