"""Digests of trees after any edits, what has changed since a former state, and how long former states are kept."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from pipekit import files
from pipekit.files import scan, walk
from pipekit.params import ImagesPath
from pipekit.store.file_hashes import HashMemory
from pipekit.store.folder_states import FOLDER, GONE_KEPT_S, TREE, TreeFolder, stale_files
from pipekit.store.store import Store, find_garbage, free

SETTLED_S = 0.02
"""Longer than a tick of any file system's clock here, and short enough to wait for."""

NAMES = ["a.jpg", "b.jpg", "B.jpg", "ä.png", "日本.jpg", os.fsdecode(b"\xff\xfe.jpg"), "\n.jpg", "a b.txt", "c.CSV", "\\.jpg"]
FOLDERS = ["", "cat", "cat/small", "cat.d", "dog", os.fsdecode(b"\xe9\n")]


def truth(root: Path, passed_over: tuple[str, ...] = ()) -> dict[str, str]:
    """The hashes of all files by name, found without any memory."""
    found = {}
    for path in root.rglob("*"):
        if not path.is_dir() and not path.name.lower().endswith(passed_over):
            made = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
            found[path.relative_to(root).as_posix()] = made
    return found


def difference(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str | None]]:
    names = before.keys() | after.keys()
    return sorted((name, after.get(name)) for name in names if before.get(name) != after.get(name))


def edit(root: Path, chance: random.Random) -> None:
    """One change of a tree, of which some are made to be overlooked: same size, mtime set back, another inode."""
    folder = root / chance.choice(FOLDERS)
    path, there = folder / chance.choice(NAMES), sorted(path for path in root.rglob("*") if path.is_file())
    kind = chance.choice(
        ["write", "write", "write", "keep mtime", "replace", "rename", "move folder", "delete", "delete folder", "link"]
    )
    if kind == "write" or not there:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(chance.randbytes(3))
    elif kind in ("keep mtime", "replace"):
        path = chance.choice(there)
        before = path.stat()
        target = path.with_name(".new") if kind == "replace" else path
        target.write_bytes(chance.randbytes(3))
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        target.replace(path)
    elif kind == "rename":
        folder.mkdir(parents=True, exist_ok=True)
        chance.choice(there).replace(path)
    elif kind == "move folder" and folder != root and folder.is_dir():
        target = root / f"moved {chance.randrange(3)}"
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    elif kind == "delete":
        chance.choice(there).unlink()
    elif kind == "delete folder" and folder != root:
        shutil.rmtree(folder, ignore_errors=True)
    elif kind == "link":
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to("nowhere")


@pytest.mark.parametrize("seed", range(6))
def test_after_any_edits_the_digest_and_the_changes_are_the_true_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(files.trees, "SETTLED_S", SETTLED_S)
    chance, root = random.Random(seed), tmp_path / "tree"
    root.mkdir()
    memory = HashMemory(tmp_path / "memory")
    states: list[tuple[str, dict[str, str]]] = []
    for number in range(25):
        for _ in range(chance.choice([0, 1, 1, 2, 10])):
            edit(root, chance)
        if chance.random() < 0.5:
            time.sleep(1.5 * SETTLED_S)
        if chance.random() < 0.3:
            memory.close()
            memory = HashMemory(tmp_path / "memory", threads=chance.choice([1, 2]))
        asked: Path = ImagesPath(root) if chance.random() < 0.3 else root
        everything, now = truth(root), truth(root, getattr(asked, "passed_over", ()))
        if chance.random() < 0.3:
            assert {entry.name: entry.sha256 for entry in memory.tree(root)} == everything
        for name in chance.sample(sorted(everything), min(3, len(everything))):
            if everything[name]:
                assert memory.file(root / name) == everything[name]
        reader = HashMemory(tmp_path / "memory", read_only=True)
        content = reader.content(asked)
        for since, before in states[-4:]:
            assert reader.changes(asked, since) == difference(before, now)
        assert memory.content(asked) == content == HashMemory(tmp_path / f"fresh {number}").content(asked)
        for since, before in states:
            assert (since == content) == (before == now)
            assert memory.changes(asked, since, content) == difference(before, now)
        states.append((content, now))
    assert len({content for content, _ in states}) > 10


def test_what_changed_is_known_by_another_process(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "0.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    before, at_first = HashMemory(tmp_path / "memory").content(root), truth(root)
    (root / "a/1.jpg").write_text("changed")
    (root / "b").rename(root / "c")
    (root / "new.jpg").write_text("new")
    found = HashMemory(tmp_path / "memory").changes(root, before)
    assert found == difference(at_first, truth(root))
    assert [name for name, _ in found or ()] == ["a/1.jpg", "b/1.jpg", "c/1.jpg", "new.jpg"]
    moved = root.rename(tmp_path / "moved")
    assert HashMemory(tmp_path / "memory").changes(moved, before) == found, "of a tree that was moved, too"


def test_changes_since_an_unknown_state_are_unknown(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    (root / "a/1.jpg").write_text("1")
    memory = HashMemory(tmp_path / "memory")
    before = memory.content(root)
    (root / "a/1.jpg").write_text("2")
    assert memory.changes(root, "0" * 64) is None
    (root / "a/1.jpg").write_text("1")
    states = sorted(path for path in (tmp_path / "memory").glob("??/*") if path.name != before)
    for path in states:
        path.write_bytes(path.read_bytes()[:-1])
    (root / "a/1.jpg").write_text("3")
    assert memory.changes(root, before) is None
    (root / "a/1.jpg").write_text("1")
    assert memory.content(root) == before, "and what is damaged is written again"
    (root / "a/1.jpg").write_text("3")
    assert memory.changes(root, before) == [("a/1.jpg", hashlib.sha256(b"3").hexdigest())]


def test_no_name_runs_into_the_next(tmp_path: Path) -> None:
    """The same bytes, cut into names and folders in other places."""
    digests = set()
    for number, names in enumerate((["a", "b"], ["ab"], ["a/b"], ["b/a"], ["a\nb"], ["./.b/a", "a"], [])):
        root = tmp_path / str(number)
        root.mkdir()
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"")
        digests.add(HashMemory(tmp_path / "memory").content(root))
    assert len(digests) == 7


def test_a_scan_finds_what_a_walk_finds(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(60):
        edit(tmp_path, chance)
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / files.OUTPUT_MARK).write_text("")
    found = [(folder, sorted(listing.names + listing.gone)) for folder, listing in scan(tmp_path)]
    assert found == [(folder, list(names)) for folder, names in walk(tmp_path)]
    for folder, listing in scan(tmp_path):
        states = [files.state_of((Path(folder) / name).stat()) for name in listing.names]
        assert listing.states == b"".join(states)


def test_numbers_of_any_size_make_a_state() -> None:
    def state(inode: int, mtime_ns: int) -> bytes:
        return files.state_of(os.stat_result((0, inode, 0, 0, 0, 0, 7, 0, 0, 0), {"st_mtime_ns": mtime_ns, "st_ctime_ns": 5}))

    assert files.STATE.unpack(state(3, -2)) == (7, -2, 5, 3), "a file from before 1970"
    assert len(state(2**64 - 1, -2)) == files.STATE.size
    assert state(2**64 - 1, -2) != state(2**64 - 2, -2)


# --- how long states are kept --------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Path, list[str]]:
    """A store that knows three states of a tree, of which one folder stays the same."""
    monkeypatch.setattr(files.trees, "SETTLED_S", 0.0)  # the hash of a file of this moment is kept
    root = tmp_path / "tree"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").write_text(name)
    store, tokens = Store(tmp_path / "store"), []
    for text in ("one", "second", "three"):
        (root / "a/1.jpg").write_text(text)
        tokens.append(store.hashes.content(root))
    return store, root, tokens


def known(store: Store, root: Path, tokens: list[str]) -> list[bool]:
    return [store.hashes.changes(root, since, tokens[-1]) is not None for since in tokens]


def age(store: Store, seconds: float) -> None:
    """Make everything about trees that much older."""
    for path in (store.root / "tree").rglob("*"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - seconds))


def test_gc_keeps_the_newest_state_and_those_that_are_younger_than_a_day(kept: tuple[Store, Path, list[str]]) -> None:
    store, root, tokens = kept
    assert find_garbage(store, []).states == ()
    age(store, 23 * 3600)
    assert find_garbage(store, []).states == ()
    (root / "a/1.jpg").write_text("fourth")
    tokens.append(store.hashes.content(root))
    age(store, 2 * 3600)
    garbage = find_garbage(store, [])
    assert len(garbage.states) == 4, "the first two states of the tree, and of the folder that changed"
    assert garbage.num_files == 4
    assert garbage.size_bytes == sum(path.stat().st_size for path in garbage.states)
    free(store, garbage)
    assert known(store, root, tokens) == [False, False, True, True], "the third was replaced two hours ago"
    free(store, find_garbage(store, [], 0), 0)
    assert known(store, root, tokens) == [False, False, False, True]
    assert find_garbage(store, [], 0).states == ()
    assert store.hashes.content(root) == tokens[-1]
    (root / "b/1.jpg").write_text("changed")
    assert store.hashes.changes(root, tokens[-1]) == [("b/1.jpg", hashlib.sha256(b"changed").hexdigest())]


def test_gc_keeps_the_newest_state_of_each_way_to_ask(kept: tuple[Store, Path, list[str]]) -> None:
    store, root, _ = kept
    (root / "a/notes.txt").write_text("n")
    tokens = [store.hashes.content(root), store.hashes.content(ImagesPath(root)), store.hashes.content(root / "a")]
    free(store, find_garbage(store, [], 0), 0)
    for token in tokens:
        assert TreeFolder(store.root / "tree").state(TREE, token) is not None
    assert len(list((store.root / "tree").glob("??/*"))) == 3 + 3, "three trees; one folder in two states, and another"
    assert len(TreeFolder(store.root / "tree").state(TREE, tokens[0]) or ()) == 2
    assert TreeFolder(store.root / "tree").state(FOLDER, tokens[0]) is None


def test_gc_forgets_folders_that_disappeared_a_month_ago(kept: tuple[Store, Path, list[str]]) -> None:
    store, root, _ = kept
    away = root.rename(root.with_name("away"))
    age(store, GONE_KEPT_S - 100)
    before = len(list((store.root / "tree").rglob("*")))
    free(store, find_garbage(store, [], 0), 0)
    away.rename(root)
    hashed: list[int] = []
    store.hashes.on_hash = lambda: hashed.append(1)
    store.hashes.content(root)
    assert not hashed, "a drive that was unplugged for some weeks"
    assert len(list((store.root / "tree").rglob("*"))) < before
    shutil.rmtree(root)
    age(store, 200)
    free(store, find_garbage(store, [], 0), 0)
    assert not [path for path in (store.root / "tree").rglob("*") if path.is_file()]


def test_what_killed_processes_were_writing_is_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = tmp_path / "tree/tmp/4194305@nowhere-123"
    left.parent.mkdir(parents=True)
    left.write_text("x")
    os.utime(left, (0, 0))
    store.clean()
    assert not left.exists()


def test_a_store_without_trees_has_no_states(tmp_path: Path) -> None:
    assert stale_files(tmp_path / "nowhere", time.time()) == []
