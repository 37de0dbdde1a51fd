"""The memory of file hashes: what is read again, digests of trees, and a memory that is damaged, shared or not writable."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import pytest

from pipekit import files
from pipekit.errors import UserError
from pipekit.files import OUTPUT_MARK, hash_file, is_settled, walk
from pipekit.params import ImagesPath
from pipekit.store import file_hashes, folder_states
from pipekit.store.file_hashes import HashMemory
from pipekit.store.store import Store

LONG_AGO = time.time() - 3600


def settled(path: Path, text: str, when: float = LONG_AGO) -> Path:
    """A file that was written a while ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def settles_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ctime of a file of a test is now, and nobody waits for it where the test does not change the file again."""
    monkeypatch.setattr(files.trees, "SETTLED_S", 0.0)


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
    memory = Counted(tmp_path / "memory")
    assert [memory.reads(file), memory.reads(file)] == [1, 0]
    assert Counted(tmp_path / "memory").reads(file) == 0, "another process knows it too"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    file = settled(tmp_path / "a.png", "one")
    memory = Counted(tmp_path / "memory")
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
    monkeypatch.setattr(files.trees, "SETTLED_S", 0.05)
    file = settled(tmp_path / "tree/a.png", "seven")
    while not is_settled(file.stat().st_ctime_ns):
        time.sleep(0.01)
    memory = Counted(tmp_path / "memory")
    memory.memory.content(file.parent)
    assert memory.reads(file.parent) == 0
    before = file.stat()
    file.write_text("eight", "utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert memory.reads(file) == 1
    assert memory.memory.content(file.parent) == HashMemory(tmp_path / "other").content(file.parent)


def test_hashes_of_another_version_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = settled(tmp_path / "tree/a.png", "one")
    with monkeypatch.context() as patched:
        patched.setattr(folder_states, "FORMAT", 0)
        HashMemory(tmp_path / "memory").content(file.parent)
    assert HashMemory(tmp_path / "memory", read_only=True).file(file) == sha256("one")
    memory = Counted(tmp_path / "memory")
    assert [memory.reads(file.parent), memory.reads(file)] == [1, 0]


def test_the_file_of_former_versions_is_removed_by_a_store_that_writes(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    former = [tmp_path / "store" / f"hashes.sqlite{part}" for part in ("", "-wal", "-shm")]
    for path in former:
        path.write_bytes(b"x")
    photo = settled(tmp_path / "a.png", "one")
    assert Store(tmp_path / "store", read_only=True).hashes.file(photo) == sha256("one")
    assert all(path.exists() for path in former)
    assert Store(tmp_path / "store").hashes.file(photo) == sha256("one")
    assert not any(path.exists() for path in former)


def test_a_file_that_may_still_be_written_is_not_remembered(tmp_path: Path) -> None:
    file = settled(tmp_path / "tree/a.png", "one", time.time() + 60)
    settled(tmp_path / "tree/b.png", "two")
    memory = Counted(tmp_path / "memory")
    assert [memory.reads(file), memory.reads(file)] == [1, 1]
    assert [memory.reads(file.parent), memory.reads(file.parent)] == [2, 1]
    assert Counted(tmp_path / "memory").reads(file.parent) == 1


def test_a_long_hashing_makes_no_file_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes right after it was looked at may keep its ctime, and is read before it changes."""
    monkeypatch.setattr(files.trees, "SETTLED_S", 30)
    hashing_s, clock = [0], time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock() + hashing_s[0] * 10**9)

    def slow(path: str) -> str:
        hashing_s[0] = 60
        return hash_file(path)

    monkeypatch.setattr(file_hashes, "hash_file", slow)
    file = settled(tmp_path / "tree/a.png", "one")
    for path in (file, file.parent):
        hashing_s[0] = 0
        memory = Counted(tmp_path / "memory")
        memory.reads(path)
        assert memory.reads(file.parent) == 1
        assert memory.reads(file.parent) == 0
        os.utime(file)


def test_a_tree_is_known_by_names_and_contents(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for name in ("a/1.png", "a/2.png", "b/1.png", os.fsdecode(b"caf\xe9/\xff\n.png")):
        settled(root / name, name.encode("utf-8", "replace").decode())
    memory = Counted(tmp_path / "memory")
    first = memory.memory.content(root)
    assert [memory.reads(root), memory.memory.content(root)] == [0, first]
    moved = root.rename(tmp_path / "moved")
    assert memory.memory.content(moved) == first, "the place of the tree counts for nothing"
    settled(moved / ".hidden/x.png", "x")
    settled(moved / "output" / OUTPUT_MARK, "")
    settled(moved / "output/x.png", "x")
    (moved / "empty").mkdir()
    assert memory.memory.content(moved) == first, "hidden files, our own output and empty folders are passed over"
    before = memory.memory.content(moved / "output")
    settled(moved / "output/y.png", "y")
    assert memory.memory.content(moved / "output") != before, "it is read where it is named"
    (moved / "a/1.png").rename(moved / "a/3.png")
    assert memory.memory.content(moved) != first
    (moved / "a/3.png").rename(moved / "a/1.png")
    assert memory.memory.content(moved) == first
    (moved / "a/1.png").unlink()
    assert memory.memory.content(moved) != first


def test_files_that_are_passed_over_count_for_nothing(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    settled(root / "a/1.png", "1")
    settled(root / "2.png", "2")
    memory = HashMemory(tmp_path / "memory")
    images = ImagesPath(root)
    bare = memory.content(root)
    assert memory.content(images) == bare
    settled(root / "notes/a.TXT", "a")
    settled(root / "split.csv", "s")
    for _ in range(2):
        assert memory.content(images) == bare
        assert memory.content(root) != bare
    settled(root / "split.csv", "other")
    assert memory.content(images) == bare
    settled(root / "a/1.png", "other")
    assert memory.content(images) != bare


def test_a_tree_that_is_asked_for_in_two_ways_is_written_for_neither(tmp_path: Path) -> None:
    settled(tmp_path / "tree/a.png", "a")
    settled(tmp_path / "tree/a.csv", "a")
    memory = HashMemory(tmp_path / "memory")

    def both() -> dict[Path, int]:
        memory.content(tmp_path / "tree")
        memory.content(ImagesPath(tmp_path / "tree"))
        return {path: path.stat().st_ino for path in (tmp_path / "memory").rglob("*") if path.is_file()}

    assert both() == both()


def test_single_files_of_a_folder_are_looked_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [settled(tmp_path / f"tree/{number % 3}/{number:04}.png", str(number)) for number in range(600)]
    memory = Counted(tmp_path / "memory")
    memory.memory.content(tmp_path / "tree")
    looked: list[str] = []
    files_of = folder_states.TreeFolder.files
    monkeypatch.setattr(folder_states.TreeFolder, "files", lambda self, place: looked.append(place) or files_of(self, place))
    assert [memory.reads(file) for file in paths] == [0] * len(paths)
    assert len(looked) == 3
    settled(paths[300], "changed")
    assert [memory.reads(file) for file in paths[290:310]] == [0] * 10 + [1] + [0] * 9
    assert memory.reads(paths[300]) == 0
    memory.memory.close()  # what is new may wait to be saved, if saving took long
    monkeypatch.setattr(file_hashes, "NAMES_NEAR", 250)
    looked.clear()
    memory = Counted(tmp_path / "memory")
    assert [memory.reads(file) for file in sorted(paths)] == [0] * len(paths)
    assert len(looked) == 3
    assert len(memory.memory._near) == 1, "the names of two folders are too many"


def test_hashes_of_single_files_are_saved_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hashes, "SAVING_SHARE", 1e-9)
    paths = [settled(tmp_path / f"tree/{number}.png", str(number)) for number in range(9)]
    memory, other = Counted(tmp_path / "memory"), Counted(tmp_path / "memory")
    assert [memory.reads(path) for path in paths[:6]] == [1] * 6
    assert [other.reads(path) for path in paths[3:]] == [1] * 6
    assert memory.memory.knows(tmp_path / "tree")
    for each in (memory, other):
        each.memory.close()
    assert [Counted(tmp_path / "memory").reads(path) for path in paths] == [0] * 9, "of both"
    assert Counted(tmp_path / "memory").reads(tmp_path / "tree") == 0


def test_a_long_hashing_is_saved_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hashes, "NEXT_FILES", 10)
    monkeypatch.setattr(file_hashes, "SAVING_SHARE", 1e9)
    for number in range(35):
        settled(tmp_path / f"tree/{number}.png", str(number))
    memory = Counted(tmp_path / "memory")

    def killed() -> None:
        memory.count += 1
        if memory.count == 25:
            raise KeyboardInterrupt

    memory.memory.on_hash = killed
    with pytest.raises(KeyboardInterrupt):
        memory.memory.content(tmp_path / "tree")
    assert Counted(tmp_path / "memory").reads(tmp_path / "tree") == 15


@pytest.mark.parametrize("slow_s", [-1.0, 1e9])
@pytest.mark.parametrize("threads", [2, 5])
def test_a_tree_is_the_same_however_many_read_it(
    tmp_path: Path, threads: int, slow_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads read files that take long; others are read by one."""
    monkeypatch.setattr(file_hashes, "SLOW_S", slow_s)
    pools: list[object] = []
    monkeypatch.setattr(
        futures,
        "ThreadPoolExecutor",
        lambda *args, made=futures.ThreadPoolExecutor, **more: pools.append(1) or made(*args, **more),
    )
    root = tmp_path / "tree"
    for number in range(1300):
        settled(root / f"{number % 3}/{number}.png", str(number))
    (root / "1/gone.png").symlink_to("nowhere")
    alone = list(HashMemory(tmp_path / "1").tree(root))
    assert [entry.name for entry in alone] == [
        f"{os.path.relpath(folder, root)}/{name}" for folder, names in walk(root) for name in names
    ]
    for _ in range(2):
        assert list(HashMemory(tmp_path / "2", threads=threads).tree(root)) == alone
    assert bool(pools) == (slow_s < 0)
    assert [entry.name for entry in alone if not entry.sha256] == ["1/gone.png"]


def test_what_can_not_be_read_has_no_hash_and_holds_nothing_up(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    settled(root / "a.png", "a")
    os.mkfifo(root / "pipe.png")
    (root / "gone.png").symlink_to("nowhere")
    (root / "self.png").symlink_to("self.png")
    (root / "endless.png").symlink_to("/dev/zero")
    (root / "loop").symlink_to(".")
    memory = Counted(tmp_path / "memory")
    assert [(entry.name, bool(entry.sha256)) for entry in memory.memory.tree(root)] == [
        ("a.png", True),
        ("endless.png", False),
        ("gone.png", False),
        ("pipe.png", False),
        ("self.png", False),
    ]
    assert memory.reads(root) == 2, "the pipe and the device, which may have become files"
    before = memory.memory.content(root)
    (root / "gone.png").unlink()
    after = memory.memory.content(root)
    assert memory.memory.changes(root, before, after) == [("gone.png", None)]
    assert memory.memory.changes(root, after, before) == [("gone.png", "")]
    (root / "gone.png").symlink_to("nowhere")
    for name, reason in (
        ("pipe.png", "not a regular file"),
        ("endless.png", "not a regular file"),
        ("gone.png", "No such file"),
    ):
        with pytest.raises(UserError, match=reason):
            memory.memory.content(root / name)
        with pytest.raises(OSError, match=reason):
            hash_file(root / name)


def test_links_are_followed_each_folder_once(tmp_path: Path) -> None:
    settled(tmp_path / "photos/cat/1.png", "1")
    (tmp_path / "photos/cat/back").symlink_to("../..")
    (tmp_path / "photos/dog").symlink_to("cat")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/all").symlink_to("../photos")
    assert [names for _, names in walk(tmp_path / "tree")] == [[], [], ["1.png"], []]
    assert [entry.name for entry in HashMemory(tmp_path / ".memory").tree(tmp_path / "tree")] == ["all/cat/1.png"]


# --- a memory that is damaged, or can't be written -----------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["emptied", "cut", "other bytes", "one bit", "a folder"])
def test_a_damaged_memory_costs_a_hashing(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "tree"
    for number in range(3):
        settled(root / f"{number}.png", str(number))
    right = HashMemory(tmp_path / "memory").content(root)
    saved = [path for path in (tmp_path / "memory").rglob("*") if path.is_file()]
    assert len(saved) == 4, "of the folder, its state, the tree's state, and the newest state of the tree"
    for path in saved:
        data = path.read_bytes()
        for other in saved:
            if damage == "a folder":
                other.unlink()
                other.mkdir()
            else:
                flipped = data[:-1] + bytes([data[-1] ^ 1])
                path.write_bytes({"emptied": b"", "cut": data[:-1], "other bytes": b"no line" * 99, "one bit": flipped}[damage])
        memory = Counted(tmp_path / "memory")
        assert memory.memory.content(root) == right
        assert [entry.sha256 for entry in memory.memory.tree(root)] == [sha256(str(number)) for number in range(3)]
        assert memory.count <= 3
        assert memory.reads(root) == 0
        if damage == "a folder":
            break


def test_a_memory_that_can_not_be_written_is_kept_in_mind(tmp_path: Path) -> None:
    file = settled(tmp_path / "tree/a.png", "one")
    (tmp_path / "memory").write_bytes(b"")
    memory = Counted(tmp_path / "memory")
    assert [memory.reads(file), memory.reads(file), memory.reads(file.parent)] == [1, 0, 0]
    before = memory.memory.content(file.parent)
    settled(file, "other")
    assert memory.memory.changes(file.parent, before) == [("a.png", sha256("other"))]


def test_a_disk_that_fills_while_hashing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = settled(tmp_path / "tree/a.png", "one").parent
    memory = Counted(tmp_path / "memory")

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert [memory.reads(root), memory.reads(root), memory.reads(root / "a.png")] == [1, 0, 0]
    assert not [path for path in (tmp_path / "memory").rglob("*") if path.is_file()]
    settled(root / "b.png", "two")
    assert memory.reads(root) == 1
    assert Counted(tmp_path / "memory").reads(root) == 0, "there is room again"


def test_many_processes_share_one_memory(tmp_path: Path) -> None:
    for number in range(200):
        settled(tmp_path / f"tree/{number}.png", str(number))
    script = """
import sys, pathlib
from pipekit.store.file_hashes import HashMemory
memory = HashMemory(pathlib.Path(sys.argv[1]) / "memory")
for number in range(0, 200, 7):
    memory.file(pathlib.Path(sys.argv[1]) / f"tree/{number}.png")
print(memory.content(pathlib.Path(sys.argv[1]) / "tree"))
memory.close()
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    found = {process.communicate()[0].strip() for process in running}
    assert found == {HashMemory(tmp_path / "other").content(tmp_path / "tree")}
    assert Counted(tmp_path / "memory").reads(tmp_path / "tree") == 0
    assert not list((tmp_path / "memory/tmp").iterdir())


def test_the_memory_may_be_used_from_several_threads(tmp_path: Path) -> None:
    paths = [settled(tmp_path / f"tree/{number % 4}/{number}.png", str(number)) for number in range(200)]
    memory = HashMemory(tmp_path / "memory")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append([memory.file(path) for path in paths])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[sha256(str(number)) for number in range(200)]] * 4
    memory.close()
    assert Counted(tmp_path / "memory").reads(tmp_path / "tree") == 0


# --- a memory that only reads --------------------------------------------------------------------------------------------


def test_a_store_that_only_reads_leaves_no_file(tmp_path: Path) -> None:
    photo = settled(tmp_path / "a.jpg", "one")
    reader = Store(tmp_path / "store", read_only=True)
    assert reader.hashes.file(photo) == sha256("one")
    reader.close()
    assert not (tmp_path / "store").exists()


def test_a_store_that_only_reads_finds_what_is_known_and_hashes_the_rest_once(tmp_path: Path) -> None:
    photos = [settled(tmp_path / "photos" / name, name) for name in ("a.jpg", "b.jpg")]
    writer = Store(tmp_path / "store")
    writer.hashes.file(photos[0])
    writer.close()

    def snapshot() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}

    before = snapshot()
    reader = Store(tmp_path / "store", read_only=True)
    hashed: list[int] = []
    reader.hashes.on_hash = lambda: hashed.append(1)
    for _ in range(2):
        assert [reader.hashes.file(photo) for photo in photos] == [sha256(photo.name) for photo in photos]
        assert {entry.name for entry in reader.hashes.tree(tmp_path / "photos")} == {"a.jpg", "b.jpg"}
    assert len(hashed) == 1, "b.jpg"
    token = reader.hashes.content(tmp_path / "photos")
    settled(photos[1], "other")
    assert reader.hashes.changes(tmp_path / "photos", token) == [("b.jpg", sha256("other"))]
    reader.close()
    assert snapshot() == before


def test_dropping_the_hashes_keeps_former_states(tmp_path: Path) -> None:
    root = settled(tmp_path / "tree/a.png", "one").parent
    store = Store(tmp_path / "store")
    before = store.hashes.content(root)
    store.forget_hashes()
    hashed: list[int] = []
    store.hashes.on_hash = lambda: hashed.append(1)
    assert store.hashes.content(root) == before
    assert hashed == [1]
    settled(root / "a.png", "other")
    assert store.hashes.changes(root, before) == [("a.png", sha256("other"))]
