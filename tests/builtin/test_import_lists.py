"""The importers of lists beside images: ``image_list``, ``cub``, ``pets``, ``food101`` and ``imagenet``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.builtin.importers import cub, food101, image_list, imagenet, pets, roboflow_masks
from pipekit.builtin.importers.cub import CubParams
from pipekit.builtin.importers.image_list import ImageListParams
from pipekit.builtin.importers.imagenet import ImageNetParams
from pipekit.builtin.importers.pets import PetsParams
from pipekit.contract import Box, Params
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

# --- path label ----------------------------------------------------------------------------------------------------------


def test_a_line_is_a_path_and_a_label(tmp_path: Path) -> None:
    for name in ("images/a.png", "images/b c.png", "d.png"):
        picture(tmp_path / name)
    write(tmp_path / "train_list.txt", "# path label\nimages/a.png 1\nimages/b c.png\t0\n")
    write(tmp_path / "test.txt", "C:\\data\\d.png 1\n")
    assert image_list.sniff(tmp_path) == "lists with a line 'path label' per image: test.txt, train_list.txt"
    found, failed = sort_out(image_list.read(tmp_path, ImageListParams()))
    assert failed == {}
    assert {row.id: (row.split, row.label) for row in found} == {
        "d.png": ("test", "1"),
        "images/a.png": ("train", "1"),
        "images/b c.png": ("train", "0"),
    }
    write(tmp_path / "classes.txt", "0 cat\n1 dog\n")
    found, _ = sort_out(image_list.read(tmp_path / "train_list.txt", ImageListParams()))
    assert [row.label for row in found] == ["dog", "cat"]
    found, _ = sort_out(image_list.read(tmp_path / "train_list.txt", ImageListParams(classes=["x", "y"])))
    assert [row.label for row in found] == ["y", "x"]


def test_lines_that_can_not_be_used_are_listed_with_their_value(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "labels.txt", "cat\ndog\n")
    write(tmp_path / "train.txt", "a.png 1\n" * 5 + "a.png 2\ngone.png 1\na.png\nwords 3\n../../etc/x.png 1\n")
    (sample,), failed = sort_out(image_list.read(tmp_path, ImageListParams()))
    assert sample.label == "dog"
    assert failed.pop("a.png again") == "train.txt line 5: listed before, in train.txt line 1"
    assert failed == {
        "train.txt line 6": "label 2, but there are 2 class names, from 0",
        "train.txt line 7": "no such image: gone.png",
        "train.txt line 8": "expected 'path label', got 'a.png'",
        "train.txt line 9": "expected 'path label', got 'words 3'",
        "train.txt line 10": "no such image: ../../etc/x.png",
    }


@pytest.mark.parametrize("text", ["", "a.png\n", "a.png b.png\n", "a 1\n", "gone.png 1\n", "a.png 1 0 1\n", "about a.png\n"])
def test_other_texts_are_no_lists(tmp_path: Path, text: str) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    write(tmp_path / "train.txt", text)
    (tmp_path / "latin.txt").write_bytes(b"a.png B\xe4r\n")
    assert not image_list.sniff(tmp_path)
    with pytest.raises(UserError, match="no list of images"):
        list(image_list.read(tmp_path, ImageListParams()))


def test_thousands_of_texts_beside_images_are_not_opened(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for number in range(51):
        write(tmp_path / f"{number:03}.txt", "a.png 1\n")
    assert not image_list.sniff(tmp_path)
    assert image_list.sniff(tmp_path / "000.txt")


# --- CUB-200-2011 --------------------------------------------------------------------------------------------------------


def cub_tree(base: Path) -> Path:
    for name in ("001.Gull/a.jpg", "002.Tern/b.jpg"):
        picture(base / "images" / name)
    write(base / "images.txt", "1 001.Gull/a.jpg\n2 002.Tern/b.jpg\n")
    write(base / "image_class_labels.txt", "2 2\n1 1\n")
    write(base / "train_test_split.txt", "1 1\n2 0\n")
    write(base / "bounding_boxes.txt", "1 5.0 6.0 10.0 20.0\n2 0 0 60 40\n")
    write(base / "classes.txt", "1 001.Gull\n2 002.Tern\n")
    return base


def test_cub(tmp_path: Path) -> None:
    base = cub_tree(tmp_path / "CUB_200_2011")
    assert cub.sniff(tmp_path) == "lists of CUB-200-2011: images.txt, image_class_labels.txt, classes.txt"
    (first, second), failed = sort_out(cub.read(tmp_path, CubParams()))
    assert failed == {}
    assert [(row.id, row.label, row.split) for row in (first, second)] == [
        ("001.Gull/a.jpg", "001.Gull", "train"),
        ("002.Tern/b.jpg", "002.Tern", "test"),
    ]
    assert first.targets.boxes == (Box(5, 6, 15, 26, "001.Gull"),)
    (first, _), _ = sort_out(cub.read(base, CubParams(boxes=False)))
    assert first.targets.boxes == ()


def test_a_class_of_thousands_of_digits_has_no_number(tmp_path: Path) -> None:
    base = cub_tree(tmp_path)
    write(base / "classes.txt", f"1 001.Gull\n2 002.Tern\n{'9' * 5000} 003.Auk\n")
    found, failed = sort_out(cub.read(base, CubParams()))
    assert (len(found), failed) == (2, {})


def test_cub_lists_that_do_not_fit_together(tmp_path: Path) -> None:
    base = cub_tree(tmp_path)
    for name in ("x", "y", "z"):
        picture(base / f"images/{name}.jpg")
    write(base / "images.txt", "1 001.Gull/a.jpg\n2 002.Tern/b.jpg\n3 x.jpg\n4 y.jpg\n5 z.jpg\n6 gone.jpg\n7\n")
    write(base / "image_class_labels.txt", "1 1\n2 2\n4 9\n5 1\n")
    write(base / "train_test_split.txt", "1 1\n5 2\n")
    write(base / "bounding_boxes.txt", "1 5.0 6.0 x\n2 70 0 60 40\n")
    found, failed = sort_out(cub.read(base, CubParams()))
    assert [(row.id, row.split, row.targets.boxes) for row in found] == [
        ("001.Gull/a.jpg", "train", ()),
        ("002.Tern/b.jpg", "", ()),
    ]
    assert failed == {
        "001.Gull/a.jpg box": "images.txt line 1: bounding_boxes.txt: '5.0 6.0 x' is not four numbers",
        "002.Tern/b.jpg box": "images.txt line 2: bounding_boxes.txt: a box of '002.Tern' lies outside the image (60 x 40 px)"
        ": 70, 0, 130, 40",
        "x.jpg": "images.txt line 3: image_class_labels.txt lacks image 3",
        "y.jpg": "images.txt line 4: image_class_labels.txt says class '9', which classes.txt lacks",
        "z.jpg": "images.txt line 5: train_test_split.txt says '2', expected 0 or 1",
        "gone.jpg": "images.txt line 6: no such image: 'gone.jpg'",
        "images.txt line 7": "images.txt line 7: no such image: '7'",
    }


# --- Oxford-IIIT Pets ----------------------------------------------------------------------------------------------------


def pets_tree(base: Path, trainval: str = "Bengal_1 1 1 1\n", test: str = "great_dane_2 2 2 1\n", listed: str = "") -> Path:
    for name in ("images/Bengal_1.jpg", "images/great_dane_2.jpg", "images/Bengal_3.jpg", "annotations/trimaps/Bengal_1.png"):
        picture(base / name)
    for name, text in (("trainval", trainval), ("test", test), ("list", listed)):
        if text:
            write(base / f"annotations/{name}.txt", text)
    return base


def test_pets(tmp_path: Path) -> None:
    pets_tree(tmp_path / "oxford")
    assert pets.sniff(tmp_path) == (
        "breeds, and trimaps as masks, by the lists of Oxford-IIIT Pets: annotations/trainval.txt, annotations/test.txt"
    )
    found, failed = sort_out(pets.read(tmp_path, PetsParams()))
    assert failed == {}
    assert [(row.id, row.label, row.split, Path(row.targets.mask).name) for row in found] == [
        ("Bengal_1.jpg", "Bengal", "train", "Bengal_1.png"),
        ("great_dane_2.jpg", "great_dane", "test", ""),
    ]
    found, _ = sort_out(pets.read(tmp_path, PetsParams(label="species", masks=False)))
    assert [(row.label, row.targets.mask) for row in found] == [("cat", ""), ("dog", "")]


def test_pets_lines_that_can_not_be_used(tmp_path: Path) -> None:
    rows = "Bengal_1 1 1 1", "Bengal_3 1 3 1", "Bengal", "../x_1 1 1 1", "Bengal_9 1 1 1", "Bengal_1 1 1 1"
    listed = "\n".join(["#Image CLASS-ID SPECIES BREED ID", *rows])
    pets_tree(tmp_path, listed=listed)
    found, failed = sort_out(pets.read(tmp_path, PetsParams(label="species")))
    assert [(row.id, row.split) for row in found] == [("Bengal_1.jpg", "train")]
    assert failed == {
        "Bengal_3.jpg": "annotations/list.txt line 3: species '3', expected 1 (cat) or 2 (dog)",
        "annotations/list.txt line 4": "expected 'Breed_100 1 1 1', got 'Bengal'",
        "annotations/list.txt line 5": "expected 'Breed_100 1 1 1', got '../x_1 1 1 1'",
        "Bengal_9.jpg": "annotations/list.txt line 6: no such image in 'images'",
        "Bengal_1.jpg again": "annotations/list.txt line 7: listed before, in annotations/list.txt line 2",
    }
    found, failed = sort_out(pets.read(tmp_path, PetsParams()))
    assert [(row.id, row.split) for row in found] == [("Bengal_1.jpg", "train"), ("Bengal_3.jpg", "")]


# --- Food-101 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["txt", "json"])
def test_food101(tmp_path: Path, end: str) -> None:
    base = tmp_path / "food-101"
    names = {"train": ["pie/1", "pie/2", "ribs/3", "../x", "pie/1"], "test": ["ribs/4", "ribs/9", "pie/2"]}
    for name in ("pie/1", "pie/2", "ribs/3", "ribs/4"):
        picture(base / f"images/{name}.jpg")
    for split, found in names.items():
        by_class = {name: [one for one in found if one.startswith(name)] for name in ("pie", "ribs", "..")}
        write(base / f"meta/{split}.{end}", "\n".join(found) if end == "txt" else json.dumps(by_class, indent=1))
    assert food101.sniff(tmp_path) == f"lists of Food-101: meta/train.{end}, meta/test.{end}"
    rows, failed = sort_out(food101.read(tmp_path, Params()))
    assert sorted((row.id, row.label, row.split) for row in rows) == [
        ("pie/1.jpg", "pie", "train"),
        ("pie/2.jpg", "pie", "train"),
        ("ribs/3.jpg", "ribs", "train"),
        ("ribs/4.jpg", "ribs", "test"),
    ]
    again, first, wrong, gone, other = (5, 1, 4, 2, 3) if end == "txt" else (2, 2, 10, 5, 2)
    assert failed == {
        "pie/1.jpg again": f"meta/train.{end} line {again}: listed before, in meta/train.{end} line {first}",
        f"meta/train.{end} line {wrong}": "expected 'class/number', got '../x'",
        "ribs/9.jpg": f"meta/test.{end} line {gone}: no such image in 'images'",
        "pie/2.jpg again": f"meta/test.{end} line {other}: listed before, in meta/train.{end} line 2",
    }


# --- ImageNet ------------------------------------------------------------------------------------------------------------


def imagenet_tree(base: Path) -> Path:
    data = base / "ILSVRC/Data/CLS-LOC"
    for name in (
        "train/n01/n01_1.JPEG",
        "train/n02/n02_1.JPEG",
        "val/v1.JPEG",
        "val/v2.JPEG",
        "test/t1.JPEG",
        "train/n99/x.JPEG",
    ):
        picture(data / name.replace("JPEG", "jpg")).rename(data / name)
    write(base / "LOC_synset_mapping.txt", "n01 crane\nn02 tench, Tinca tinca\nn03 crane\n")
    write(base / "LOC_val_solution.csv", "ImageId,PredictionString\nv1,n02 5 6 15 26 n01 70 6 80 7 n02 5 \n")
    return base


def test_imagenet(tmp_path: Path) -> None:
    imagenet_tree(tmp_path)
    assert imagenet.sniff(tmp_path) == "ImageNet: LOC_synset_mapping.txt, images in ILSVRC/Data/CLS-LOC"
    found, failed = sort_out(imagenet.read(tmp_path, ImageNetParams()))
    assert [(row.id, row.label, row.split) for row in found] == [
        ("train/n01/n01_1.JPEG", "crane (n01)", "train"),
        ("train/n02/n02_1.JPEG", "tench", "train"),
        ("val/v1.JPEG", "tench", "val"),
        ("test/t1.JPEG", None, "test"),
    ]
    assert found[2].targets.boxes == (Box(5, 6, 15, 26, "tench"),)
    assert failed == {
        "train/n99/x.JPEG": "synset 'n99', which LOC_synset_mapping.txt lacks",
        "val/v1.JPEG box 2": "LOC_val_solution.csv line 2: a box of 'crane (n01)' lies outside the image (60 x 40 px)"
        ": 70, 6, 80, 7",
        "val/v1.JPEG box 3": "LOC_val_solution.csv line 2: expected a synset and four numbers, got 'n02 5'",
        "val/v2.JPEG": "LOC_val_solution.csv lacks it, and it is in no folder",
    }
    found, _ = sort_out(imagenet.read(tmp_path, ImageNetParams(label="synset", boxes=False)))
    assert [row.label for row in found] == ["n01", "n02", "n02", None]


def test_a_damaged_mapping_is_an_error_with_its_line(tmp_path: Path) -> None:
    write(imagenet_tree(tmp_path) / "LOC_synset_mapping.txt", "n01 crane\nn02\n")
    with pytest.raises(UserError, match=r"LOC_synset_mapping\.txt line 2: 'n02'; expected a synset and its names"):
        list(imagenet.read(tmp_path, ImageNetParams()))


@pytest.mark.parametrize(
    ("importer", "params"),
    [(cub, CubParams()), (pets, PetsParams()), (food101, Params()), (imagenet, ImageNetParams())],
)
def test_another_folder_is_refused(tmp_path: Path, importer: object, params: Params) -> None:
    picture(tmp_path / "images/a/1.jpg")
    assert not importer.sniff(tmp_path)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r" is not .*Expected ") as caught:
        list(importer.read(tmp_path, params))  # type: ignore[attr-defined]
    assert str(tmp_path) in str(caught.value)


def test_names_that_no_file_can_have_are_listed(tmp_path: Path) -> None:
    odd = "x" * 300
    pets_tree(tmp_path / "pets", test=f"{odd}_1 1 1 1\n")
    assert list(sort_out(pets.read(tmp_path / "pets", PetsParams()))[1]) == [f"{odd}_1.jpg"]
    (tmp_path / "food/images").mkdir(parents=True)
    for split in ("train", "test"):
        write(tmp_path / f"food/meta/{split}.txt", f"pie/{odd}{split}\n")
    assert len(sort_out(food101.read(tmp_path / "food", Params()))[1]) == 2


def test_a_value_of_thousands_of_digits_in_the_classes_of_masks_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "_classes.csv", f"Pixel Value, Class\n{'9' * 5000}, dog\n")
    with pytest.raises(UserError, match=r"_classes\.csv line 2: .*; expected a value from 0 to 255"):
        roboflow_masks.class_names(file)
