"""After a power cut nothing is false. Here the machine "goes down" by another boot id; ``tests/faults`` cuts a real disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pipekit.errors import UserError
from pipekit.owners import new_owner
from pipekit.store import durability
from pipekit.store.durability import Syncing, markers_in
from pipekit.store.store import Store
from pipekit.store.verify import recover
from tests.conftest import DATA, Trial

STAGES: dict[str, Any] = {"data": DATA, "stamp": {"use": "stamp"}, "measure": {"use": "measure", "dataset": "stamp"}}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose disk was synced, in order; nothing really waits for a disk."""
    calls: list[str] = []
    monkeypatch.delenv("PIPEKIT_SYNC", raising=False)
    monkeypatch.setattr(durability, "sync_disk", lambda folder: calls.append(str(folder)) or True)
    monkeypatch.setattr("pipekit.store.verify.sync_disk", lambda folder: calls.append(str(folder)) or True)
    monkeypatch.setattr(durability, "syncs_whole_disks", lambda: True)
    return calls


def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "boot_id").write_text(f"{name}\n")
    monkeypatch.setattr(durability, "BOOT_ID", tmp_path / "boot_id")


def test_a_marker_stands_while_something_may_not_be_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    syncing = Syncing(tmp_path / "store", tmp_path / "runs/a", "1@here-x")
    syncing.end()
    assert not synced, "nothing was written, so nothing waits"
    syncing.begin()
    (marker,) = markers_in(tmp_path / "store")
    assert (marker.boot, marker.run_dir) == (durability.boot_id(), str(tmp_path / "runs/a"))
    syncing.end()
    assert synced == [str(tmp_path / "store")]
    assert not list(markers_in(tmp_path / "store"))


def test_a_finished_run_leaves_no_marker_and_a_cached_one_syncs_nothing(trial: Trial, synced: list[str]) -> None:
    trial.write("cat/1.png")
    trial.run(STAGES)
    assert synced
    assert not list(markers_in(trial.store))
    synced.clear()
    trial.run(STAGES)
    assert not synced


def test_a_disk_that_can_not_be_synced_keeps_the_marker(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "sync_disk", lambda folder: False)
    syncing = Syncing(tmp_path / "store", tmp_path / "runs/a", "1@here-x")
    syncing.begin()
    syncing.end()
    assert list(markers_in(tmp_path / "store"))


def test_durability_can_be_given_up(trial: Trial, synced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_SYNC", "off")
    trial.write("cat/1.png")
    trial.run(STAGES)
    assert not synced
    assert not (trial.store / "unsynced").exists()


@pytest.mark.parametrize(
    "kind", ["shards/**/*.png", "shards/**/rows.jsonl", "parts/**/*.jsonl", "artifacts/**/index.json", "runs/**/*.json"]
)
@pytest.mark.parametrize("lost", ["emptied", "zeroed"])
def test_what_a_power_cut_took_is_made_anew(
    trial: Trial, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, lost: str
) -> None:
    """A file has no bytes, or as many as it should and all of them zero: the file system had made room and not filled it."""
    boot(monkeypatch, tmp_path, "first")
    trial.write(*(f"{label}/{number}.png" for label in ("cat", "dog") for number in range(3)))
    with monkeypatch.context() as patch:
        patch.setattr(Syncing, "end", lambda self: None)  # the machine goes down before the last sync
        outcome = trial.run(STAGES)
    expected = outcome.artifact("measure").digest
    shown = {path.relative_to(outcome.run_dir): path.read_bytes() for path in outcome.run_dir.rglob("*.png")}
    for path in [*trial.store.glob(kind), *outcome.run_dir.rglob("*.png")]:
        path.chmod(0o644)
        path.write_bytes(b"" if lost == "emptied" else bytes(path.stat().st_size))
    boot(monkeypatch, tmp_path, "second")
    again = trial.run(STAGES)
    assert again.artifact("measure").digest == expected
    assert {path.relative_to(again.run_dir): path.read_bytes() for path in again.run_dir.rglob("*.png")} == shown
    assert not list(markers_in(trial.store))
    assert all(stage.cached for stage in trial.run(STAGES).stages)


def test_without_a_power_cut_nothing_is_compared(
    trial: Trial, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed run leaves its marker; the memory of the system is still whole."""
    boot(monkeypatch, tmp_path, "only")
    trial.write("cat/1.png")
    with monkeypatch.context() as patch:
        patch.setattr(Syncing, "end", lambda self: None)
        trial.run(STAGES)
    assert list(markers_in(trial.store))
    monkeypatch.setattr("pipekit.store.verify.problem_of", lambda *_, **__: pytest.fail("nothing went down"))
    assert recover(Store(trial.store)) == []


def test_a_marker_that_can_not_be_read_counts_as_a_power_cut(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "unsynced").mkdir()
    (tmp_path / "unsynced/x.json").write_bytes(b"")
    store = Store(tmp_path)
    place = store.shard_dir("ab12")
    with store.scratch() as folder:
        (folder / "rows.jsonl").write_text("{}\n")
        store.commit(folder, place)
    os.utime(place, (1, 1))
    (place / "rows.jsonl").write_text("[]\n")
    (damage,) = recover(store)
    assert damage.problem == "rows.jsonl has changed"
    assert not list(markers_in(tmp_path))


def test_caches_of_unfinished_stages_go_and_checkpoints_stay(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "unsynced").mkdir(parents=True)
    (tmp_path / "unsynced/x.json").write_text(json.dumps({"boot": "another", "since": 0, "run_dir": ""}))
    for name in ("checkpoint/weights.npz", "decoded/train/data.bin"):
        (tmp_path / "work/abc" / name).parent.mkdir(parents=True)
        (tmp_path / "work/abc" / name).touch()
    recover(Store(tmp_path))
    assert [path.name for path in (tmp_path / "work/abc").iterdir()] == ["checkpoint"]


def test_without_syncfs_each_folder_is_synced_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[tuple[str, bool]] = []
    monkeypatch.delenv("PIPEKIT_SYNC", raising=False)
    store = Store(tmp_path)
    monkeypatch.setattr("pipekit.store.store.syncs_whole_disks", lambda: False)
    monkeypatch.setattr(
        "pipekit.store.store.sync_folder", lambda folder: places.append((folder.parent.name, store.shard_dir("ab").exists()))
    )
    with store.scratch() as folder:
        (folder / "rows.jsonl").write_text("{}\n")
        store.commit(folder, store.shard_dir("ab"))
    assert places == [("tmp", False)]


def test_caches_that_are_written_in_place_go_whatever_their_age(tmp_path: Path, synced: list[str]) -> None:
    """A table that is filled for hours leaves the time of its folder as it is."""
    (tmp_path / "unsynced").mkdir(parents=True)
    (tmp_path / "unsynced/x.json").write_text(json.dumps({"boot": "another", "since": 10**9, "run_dir": ""}))
    (tmp_path / "work/abc/features").mkdir(parents=True)
    os.utime(tmp_path / "work/abc/features", (1, 1))
    recover(Store(tmp_path))
    assert not list((tmp_path / "work/abc").iterdir())


def test_a_project_that_has_moved_since_the_power_cut_is_shown_anew(tmp_path: Path, synced: list[str]) -> None:
    """As is a drive that is mounted elsewhere after the start of the machine."""
    Syncing(tmp_path / "old/.pipekit", tmp_path / "old/runs/a", "1@here-x").begin()
    (tmp_path / "old").rename(tmp_path / "new")
    (marker,) = markers_in(tmp_path / "new/.pipekit")
    assert marker.run_dir == str(tmp_path / "new/runs/a")


def test_the_marker_of_a_killed_run_goes_with_the_next_sync(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(monkeypatch, tmp_path, "only")
    store, ended = tmp_path / "store", subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = new_owner()
    for owner in (new_owner().replace(str(os.getpid()), str(ended.pid), 1), living):
        Syncing(store, tmp_path / "runs/a", owner).begin()
    assert len(list(markers_in(store))) == 2
    syncing = Syncing(store, tmp_path / "runs/b", new_owner())
    syncing.begin()
    syncing.end()
    assert [marker.file.name for marker in markers_in(store)] == [f"only.{living}.json"], "a living run still needs its own"


def test_a_run_that_makes_nothing_removes_the_marker_of_one_that_was_killed_at_its_end(
    trial: Trial, synced: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial.write("cat/1.png")
    trial.run(STAGES)
    assert list(markers_in(trial.store)) == []
    count = len(synced)
    trial.run(STAGES)
    assert len(synced) == count, "nothing was made, so nothing is synced"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for owner in (new_owner().replace(str(os.getpid()), str(ended.pid), 1), new_owner()):
        Syncing(trial.store, trial.path / "runs/run", owner).begin()
    outcome = trial.run(STAGES)
    assert all(stage.cached for stage in outcome.stages)
    assert [marker.file.name.split(".")[1] for marker in markers_in(trial.store)] == [owner.split(".")[0]], "the living one's"


def test_a_marker_of_a_killed_run_does_no_harm_where_nothing_can_be_written(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Syncing(tmp_path, tmp_path / "runs/a", new_owner().replace(str(os.getpid()), str(ended.pid), 1)).begin()

    def refuse(*given: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(durability, "write_synced", refuse)
    syncing = Syncing(tmp_path, tmp_path / "runs/b", new_owner())
    syncing.begin_for_the_dead()
    syncing.end()
    assert len(list(markers_in(tmp_path))) == 1


def test_of_two_processes_that_recover_the_second_leaves_the_first_alone(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has finished while the second compared, and is at work on a stage."""
    (tmp_path / "unsynced").mkdir()
    marker = tmp_path / "unsynced/x.json"
    marker.write_bytes(b"")
    store = Store(tmp_path)
    with store.scratch() as folder:
        (folder / "rows.jsonl").write_text("{}\n")
        store.commit(folder, store.shard_dir("ab12"))

    def first_was_quicker(place: Path, hashes: bool) -> str:
        marker.unlink()
        (tmp_path / "work/abc/decoded").mkdir(parents=True)
        return ""

    monkeypatch.setattr("pipekit.store.verify.problem_of", first_was_quicker)
    recover(store)
    assert (tmp_path / "work/abc/decoded").is_dir()


def test_a_run_that_can_not_keep_its_record_ends_its_syncing(
    trial: Trial, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr("pipekit.engine.run_folder.remember", full)
    trial.write("cat/1.png")
    before = set(threading.enumerate())
    with pytest.raises(UserError, match="the disk is full"):
        trial.run(STAGES)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "sync"]


def test_a_marker_that_a_killed_process_was_writing_goes(tmp_path: Path) -> None:
    """Its owner is at the end of its name; one that a living process is writing stays."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    folder = tmp_path / "unsynced"
    folder.mkdir()
    living = new_owner()
    killed = living.replace(f"{os.getpid()}@", f"{ended.stdout.strip()}@")
    for owner in (living, killed):
        (folder / f".boot.{owner}.json.{owner}").touch()
        (folder / f"boot.{owner}.json").touch()
    Store(tmp_path).clean()
    left = {path.name for path in folder.iterdir()}
    assert left == {f".boot.{living}.json.{living}", f"boot.{living}.json", f"boot.{killed}.json"}
