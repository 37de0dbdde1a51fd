"""The store: whole or not at all, the memory of hashes, and what may be freed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipekit import files
from pipekit.engine.run_folder import keys_in_use
from pipekit.errors import UserError
from pipekit.files import OUTPUT_MARK, hash_file, is_settled, walk
from pipekit.store.file_hashes import HashMemory
from pipekit.store.store import Store, find_garbage, free
from tests.conftest import DATA, Trial

LONG_AGO = time.time() - 3600


def settled(path: Path, text: str, when: float = LONG_AGO) -> Path:
    """A file that was written a while ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


@pytest.fixture(autouse=True)
def settles_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ctime of a file of a test is now, and nobody waits for it where the test does not change the file again."""
    monkeypatch.setattr(files, "SETTLED_S", 0.0)


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
    assert store.manifest("abc") is None
    finished(store, "ff00")
    assert store.manifest("abc") == {"uses": ["shards/ff/ff00"]}
    (store.artifact_dir("abc") / "manifest.json").write_text('{"uses":')
    assert Store(store.root).manifest("abc") is None


# --- the memory of hashes ------------------------------------------------------------------------------------------------


class Counted:
    """A memory that counts how many files it reads."""

    def __init__(self, path: Path) -> None:
        self.memory = HashMemory(path)
        self.count = 0
        self.memory.on_hash = self.add

    def add(self) -> None:
        self.count += 1

    def reads(self, path: Path) -> int:
        """How many files are read to hash a file or folder; the hash is right in any case."""
        self.count = 0
        found = self.memory.content(path)
        if path.is_file():
            assert found == hashlib.sha256(path.read_bytes()).hexdigest()
        return self.count


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]
    assert Counted(tmp_path / "hashes.sqlite").reads(file) == 0, "another process knows it too"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    memory = Counted(tmp_path / "hashes.sqlite")
    memory.reads(file)
    settled(file, "three")
    assert memory.reads(file) == 1, "another size"
    settled(file, "seven", LONG_AGO + 1)
    assert memory.reads(file) == 1, "another time"
    settled(tmp_path / "b.png", "eight", LONG_AGO + 1).replace(file)
    assert memory.reads(file) == 1, "another file of the same size and time"
    assert memory.reads(file) == 0


def test_an_edit_of_the_same_size_whose_mtime_is_set_back_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photo tools keep a file's time when they edit its metadata; the ctime they can't keep."""
    monkeypatch.setattr(files, "SETTLED_S", 0.05)
    file = settled(tmp_path / "tree/a.png", "seven")
    while not is_settled(file.stat().st_ctime_ns):
        time.sleep(0.01)
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]
    before = file.stat()
    file.write_text("eight", "utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert memory.reads(file) == 1
    assert memory.memory.content(file.parent) == HashMemory(tmp_path / "other.sqlite").content(file.parent)


@pytest.mark.parametrize("column", ["sha256", "size", "crc32"])
def test_a_remembered_hash_that_has_changed_is_made_anew(tmp_path: Path, column: str) -> None:
    """SQLite notices damage to its structure, not to a value."""
    file = settled(tmp_path / "a.png", "one")
    memory = Counted(tmp_path / "hashes.sqlite")
    assert memory.reads(file) == 1
    memory.memory.close()
    with closing(sqlite3.connect(tmp_path / "hashes.sqlite")) as db, db:
        db.execute(
            f"UPDATE files SET {column} = {'?' if column == 'sha256' else f'{column} + 1'}", ("0" * 64,) * (column == "sha256")
        )
    memory = Counted(tmp_path / "hashes.sqlite")
    assert memory.memory.file(file) == hashlib.sha256(b"one").hexdigest()
    assert memory.reads(file) == 0, "it is remembered again"


def test_hashes_of_an_older_version_are_made_anew(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    with closing(sqlite3.connect(tmp_path / "hashes.sqlite")) as db, db:
        db.execute(
            "CREATE TABLE files (dir TEXT, name TEXT, size INT, mtime_ns INT, inode INT, sha256 TEXT, PRIMARY KEY (dir, name))"
        )
        state = file.stat()
        known = (str(tmp_path), "a.png", state.st_size, state.st_mtime_ns, state.st_ino, "0" * 64)
        db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", known)
    assert HashMemory(tmp_path / "hashes.sqlite", read_only=True).file(file) == hashlib.sha256(b"one").hexdigest()
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]


def test_a_file_that_may_still_be_written_is_not_remembered(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one", time.time() + 60)
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 1]


def test_a_tree_is_known_by_names_and_contents(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for name in ("a/1.png", "a/2.png", "b/1.png", os.fsdecode(b"caf\xe9/3.png")):
        settled(root / name, name.encode("utf-8", "replace").decode())
    memory = Counted(tmp_path / "hashes.sqlite")
    first = memory.memory.content(root)
    assert [memory.reads(root), memory.memory.content(root)] == [0, first]
    moved = root.rename(tmp_path / "moved")
    assert memory.memory.content(moved) == first, "the place of the tree counts for nothing"
    settled(moved / ".hidden/x.png", "x")
    settled(moved / "output" / OUTPUT_MARK, "")
    settled(moved / "output/x.png", "x")
    assert memory.memory.content(moved) == first, "hidden files and our own output are passed over"
    before = memory.memory.content(moved / "output")
    settled(moved / "output/y.png", "y")
    assert memory.memory.content(moved / "output") != before, "it is read where it is named"
    (moved / "a/1.png").rename(moved / "a/3.png")
    assert memory.memory.content(moved) != first
    (moved / "a/3.png").rename(moved / "a/1.png")
    assert memory.memory.content(moved) == first
    (moved / "a/1.png").unlink()
    assert memory.memory.content(moved) != first


def test_files_in_the_order_of_their_names_are_looked_up_together(tmp_path: Path) -> None:
    files = [settled(tmp_path / f"tree/{number:04}.png", str(number)) for number in range(1100)]
    memory = Counted(tmp_path / "hashes.sqlite")
    memory.memory.content(tmp_path / "tree")
    asked: list[str] = []
    memory.memory._db.set_trace_callback(asked.append)
    assert [memory.reads(file) for file in files] == [0] * len(files)
    assert len(asked) <= 4
    assert [memory.reads(file) for file in reversed(files)] == [0] * len(files)
    settled(files[700], "changed")
    assert [memory.reads(file) for file in files[690:710]] == [0] * 10 + [1] + [0] * 9
    assert memory.reads(files[700]) == 0


@pytest.mark.parametrize("threads", [2, 5])
def test_a_tree_is_the_same_however_many_read_it(tmp_path: Path, threads: int) -> None:
    root = tmp_path / "tree"
    for number in range(1300):
        settled(root / f"{number % 3}/{number}.png", str(number))
    (root / "1/gone.png").symlink_to("nowhere")
    alone = list(HashMemory(tmp_path / "1.sqlite").tree(root))
    assert list(HashMemory(tmp_path / "2.sqlite", threads=threads).tree(root)) == alone
    assert [entry.name for entry in alone if not entry.sha256] == ["1/gone.png"]


def test_what_can_not_be_read_has_no_hash_and_holds_nothing_up(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    settled(root / "a.png", "a")
    os.mkfifo(root / "pipe.png")
    (root / "gone.png").symlink_to("nowhere")
    (root / "self.png").symlink_to("self.png")
    (root / "endless.png").symlink_to("/dev/zero")
    (root / "loop").symlink_to(".")
    memory = HashMemory(tmp_path / "hashes.sqlite")
    assert [(entry.name, bool(entry.sha256)) for entry in memory.tree(root)] == [
        ("a.png", True),
        ("endless.png", False),
        ("gone.png", False),
        ("pipe.png", False),
        ("self.png", False),
    ]
    for name, reason in (
        ("pipe.png", "not a regular file"),
        ("endless.png", "not a regular file"),
        ("gone.png", "No such file"),
    ):
        with pytest.raises(UserError, match=reason):
            memory.content(root / name)
        with pytest.raises(OSError, match=reason):
            hash_file(root / name)


def test_links_are_followed_each_folder_once(tmp_path: Path) -> None:
    settled(tmp_path / "photos/cat/1.png", "1")
    (tmp_path / "photos/cat/back").symlink_to("../..")
    (tmp_path / "photos/dog").symlink_to("cat")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/all").symlink_to("../photos")
    assert [names for _, names in walk(tmp_path / "tree")] == [[], [], ["1.png"], []]


@pytest.mark.parametrize(
    "damage", [b"this is no database, and long enough to be one" * 100, b"SQLite format 3\0" + bytes(5000)]
)
def test_a_damaged_memory_costs_a_hashing(tmp_path: Path, damage: bytes) -> None:
    file = settled(tmp_path / "a.png", "one")
    (tmp_path / "hashes.sqlite").write_bytes(damage)
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]
    assert Counted(tmp_path / "hashes.sqlite").reads(file) == 0


def test_a_memory_that_can_not_be_written_is_kept_in_mind(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    (tmp_path / "hashes.sqlite").mkdir()
    memory = Counted(tmp_path / "hashes.sqlite")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]


def test_a_disk_that_fills_while_hashing_is_no_error(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    memory = Counted(tmp_path / "hashes.sqlite")
    memory.memory._db.execute("PRAGMA max_page_count = 1")
    for number in range(200):
        settled(tmp_path / f"tree/{number:0100d}.png", str(number))
    memory.reads(tmp_path / "tree")
    assert memory.reads(file) == 1


def test_many_processes_share_one_memory(tmp_path: Path) -> None:
    for number in range(200):
        settled(tmp_path / f"tree/{number}.png", str(number))
    script = """
import sys, pathlib
from pipekit.store.file_hashes import HashMemory
memory = HashMemory(pathlib.Path(sys.argv[1]) / "hashes.sqlite")
print(memory.content(pathlib.Path(sys.argv[1]) / "tree"), memory._db.execute("PRAGMA database_list").fetchone()[2])
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    found = {process.communicate()[0] for process in running}
    assert len(found) == 1
    assert found.pop().split()[1] == str(tmp_path / "hashes.sqlite")
    with sqlite3.connect(tmp_path / "hashes.sqlite") as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (200,)


def test_the_memory_may_be_used_from_another_thread(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    memory = HashMemory(tmp_path / "hashes.sqlite")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(memory.file(file)))
    thread.start()
    thread.join()
    assert found == [memory.file(file)]


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
    folder.mkdir(parents=True)
    for days, found in ((0.9 * kept_days, ()), (1.1 * kept_days, (folder,))):
        then = time.time() - days * 24 * 3600
        os.utime(folder, (then, then))
        assert tuple(find_garbage(store, ()).folders) == found


# --- a memory that only reads ---------------------------------------------------------------------------------------------


def test_a_store_that_only_reads_leaves_no_file(tmp_path: Path) -> None:
    photo = settled(tmp_path / "a.jpg", "one")
    reader = Store(tmp_path / "store", read_only=True)
    assert reader.hashes.file(photo) == hashlib.sha256(b"one").hexdigest()
    reader.close()
    assert not (tmp_path / "store").exists()


def test_a_store_that_only_reads_finds_what_is_known_and_hashes_the_rest_once(tmp_path: Path) -> None:
    photos = [tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg"]
    for photo in photos:
        settled(photo, photo.name)
    writer = Store(tmp_path / "store")
    writer.hashes.file(photos[0])
    writer.close()
    before = (tmp_path / "store" / "hashes.sqlite").read_bytes()
    reader = Store(tmp_path / "store", read_only=True)
    hashed: list[int] = []
    reader.hashes.on_hash = lambda: hashed.append(1)
    for _ in range(2):
        assert [reader.hashes.file(photo) for photo in photos] == [
            hashlib.sha256(photo.name.encode()).hexdigest() for photo in photos
        ]
        assert {entry.name for entry in reader.hashes.tree(tmp_path / "photos")} == {"a.jpg", "b.jpg"}
    assert len(hashed) == 1, "b.jpg"
    reader.close()
    assert (tmp_path / "store" / "hashes.sqlite").read_bytes() == before
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["hashes.sqlite"]
