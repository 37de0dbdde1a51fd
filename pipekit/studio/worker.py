"""A separate process that holds a model: it is started, asked, and started again if it dies."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pipekit.commands.serve_process import read_frame, write_frame
from pipekit.errors import PipekitError, UserError

MAX_DEATHS = 3
"""Deaths in a row, without an answer in between, after which the process is not started again."""

LARGE_GO_BACK = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""For glibc, which by itself keeps what large images took: a server grew by it. Larger pieces go back to the system at once."""

AGAIN = "Try again in a few seconds."

_Sent = tuple[dict[str, Any], Sequence[bytes]]


class LostError(PipekitError):
    """The process ended before it answered, or it is being started again."""


class Worker:
    """The process of one model. It begins to open the model at once; :meth:`wait` waits for it.

    Args:
        wanted: the first frame: what to open.

    Attributes:
        facts: what the process says of the model.
        restarts: how often it was started again.
    """

    def __init__(self, wanted: Mapping[str, Any], module: str = "pipekit.commands.serve_process") -> None:
        self.wanted, self.module = dict(wanted), module
        self.facts: dict[str, Any] = {}
        self.restarts = 0
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Future[dict[str, Any]], int]] = {}
        self._number = self._deaths = 0
        self._closed = self._ready = False
        self._outbox: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._process = self._started()

    @property
    def ready(self) -> bool:
        return self._ready and not self._closed

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Number of files that were sent and are not answered."""
        with self._lock:
            return sum(count for _, count in self._waiting.values())

    def wait(self) -> Worker:
        """Wait until the model is open.

        Raises:
            UserError: it can't be opened.
        """
        head = self._greeting(self._process)
        if "ready" not in head:
            self.close()
            _close_pipes(self._process)
            raise UserError(head.get("error", "the process of the model ended"), head.get("hint", ""))
        return self

    def ask(self, files: Sequence[bytes], **head: Any) -> Future[dict[str, Any]]:
        """Send files, without waiting. The future has the answer's frame, or raises :class:`LostError`.

        Raises:
            LostError: the process is being started again.
        """
        found: Future[dict[str, Any]] = Future()
        found.set_running_or_notify_cancel()  # an answer may come after nobody waits for it
        with self._lock:
            if not self.ready:
                raise LostError("the process of the model is being started again", AGAIN)
            self._number += 1
            self._waiting[self._number] = found, len(files)
            self._outbox.put(({"id": self._number, **head}, files))
        return found

    def predict(self, files: Sequence[bytes]) -> Future[dict[str, Any]]:
        return self.ask(files, do="predict")

    def kill(self) -> None:
        """End a process that does not answer; it is started again."""
        self._process.kill()

    def close(self) -> None:
        """End the process, without waiting for what it is asked."""
        self._closed = True
        self._process.kill()
        self._process.wait()

    # --- in threads ---

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self.module]
        environment = {**LARGE_GO_BACK, **os.environ}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already, and its greeting says so
            write_frame(process.stdin, self.wanted)
        return process

    def _greeting(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """The first frame of a process, or {} if it ends without one. Threads for its input and output begin."""
        assert process.stdout is not None
        frame = read_frame(process.stdout)
        head = frame[0] if frame else {}
        if "ready" in head:
            self.facts, self._outbox = head["ready"], queue.SimpleQueue()
            threading.Thread(target=self._write, args=(process, self._outbox), daemon=True, name="requests").start()
            threading.Thread(target=self._read, args=(process,), daemon=True, name="answers").start()
            self._ready = True
        return head

    def _write(self, process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[_Sent | None]) -> None:
        assert process.stdin is not None
        while (sent := outbox.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended: the other thread sees that
                write_frame(process.stdin, *sent)
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while (frame := read_frame(process.stdout)) is not None:
            self._deaths = 0
            with self._lock:
                found = self._waiting.pop(frame[0]["id"], None)
            if found is not None:
                found[0].set_result(frame[0])
        process.stdout.close()
        process.wait()
        with self._lock:
            self._ready = False
            lost, self._waiting = self._waiting, {}
            self._outbox.put(None)
        for future, _ in lost.values():
            future.set_exception(LostError("the process of the model has ended", AGAIN))
        self._again()

    def _again(self) -> None:
        while not self._closed and self._deaths < MAX_DEATHS:
            self._deaths += 1
            self.restarts += 1
            self._process = self._started()
            if self._closed:  # meanwhile
                self._process.kill()
            if "ready" in self._greeting(self._process):
                return
            self._process.wait()
            _close_pipes(self._process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    """For a process without the threads that would close them."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):  # it ended before it read all
            pipe.close()
