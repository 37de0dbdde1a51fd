"""A run whose whole group of processes is killed: the next one ends as if nothing had happened, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.kills import TARGETS, InProcesses, Killing, processes_of, semaphores_of, start
from tests.faults.power_cut import Size, make_project, shown

KILLS = 3
SHARDS = ("--set", "shard_size=2")
"""Small ones, for an event from each."""

EVENTS = 30
"""A run reports more events than that before it ends; kills come before."""

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="looks at /proc and /dev/shm, which Linux has")


@pytest.fixture
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("t"))}


def digests(process: subprocess.Popen[str], project: Path) -> list[tuple[str, str]]:
    error = process.communicate()[1]
    assert process.returncode == 0, error
    record = json.loads((project / "runs/cut/run.json").read_text())
    return [(stage["name"], stage["digest"]) for stage in record["stages"]]


def test_kills_of_the_group_change_nothing_and_leave_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    calm, project = tmp_path / "calm", tmp_path / "project"
    for folder in (calm, project):
        make_project(folder, Size(images=40, copies=2))
    expected = digests(start(calm, environ, *SHARDS), calm)
    chance, pids, left = random.Random(2), list[int](), list[str]()
    for _ in range(KILLS):
        process = start(project, environ, *SHARDS)
        pids.append(process.pid)
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline())["event"] for _ in range(chance.randrange(5, EVENTS))]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left += semaphores_of([process.pid])
        assert "run_finished" not in events
    assert digests(start(project, environ, *SHARDS), project) == expected
    tables = {name for name in shown(calm) if name.endswith("metadata.csv")}  # they have paths
    assert {name: data for name, data in shown(calm).items() if name not in tables} == {
        name: data for name, data in shown(project).items() if name not in tables
    }
    for name in ("tmp", "leases", "unsynced"):
        assert not list((project / ".pipekit").glob(f"{name}/*")), name
    assert not [path for path in (project / ".pipekit/work").rglob("*") if path.is_file()]
    assert not [found for pid in pids for found in processes_of(pid)]
    assert not list(Path(environ["TMPDIR"]).iterdir())
    assert left, "else the test looks at the wrong names"
    assert not semaphores_of(pids)


def test_a_kill_of_one_process_changes_nothing_and_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    # A short name: below a long TMPDIR, Python's name of a socket leaves no room for the name of its owner.
    killing = Killing(tmp_path_factory.mktemp("k"), seed=3, training=False, num_images=12)
    results = [killing.try_kill(killing.next_kill(target)) for target in TARGETS if target != "group"]
    assert [result.wrong for result in results] == [(), ()]


def test_kills_of_a_run_in_processes_change_nothing_and_leave_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    killing = InProcesses(tmp_path_factory.mktemp("p"), seed=1)
    results = [killing.try_kill(killing.next_kill(target)) for target in TARGETS]
    assert [result.wrong for result in results] == [(), (), ()]
    assert results[-1].outcome.startswith("lost a process")
