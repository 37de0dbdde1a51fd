"""Run a stage in a separate process that may be killed in the middle.

Jobs arrive as lines of JSON on standard input. Each runs in a fork of this process, which has imported the common libraries;
without a safe fork, the process runs one job itself and ends. A job writes its result to the file ``answer``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from pipekit.testing.checks.watched import changed_path

if TYPE_CHECKING:
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

STAGE = "tried"
"""The name of the tested stage in the pipeline."""

TOO_LONG = 75
"""The exit status of a trial that reached its time limit."""

FORKS = hasattr(os, "fork") and sys.platform != "darwin"


def main() -> None:
    """Print the seconds that starting took, then run jobs until standard input ends."""
    began = time.monotonic()
    importlib.import_module("pipekit.engine.run")
    importlib.import_module("pipekit.images")
    importlib.import_module("pipekit.builtin")
    print(time.monotonic() - began, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if not FORKS:
            attempt(job)
            return
        for name in job["loaded"]:  # once, instead of in every fork, and there under the eyes of the tracer
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            attempt(job)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # its child processes
        print(status, flush=True)


def attempt(job: Mapping[str, Any]) -> None:
    """Run the job's pipeline and write its result."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    limit = threading.Timer(job["limit_s"], os._exit, (TOO_LONG,))
    limit.daemon = True
    limit.start()
    sys.dont_write_bytecode = True
    sys.path[:] = job["sys_path"]
    answer: dict[str, Any]
    try:
        answer = _run(job)
    except (Exception, SystemExit) as error:
        answer = {"error": str(error) or type(error).__name__}
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _run(job: Mapping[str, Any]) -> dict[str, Any]:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    folder = Path(job["folder"])
    registry = _registry(job)
    watch = Watch(own_code(registry.get("stage", job["table"]["stages"][STAGE]["use"])), folder, job["kill_at"], job["answer"])

    def listen(event: str, **values: Any) -> None:
        if values.get("stage") == STAGE and event == "stage_started":
            watch.begin()
        elif values.get("stage") == STAGE and event in ("stage_finished", "stage_failed"):
            sys.settrace(None)

    plan = load_plan(table=job["table"], base_dir=folder, registry=registry, store=folder / ".pipekit")
    outcome = run_plan(plan, listen, publish=False)
    return {"digest": outcome.artifact(STAGE).digest, "steps": watch.steps, "changes": watch.changes}


def _registry(job: Mapping[str, Any]) -> Registry:
    """The registry of all installed plugins, plus the component under test if it is not registered."""
    from pipekit.registry.registry import load_registry
    from pipekit.testing.checks.core import register_under_test

    registry = load_registry(job["asked"], disabled=job["disabled"])
    given = job["given"]
    if given is not None:
        register_under_test(registry, given["kind"], getattr(_module(given["module"], given["file"]), given["name"]))
    return registry


def _module(name: str, file: str) -> ModuleType:
    """Import a module by its name, or by its file if the name is not importable or names another file (a test's file)."""
    with contextlib.suppress(ImportError):
        found = importlib.import_module(name)
        if os.path.realpath(getattr(found, "__file__", None) or "") == os.path.realpath(file):
            return found
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def own_code(component: Component) -> str:
    """The location of a stage's code: its file, or the folder of its package with a trailing slash; "" for none."""
    found = getattr(component, "original", component).load()
    function = inspect.unwrap(getattr(found, "read", getattr(found, "write", found)))
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    module = getattr(function, "__module__", "")
    return os.path.dirname(code.co_filename) + os.sep if "." in module else str(code.co_filename)  # noqa: PTH120


class Watch:
    """Counts the steps of a stage's own code, line by line, and kills the process at a given step.

    Attributes:
        steps: number of lines and returns of the stage's own code so far.
        changes: the step before each change to the project's folder.
    """

    def __init__(self, own: str, folder: Path, kill_at: int, answer: str) -> None:
        self.own, self.folder, self.kill_at, self.answer = own, f"{folder}{os.sep}", kill_at, answer
        self.steps = 0
        self.changes: list[int] = []

    def begin(self) -> None:
        if self.own:
            sys.addaudithook(self._audit)
            sys.settrace(self._enter)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        path = changed_path(event, arguments)
        if path is not None and path.startswith(self.folder):
            self.changes.append(self.steps)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        return self._step if name == self.own or (self.own.endswith(os.sep) and name.startswith(self.own)) else None

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.steps += 1
        if self.steps == self.kill_at:
            place = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
            Path(self.answer).write_text(json.dumps({"killed": place}), encoding="utf-8")
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return self._step
