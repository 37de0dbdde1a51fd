"""Which importer reads what, and the reasons of those that don't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers.names import classes_in
from pipekit.contract import Rejected
from pipekit.errors import UserError
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import choose, find_importer, verdicts

COCO = '{"images": [], "annotations": [], "categories": []}'


def tree(root: Path, *files: str) -> Path:
    """Files ``name`` or ``name=text``."""
    for file in files:
        name, _, text = file.partition("=")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def reasons(path: Path) -> dict[str, str]:
    return {verdict.importer: verdict.reason for verdict in verdicts(load_registry(), path) if not verdict.fits}


FOLDERS = [
    ("folders", "dog/a.txt", "no file below it ends in .jpg"),
    ("names", "a.txt", "no file below it ends in .jpg"),
    ("names", "dog/1.jpg", "it has folders that are not splits: dog"),
    ("names", "dog1.jpg cat.jpg", "no word and number in the name 'cat.jpg'"),
    ("names", "dog1.jpg dog2.jpg", "all file names are 'dog' and a number"),
    ("names", "a1.jpg b1.jpg c1.jpg", "3 different words in the names of 3 files are too many"),
    ("csv", "dog/1.jpg", "it reads one file, and this is a folder"),
    ("csv", "b.tsv a.csv", "it reads one file, and this is a folder, with a.csv, b.tsv"),
    ("metadata", "dog/1.jpg", "no metadata.csv or metadata.jsonl in it"),
    ("parquet", "dog/1.jpg", "no .parquet file in it or in data/"),
    ("idx", "dog/1.jpg", "no file in it like train-images-idx3-ubyte.gz"),
    ("idx", "train-images-idx3-ubyte", "train-images-idx3-ubyte has no label file beside it"),
    ("coco", "dog/1.jpg", "no .json file in it"),
    ("coco", 'captions.json={"images":[],"annotations":[]}', "captions.json lacks 'categories'"),
    ("coco", "words.json={}", "words.json lacks 'images' and 'annotations' and 'categories'"),
    ("yolo", "images/a.jpg", "no folders 'images' and 'labels' side by side, and no .txt"),
    ("yolo", "images/a.jpg labels/classes.txt", "no .txt file in labels"),
    ("voc", "dog/1.jpg", "no folder 'Annotations' in it"),
    ("voc", "Annotations/a.txt", "no .xml file in Annotations"),
    ("masks", "masks/1.png", "no folder of images in it"),
    ("masks", "images/1.png", "no folder of masks in it: masks"),
    ("masks", "images/1.png masks/1.npy", "no image in the folder of masks"),
    ("image", "dog/1.jpg", "it reads one image, and this is a folder"),
]

FILES = [
    ("folders", "a.jpg", "it reads a folder, and this is a file"),
    ("names", "a.jpg", "it reads a folder, and this is a file"),
    ("metadata", "a.jpg", "it reads a folder, and this is a file"),
    ("yolo", "a.jpg", "it reads a folder, and this is a file"),
    ("voc", "a.jpg", "it reads a folder, and this is a file"),
    ("masks", "a.jpg", "it reads a folder, and this is a file"),
    ("csv", "a.txt", "the file does not end in .csv or .tsv"),
    ("csv", "a.csv=x,y\n1,2\n", "no column has names of image files in its first 5 rows; columns: x, y"),
    ("csv", "a.csv", "no column has names of image files in its first 5 rows; columns: none"),
    ("csv", "a.csv=a\0b", "a.csv is not a text file"),
    ("parquet", "a.txt", "the file does not end in .parquet"),
    ("idx", "a.txt", "no name like train-images-idx3-ubyte.gz"),
    ("coco", "a.txt", "the file does not end in .json"),
    ("coco", 'a.json={"images":[]}', "a.json lacks 'annotations' and 'categories'"),
    ("image", "a.txt", "the file does not end in .jpg"),
]


@pytest.mark.parametrize(("importer", "files", "reason"), FOLDERS)
def test_why_a_folder_is_rejected(tmp_path: Path, importer: str, files: str, reason: str) -> None:
    assert reasons(tree(tmp_path, *files.split(" ")))[importer].startswith(reason)


@pytest.mark.parametrize(("importer", "file", "reason"), FILES)
def test_why_a_file_is_rejected(tmp_path: Path, importer: str, file: str, reason: str) -> None:
    path = tree(tmp_path, file) / file.partition("=")[0]
    assert reasons(path)[importer].removeprefix(f"{tmp_path}/").startswith(reason)


def test_every_importer_says_why(tmp_path: Path) -> None:
    tree(tmp_path, "words.txt", "empty/none")
    (tmp_path / "empty/none").unlink()
    for component in load_registry().components("importer"):
        for path in (tmp_path, tmp_path / "empty", tmp_path / "words.txt"):
            answer = component.load().sniff(path)
            assert isinstance(answer, Rejected), component.name
            assert answer.reason
            assert not answer


def test_the_more_exact_one_is_taken_and_comes_first(tmp_path: Path) -> None:
    found = verdicts(load_registry(), tree(tmp_path, "dog1.jpg", "dog2.jpg", "cat1.jpg", "cat2.jpg"))
    assert [(verdict.importer, verdict.fits) for verdict in found[:3]] == [("names", True), ("folders", True), ("arrow", False)]
    assert choose(load_registry(), tmp_path, found).importer == "names"
    tree(tmp_path, f"a.json={COCO}")
    assert find_importer(load_registry(), tmp_path).importer == "coco"


def test_two_that_are_equally_exact_are_told_with_their_reasons(tmp_path: Path) -> None:
    tree(tmp_path, f"a.json={COCO}", "metadata.csv=file_name\n")
    with pytest.raises(UserError, match="can be read in more than one way") as caught:
        find_importer(load_registry(), tmp_path)
    assert "coco (COCO annotations: a.json); metadata (metadata.csv)" in caught.value.message


def test_where_none_fits_the_error_has_every_reason(tmp_path: Path) -> None:
    tree(tmp_path, "notes/a.txt")
    with pytest.raises(UserError, match="no importer recognises") as caught:
        find_importer(load_registry(), tmp_path)
    for importer, reason in reasons(tmp_path).items():
        assert f"\n    {importer}: {reason}" in caught.value.hint


def test_an_archive_and_an_empty_folder_need_no_list_of_reasons(tmp_path: Path) -> None:
    tree(tmp_path, "photos.zip", "empty/none")
    (tmp_path / "empty/none").unlink()
    for name, hint in (("photos.zip", f"pipekit scaffold NAME --from {tmp_path}"), ("empty", "It is an empty folder.")):
        with pytest.raises(UserError, match="no importer recognises") as caught:
            find_importer(load_registry(), tmp_path / name)
        assert hint in caught.value.hint
        assert "coco" not in caught.value.hint


def test_a_plugin_that_fails_or_says_nothing_hides_nobody(tmp_path: Path) -> None:
    (tmp_path / "odd_plugin.py").write_text(
        """
import pipekit

class Failing:
    @staticmethod
    def sniff(path):
        raise KeyError("a")
    @staticmethod
    def read(path, params: pipekit.Params):
        return iter(())

class Silent(Failing):
    @staticmethod
    def sniff(path):
        return ""

@pipekit.hookimpl
def register_importers(register):
    register("failing", Failing)
    register("silent", Silent)
"""
    )
    registry = load_registry([str(tmp_path / "odd_plugin.py")], tmp_path)
    found = {verdict.importer: verdict for verdict in verdicts(registry, tree(tmp_path / "photos", "dog/1.jpg"))}
    assert found["folders"].fits
    assert found["failing"].reason == "its sniff failed: KeyError: 'a'"
    assert found["silent"].reason == "no reason given"


def test_the_reason_of_the_importer_that_seems_to_be_meant_stands_in_the_error(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", np.full((8, 8, 3), 90, np.uint8))
    (tmp_path / "x.csv").write_text("a.png,cat,1\na.png,dog,2\n")
    with pytest.raises(
        UserError, match=r"no importer recognises .*x\.csv: .*x\.csv has no header: its first row names the image"
    ):
        find_importer(load_registry(), tmp_path / "x.csv")


def test_names_are_read_on_where_the_first_thousands_have_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.builtin.importers.names.SNIFFED", 3)
    for name in (*(f"cat.{number}.jpg" for number in range(7)), "dog.1.jpg", "dog.2.jpg", "emu.1.jpg", "emu.2.jpg"):
        (tmp_path / name).write_bytes(b"not opened here")
    assert classes_in(tmp_path) == ["cat", "dog", "emu"]
    (tmp_path / "deer.jpg").write_bytes(b"")
    assert "no word and number in the name 'deer.jpg'" in str(classes_in(tmp_path))
