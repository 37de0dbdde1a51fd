"""Importers of folders hold neither rows nor names: a thousand files are not a thousand objects in memory."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import files, images
from pipekit.builtin.importers import folders, masks, names, voc, yolo
from pipekit.builtin.importers.lookup import lookup
from pipekit.contract import Sample
from pipekit.errors import UserError

VOC = (
    "<annotation><filename>{}.png</filename><object><name>dog</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>"
)


def _voc(root: Path, name: str, link: Callable[[str], None]) -> None:
    link(f"JPEGImages/{name}.png")
    (root / "Annotations").mkdir(exist_ok=True)
    (root / f"Annotations/{name}.xml").write_text(VOC.format(name))
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    with (root / "ImageSets/Main/train.txt").open("a") as list_of_all:
        list_of_all.write(f"{name}\n")


def _yolo(root: Path, name: str, link: Callable[[str], None]) -> None:
    link(f"images/{name}.png")
    (root / "labels").mkdir(exist_ok=True)
    (root / f"labels/{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")


def _masks(root: Path, name: str, link: Callable[[str], None]) -> None:
    link(f"images/{name}.png")
    link(f"masks/{name}_mask.png")


TREES: dict[str, tuple[Any, Any, Callable[[Path, str, Callable[[str], None]], None]]] = {
    "folders": (folders, folders.FoldersParams(), lambda root, name, link: link(f"dog/{name}.png")),
    "names": (names, names.NamesParams(), lambda root, name, link: link(f"dog_{name}.png")),
    "masks": (masks, masks.MasksParams(), _masks),
    "voc": (voc, voc.VocParams(), _voc),
    "yolo": (yolo, yolo.YoloParams(), _yolo),
}


def most_objects(read: Iterator[Any]) -> tuple[int, int]:
    """(rows, how many small blocks of memory Python held at most while they were read): each object takes one or more."""
    gc.collect()
    before = most = sys.getallocatedblocks()
    count = 0
    for row in read:
        count += isinstance(row, Sample)
        if count % 10 == 0:  # counting walks the whole heap, and what grows is held for more rows than that
            most = max(most, sys.getallocatedblocks())
    return count, max(most, sys.getallocatedblocks()) - before


@pytest.mark.parametrize("importer", sorted(TREES))
def test_objects_in_memory_do_not_grow_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importer: str) -> None:
    monkeypatch.setattr(files.trees, "NAMES_AT_ONCE", 250)
    monkeypatch.setattr(files.trees, "LISTED", 250)
    module, params, plant = TREES[importer]
    images.write(tmp_path / "one.png", np.zeros((4, 4, 3), np.uint8))
    most = {}
    for count in (2, 500, 2500):  # the first one loads what is needed
        root = tmp_path / str(count)

        def link(name: str, root: Path = root) -> None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).hardlink_to(tmp_path / "one.png")

        for number in range(count):
            plant(root, f"{number:06}", link)
        assert module.sniff(root) or importer == "names"
        rows, most[count] = most_objects(module.read(root, params))
        assert rows == count
    assert most[2500] - most[500] < 1000, most


# --- the table on disk ---------------------------------------------------------------------------------------------------


def test_a_lookup_keeps_the_first_or_the_last_and_names_of_any_bytes() -> None:
    pairs = [("a", "1"), ("a", "2"), ("\udcff", "\udcfe ä"), ("b", "")]
    with lookup(pairs) as found:
        assert [found.get(key) for key in ("a", "\udcff", "b", "c")] == ["1", "\udcfe ä", "", ""]
    with lookup(pairs, keep="last") as found:
        assert found.get("a") == "2"


def test_a_lookup_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with lookup([("a", "1")]):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())

    def broken() -> Iterator[tuple[str, str]]:
        yield "a", "1"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), lookup(broken()):
        raise AssertionError("the block must not begin")
    assert not list(tmp_path.iterdir())


def test_a_folder_for_temporary_files_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = ((f"{number:050}", "train") for number in range(500_000))  # more than the cache holds
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(UserError, match=f"can't write a table into {tmp_path}: "), lookup(many):
            raise AssertionError("the block must not begin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
