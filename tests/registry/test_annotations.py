"""A file beside the images that says what they show is never passed over in silence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.errors import ReadingsError
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer

REGISTRY = load_registry()


def tree(root: Path, *images: str, **files: str) -> Path:
    """Images by their paths, and files whose names have ``__`` for the dot and ``___`` for a slash."""
    texts = {name.replace("___", "/").replace("__", "."): text for name, text in files.items()}
    for name, text in {**dict.fromkeys(images, "not opened here"), **texts}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


def readings(root: Path) -> list[tuple[str, str]]:
    """(path below ``root``, importer) of each reading."""
    with pytest.raises(ReadingsError) as caught:
        find_importer(REGISTRY, root)
    return [(Path(one.path).relative_to(root).as_posix() if one.path else "", one.format) for one in caught.value.readings]


HASHED = [f"train_images/{number}a{number:x}.jpg" for number in range(2715, 2723)]
STEMS = [Path(name).stem for name in HASHED]


def table(header: str, *cells: str) -> str:
    return f"{header}\n" + "".join(f"{stem},{','.join(cells)}\n" for stem in STEMS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (table("image_id,label", "cat"), [("train.csv", "csv"), ("", "folders")]),
        (table("image_id,healthy,rust", "1", "1"), [("train.csv", "csv"), ("", "folders")]),  # several labels
        (table("image_id,healthy,rust", "1", "0"), [("train.csv", "csv"), ("", "folders")]),
        (table("image_id,Finding Labels", "Mass|Effusion"), [("train.csv", "csv"), ("", "folders")]),
        (table("id,age", "20.5"), [("train.csv", "csv"), ("", "folders")]),
    ],
)
def test_a_table_beside_folders_of_splits(tmp_path: Path, text: str, found: list[tuple[str, str]]) -> None:
    """As competitions have it."""
    tree(tmp_path, *HASHED, "test_images/t0.jpg", train__csv=text, sample_submission__csv="image_id,label\nt0,0\n")
    assert readings(tmp_path) == found


def test_a_table_of_boxes_beside_folders_of_splits_is_read(tmp_path: Path) -> None:
    tree(tmp_path, *HASHED, "test_images/t0.jpg", train__csv=table("image_id,bbox", '"[1, 2, 3, 4]"'))
    assert find_importer(REGISTRY, tmp_path).importer == "box_csv"


@pytest.mark.parametrize("column", ["label", "breed", "anything"])
def test_a_table_beats_the_classes_in_file_names(tmp_path: Path, column: str) -> None:
    images = ["dog_1.jpg", "dog_2.jpg", "cat_1.jpg", "cat_2.jpg"]
    tree(tmp_path, *images, labels__csv=f"file,{column}\n" + "".join(f"{name},breed {name[4]}\n" for name in images))
    assert readings(tmp_path) == [("labels.csv", "csv"), ("", "names")]


@pytest.mark.parametrize(
    "files",
    [
        {"meta___train__json": json.dumps({"pie": ["pie/100", "pie/101", "pie/102"]})},
        {"lists___images__txt": "1 pie/100.jpg\n2 pie/101.jpg\n3 pie/102.jpg\n"},
        {"windows__csv": "path,label\n" + "".join(f"C:\\data\\pie\\{number}.jpg,x\n" for number in (100, 101, 102))},
        {"images___pie___100__json": '{"shapes": []}', "images___pie___101__json": "{}"},
    ],
)
def test_lists_that_no_importer_reads(tmp_path: Path, files: dict[str, str]) -> None:
    tree(tmp_path, *(f"images/{name}/{number}.jpg" for name in ("pie", "soup") for number in (100, 101, 102)))
    if "images___pie___100__json" in files:  # as LabelMe writes them: beside an image, under its name
        (tmp_path / "images/pie/100.jpg").rename(tmp_path / "images/pie/photo.jpg")
        files = {"images___pie___photo__json": "{}"}
    tree(tmp_path, **files)
    assert readings(tmp_path)[-1] == ("", "folders")


def test_utf_16_is_text_too(tmp_path: Path) -> None:
    tree(tmp_path, "im0.jpg", "im1.jpg", "im2.jpg")
    (tmp_path / "t.csv").write_text("file,label\nim0.jpg,a\nim1.jpg,b\nim2.jpg,a\n", "utf-16")
    assert readings(tmp_path) == [("t.csv", "csv"), ("", "folders")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels__csv", "file,label\ndog/1.jpg,dog\ncat/1.jpg,cat\n"),  # says the same as the folders
        ("patients__csv", "file,patient\ndog/1.jpg,7\ncat/1.jpg,8\n"),  # says no class
        ("bad__csv", "id,sha256,match,check,reason\ndog/1.jpg,ab,id,dark,dark\n"),  # a quarantine file
        (
            "scaffold__csv",
            "id,sha256,label,split,fold\ndog/1.jpg,ab,dog,train,\ndog/2.jpg,cd,dog,val,\ncat/1.jpg,ef,cat,val,\n",
        ),
        ("LICENSE__txt", "dog/1.jpg by A\ndog/2.jpg by B\ncat/1.jpg by C\ncat/2.jpg by D\n"),
        ("notes__txt", "These are dogs and cats.\n"),
        ("classes__txt", "cat\ndog\n"),
        ("labels__csv", "file,label\nother1.jpg,x\nother2.jpg,y\nother3.jpg,x\n"),
    ],
)
def test_files_that_contradict_nothing(tmp_path: Path, name: str, text: str) -> None:
    root = tree(tmp_path, "dog/1.jpg", "dog/2.jpg", "cat/1.jpg", "cat/2.jpg", **{name: text})
    assert find_importer(REGISTRY, root).importer == "folders"


def test_sniff_gives_the_readings_and_options_choose_one(tmp_path: Path) -> None:
    tree(tmp_path, labels__csv="file,label\na/1.jpg,x\nb/2.jpg,y\n")
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        images.write(tmp_path / name, np.full((8, 8, 3), 99, np.uint8))
    problem = pipekit.sniff(tmp_path).problem
    assert isinstance(problem, ReadingsError)
    assert pickle.loads(pickle.dumps(problem)).readings == problem.readings
    for choice, classes in (({"format": "folders"}, {"a": 1, "b": 1}), ({}, {"x": 1, "y": 1})):
        source = tmp_path if choice else tmp_path / "labels.csv"
        assert pipekit.inspect(source, **choice).found["counts"] == {"": classes}
