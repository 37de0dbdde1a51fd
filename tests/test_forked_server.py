"""The process that workers are forked from, where it is a fork of the command: what it has, and what it must not have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipekit import processes
from pipekit.owners import _is_alive  # the state of a process that may be a zombie

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")

COMMAND = """
import fcntl, json, os, sys, threading, time
from multiprocessing import forkserver
from pipekit import processes

def seen():
    return os.getpid(), "only_here" in sys.modules, os.environ.get("SET_LATER", "")

if __name__ == "__main__":
    processes.is_command = lambda: True
    sys.modules["only_here"] = sys
    held = open(sys.argv[1], "w")
    os.set_inheritable(held.fileno(), True)
    fcntl.flock(held, fcntl.LOCK_EX)
    CASE
    processes.start_early()
    os.environ["SET_LATER"] = "yes"
    server = forkserver._forkserver._forkserver_pid
    with processes.pool(2) as pool:
        worker, has_module, environ = pool.submit(seen).result()
    files = sorted(map(int, os.listdir(f"/proc/{server}/fd")))
    links = [os.readlink(f"/proc/{server}/fd/{number}") for number in files]
    forked = "import main" not in open(f"/proc/{server}/cmdline").read()
    print(json.dumps([forked, server, worker, has_module, environ, links]), flush=True)
    time.sleep(60)
"""


class Command:
    """A running program that stands for the command."""

    def __init__(self, folder: Path, case: str = "pass") -> None:
        script = folder / "command.py"
        script.write_text(COMMAND.replace("CASE", case))
        self.lock = folder / "lock"
        words = [sys.executable, str(script), str(self.lock)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.forked, self.server, self.worker, self.has_module, self.environ, self.links = json.loads(
            self.process.stdout.readline()
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while _is_alive(str(pid)):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_has_what_the_command_has_loaded_and_no_file_of_it(tmp_path: Path) -> None:
    command = Command(tmp_path)
    try:
        assert command.forked
        assert command.has_module
        assert command.environ == "yes"
        assert command.worker not in (command.server, command.process.pid)
        assert str(command.lock) not in command.links
    finally:
        command.kill()
    wait_until_gone(command.server)


def test_a_killed_command_leaves_no_lock_and_no_process(tmp_path: Path) -> None:
    import fcntl

    command = Command(tmp_path)
    os.kill(command.server, signal.SIGSTOP)  # it can't notice yet that the command was killed
    command.kill()
    with command.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.kill(command.server, signal.SIGCONT)
    wait_until_gone(command.server)


def test_a_signal_ends_it(tmp_path: Path) -> None:
    command = Command(tmp_path, "import signal; signal.signal(signal.SIGTERM, lambda *_: None)")
    try:
        assert command.forked
        os.kill(command.server, signal.SIGTERM)
        wait_until_gone(command.server)
    finally:
        command.kill()


@pytest.mark.parametrize(
    "case",
    [
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "processes.meet('a plugin')",
        "sys.modules['tensorflow'] = sys",
        "processes.is_command = lambda: False",
    ],
)
def test_it_is_a_fresh_interpreter_where_a_fork_could_do_harm(tmp_path: Path, case: str) -> None:
    command = Command(tmp_path, case)
    try:
        assert not command.forked
        assert not command.has_module
        assert command.environ == "yes"
    finally:
        command.kill()


def test_plugins_are_met_before_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.registry.registry import load_registry

    met = set[str]()
    monkeypatch.setattr(processes, "_foreign", met)
    load_registry(installed=False)
    assert met == set()
    (tmp_path / "mine.py").write_text("from pipekit import processes\nassert processes._foreign == {'mine.py'}\n")
    load_registry(["mine.py"], tmp_path)
    assert "mine.py" in met
