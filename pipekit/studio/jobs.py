"""Long work is a separate process that writes its events to a file: neither a reload nor the death of the server loses it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_READ = 256 * 1024
"""Bytes of events in one answer."""

MAX_KEPT = 50
"""Jobs that are listed; the folders of older ones are left alone."""

_NAME = re.compile(r"[0-9]{10,20}(-[0-9]+)?")

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Job:
    """A folder with ``job.json`` (what runs), ``lock`` (held while it lives), ``events.jsonl`` and ``errors.txt``."""

    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "job.json").read_text("utf-8"))
        return found

    @property
    def running(self) -> bool:
        """Whether the process, or one that it started, holds the lock that it inherited. A process id could be another's."""
        try:
            import fcntl
        except ImportError:  # Windows: only the server that started it knows
            return any(child.pid == self.facts["pid"] and child.poll() is None for child in _children)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def stop(self) -> None:
        """As Ctrl-C: finished work is kept, and the same command resumes it."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.facts["pid"], signal.SIGINT)

    def read(self, offset: int) -> tuple[list[str], int]:
        """Whole lines from ``offset`` on, and the offset after them."""
        try:
            with (self.folder / "events.jsonl").open("rb") as stream:
                stream.seek(max(0, offset))
                data = stream.read(MAX_READ)
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return whole.decode("utf-8", "replace").splitlines(), offset + len(whole)

    @property
    def errors(self) -> str:
        """The last lines of what it printed to stderr."""
        try:
            data = (self.folder / "errors.txt").read_bytes()[-4000:]
        except FileNotFoundError:
            return ""
        return "\n".join(data.decode("utf-8", "replace").splitlines()[-12:])

    def described(self) -> dict[str, Any]:
        facts = self.facts
        return {"job": self.folder.name, "kind": facts["kind"], "words": facts["words"], "running": self.running}


def start(folder: Path, kind: str, words: Sequence[str], base: Path, run: Sequence[str] = ()) -> Job:
    """Run a command in ``base``, in a separate session: neither Ctrl-C nor the end of the server reaches it.

    Args:
        words: the command line as a person would write it, without ``pipekit``.
        run: the same with what makes it print events; default: ``words``.
    """
    place = _new_folder(folder)
    command = [sys.executable, "-m", "pipekit", *(run or words)]
    with (place / "events.jsonl").open("wb") as out, (place / "errors.txt").open("wb") as errors, _held(place / "lock") as lock:
        process = subprocess.Popen(
            command,
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
            pass_fds=lock,
            preexec_fn=_give_way if hasattr(os, "nice") else None,
        )
    facts = {"kind": kind, "words": list(words), "pid": process.pid}
    scratch = place / ".job.json"
    scratch.write_text(json.dumps(facts), "utf-8")
    scratch.replace(place / "job.json")
    _children.append(process)
    return Job(place)


def _give_way() -> None:
    """Pages stay quick while a job uses all processors."""
    os.nice(5)


def _new_folder(folder: Path) -> Path:
    name = str(time.time_ns() // 1_000_000)
    for number in range(1000):
        place = folder / (name if not number else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            place.mkdir(parents=True)
            return place
    raise FileExistsError(folder)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[tuple[int, ...]]:
    """A locked file, for the child to inherit."""
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:
            yield ()
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield (file.fileno(),)


def known(folder: Path) -> list[Job]:
    """The jobs, the newest first."""
    for child in _children:
        child.poll()  # so that an ended one is no zombie
    if not folder.is_dir():
        return []
    found = sorted((path for path in folder.iterdir() if (path / "job.json").is_file()), reverse=True)
    return [Job(path) for path in found[:MAX_KEPT]]


def job_of(folder: Path, name: str) -> Job | None:
    """The job of a name; None if there is none. The name comes from an address: it is no path."""
    place = folder / name
    return Job(place) if _NAME.fullmatch(name) and (place / "job.json").is_file() else None
