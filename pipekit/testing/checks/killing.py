"""The promise of stages about a kill: run again, a killed stage produces the result of an undisturbed run."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipekit.testing.checks.core import UNDER_TEST, Skipped, Subject, promise
from pipekit.testing.checks.stages import before_of, hashes, run_stages, stages_of, write_images
from pipekit.testing.checks.trial import TOO_LONG

LIMIT_S = 120.0
"""Time limit of one run of a stage on the tiny dataset if the libraries load in a second; scaled up on a slow machine."""

SLOW_TO_LOAD = ("matplotlib.figure", "matplotlib.backends.backend_agg")
"""Libraries that the process of the trials loads before it forks, if the stage has loaded them here. Both are safe to fork."""

FACTOR = 20
"""Time limit of the other runs as a multiple of the undisturbed run's duration, if that is longer."""

SETTINGS: Mapping[str, Any] = {"executor": "serial", "workers": 1, "shard_size": 3}
"""Environment for single-threaded libraries, so that the middle step is the same in every run."""


PROMISE_OF_KILLS = "killed in the middle and run again, it makes what an undisturbed run makes, and leaves nothing else behind"


@promise("stage")
def _survives_a_kill(subject: Subject) -> str:
    """killed in the middle and run again, it makes what an undisturbed run makes, and leaves nothing else behind"""
    before, given = before_of(subject), _to_be_found(subject)
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(subject, before, given, Path(scratch))
        whole, killed = trial.folder("whole"), trial.folder("killed")
        write_images(whole)
        if before:
            run_stages(subject, before, whole, **SETTINGS)
            shutil.rmtree(whole / "runs")
        shutil.copytree(whole, killed)
        limit_s = LIMIT_S * max(1.0, _trials.start_s())
        began = time.monotonic()
        found = trial.run(whole, limit_s)
        limit_s = max(limit_s, FACTOR * (time.monotonic() - began))
        if "error" in found:
            return f"it fails in a separate process: {found['error']}"
        if not found["steps"]:
            raise Skipped("none of its code is Python")
        wanted = _beside(whole)
        for step in kill_points(found["steps"], found["changes"]):
            folder = trial.folder(f"killed {step}")
            shutil.copytree(killed, folder)
            place = trial.run(folder, limit_s, step).get("killed")
            if place is None:
                raise Skipped("it ended before it was killed; does its work vary from run to run?")
            again = trial.run(folder, limit_s)
            if "error" in again:
                return f"killed at {place}, and run again, it fails: {again['error']}"
            if again["digest"] != found["digest"]:
                return (
                    f"killed at {place}, and run again, it makes another result; does it mistake a half-written file for a "
                    "complete one, or keep its state outside its work_dir?"
                )
            if _beside(folder) != wanted:
                return f"killed at {place}, and run again, it leaves other files in the project's folder"
    return ""


def kill_points(steps: int, changes: list[int]) -> list[int]:
    """The kill points: the middle of the work, and just after the start of the middle one of its changes to files."""
    points = {max(1, steps // 2)}
    if changes:
        points.add(min(steps, changes[len(changes) // 2] + 1))
    return sorted(points)


def _beside(project: Path) -> dict[str, str]:
    """The files in a project's folder, except the store."""
    return {name: content for name, content in hashes(project).items() if not name.startswith(".pipekit")}


def _to_be_found(subject: Subject) -> dict[str, str] | None:
    """How another process imports the component; None if its plugin registers it.

    Raises:
        Skipped: no other process can import it.
    """
    component = getattr(subject.component, "original", subject.component)
    if component.plugin != UNDER_TEST:
        return None
    found = component.load()
    module = sys.modules.get(getattr(found, "__module__", None) or type(found).__module__)
    names = [name for name, value in vars(module).items() if value is found] if module else []
    file = getattr(module, "__file__", None)
    if not names or file is None:
        raise Skipped(
            f"{component.name!r} is defined inside a function, so that no other process can import it; "
            "move it to the top level of a module"
        )
    return {"kind": component.kind, "module": str(getattr(module, "__name__", "")), "file": file, "name": names[0]}


def _is_file(source: str) -> bool:
    """Whether a plugin's source is the full path of its file."""
    return source.endswith(".py")


# --- trials in separate processes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A stage, and the folder that holds a copy of its project for each trial."""

    subject: Subject
    before: Mapping[str, Mapping[str, Any]]
    given: dict[str, str] | None
    scratch: Path

    def folder(self, name: str) -> Path:
        return self.scratch / name / "project"

    def run(self, folder: Path, limit_s: float, kill_at: int = 0) -> dict[str, Any]:
        """Run the pipeline in a separate process; returns its result, or ``{"error": why it failed}``."""
        answer, log = folder.parent / "answer.json", folder.parent / "log.txt"
        answer.unlink(missing_ok=True)
        log.write_text("", encoding="utf-8")
        registry = self.subject.registry
        job = {
            "table": {"name": "trial", "seed": 3, "max_failed": 0, **SETTINGS, "stages": stages_of(self.subject, self.before)},
            "asked": [found.source for found in registry.plugins if found.source in registry.asked or _is_file(found.source)],
            "disabled": registry.disabled,
            "given": self.given,
            "folder": str(folder),
            "kill_at": kill_at,
            "loaded": [name for name in SLOW_TO_LOAD if name in sys.modules],
            "answer": str(answer),
            "log": str(log),
            "limit_s": limit_s,
            "sys_path": [path or str(Path.cwd()) for path in sys.path],
        }
        status = _trials.do(json.dumps(job, default=str))
        if answer.exists():
            found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
            return found
        if status == TOO_LONG:
            return {"error": f"it did not end within {limit_s:.0f} s"}
        last = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()][-1:]
        return {"error": f"the process ended with status {status}{': ' if last else ''}{''.join(last)}"}


@dataclass
class _Trials:
    """The process of :mod:`pipekit.testing.checks.trial`; it ends with this process, when its standard input closes."""

    process: subprocess.Popen[str] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    took_s: float = 0.0

    def start_s(self) -> float:
        """Seconds that loading the libraries took: a measure of this machine's speed."""
        with self.lock:
            self._started()
            return self.took_s

    def do(self, job: str) -> int:
        """Run a job; returns the exit status of its process."""
        with self.lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(job + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            return int(line) if line.strip() else process.wait()

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = _start()
            assert self.process.stdout is not None
            self.took_s = float(self.process.stdout.readline() or 0)
        return self.process

    def end(self) -> None:
        """Close its standard input, and wait."""
        if self.process is not None:
            self.process.communicate()


def _start() -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PIPEKIT_STORE": ""}
    return subprocess.Popen(
        [sys.executable, "-c", "from pipekit.testing.checks.trial import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


_trials = _Trials()


def end_trials() -> None:
    """End the process of the trials."""
    _trials.end()


atexit.register(end_trials)
