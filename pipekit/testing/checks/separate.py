"""Test a plugin in a separate process, with a time limit: it may never end, end at once, or bring the process down.

The process has a working folder and a folder for temporary files of its own, and no standard input. It reports what it is
about to test and each verdict as lines of JSON. Where it ends or hangs, the component at fault is known, and another process
tests the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError
from pipekit.testing.checks.core import Verdict, once
from pipekit.testing.checks.killing import PROMISE_OF_KILLS

if TYPE_CHECKING:
    from pipekit.registry.registry import PluginRecord

LIMIT_S = 120.0
"""Time limit for one promise of one component if pipekit's own libraries load in a second; scaled up on a slow machine."""

KILLS = 6
"""The promise about kills runs a stage so many times, each with a time limit of its own."""

ENDS = "it returns, and does not end the process"

OTHERS, ITSELF = "others", "itself"
"""What a process loads before it tests anything: the other plugins that are installed, then the plugin."""


def check_separately(
    what: str, path: Path | None = None, limit_s: float | None = None
) -> tuple[PluginRecord, Iterator[Verdict]]:
    """Test a plugin in separate processes.

    Args:
        what: a file or module, or the name of an installed plugin or distribution.
        path: a folder or file of the format that its importers and codecs read.
        limit_s: time limit for one promise; default: :data:`LIMIT_S`.

    Raises:
        UserError: there is no such plugin, or it could not be loaded.
    """
    checking = _Checking(what, path, LIMIT_S if limit_s is None else limit_s)
    lines = checking.lines()
    found = next(lines)
    assert not isinstance(found, Verdict)
    return found, once(line for line in lines if isinstance(line, Verdict))


@dataclass
class _Checking:
    """The state of a check: what was tested, and what is being tested."""

    what: str
    path: Path | None
    limit_s: float
    done: list[tuple[str, str]] = field(default_factory=list)
    trying: tuple[str, str, str] = ("", OTHERS, "")
    slowness: float = 1.0

    def lines(self) -> Iterator[PluginRecord | Verdict]:
        """The plugin's record, then verdicts, from as many processes as it takes."""
        first = True
        while True:
            with tempfile.TemporaryDirectory(prefix="pipekit-check-", ignore_cleanup_errors=True) as scratch:
                end = ""
                for line in self._of_one_process(Path(scratch)):
                    if "record" in line:
                        if first:
                            yield _record(line["record"])
                    elif "verdict" in line:
                        verdict = Verdict(**line["verdict"])
                        if verdict.kind != "plugin" or first:
                            yield verdict
                    elif "refused" in line:
                        raise UserError(*line["refused"])
                    else:
                        end = line["end"]
            if not end:
                return
            kind, name, promise = self.trying
            if not kind:
                raise self._not_loaded(end)
            yield Verdict(kind, name, promise or ENDS, end)
            self.done.append((kind, name))
            first = False

    def _not_loaded(self, end: str) -> UserError:
        if self.trying[1] == OTHERS:
            return UserError(
                f"the plugins that are installed can't be loaded: {end}", "Leave one out with PIPEKIT_DISABLE=NAME."
            )
        return UserError(f"plugin {self.what} can't be loaded: when it is imported, {end}")

    def _of_one_process(self, scratch: Path) -> Iterator[dict[str, Any]]:
        """What one process reports; at last ``{"end": why it ended early}``, "" if it did not."""
        for name in ("work", "temporary"):
            (scratch / name).mkdir()
        self.trying = ("", OTHERS, "")
        job = {
            "what": self.what,
            "path": None if self.path is None else str(self.path),
            "skip": self.done,
            "stdout": str(scratch / "stdout.txt"),
            "scratch": str(scratch),
        }
        with _process(job, scratch) as (process, lines):
            while True:
                try:
                    line = lines.get(timeout=self._limit_s())
                except queue.Empty:
                    yield {"end": f"it does not end within {self._limit_s():.0f} s"}
                    return
                if line is None:
                    yield {"end": _status_text(process.wait(), scratch / "stderr.txt")}
                    return
                found = json.loads(line)
                if "slowness" in found:
                    self.slowness = found["slowness"]
                elif "trying" in found:
                    kind, name, promise = found["trying"]
                    if self.trying[:2] != (kind, name) and self.trying[0]:
                        self.done.append(self.trying[:2])
                    self.trying = (kind, name, promise)
                else:
                    yield found
                    if "end" in found:
                        return

    def _limit_s(self) -> float:
        if not self.trying[0] and self.trying[1] == OTHERS:
            return LIMIT_S
        return self.limit_s * max(1.0, self.slowness) * (KILLS if self.trying[2] == PROMISE_OF_KILLS else 1)


@contextlib.contextmanager
def _process(job: dict[str, Any], scratch: Path) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """A process that tests, and a queue of its lines. It ends with the block, with all its child processes."""
    path = os.pathsep.join(os.path.abspath(one or ".") for one in sys.path)
    temporary = str(scratch / "temporary")
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIPEKIT_STORE": "",
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary),
    }
    with (scratch / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", "from pipekit.testing.checks.separate import main; main()", json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=scratch / "work",
            env=environment,
            text=True,
            start_new_session=True,
        )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, lines
    finally:
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        reader.join(timeout=5)  # of a child process that has left the group, the end is not waited for
        if not reader.is_alive() and process.stdout is not None:
            process.stdout.close()


def _status_text(status: int, errors: Path) -> str:
    last = [line for line in errors.read_text("utf-8", errors="replace").splitlines() if line.strip()][-1:]
    why = f": {last[0].strip()}" if last else ""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the process is ended by {signal.Signals(-status).name}{why}"
    return f"the process ends with status {status}{why}"


def _record(data: dict[str, Any]) -> PluginRecord:
    from pipekit.registry.registry import PluginRecord

    components = tuple((kind, name) for kind, name in data["components"])
    return PluginRecord(**{**data, "components": components, "observers": tuple(data["observers"])})


# --- in the process ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Test the plugin of the job that the command line gives."""
    job = json.loads(sys.argv[1])
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)

    def report(**line: Any) -> None:
        reports.write(json.dumps(line, default=str) + "\n")
        reports.flush()

    began = time.monotonic()
    from pipekit.registry.registry import load_registry
    from pipekit.testing.checks.plugin import Trial, load_plugin, verdicts_on

    for name in ("pipekit.engine.run", "pipekit.images", "pipekit.builtin"):
        __import__(name)
    slowness = time.monotonic() - began
    report(slowness=slowness)
    off = os.environ.get("PIPEKIT_DISABLE", "")
    known = _points()
    mine = next((point for point, distribution in known.items() if job["what"] in (point, distribution)), "")
    load_registry(disabled=(mine,) if mine else ())  # a neighbour that prints or hangs is not this plugin's fault
    os.environ["PIPEKIT_DISABLE"] = off
    report(trying=["", ITSELF, ""])
    own = (job["scratch"] + os.sep + "temporary", job["stdout"])
    trial = Trial(
        path=Path(job["path"]) if job["path"] else None,
        skip=[tuple(one) for one in job["skip"]],
        slowness=slowness,
        own=own,
        stdout=Path(job["stdout"]),
        announce=lambda kind, name, promise: report(trying=[kind, name, promise]),
    )
    try:
        registry, record, found = load_plugin(job["what"], trial)
    except UserError as error:
        report(refused=[error.message, error.hint])
        _end()
    report(record=asdict(record))
    for verdict in found:
        report(verdict=asdict(verdict))
    for verdict in verdicts_on(registry, record, trial):
        report(verdict=asdict(verdict))
    report(end="")
    _end()


def _points() -> dict[str, str]:
    """The entry points of plugins, with their distributions."""
    from importlib.metadata import entry_points

    from pipekit.registry.trust import GROUP

    return {point.name: point.dist.name if point.dist else "" for point in entry_points(group=GROUP)}


def _end() -> None:
    """End now: threads that a plugin has left can't keep the process."""
    from pipekit.testing.checks import killing

    with contextlib.suppress(Exception):
        killing.end_trials()
    os._exit(0)
