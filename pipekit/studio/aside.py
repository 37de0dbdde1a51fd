"""Work of seconds in a separate process: a page asks again until it is done, and no request waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pipekit import processes
from pipekit.errors import UserError

KEPT = 8
"""Results that are kept, the newest."""


class Aside:
    """One process, started on first use; what is asked for twice is computed once."""

    def __init__(self) -> None:
        self._pool: Executor | None = None
        self._tasks: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()

    def ask(self, key: str, function: Callable[..., Any], *values: Any) -> Future[Any]:
        """The task of a key; started if there is none. A task that failed is started again by the next one who asks."""
        with self._lock:
            found = self._tasks.get(key)
            if found is None:
                if self._pool is None:
                    self._pool = processes.pool(1) if processes.allowed() else ThreadPoolExecutor(1)
                found = self._tasks[key] = self._pool.submit(function, *values)
                for old in list(self._tasks)[:-KEPT]:
                    if self._tasks[old].done():
                        del self._tasks[old]
        return found

    def has(self, key: str) -> bool:
        return key in self._tasks

    def done(self, key: str) -> bool:
        """Whether :meth:`result` has the task's value, or its error."""
        return self._tasks[key].done()

    def result(self, key: str) -> Any:
        """The value of a task that is done.

        Raises:
            UserError: its process ended.
            Exception: what the task raised.
        """
        task = self._tasks[key]
        if task.exception() is None:
            return task.result()
        with self._lock:
            self._tasks.pop(key, None)
            if isinstance(task.exception(), BrokenProcessPool):
                self._pool = None
        if isinstance(task.exception(), BrokenProcessPool):
            raise UserError("the process that computes this ended", "Memory may be short.") from task.exception()
        return task.result()

    def forget(self, key: str) -> None:
        """Start a task again when it is asked for the next time."""
        with self._lock:
            self._tasks.pop(key, None)
