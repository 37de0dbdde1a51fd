"""Systems that lack what Linux has: the missing part is taken away, and the documented fallback or one sentence remains."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from pipekit import owners, processes
from pipekit.builtin.train import cache
from pipekit.commands import doctor
from pipekit.commands.scaffold import Request, carry_out, plan
from pipekit.engine.context import _hold
from pipekit.engine.views import Views
from pipekit.errors import UserError
from pipekit.pipeline.plan import load_plan
from pipekit.store import copying, durability
from pipekit.ui.pixels import CELL_PX, cell_px


@pytest.fixture
def no_fcntl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "termios", None)


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr(owners, "PROC", tmp_path / "no-proc")
    monkeypatch.setattr(durability, "BOOT_ID", tmp_path / "no-proc" / "boot_id")
    read = Path.read_text

    def without_proc(self: Path, *args: object, **kwargs: object) -> str:
        if self.parts[1:2] in (("proc",), ("sys",)):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", without_proc)


@pytest.fixture
def fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    monkeypatch.setattr(durability, "_syncfs", lambda: None)
    monkeypatch.delenv("PIPEKIT_SYNC", raising=False)
    return calls


# --- durability ----------------------------------------------------------------------------------------------------------


def test_without_syncfs_each_file_is_synced_and_there_is_no_marker(tmp_path: Path, no_proc: None, fsyncs: list[int]) -> None:
    assert not durability.syncs_whole_disks()
    (tmp_path / "made" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (tmp_path / "made" / name).write_text(name)
    durability.settle(tmp_path / "made")
    assert len(fsyncs) == 4  # two files, two folders
    syncing = durability.Syncing(tmp_path / "store", tmp_path / "runs", "1@here-x")
    syncing.begin()
    syncing.end()
    assert not (tmp_path / "store").exists()


def test_without_fcntl_files_are_still_synced(tmp_path: Path, no_fcntl: None, fsyncs: list[int]) -> None:
    durability.write_synced(tmp_path / "a.json", "{}")
    assert len(fsyncs) == 3  # the file, its folder, and the folder above


@pytest.mark.parametrize("works", [True, False])
def test_macos_is_asked_to_empty_the_drive_s_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsyncs: list[int], works: bool
) -> None:
    asked: list[int] = []

    def control(handle: int, request: int) -> None:
        asked.append(request)
        if not works:
            raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setitem(sys.modules, "fcntl", types.SimpleNamespace(F_FULLFSYNC=51, fcntl=control))
    durability.write_synced(tmp_path / "a.json", "{}")
    assert asked == [51] * 3
    assert len(fsyncs) == (0 if works else 3)


# --- owners --------------------------------------------------------------------------------------------------------------


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_without_proc_a_signal_asks_whether_a_process_lives(tmp_path: Path, no_proc: None) -> None:
    living, dead = tmp_path / owners.new_owner(), tmp_path / owners.new_owner().replace(str(os.getpid()), str(dead_pid()), 1)
    for path in (living, dead):
        path.touch()
    assert not owners.is_abandoned(living)
    assert owners.is_abandoned(dead)
    assert owners.is_abandoned(tmp_path / f"{10**30}@{owners._machine()}-x")  # no process has such a number


def test_on_windows_nobody_is_asked_and_a_week_decides(tmp_path: Path, no_proc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "CAN_ASK", False)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it would end the process"))
    path = tmp_path / owners.new_owner().replace(str(os.getpid()), str(dead_pid()), 1)
    path.touch()
    assert not owners.is_abandoned(path)
    os.utime(path, (0, 0))
    assert owners.is_abandoned(path)


# --- copies, locks, links ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_copies_share_no_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(copying.sys, "platform", system)
    (tmp_path / "a").write_bytes(b"pixels")
    copying.copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"pixels"
    assert not copying.can_share_blocks(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_without_fcntl_there_are_copies_no_locks_and_usual_characters(tmp_path: Path, no_fcntl: None) -> None:
    (tmp_path / "a").write_bytes(b"pixels")
    copying.copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"pixels"
    with _hold(tmp_path / "lock") as first, _hold(tmp_path / "lock") as second:
        assert first is not None
        assert second is not None
    assert cell_px(0) == CELL_PX


def test_a_view_of_links_without_symbolic_links_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    views = Views("links", None, tmp_path / "store")
    monkeypatch.delattr(os, "symlink")
    with pytest.raises(UserError, match=r"no symbolic link can be made in .*train: os\.symlink\(\) not.*views=copies"):
        views._put(str(tmp_path / "a.png"), tmp_path / "view" / "train" / "a.png")


@pytest.mark.parametrize(("how", "call"), [("symlink", "symlink"), ("hardlink", "link")])
def test_a_project_of_links_without_links_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, call: str
) -> None:
    from pipekit import images

    for seed, label in enumerate(("cat", "dog")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng((seed, number)).integers(0, 255, (40, 40, 3), np.uint8)
            images.write(tmp_path / "photos" / label / f"{number}.png", pixels)
    project = plan(Request(tmp_path / "pets", source=tmp_path / "photos", how=how))  # type: ignore[arg-type]
    monkeypatch.delattr(os, call)
    with pytest.raises(UserError, match=r"this system makes no links \(os\.\w+\(\) not available on this system\)"):
        carry_out(project)


# --- memory, processors, processes ---------------------------------------------------------------------------------------


def test_without_sched_getaffinity_the_processors_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    found = load_plan(table={"stages": {"data": {"use": "import.folders", "path": "images"}}}, base_dir=tmp_path)
    assert found.workers == os.cpu_count()
    assert any(line.what == "processor" for line in doctor.machine())


def test_without_proc_and_sysconf_the_memory_is_unknown(no_proc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert doctor.memory_bytes() is None
    assert [line.state for line in doctor.machine()] == ["ok"]
    assert cache.free_memory_bytes() == 2 * 1024**3


def test_without_memfd_create_memory_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert not cache.can_share()


def test_without_posix_fallocate_a_file_is_left_to_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    (tmp_path / "pixels").touch()
    cache._allocate(tmp_path / "pixels", 0, 100)
    assert (tmp_path / "pixels").stat().st_size == 0


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_processes_are_spawned(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(processes.sys, "platform", system)
    assert not processes.can_be_copied()
    assert processes._context().get_start_method() == "spawn"


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_doctor_says_that_a_system_is_not_tested(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(doctor.platform, "system", lambda: system)
    (line,) = [line for line in doctor.machine() if line.what == "system"]
    assert line.state == "warning"
    assert f"what differs on {system} is in docs/platforms.md" in line.text


# --- homes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["inspect", "~nobody-has-this-name/photos"], ["sniff", "~nobody-has-this-name/photos"]])
def test_the_home_of_nobody_is_a_sentence(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from pipekit.cli import main

    assert main(command) == 2
    assert "~nobody-has-this-name/photos" in "".join(capsys.readouterr().err.split())
