"""A scan by two processes finds what one finds, and one that is kept serves the next scan of that tree, once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipekit.files import OUTPUT_MARK, scan, scanning, tree_state, trees
from pipekit.store.file_hashes import HashMemory

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="one process scans where none can be forked")

LONG_AGO = 1_600_000_000


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree of several levels, as it is scanned by two processes."""
    names = [
        "0.jpg",
        "a/1.jpg",
        "a/b/2.jpg",
        "a/.hidden/3.jpg",
        "c/4.jpg",
        "d/5.jpg",
        "e/f/g/6.jpg",
        "out/7.jpg",
        "é/\udcff.jpg",
    ]
    root = tmp_path / "images"
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name.encode("ascii", "backslashreplace").decode())
        os.utime(path, (LONG_AGO, LONG_AGO))
    (root / "out" / OUTPUT_MARK).touch()
    (root / "d" / "nowhere.jpg").symlink_to("gone.jpg")
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        os.utime(folder, (LONG_AGO, LONG_AGO))
    monkeypatch.setattr(scanning, "_may_fork", lambda: True)
    yield root
    scanning.drop_scans()


def listed(found: Iterator[tuple[str, trees.Listing]]) -> list[tuple[object, ...]]:
    return [(folder, one.names, one.states, one.gone) for folder, one in found]


def kept(root: Path) -> list[tuple[object, ...]]:
    scanning.kept_tree_state(str(root))
    return listed(scanning.kept_scan(root))


def test_two_processes_find_what_one_finds(tree: Path) -> None:
    assert kept(tree) == listed(scan(tree))
    (tree / "d" / "nowhere.jpg").unlink()
    state = tree_state(tree)
    assert scanning.kept_tree_state(str(tree)) == state
    (tree / "c" / "4.jpg").write_text("something else")
    os.utime(tree / "c" / "4.jpg", (LONG_AGO, LONG_AGO))
    assert scanning.kept_tree_state(str(tree)) != state


def test_both_shares_are_used(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, share = os.getpid(), scanning._share

    def slow(root: str, below: list[str], seen: set[tuple[int, int]], numbers: int) -> scanning.Share:
        return {} if os.getpid() == parent else share(root, below, seen, numbers)  # the other process takes all

    whole = listed(scan(tree))
    trees._looked.clear()
    monkeypatch.setattr(scanning, "_share", slow)
    assert kept(tree) == whole
    assert trees.noted(str(tree / "c")) is not None, "the folder's listing has come over too"


@pytest.mark.parametrize("link", ["a/in_c", "z"])
def test_a_link_from_one_share_to_the_other_is_followed_once(tree: Path, link: str) -> None:
    (tree / link).symlink_to(tree / "c", target_is_directory=True)
    (tree / "c" / "back").symlink_to(tree, target_is_directory=True)
    assert kept(tree) == listed(scan(tree))


def test_a_process_that_is_killed_is_done_without(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_packed", lambda share: os.kill(os.getpid(), 9))
    assert kept(tree) == listed(scan(tree))


def test_a_kept_scan_serves_once_and_not_long(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.files.trees.settled_before", lambda: 2**63)  # these files are younger than what is kept
    (tree / "d" / "nowhere.jpg").unlink()
    hashes = HashMemory(tmp_path / "tree")
    before = hashes.content(tree)
    began = scanning.scanned_since_ns()
    scanning.kept_tree_state(str(tree))
    (tree / "c" / "4.jpg").write_text("something else")
    assert began <= scanning.scanned_since_ns() < (tree / "c" / "4.jpg").stat().st_ctime_ns, "a run has begun before the change"
    assert hashes.content(tree) == before
    assert hashes.content(tree) != before
    scanning.kept_tree_state(str(tree))
    monkeypatch.setattr(scanning, "KEPT_S", 0.0)
    scanning.scanned_since_ns()
    assert not scanning._kept


def test_the_scan_of_a_large_tree_is_not_kept(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "KEPT_FILES", 6)
    scanning.kept_tree_state(str(tree))
    assert not scanning._kept


def test_a_kept_listing_says_at_once_what_a_folder_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.JPG", "b.jpg", "note", "c.meta.json"):
        (tmp_path / name).touch()
    os.utime(tmp_path, (1e9, 1e9))  # settled: a later change has another mtime
    assert sorted(trees.files_in(tmp_path)) == ["a.JPG", "b.jpg", "c.meta.json", "note"]
    asked = ((".jpg",), (".png", ".json"), (".meta.json",), ("note",), (".csv",), (".png",))
    found = [sorted(trees.files_in(tmp_path, suffixes)) for suffixes in asked]
    assert found == [["a.JPG", "b.jpg"], ["c.meta.json"], ["c.meta.json"], ["note"], [], []]
    looked: list[str] = []
    whole = trees._files_among
    monkeypatch.setattr(trees, "_files_among", lambda folder, folders: looked.append(folder) or whole(folder, folders))
    assert not any(trees.files_in(tmp_path, (".csv", ".tar.gz")))
    assert not trees.has_file(tmp_path, (".csv",))
    assert looked == [], "no name is read"
    (tmp_path / "d.csv").touch()
    assert list(trees.files_in(tmp_path, (".csv",))) == ["d.csv"]
    assert trees.has_file(tmp_path, (".csv",))
