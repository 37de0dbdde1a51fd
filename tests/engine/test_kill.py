"""Runs that are killed, interrupted, or run twice at once: nothing half-made is seen, nothing finished is done again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, Trial

SCRIPT = """
import signal
import sys
from pathlib import Path
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan

def interrupted(number, frame):
    Path("hold").unlink(missing_ok=True)
    signal.default_int_handler(number, frame)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, interrupted)
    plan = load_plan(Path("pipeline.toml"), overrides=sys.argv[1:])
    try:
        outcome = run_plan(plan, lambda event, **values: print(event, values.get("stage", ""), flush=True))
    except KeyboardInterrupt:
        sys.exit(130)
    print("digest", outcome.stages[-1].artifact.digest)
"""

PIPELINE = """
name = "trial"
workers = 2
shard_size = 4
plugins = ["trial_plugin.py"]

[stages.data]
use = "import.folders"
path = "images"
verify = "none"

[stages.stamp]
use = "stamp"
"""


@pytest.fixture
def project(trial: Trial) -> Trial:
    trial.write(*(f"a/{number:03d}.png" for number in range(40)))
    (trial.path / "pipeline.toml").write_text(PIPELINE)
    trial.log_file.touch()
    return trial


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait as long as the process runs: a slow machine takes longer, and pytest's own timeout ends a hanging test."""
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def expected_digest(project: Trial) -> str:
    """What an undisturbed run makes, elsewhere."""
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    found: str = project.run(stages).artifact("stamp").digest
    for folder in (project.store, project.path / "runs"):
        folder.rename(project.path.parent / f"undisturbed {folder.name}")
    project.log_file.write_text("")
    return found


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_run_that_was_killed_goes_on_where_it_was(project: Trial, executor: str) -> None:
    digest = expected_digest(project)
    project.hold.touch()
    process = project.start(SCRIPT, f"executor={executor}", "stages.stamp.hold_at=23")
    wait_for(lambda: len(project.done()) >= 23 and project.shards(), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    project.hold.unlink()
    assert not (project.path / "runs").exists()
    workers = {int(line.split()[0]) for line in project.log_file.read_text().splitlines()}
    while any(map(is_alive, workers)):  # the children of a killed process end by themselves
        time.sleep(0.01)
    finished = project.shards()
    assert finished, "some shards were finished"
    before = {key: (project.store / "shards" / key[:2] / key / "rows.jsonl").stat().st_mtime_ns for key in finished}

    project.log_file.write_text("")
    out, error = project.start(SCRIPT, f"executor={executor}").communicate()
    assert f"digest {digest}" in out, error
    redone = project.done()
    assert len(redone) == len(set(redone))
    ids_finished = {line for key in finished for line in ids_of(project, key)}
    assert not set(redone) & ids_finished, "what was finished is not done again"
    assert len(redone) + len(ids_finished) == 40
    after = {key: (project.store / "shards" / key[:2] / key / "rows.jsonl").stat().st_mtime_ns for key in finished}
    assert after == before
    assert sorted(path.name for path in (project.path / "runs").iterdir()) == [".pipekit-output", "trial"]
    assert not list(project.store.glob("tmp/*")), "what the killed process left half-made is gone"


def ids_of(project: Trial, key: str) -> list[str]:
    rows = (project.store / "shards" / key[:2] / key / "rows.jsonl").read_text().splitlines()
    return [row.partition('"of":"')[2].partition('"')[0] for row in rows]


def test_two_processes_may_run_the_same_at_once(project: Trial) -> None:
    digest = expected_digest(project)
    running = [project.start(SCRIPT) for _ in range(2)]
    results = [process.communicate() for process in running]
    for (out, error), process in zip(results, running, strict=True):
        assert process.returncode == 0, error
        assert f"digest {digest}" in out
    assert not list(project.store.glob("tmp/*"))
    assert sorted(path.name for path in (project.path / "runs").iterdir()) == [".pipekit-output", "trial"]
    assert len(list((project.path / "runs/trial/stamp").rglob("*.png"))) == 40


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_ctrl_c_ends_a_run_soon_and_keeps_what_is_finished(project: Trial, executor: str) -> None:
    digest = expected_digest(project)
    project.hold.touch()
    process = project.start(SCRIPT, f"executor={executor}", "stages.stamp.hold_at=13")
    wait_for(lambda: len(project.done()) >= 13 and project.shards(), process)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert not project.hold.exists(), "the process itself has met Ctrl-C"
    assert len(project.done()) < 40
    assert project.shards()
    assert not (project.path / "runs").exists()
    out, error = project.start(SCRIPT).communicate()
    assert f"digest {digest}" in out, error
    assert len(project.done()) < 60
    assert not list(project.store.glob("tmp/*"))
