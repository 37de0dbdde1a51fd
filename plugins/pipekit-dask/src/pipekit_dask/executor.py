"""The executor `dask`: run shards as Dask tasks.

A shard is frozen plain data and its result goes to the store, so Dask transfers little: a task of some kilobytes, and a few
numbers as its result. If a worker dies, its shards run again elsewhere; finished shards are found in the store.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pipekit

if TYPE_CHECKING:
    from distributed import Client

LIGHT: dict[str, Any] = {
    "distributed.worker.profile.enabled": False,  # else a thread asks for the stacks of all others every 10 ms
    "distributed.admin.tick.interval": "500ms",  # not 20 ms: each process wakes up, and takes the interpreter's lock
    "distributed.worker.memory.monitor-interval": "1s",  # not 100 ms
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1},
}
"""Settings of Dask for workers on this machine, where nobody has set them. Dask's own cost 9.7 s of processor time on 2,000
photographs, whose augmentation takes 17.8 s in threads. 6.7 s of them are due to ``MALLOC_TRIM_THRESHOLD_=65536``, which Dask
sets for workers: the memory of each image goes back to the system, and comes as new pages for the next one."""

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
    adaptive: bool = pipekit.param(
        False, "Begin with one worker process on this machine, and start others as shards wait, up to `workers`"
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
        client = stack.enter_context(_client(params))
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


def _prepare() -> None:
    """Import Dask while the run still reads its files."""
    threading.Thread(target=importlib.import_module, args=("distributed",), daemon=True).start()


dask.prepare = _prepare  # type: ignore[attr-defined]


# --- one cluster for a run -----------------------------------------------------------------------------------------------


@dataclass
class _Open:
    """A client, and the cluster on this machine that it is of, which all stages of a run use.

    Attributes:
        users: the number of stages that use it now.
    """

    client: Client
    closing: ExitStack
    users: int = 0


_lock = threading.Lock()
_open: dict[tuple[Any, ...], _Open] = {}


@contextmanager
def _client(params: DaskParams) -> Iterator[Client]:
    """The client of this run: opened by its first stage, and closed by :func:`close_unused` when the run has ended."""
    address = params.address or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    key = (params.scheduler_file, address, params.workers, params.adaptive)
    with _lock:
        if key in _open and _open[key].client.status != "running":  # its scheduler has gone
            _open.pop(key).closing.close()
        if key not in _open:
            with ExitStack() as stack:
                client = _connect(params, address, stack)
                _open[key] = _Open(client, stack.pop_all())
        found = _open[key]
        found.users += 1
    try:
        yield found.client
    finally:
        with _lock:
            found.users -= 1


def close_unused() -> None:
    """Close the clusters that no stage uses: at the end of a run."""
    with _lock:
        for key in [key for key, found in _open.items() if not found.users]:
            _open.pop(key).closing.close()


def _connect(params: DaskParams, address: str, stack: ExitStack) -> Client:
    """A client of the given scheduler, or of a cluster on this machine; closed with ``stack``."""
    from distributed import Client, LocalCluster

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
        stack.enter_context(client)
        is_shown = True
    else:
        count = params.workers or 1
        stack.enter_context(_light())
        with _kept_environment():
            cluster = LocalCluster(
                n_workers=1 if params.adaptive else count,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            )
        stack.enter_context(cluster)
        if params.adaptive:
            cluster.adapt(minimum=1, maximum=count)
        client = stack.enter_context(Client(cluster))
        is_shown = importlib.util.find_spec("bokeh") is not None  # without it, Dask's pages are empty
    _say(client, is_shown)
    return client


@contextmanager
def _light() -> Iterator[None]:
    """Take :data:`LIGHT` for Dask's own settings, except those that are set in its files or in the environment."""
    import dask

    chosen = dask.config.collect()
    free = {name: value for name, value in LIGHT.items() if dask.config.get(name, None, chosen) is None}
    with _kept_environment(), dask.config.set(free):
        yield


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Put back what Dask changes in the environment of this process when it starts workers: the number of threads of its
    libraries, which would hold for the stages that follow, and for the programs that they start."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in [*LIGHT["distributed.nanny.pre-spawn-environ"], "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED"]:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _say(client: Client, is_shown: bool) -> None:
    """Say where the run's shards go, and where they can be watched. Standard output may be for data alone."""
    about = client.scheduler_info()
    dashboard = f"; watch them at {client.dashboard_link}" if is_shown and "dashboard" in about.get("services", {}) else ""
    print(f"dask: shards run on {about['address']}{dashboard}", file=sys.stderr, flush=True)


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
