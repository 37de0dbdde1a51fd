"""The executor `${component}`."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    workers: int | None = pipekit.param(None, "Number of shards that run in parallel. Default: the run's workers", ge=1, le=4096)


def ${component}(
    run: Callable[[pipekit.ShardTask], pipekit.ShardResult],
    tasks: Iterable[pipekit.ShardTask],
    params: ${Component}Params,
) -> Iterator[pipekit.ShardResult]:
    """A thread pool.

    You may call `run(task)` anywhere and in any order: a task is frozen plain data and can be pickled. Take tasks from the
    iterator only as workers become free, since there may be millions.
    """
    workers = params.workers or 1
    waiting: set[Future[pipekit.ShardResult]] = set()
    tasks = iter(tasks)
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            waiting |= {pool.submit(run, task) for task in islice(tasks, 2 * workers - len(waiting))}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
