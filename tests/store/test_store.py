"""The store: whole or not at all, and what may be freed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipekit.engine.run_folder import keys_in_use
from pipekit.errors import UserError
from pipekit.store.store import Store, find_garbage, free
from tests.conftest import DATA, Trial


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# --- folders that appear whole -------------------------------------------------------------------------------------------


def finished(store: Store, key: str, text: str = "x") -> bool:
    with store.scratch() as folder:
        (folder / "rows.jsonl").write_text(text)
        return store.commit(folder, store.shard_dir(key))


def test_the_first_commit_wins(store: Store) -> None:
    assert not store.has_shard("abc")
    assert finished(store, "abc", "first")
    assert not finished(store, "abc", "second")
    assert store.has_shard("abc")
    assert (store.shard_dir("abc") / "rows.jsonl").read_text() == "first"
    assert not list(store.root.glob("tmp/*"))


def test_a_folder_that_states_nothing_is_moved_aside_and_replaced(store: Store) -> None:
    store.shard_dir("abc").mkdir(parents=True)
    (store.shard_dir("abc") / "leftover.png").touch()
    assert not store.has_shard("abc")
    assert finished(store, "abc")
    assert sorted(path.name for path in store.shard_dir("abc").iterdir()) == ["contents.json", "rows.jsonl"]
    (aside,) = (store.root / "damaged").iterdir()
    assert [path.name for path in aside.iterdir()] == ["leftover.png"]


def stop(path: Path) -> None:
    path.touch()
    raise KeyboardInterrupt


def test_scratch_is_removed_whatever_happens(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.scratch() as folder:
        stop(folder / "half")
    assert not list(store.root.glob("tmp/*"))


def test_only_errors_of_the_store_are_translated(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No space left on device") as caught, store.scratch():
        raise OSError(28, "No space left on device", "/elsewhere/x")
    assert "`pipekit gc --min-age 0` frees" in caught.value.hint
    with pytest.raises(UserError, match="Permission denied") as caught, store.scratch() as folder:
        raise PermissionError(13, "Permission denied", str(folder / "x"))
    assert "PIPEKIT_STORE" in caught.value.hint
    with pytest.raises(PermissionError), store.scratch():
        raise PermissionError(13, "Permission denied", str(tmp_path / "a photograph.jpg"))


def test_what_a_dead_process_left_is_cleaned_and_what_a_living_one_uses_is_not(store: Store) -> None:
    script = "import sys, pathlib\nimport pipekit.store.store as s\n"
    script += "with s.Store(pathlib.Path(sys.argv[1])).scratch() as f: print(f.name); {}"
    words = [sys.executable, "-u", "-c"]
    dead = subprocess.run(
        [*words, script.format("import os; os.kill(os.getpid(), 9)"), str(store.root)], capture_output=True, text=True
    )
    alive = subprocess.Popen(
        [*words, script.format("sys.stdin.read()"), str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert alive.stdout is not None
    name = alive.stdout.readline().strip()
    other = store.root / "tmp" / "1@another_machine-abc"
    old = store.root / "tmp" / "2@another_machine-abc"
    for folder in (other, old):
        folder.mkdir()
    month_ago = time.time() - 30 * 24 * 3600
    for folder in (old, store.root / "tmp" / name):
        os.utime(folder, (month_ago, month_ago))
    store.clean()
    left = {path.name for path in store.root.glob("tmp/*")}
    alive.communicate("")
    assert dead.stdout.strip() not in left
    assert left == {name, other.name}, "a training may go on for a month; another machine's processes are not known here"


def test_a_process_that_has_ended_and_is_not_yet_asked_about_is_dead(store: Store) -> None:
    script = "import os, pathlib, sys, pipekit.store.store\n"
    script += "with pipekit.store.store.Store(pathlib.Path(sys.argv[1])).scratch(): os.kill(os.getpid(), 9)"
    zombie = subprocess.Popen([sys.executable, "-c", script, str(store.root)])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays listed
    assert list(store.root.glob("tmp/*"))
    store.clean()
    assert not list(store.root.glob("tmp/*"))
    zombie.wait()


def test_a_manifest_counts_only_with_the_files_that_it_uses(store: Store) -> None:
    assert store.manifest("abc") is None
    with store.scratch() as folder:
        (folder / "manifest.json").write_text(json.dumps({"uses": ["shards/ff/ff00"]}))
        store.commit(folder, store.artifact_dir("abc"))
    said: list[str] = []
    store.on_damage = said.append
    assert store.manifest("abc") is None
    assert "shards/ff/ff00 is gone" in said[0]
    finished(store, "ff00")
    with store.scratch() as folder:
        (folder / "manifest.json").write_text(json.dumps({"uses": ["shards/ff/ff00"]}))
        store.commit(folder, store.artifact_dir("abc"))
    assert store.manifest("abc") == {"uses": ["shards/ff/ff00"]}
    (store.artifact_dir("abc") / "manifest.json").write_text('{"uses":')
    assert Store(store.root).manifest("abc") is None


# --- what may be freed ---------------------------------------------------------------------------------------------------


def test_gc_keeps_what_the_newest_runs_use_and_frees_the_rest(trial: Trial) -> None:
    trial.write(*(f"a/{number}.png" for number in range(6)))

    def stages(amount: int) -> dict[str, Any]:
        return {"data": DATA, "stamp": {"use": "stamp", "amount": amount}, "measure": {"use": "measure"}}

    def collect(keep: int) -> int:
        store = Store(trial.store)
        assert not find_garbage(store, keys_in_use(trial.path, keep)).folders, "nothing is a day old"
        garbage = find_garbage(store, keys_in_use(trial.path, keep), 0)
        assert free(store, garbage, 0) == len(garbage.folders)
        assert not find_garbage(store, keys_in_use(trial.path, keep), 0).folders
        return len(garbage.folders)

    for amount in (1, 2, 3):
        trial.run(stages(amount))
    assert collect(3) == 0
    assert collect(1) > 0
    outcome = trial.run(stages(3))
    assert all(stage.cached for stage in outcome.stages)
    assert all(Path(sample.image).is_file() for sample in outcome.artifact("stamp"))
    trial.write("a/new.png")
    trial.run({"data": DATA, "stamp": {"use": "stamp", "amount": 3}}, shard_size=4)
    assert not all(stage.cached for stage in trial.run(stages(1)).stages), "what was freed is made again"
    assert len(trial.done()) == 7 + 7


def test_gc_keeps_what_is_shown_under_runs_even_where_newer_runs_failed(trial: Trial) -> None:
    trial.write("a/1.png")
    good = {"data": DATA, "stamp": {"use": "stamp"}}
    trial.run(good)
    for amount in range(2, 6):
        with pytest.raises(Exception, match="can't be used"):
            trial.run({"data": DATA, "stamp": {"use": "stamp", "fail": "a/", "amount": amount}})
    store = Store(trial.store)
    for folder in find_garbage(store, keys_in_use(trial.path, 3), 0).folders:
        store.remove(folder)
    assert all(stage.cached for stage in trial.run(good).stages)


def test_garbage_is_counted(store: Store) -> None:
    finished(store, "abc", "12345")
    finished(store, "def", "123")
    assert not find_garbage(store, []).folders, "they may belong to a stage that was stopped, and that is resumed tomorrow"
    for key in ("abc", "def"):
        os.utime(store.shard_dir(key), (0, 0))
    garbage = find_garbage(store, [])
    stated = sum((store.shard_dir(key) / "contents.json").stat().st_size for key in ("abc", "def"))
    assert (garbage.num_files, garbage.size_bytes, len(garbage.folders)) == (4, 8 + stated, 2)
    assert not find_garbage(Store(store.root / "nowhere"), []).folders


@pytest.mark.parametrize(("place", "kept_days"), [("shards/ab/abc", 1), ("work/abc", 30), ("tmp/1@another_machine-abc", 7)])
def test_what_may_still_be_needed_is_garbage_after_days(store: Store, place: str, kept_days: int) -> None:
    """Shards after a day, checkpoints after a month, another machine's scratch folder after a week."""
    folder = store.root / place
    (folder / "checkpoint").mkdir(parents=True)
    for days, found in ((0.9 * kept_days, ()), (1.1 * kept_days, (folder,))):
        then = time.time() - days * 24 * 3600
        os.utime(folder, (then, then))
        assert tuple(find_garbage(store, ()).folders) == found
