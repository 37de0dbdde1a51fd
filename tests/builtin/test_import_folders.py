"""The importer ``folders``: what counts as a class, a split and an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.importers.folders import FoldersParams, read, sniff
from pipekit.errors import ReadingsError, UserError
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not opened here")
    return root


def rows(root: Path, **params: str) -> list[tuple[str, str | None, str]]:
    return [(s.id, s.label, s.split) for s in read(root, FoldersParams.model_validate(params))]


def test_class_folders_in_a_stable_order(tmp_path: Path) -> None:
    root = tree(tmp_path, "dog/b.jpg", "dog/a.PNG", "cat/z.jpeg", "cat/notes.txt", "dog/old/c.jpg")
    assert rows(root) == [
        ("cat/z.jpeg", "cat", ""),
        ("dog/a.PNG", "dog", ""),
        ("dog/b.jpg", "dog", ""),
        ("dog/old/c.jpg", "dog", ""),
    ]
    assert sniff(root) == "2 class folders: cat, dog"


@pytest.mark.parametrize(("name", "split"), [("valid", "val"), ("Validation", "val"), ("VAL", "val"), ("testing", "test")])
def test_splits_go_by_many_names(tmp_path: Path, name: str, split: str) -> None:
    root = tree(tmp_path, "train/dog/a.jpg", f"{name}/dog/b.jpg")
    assert {(label, found) for _, label, found in rows(root)} == {("dog", "train"), ("dog", split)}


def test_splits_below_the_classes(tmp_path: Path) -> None:
    root = tree(tmp_path, "bottle/train/a.jpg", "bottle/test/b.jpg", "cup/train/c.jpg")
    assert rows(root) == [
        ("bottle/test/b.jpg", "bottle", "test"),
        ("bottle/train/a.jpg", "bottle", "train"),
        ("cup/train/c.jpg", "cup", "train"),
    ]


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    root = tree(tmp_path, "test/a.jpg", "exam/b.jpg")
    assert rows(root) == [("exam/b.jpg", "exam", ""), ("test/a.jpg", "test", "")]


def test_splits_beside_something_else_are_asked_about(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/dog/a.jpg", "test/dog/b.jpg", "spare/c.jpg")
    with pytest.raises(UserError, match="beside them spare"):
        rows(root)
    assert [row[0] for row in rows(root, splits="yes")] == ["test/dog/b.jpg", "train/dog/a.jpg"]
    assert [row[1] for row in rows(root, splits="no")] == ["spare", "test", "train"]


def test_a_split_of_named_files_is_not_taken_for_a_class(tmp_path: Path) -> None:
    """As in the archive of Dogs vs. Cats: train/cat.0.jpg, and test1/1.jpg without a class."""
    root = tree(tmp_path, "train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg", "test1/1.jpg")
    for look in (sniff, rows):
        with pytest.raises(ReadingsError, match="'train' with files named after 2 classes: cat, dog: it seems to be a split"):
            look(root)
    assert {row[1] for row in rows(root, splits="no")} == {"train", "test1"}


def test_an_empty_or_imageless_folder_beside_the_splits_does_not_matter(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/dog/a.jpg", "test/dog/b.jpg", "docs/readme.md")
    assert {row[2] for row in rows(root)} == {"train", "test"}


@pytest.mark.parametrize(("rule", "label"), [("first", "animal"), ("last", "dog"), ("path", "animal/dog"), ("none", None)])
def test_the_class_of_nested_folders(tmp_path: Path, rule: str, label: str | None) -> None:
    assert rows(tree(tmp_path, "animal/dog/a.jpg"), labels=rule) == [("animal/dog/a.jpg", label, "")]


def test_hidden_files_own_output_and_loops_are_passed_over(tmp_path: Path) -> None:
    root = tree(
        tmp_path, "dog/a.jpg", "dog/.b.jpg", ".trash/c.jpg", "runs/x/.pipekit-output", "runs/x/d.jpg", "__MACOSX/dog/e.jpg"
    )
    (root / "dog" / "loop").symlink_to(root, target_is_directory=True)
    assert [row[0] for row in rows(root)] == ["dog/a.jpg"]


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"])
def test_folders_of_the_operating_system_are_no_classes(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, "dog/a.jpg", "cat/b.jpg", f"{name}/c.jpg", f"dog/{name}/d.jpg")
    assert [row[:2] for row in rows(root)] == [("cat/b.jpg", "cat"), ("dog/a.jpg", "dog")]


def test_flat_folder_has_no_classes(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.jpg", "b.png")
    assert rows(root) == [("a.jpg", None, ""), ("b.png", None, "")]
    assert sniff(root) == "images in one folder, without classes"


def test_splits_without_classes_are_called_so(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/a.jpg", "val/b.jpg")
    assert sniff(root) == "folders train, val with images, without classes"
    assert rows(root) == [("train/a.jpg", None, "train"), ("val/b.jpg", None, "val")]


def test_names_of_any_kind(tmp_path: Path) -> None:
    root = tree(tmp_path, "größe µ/a b ü.jpg", "größe µ/日本.jpg")
    assert [row[:2] for row in rows(root)] == [("größe µ/a b ü.jpg", "größe µ"), ("größe µ/日本.jpg", "größe µ")]


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image below"):
        rows(tree(tmp_path, "dog/a.txt"))
    assert not sniff(tmp_path)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    file = tree(tmp_path, "a.jpg") / "a.jpg"
    assert not sniff(file)
    with pytest.raises(UserError, match="is not a folder"):
        rows(file)


# --- words of structure ------------------------------------------------------------------------------------------------------

SPLITS = [
    ("training_set test_set", "train test"),
    ("TrainImages TestImages", "train test"),
    ("train2017 val2017", "train val"),
    ("seg_train seg_test", "train test"),
    ("train dev eval", "train val test"),
    ("train test eval", "train test val"),
    ("Training Validation", "train val"),
    ("asl_alphabet_train asl_alphabet_test", "train test"),
    ("valid_jpg train_jpg", "val train"),
]


@pytest.mark.parametrize(("folders", "splits"), SPLITS)
def test_splits_by_prefixes_and_suffixes(tmp_path: Path, folders: str, splits: str) -> None:
    wanted = dict(zip(folders.split(), splits.split(), strict=True))
    root = tree(tmp_path, *(f"{name}/{label}/1.jpg" for name in wanted for label in ("cat", "dog")))
    assert {(row[0].split("/")[0], row[1], row[2]) for row in rows(root)} == {
        (name, label, split) for name, split in wanted.items() for label in ("cat", "dog")
    }


@pytest.mark.parametrize(
    "names", ["test control", "bullet_train express", "test_tube beaker", "images_of_cats dogs", "mask no_mask"]
)
def test_classes_whose_names_have_such_a_word(tmp_path: Path, names: str) -> None:
    root = tree(tmp_path, *(f"{name}/1.jpg" for name in names.split()))
    assert {row[1:] for row in rows(root)} == {(name, "") for name in names.split()}


@pytest.mark.parametrize(
    ("file", "label", "split"),
    [
        ("images/dog/1.jpg", "dog", ""),
        ("dataset/images/dog/1.jpg", "dog", ""),
        ("data/train/dog/1.jpg", "dog", "train"),
        ("train/images/dog/1.jpg", "dog", "train"),
        ("seg_train/seg_train/dog/1.jpg", "dog", "train"),
        ("images/1.jpg", None, ""),
        ("JPEGImages/1.jpg", None, ""),
        ("train_images/1.jpg", None, "train"),
    ],
)
def test_folders_of_structure_are_no_classes(tmp_path: Path, file: str, label: str | None, split: str) -> None:
    assert rows(tree(tmp_path, file)) == [(file, label, split)]
    assert rows(tmp_path, splits="no") == [(file, file.split("/")[0], "")]


@pytest.mark.parametrize(
    "names",
    [
        "JPEGImages SegmentationObject",
        "leftImg8bit gtFine",
        "images dog cat",
        "train train_masks",
        "annotations dog",
        "data label",
    ],
)
def test_folders_of_structure_beside_others_have_several_readings(tmp_path: Path, names: str) -> None:
    root = tree(tmp_path, *(f"{name}/1.png" for name in names.split()))
    for look in (sniff, rows):
        with pytest.raises(ReadingsError, match="how a dataset is arranged and not a class") as caught:
            look(root)
    assert "--format folders --splits no" in caught.value.hint
    assert {row[1] for row in rows(root, splits="no")} == set(names.split())
    for reading in caught.value.readings:
        assert not reading.path or Path(reading.path).is_dir()


def test_images_beside_masks_are_read_as_such(tmp_path: Path) -> None:
    root = tree(tmp_path, "JPEGImages/1.jpg", "SegmentationClass/1.png")
    assert find_importer(load_registry(), root).importer == "masks"


def test_a_folder_around_the_class_folders_is_no_class(tmp_path: Path) -> None:
    """As archives unpack."""
    plain = tree(tmp_path / "plain", *(f"caltech-101/101_ObjectCategories/{label}/1.jpg" for label in ("anchor", "ant")))
    assert {label for _, label, _ in rows(plain)} == {"anchor", "ant"}
    assert sniff(plain) == "folder caltech-101/101_ObjectCategories with classes below"
    split = tree(tmp_path / "split", *(f"photos-main/{name}/{label}/1.jpg" for name in ("train", "test") for label in "ab"))
    assert {(found, label) for _, label, found in rows(split)} == {
        (name, label) for name in ("train", "test") for label in "ab"
    }
    assert {label for _, label, _ in rows(tree(tmp_path / "one", "cat/inner/1.jpg"))} == {"cat"}
    assert {label for _, label, _ in rows(plain, splits="no")} == {"caltech-101"}
