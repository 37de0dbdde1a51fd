"""The executors in the box: every task once, flat memory, and processes that die."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin import executors
from pipekit.builtin.executors import PoolParams, auto, processes, serial, threads
from pipekit.contract import Params, ShardResult, ShardTask
from pipekit.errors import StageError, UserError
from pipekit.processes import pool as new_pool
from pipekit.store.store import Store, find_garbage
from tests.conftest import DATA, Trial
from tests.test_imports import HEAVY

TWO = PoolParams(workers=2)
EXECUTORS: list[tuple[Any, Params]] = [(serial, Params()), (threads, TWO), (processes, TWO)]


def tasks(count: int, scope: str = "") -> Iterator[ShardTask]:
    for number in range(count):
        yield ShardTask(f"key-{number}", scope, "", "", number, "", None, ({"id": "x"},) * number, "", "")


def count(task: ShardTask) -> ShardResult:
    return ShardResult(task.key, len(task.rows), os.getpid(), 0, 0.0)


@pytest.mark.parametrize(("execute", "params"), [*EXECUTORS, (auto, TWO)])
def test_every_task_is_done_once(execute: Any, params: Params) -> None:
    found = sorted((result.key, result.num_samples) for result in execute(count, tasks(9), params))
    assert found == sorted((f"key-{number}", number) for number in range(9))
    assert list(execute(count, iter(()), params)) == []


@pytest.mark.parametrize(("execute", "params"), EXECUTORS)
def test_tasks_are_taken_in_the_calling_thread_as_they_are_needed(execute: Any, params: Params) -> None:
    taken: list[int] = []
    ahead: list[int] = []

    def watched() -> Iterator[ShardTask]:
        for task in tasks(30):
            taken.append(threading.get_ident())
            yield task

    for done, _ in enumerate(execute(count, watched(), params)):
        ahead.append(len(taken) - done)
    assert max(ahead) <= 5
    assert set(taken) == {threading.get_ident()}


# --- which one suits the work --------------------------------------------------------------------------------------------


def work(num_images: int, target: str = "pipekit.builtin.augment:make_copies") -> Iterator[ShardTask]:
    for number in range(0, num_images, 10):
        yield ShardTask(f"key-{number}", "", target, "", number, "", None, ({"id": "x"},) * 10, "", "")


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if pipekit's command were running, and 100 images were many."""
    monkeypatch.setattr(executors, "MANY", 100)
    monkeypatch.setattr(executors, "allowed", lambda: True)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize(
    ("num_images", "target", "in_processes"),
    [
        (100, "pipekit.builtin.augment:make_copies", True),
        (90, "pipekit.builtin.augment:make_copies", False),
        (300, "pipekit_speckle:speckle", False),
        (300, "@stage/speckle", False),
    ],
)
def test_processes_are_for_many_images_and_our_own_functions(num_images: int, target: str, in_processes: bool) -> None:
    results = list(auto(count, work(num_images, target), TWO))
    assert sum(result.num_samples for result in results) == num_images
    assert (os.getpid() not in {result.num_outputs for result in results}) == in_processes


@pytest.mark.usefixtures("few_are_many")
def test_processes_that_load_the_libraries_themselves_need_more_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "can_be_copied", lambda: False)
    monkeypatch.setattr(executors, "MANY_FOR_FRESH", 200)
    assert os.getpid() in {result.num_outputs for result in auto(count, work(190), TWO)}
    assert os.getpid() not in {result.num_outputs for result in auto(count, work(200), TWO)}


@pytest.mark.usefixtures("few_are_many")
def test_no_processes_beside_a_loaded_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    assert {result.num_outputs for result in auto(count, work(300), TWO)} == {os.getpid()}


@pytest.mark.usefixtures("few_are_many")
def test_no_more_is_held_than_tells_which_one_suits() -> None:
    taken = 0

    def watched() -> Iterator[ShardTask]:
        nonlocal taken
        for task in work(1000):
            taken += 1
            yield task

    results = auto(count, watched(), TWO)
    next(results)
    assert taken <= 10 + 4


def test_processes_work_where_none_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems take no sockets."""

    def refused() -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", refused)
    processes.prepare()  # type: ignore[attr-defined]
    results = list(processes(count, tasks(5), TWO))
    assert len(results) == 5
    assert os.getpid() not in {result.num_outputs for result in results}


def cut_off(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """The process that workers are copied from is killed in the middle of a request, so often."""
    forkserver.ensure_running()
    real, killed = forkserver.connect_to_new_process, list[int]()

    def cut(fds: Any) -> Any:
        forkserver.ensure_running()
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        if len(killed) >= times:
            return real(fds)
        os.kill(server, signal.SIGSTOP)
        found = real(fds)
        os.kill(server, signal.SIGKILL)
        killed.append(server)
        return found

    monkeypatch.setattr(forkserver, "connect_to_new_process", cut)
    return killed


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copied on Linux only")
@pytest.mark.parametrize(("times", "in_processes"), [(1, True), (2, True), (3, False)])
def test_a_killed_fork_server_ends_no_run(monkeypatch: pytest.MonkeyPatch, times: int, in_processes: bool) -> None:
    killed = cut_off(monkeypatch, times)
    results = list(processes(count, tasks(9), TWO))
    assert sorted(result.key for result in results) == sorted(f"key-{number}" for number in range(9))
    assert (os.getpid() not in {result.num_outputs for result in results}) == in_processes
    assert len(killed) == times


def test_all_processes_of_a_pool_start_with_the_first_task() -> None:
    """One that starts while the pool ends, because another one died, is waited for and never ended: a run hung so."""
    with new_pool(3) as pool:
        pool.submit(os.getpid).result()
        assert len(pool._processes) == 3
        started = set(pool._processes)
        for _ in range(6):
            pool.submit(os.getpid).result()
        assert set(pool._processes) == started


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copied on Linux only")
def test_a_fork_server_that_is_killed_between_shards_ends_no_run() -> None:
    done = []
    for result in processes(count, tasks(12), TWO):
        if not done:
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
        done.append(result.key)
    assert sorted(done) == sorted(f"key-{number}" for number in range(12))


def test_full_shared_memory_is_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the disk of the store."""
    trial.write("a/1.png")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", full)
    with pytest.raises(UserError, match="worker processes can't be started: /dev/shm, where they keep") as caught:
        trial.run({"data": DATA, "stamp": {"use": "stamp"}}, executor="processes", workers=2)
    assert 'executor = "threads"' in caught.value.hint
    assert "disk" not in caught.value.hint


def test_what_workers_are_born_with_starts_no_thread_and_is_no_heavy_library() -> None:
    script = (
        "import importlib, sys, threading\n"
        "from pipekit.processes import PRELOADED\n"
        "from pipekit.registry.registry import load_registry\n"
        "asked = [name for component in load_registry(installed=False) for name in component.preload]\n"
        "assert asked\n"
        "for name in (*PRELOADED, *asked): importlib.import_module(name)\n"
        "print(threading.active_count(), sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))\n"
    )
    heavy = sorted(HEAVY | {"typer", "rich"})
    done = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"


def environment(task: ShardTask) -> ShardResult:
    return ShardResult(task.key, len(task.rows), 0, 0, 0.0, os.environ.get("PIPEKIT_TRIAL", "nothing"))


def test_processes_see_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that of the process that they are copied from, which began with an earlier pool."""
    assert {result.error for result in processes(environment, tasks(3), TWO)} == {"nothing"}
    monkeypatch.setenv("PIPEKIT_TRIAL", "set")
    assert {result.error for result in processes(environment, tasks(3), TWO)} == {"set"}


def test_processes_work_where_temporary_files_lie_deep(tmp_path: Path) -> None:
    """A socket's path has at most 107 bytes."""
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.builtin.test_executors import TWO, count, tasks\n"
        "from pipekit.builtin.executors import processes\n"
        "if __name__ == '__main__':\n"
        "    processes.prepare()\n"
        "    print(sum(1 for _ in processes(count, tasks(5), TWO)))\n"
    )
    environ = {**os.environ, "TMPDIR": str(deep), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_many_new_files_start_the_workers_early(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(auto, "prepare", lambda: calls.append(1))
    monkeypatch.setattr("pipekit.engine.run_context.MANY_NEW", 5)
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)  # those of this moment are read again each time

    def run(folder: str, count: int, executor: str = "auto") -> None:
        trial.write(*(f"{folder}/{number}.png" for number in range(count)))
        trial.run({"data": DATA}, executor=executor, workers=2)

    run("a", 4)
    assert not calls
    run("b", 8)
    assert calls == [1]
    run("b", 0)
    assert calls == [1], "nothing is new"
    run("c", 8, "threads")
    assert calls == [1]


def test_a_script_that_is_no_command_starts_no_processes(tmp_path: Path) -> None:
    """They would import it, and run it again."""
    script = tmp_path / "script.py"
    script.write_text("from pipekit.processes import allowed\nprint(allowed())\n")
    assert subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout == "False\n"
    (tmp_path / "pipekit").write_text(script.read_text())
    command = subprocess.run([sys.executable, tmp_path / "pipekit"], capture_output=True, text=True, check=True)
    assert command.stdout == "True\n"


def test_the_command_starts_processes_for_many_images(tmp_path: Path) -> None:
    tile = np.zeros((8, 8, 3), np.uint8)
    (tmp_path / "images" / "a").mkdir(parents=True)
    for number in range(executors.MANY):
        tile[...] = number % 251, number // 251, 0
        (tmp_path / "images" / "a" / f"{number:04}.bmp").write_bytes(images.encode(tile, "bmp"))
    note = f"lambda of: open({str(tmp_path / 'started')!r}, 'a').write(of)"
    forks = 'os.register_at_fork(after_in_child=lambda: note("f"))'
    (tmp_path / "sitecustomize.py").write_text(f"import os\nnote = {note}\nnote('x')\nif hasattr(os, 'fork'): {forks}\n")
    (tmp_path / "pipeline.toml").write_text(
        """
        [stages.data]
        use = "import.folders"
        path = "images"
        verify = "none"
        [stages.augment]
        use = "augment"
        ops = "hflip"
        """
    )
    command = [sys.executable, "-m", "pipekit", "run", "--workers", "2"]
    env = {**os.environ, "PIPEKIT_STORE": str(tmp_path / "store"), "PYTHONPATH": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    started = (tmp_path / "started").read_text()
    if sys.platform == "linux":  # two workers and the process that they are forked from, which is a fork itself
        assert started.count("f") >= 3
        assert started.count("x") == 2, "the command, and the one that tracks semaphores"
    else:
        assert started.count("x") >= 3


begun: list[str] = []


def fails_late(task: ShardTask) -> ShardResult:
    begun.append(task.key)
    time.sleep(0.01)
    return ShardResult(task.key, 0, 0, 0, 0.0, "broken" if task.key == "key-3" else "")


def test_a_pool_ends_when_nobody_wants_more() -> None:
    begun.clear()
    before = threading.active_count()
    running = threads(fails_late, tasks(1000), TWO)
    next(running)
    running.close()  # type: ignore[attr-defined]
    while threading.active_count() > before:
        time.sleep(0.05)
    assert len(begun) <= 2 * (TWO.workers or 1), "those in the pool's hands, no others"


# --- processes that die --------------------------------------------------------------------------------------------------


def dies_once(task: ShardTask) -> ShardResult:
    mark = Path(task.scope) / task.key
    if task.key == "key-3" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return count(task)


def always_dies(task: ShardTask) -> ShardResult:
    if task.key == "key-3":
        os._exit(1)
    return count(task)


def test_a_process_that_dies_costs_nothing_but_time(tmp_path: Path) -> None:
    results = list(processes(dies_once, tasks(8, str(tmp_path)), TWO))
    assert sorted(result.key for result in results) == [f"key-{number}" for number in range(8)]
    assert not any(result.error for result in results)


def test_a_shard_that_always_kills_its_process_is_an_error() -> None:
    results = {result.key: result.error for result in processes(always_dies, tasks(4), TWO)}
    assert sorted(results) == [f"key-{number}" for number in range(4)]
    assert "died, twice" in results["key-3"]


def test_a_death_costs_no_task_that_was_not_begun(tmp_path: Path) -> None:
    """Tasks come from a generator, and a generator that is let go of is closed."""
    results = processes(dies_once, tasks(40, str(tmp_path)), TWO)
    assert {result.key for result in results} == {f"key-{number}" for number in range(40)}


def lossy(run: executors.Run, tasks: Iterator[ShardTask], params: Params) -> Iterator[ShardResult]:
    return map(run, islice(tasks, 2))


def test_an_executor_that_drops_tasks_is_found_out(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write(*(f"a/{number}.png" for number in range(12)))
    monkeypatch.setattr(executors, "serial", lossy)
    with pytest.raises(StageError, match=r"the executor lost [1-9]\d* samples"):
        trial.run({"data": DATA, "stamp": {"use": "stamp"}}, executor="serial", workers=1, shard_size=2)


def test_a_worker_that_is_killed_is_replaced(trial: Trial) -> None:
    """Through the engine: the digest is the same, and no sample is missing."""
    trial.write(*(f"a/{number}.png" for number in range(12)))
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    expected = trial.run(stages).artifact("stamp").digest
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text().replace("time.sleep(params.seconds)", DIE_ONCE))
    outcome = trial.run(stages, executor="processes", workers=2, shard_size=2)
    assert outcome.artifact("stamp").digest == expected
    assert (trial.path / "died").exists()
    pids = {line.split()[0] for line in trial.log_file.read_text().splitlines()}
    assert str(os.getpid()) not in pids
    # The pool ends the other worker too, in the middle of what it does; `pipekit gc` removes that.
    garbage = find_garbage(Store(trial.store), ()).folders
    assert set(trial.store.glob("tmp/*")) <= set(garbage)


DIE_ONCE = """
    mark = Path(__file__).parent / "died"
    if sample.id == "a/7.png" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
"""


def test_a_sample_that_always_kills_its_process_fails_the_stage(trial: Trial) -> None:
    trial.write(*(f"a/{number}.png" for number in range(4)))
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text().replace("time.sleep(params.seconds)", "os._exit(1)"))
    with pytest.raises(StageError, match="the process that worked on it died, twice"):
        trial.run({"data": DATA, "stamp": {"use": "stamp"}}, executor="processes", workers=2)


def test_a_shard_is_tried_twice(tmp_path: Path) -> None:
    list(processes(counts_its_deaths, tasks(4, str(tmp_path)), TWO))
    assert (tmp_path / "deaths").read_text() == "xx"


def counts_its_deaths(task: ShardTask) -> ShardResult:
    if task.key == "key-3":
        with (Path(task.scope) / "deaths").open("a") as file:
            file.write("x")
        os._exit(1)
    return count(task)
