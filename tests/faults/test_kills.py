"""A run whose whole group of processes is killed: the next one ends as if nothing had happened, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.power_cut import Size, make_project, shown

KILLS = 3
EVENTS = 30
"""A run reports more events than that before it ends; kills come before."""

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="looks at /proc and /dev/shm, which Linux has")


@pytest.fixture
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("t"))}


def start(project: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    # An event for each small shard, from worker processes.
    command = [sys.executable, "-m", "pipekit", "run", "--json", "--executor", "processes", "--set", "shard_size=2"]
    return subprocess.Popen(
        command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def digests(process: subprocess.Popen[str], project: Path) -> list[tuple[str, str]]:
    error = process.communicate()[1]
    assert process.returncode == 0, error
    record = json.loads((project / "runs/cut/run.json").read_text())
    return [(stage["name"], stage["digest"]) for stage in record["stages"]]


def processes_of(session: int) -> Iterator[int]:
    """The living processes of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state not in (b"Z", b"X"):
            yield int(folder.name)


def semaphores_of(pids: list[int]) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob("sem.*") for pid in pids if f".{pid}@" in path.name]


def test_kills_of_the_group_change_nothing_and_leave_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    calm, project = tmp_path / "calm", tmp_path / "project"
    for folder in (calm, project):
        make_project(folder, Size(images=40, copies=2))
    expected = digests(start(calm, environ), calm)
    chance, pids, left = random.Random(2), list[int](), list[str]()
    for _ in range(KILLS):
        process = start(project, environ)
        pids.append(process.pid)
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline())["event"] for _ in range(chance.randrange(5, EVENTS))]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left += semaphores_of([process.pid])
        assert "run_finished" not in events
    assert digests(start(project, environ), project) == expected
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
