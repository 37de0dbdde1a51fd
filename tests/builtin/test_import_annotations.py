"""The importers ``coco``, ``yolo``, ``voc`` and ``masks``, on files written by hand and against pycocotools."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.importers import coco, coco_masks, json_items, masks, voc, yolo
from pipekit.builtin.importers.boxes import checked_box
from pipekit.contract import Adjusted, Box, Categories, Failure, Keypoint, Rejected, Sample
from pipekit.errors import StageError, UserError


def picture(path: Path, size_hw: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((*size_hw, 3), 90, np.uint8))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def sort_out(found: Any) -> tuple[list[Sample], dict[str, str]]:
    found = list(found)
    return [f for f in found if isinstance(f, Sample)], {f.id: f.reason for f in found if isinstance(f, Failure)}


# --- boxes ---------------------------------------------------------------------------------------------------------------

edges = st.floats(-200, 200) | st.sampled_from([float("nan"), float("inf")])


@settings(deadline=None)
@given(edges, edges, edges, edges)
def test_a_checked_box_lies_in_its_image_and_has_a_size(left: float, top: float, right: float, bottom: float) -> None:
    box = checked_box((left, top, right, bottom), "a", (50, 80))
    if isinstance(box, Box):
        assert 0 <= box.x_min < box.x_max <= 80
        assert 0 <= box.y_min < box.y_max <= 50


# --- coco ----------------------------------------------------------------------------------------------------------------


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def coco_file(path: Path, annotations: list[dict[str, Any]], files: tuple[str, ...] = ("a.png", "b.png"), **more: Any) -> Path:
    content = {
        "images": [{"id": number, "file_name": name, "width": 60, "height": 40} for number, name in enumerate(files)],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        **more,
    }
    return write(path, json.dumps(content))


def test_coco_boxes_keypoints_and_splits(tmp_path: Path) -> None:
    picture(tmp_path / "val2017" / "a.png")
    picture(tmp_path / "val2017" / "b.png")
    entries = [
        {"id": 1, "image_id": 0, "category_id": 7, "bbox": [5, 6, 10, 20], "keypoints": [7, 8, 2, 0, 0, 0, 9, 9, 1]},
        {"id": 2, "image_id": 0, "category_id": 3, "bbox": [50, 30, 40, 40]},
        {"id": 3, "image_id": 0, "category_id": 3, "bbox": [0, 0, 60, 40], "iscrowd": 1},
    ]
    coco_file(tmp_path / "annotations" / "instances_val2017.json", entries)
    assert "instances_val2017.json" in coco.sniff(tmp_path)
    (first, second), failed = sort_out(coco.read(tmp_path, coco.CocoParams(label="largest"), tmp_path / "out"))
    assert failed == {}
    assert (first.id, first.split, first.label, second.label) == ("a.png", "val", "dog", None)
    crowd = Box(0, 0, 60, 40, "cat", facts={"iscrowd": True, "id": 3})
    dog, cat = Box(5, 6, 15, 26, "dog", facts={"id": 1}), Box(50, 30, 60, 40, "cat", facts={"id": 2})
    assert first.targets.boxes == (dog, cat, crowd)
    assert [(p.x, p.y, p.label, p.visible) for p in first.targets.keypoints] == [(7, 8, "0", True), (9, 9, "2", False)]


def test_coco_lists_every_bad_annotation_and_keeps_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    good = {"image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5]}
    bad = [
        {**good, "id": 1, "bbox": [70, 5, 10, 10]},
        {**good, "id": 2, "bbox": [5, 5, -3, 4]},
        {**good, "id": 3, "image_id": 99},
        {**good, "id": 4, "category_id": 99},
        {**good, "id": 5, "bbox": [1, 2, 3]},
        {**good, "id": 6, "bbox": None},
    ]
    coco_file(
        tmp_path / "x.json",
        [*bad, {**good, "id": 7}, "nonsense"],
        files=("a.png", "gone.png", "../../etc/passwd", "a\0b", "n" * 300),
    )  # type: ignore[list-item]
    (sample,), failed = sort_out(coco.read(tmp_path / "x.json", coco.CocoParams(), tmp_path / "out"))
    assert sample.targets.boxes == (Box(1, 1, 6, 6, "dog", facts={"id": 7}),)
    assert failed["a.png annotation 1"] == "x.json line 1: a box of 'dog' lies outside the image (60 x 40 px): 70, 5, 80, 15"
    assert failed["a.png annotation 2"] == "x.json line 1: a box of 'dog' has no size: -3 x 4 px"
    assert failed["annotation 3"] == "x.json line 1: unknown image (99)"
    assert failed["annotation 4"] == "x.json line 1: unknown class (99)"
    assert failed["annotation 5"].startswith("x.json line 1: its bbox is not four numbers")
    assert failed["gone.png"] == failed["../../etc/passwd"] == failed["a\0b"] == failed["n" * 300] == "x.json: no such file"
    assert len(failed) == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a COCO file, or is damaged: expected '{'"),
        ("{", "Expecting value"),
        ('{"images": [], "annotations": 3}', "has no list annotations and no list categories"),
        ('{"images": [{}], "annotations": [], "categories": []}', r"images\[0\] has no 'id'"),
    ],
)
def test_a_file_that_is_no_coco_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(coco.read(write(tmp_path / "x.json", text), coco.CocoParams(), tmp_path))


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=5), st.lists(JSON, max_size=6) | JSON, max_size=5),
    st.sampled_from([None, 1, 3]),
    st.integers(1, 9),
)
def test_lists_in_a_json_file_are_read_item_by_item(made: dict[str, Any], indent: int | None, block: int) -> None:
    text = json.dumps(made, indent=indent)
    with mock.patch.object(json_items, "BLOCK_CHARS", block):
        found: dict[str, list[Any]] = {}
        for name, _, item, value in json_items._Reader(io.StringIO(text)).parts(made):
            found.setdefault(name, [])
            if item:
                assert json.loads(item) == value
                found[name].append(value)
    assert found == {name: value for name, value in made.items() if isinstance(value, list)}


@settings(deadline=None)
@given(st.text(alphabet='{}[]":,1a \\', max_size=12))
def test_what_is_not_json_is_refused_as_json_itself_does(text: str) -> None:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    try:
        list(json_items._Reader(io.StringIO(text)).parts(()))
        read = True
    except ValueError:
        read = False
    assert read == isinstance(whole, dict)


def test_a_coco_file_with_odd_ids_and_the_lists_in_any_order(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    box = {"category_id": 7.0, "bbox": [1, 1, 5, 5]}
    content = {
        "annotations": [
            {**box, "image_id": 1.0, "id": 1},
            {**box, "image_id": "1", "id": 2},
            {**box, "image_id": [1], "id": 3},
        ],
        "unknown": [{"deep": [[[]]]}, 5],
        "categories": [{"id": 7, "name": "dog"}],
        "info": {"year": 2024, "images": []},
        "images": [
            {"id": 1, "file_name": "a.png"},
            {"id": "1", "file_name": "b.png"},
            {"id": 1, "file_name": "c.png", "note": "\ud800"},
        ],
    }
    (tmp_path / "x.json").write_text(json.dumps(content), "utf-8")
    samples, failed = sort_out(coco.read(tmp_path / "x.json", coco.CocoParams(), tmp_path / "out"))
    assert {sample.id: len(sample.targets.boxes) for sample in samples} == {"a.png": 1, "b.png": 1, "c.png": 0}
    assert failed == {"annotation 3": "x.json line 1: unknown image ([1])"}


def test_coco_masks_are_classes_with_small_objects_on_top(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    square = {"image_id": 0, "category_id": 7, "bbox": [10, 10, 20, 20], "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}
    runs = {
        "image_id": 0,
        "category_id": 3,
        "bbox": [12, 12, 2, 2],
        "segmentation": {"size": [40, 60], "counts": [12 * 40 + 12, 2, 38, 2, 60 * 40 - 12 * 40 - 54]},
    }
    coco_file(tmp_path / "x.json", [runs, square], files=("a.png",))
    (sample,), failed = sort_out(coco.read(tmp_path, coco.CocoParams(masks=True), tmp_path / "out"))
    assert failed == {}
    expected = np.zeros((40, 60), np.uint8)
    expected[10:31, 10:31] = 7
    expected[12:14, 12:14] = 3
    mask = images.read_mask(sample.targets.mask)
    assert (mask != expected).sum() <= 41  # whether the last row and column belong to a polygon is a convention
    assert (mask[12:14, 12:14] == 3).all()


masks_of = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))


@settings(deadline=None)
@given(masks_of)
def test_run_lengths_are_those_of_pycocotools(made: tuple[int, int, int, float]) -> None:
    from pycocotools import mask as reference

    height, width, seed, share = made
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    packed = reference.encode(np.asfortranarray(mask))
    assert np.array_equal(coco_masks.decode({"size": [height, width], "counts": packed["counts"]}, (height, width)), mask)
    plain = coco_masks.decompress(packed["counts"].decode("ascii"))
    assert np.array_equal(coco_masks.decode({"size": [height, width], "counts": plain}, (height, width)), mask)


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_nearly_those_of_pycocotools(seed: int) -> None:
    from pycocotools import mask as reference

    chance = np.random.default_rng(seed)
    angles = np.sort(chance.uniform(0, 2 * np.pi, 9))
    radii = chance.uniform(40, 90, 9)
    polygon = np.stack([110 + radii * np.cos(angles), 100 + radii * np.sin(angles)], axis=1).ravel().tolist()
    ours = coco_masks.decode([polygon], (200, 220))
    theirs = reference.decode(reference.merge(reference.frPyObjects([polygon], 200, 220)))
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.98


@pytest.mark.parametrize(
    "bad", [{"size": [2, 2], "counts": [5]}, {"size": [9, 9], "counts": [4]}, {"size": [2, 2], "counts": "o"}, [[1, 2]], 7]
)
def test_segmentations_that_can_not_be_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        coco_masks.decode(bad, (2, 2))


def test_coco_reads_objects_and_keypoints_of_the_same_images_as_one(tmp_path: Path) -> None:
    picture(tmp_path / "train2017/a.png")
    dog = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5]}
    cat = {"id": 2, "image_id": 0, "category_id": 3, "bbox": [9, 9, 5, 5]}
    pose = {**dog, "keypoints": [2, 3, 2], "num_keypoints": 1}
    named = [{"id": 7, "name": "dog", "keypoints": ["nose"], "skeleton": []}]
    coco_file(tmp_path / "annotations/a_train.json", [pose], files=("a.png",), categories=named)
    coco_file(tmp_path / "annotations/b_train.json", [cat, dog], files=("a.png",))
    caption = {"id": 1, "image_id": 0, "caption": 'a "bbox" of a dog'}
    coco_file(tmp_path / "annotations/c_train.json", [caption], files=("a.png",))
    segments = {"image_id": 0, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 7}]}
    coco_file(tmp_path / "annotations/d_train.json", [segments], files=("a.png",))
    said = "COCO annotations: b_train.json, a_train.json; not c_train.json, d_train.json, which annotate the same images"
    assert coco.sniff(tmp_path) == said
    (sample,), failed = sort_out(coco.read(tmp_path, coco.CocoParams(), tmp_path / "out"))
    boxes = (Box(9, 9, 14, 14, "cat", facts={"id": 2}), Box(1, 1, 6, 6, "dog", facts={"id": 1}))
    assert (sample.id, sample.split, sample.targets.boxes, failed) == ("a.png", "train", boxes, {})
    assert sample.targets.keypoints == (Keypoint(2, 3, "nose", True, 1),)
    (alone,), _ = sort_out(coco.read(tmp_path, coco.CocoParams(files="a_*"), tmp_path / "out"))
    assert len(alone.targets.boxes) == 1
    with pytest.raises(UserError, match=r"no annotation file matches 'stuff_\*'") as caught:
        list(coco.read(tmp_path, coco.CocoParams(files="stuff_*"), tmp_path / "out"))
    assert caught.value.hint == "There are: a_train.json, b_train.json"


def test_an_image_in_several_coco_files_is_one_sample(tmp_path: Path) -> None:
    """Another id of the image, another order of the categories: names and places count."""
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    dog = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5]}
    coco_file(tmp_path / "one.json", [dog, {**dog, "id": 2}], files=("a.png",))
    others = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    coco_file(
        tmp_path / "two.json",
        [{**dog, "id": 5, "image_id": 1, "category_id": 2}, {**dog, "id": 6, "image_id": 1, "category_id": 1}],
        files=("b.png", "images/a.png"),
        categories=others,
    )
    found = list(coco.read(tmp_path, coco.CocoParams(), tmp_path / "out"))
    samples, failed = sort_out(found)
    assert (failed, [sample.id for sample in samples]) == ({}, ["one/a.png", "two/b.png"])
    assert [(box.label, box.facts["id"]) for box in samples[0].targets.boxes] == [("dog", 1), ("dog", 2), ("cat", 6)]
    lists = [item for item in found if isinstance(item, Categories)]
    assert [[(entry.name, entry.number) for entry in item.entries] for item in lists] == [
        [("dog", 7), ("cat", 3)],
        [("cat", 1), ("dog", 2)],
    ]


@pytest.mark.parametrize(("key", "said"), [("caption", "captions of images"), ("segments_info", "COCO panoptic segmentation")])
def test_coco_files_of_other_tasks_are_known_by_their_content(tmp_path: Path, key: str, said: str) -> None:
    picture(tmp_path / "a.png")
    coco_file(tmp_path / "instances_train.json", [{"image_id": 0, key: []}], files=("a.png",))
    assert coco.sniff(tmp_path).reason.startswith(f"instances_train.json holds {said}")  # type: ignore[union-attr]
    for path in (tmp_path, tmp_path / "instances_train.json"):
        with pytest.raises(UserError, match=f"instances_train.json holds {said}"):
            list(coco.read(path, coco.CocoParams(), tmp_path / "out"))


def test_crowds_that_are_left_out_are_said(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    one = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5], "iscrowd": 1}
    coco_file(tmp_path / "x.json", [one], files=("a.png",))
    found = list(coco.read(tmp_path, coco.CocoParams(crowds=False), tmp_path / "out"))
    assert [item.how for item in found if isinstance(item, Adjusted)] == [coco.WITHOUT_CROWDS]
    assert [item.targets.boxes for item in found if isinstance(item, Sample)] == [()]


@pytest.mark.parametrize("folder", ["{}2017", "images/{}", "{}"])
def test_coco_takes_the_picture_of_its_own_split(tmp_path: Path, folder: str) -> None:
    for split in ("train", "val"):
        picture(tmp_path / folder.format(split) / "a.png")
        coco_file(tmp_path / f"annotations/instances_{split}2017.json", [], files=("a.png",))
    (tmp_path / folder.format("train") / "b.png").write_bytes((tmp_path / folder.format("train") / "a.png").read_bytes())
    coco_file(tmp_path / "annotations/instances_val2017.json", [], files=("a.png", "b.png"))
    found, failed = sort_out(coco.read(tmp_path, coco.CocoParams(), tmp_path / "out"))
    assert {row.split: row.image for row in found} == {
        split: str(tmp_path / folder.format(split) / "a.png") for split in ("train", "val")
    }
    assert failed == {"instances_val2017/b.png": "instances_val2017.json: no such file"}, (
        "what lies in train is no picture of val"
    )


def test_coco_beside_the_images_of_each_split(tmp_path: Path) -> None:
    """The same names in each folder, as Roboflow may have them: each goes with the picture beside it."""
    one = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5]}
    for folder, boxes in (("train", []), ("valid", [one])):
        picture(tmp_path / folder / "a.png")
        coco_file(tmp_path / folder / coco.BESIDE, boxes, files=("a.png",))
    found, failed = sort_out(coco.read(tmp_path, coco.CocoParams(), tmp_path / "out"))
    assert failed == {}
    assert [(row.id, row.split, row.image, len(row.targets.boxes)) for row in found] == [
        ("train/a.png", "train", str(tmp_path / "train/a.png"), 0),
        ("valid/a.png", "val", str(tmp_path / "valid/a.png"), 1),
    ]
    assert coco.sniff(tmp_path) == f"COCO annotations: train/{coco.BESIDE}, valid/{coco.BESIDE}"
    (alone,), _ = sort_out(coco.read(tmp_path / "valid", coco.CocoParams(), tmp_path / "out"))
    assert (alone.id, alone.split) == ("a.png", "val")


# --- yolo ----------------------------------------------------------------------------------------------------------------


def test_yolo_boxes_polygons_and_names(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "images" / "a.png")
    picture(tmp_path / "valid" / "images" / "b.png")
    write(tmp_path / "train/labels/a.txt", "1 0.5 0.5 0.5 0.5\n0 0 0 0.5 0 0.5 0.5\n")
    write(tmp_path / "data.yaml", "names: [cat, dog]\nnc: 2\n")
    (first, second), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert failed == {}
    corners = (0, 0, 30, 0, 30, 20)
    assert first.targets.boxes == (Box(15, 10, 45, 30, "dog"), Box(0, 0, 30, 20, "cat", outline=(corners,)))
    assert [(first.id, first.split), (second.id, second.split)] == [
        ("train/images/a.png", "train"),
        ("valid/images/b.png", "val"),
    ]
    assert yolo.sniff(tmp_path) == "images and labels side by side, data.yaml"


def test_yolo_lines_that_can_not_be_used_are_listed(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    write(
        tmp_path / "labels/train/a.txt",
        "dog 1 2\n9 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n0 0.5 0.5 -0.1 0.1\n0 3 3 0.1 0.1\n0 nan 0.5 0.1 0.1\n0 .5 .5 1 1\n",
    )
    write(tmp_path / "classes.txt", "dog\n")
    (sample,), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams(label="single")))
    assert (sample.label, sample.split, len(sample.targets.boxes)) == ("dog", "train", 1)
    assert list(failed) == [f"images/train/a.png line {n}" for n in range(1, 7)]


def test_yolo_with_a_damaged_list_of_names_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", "")
    write(tmp_path / "data.yaml", "names: [")
    with pytest.raises(UserError, match="can't read"):
        list(yolo.read(tmp_path, yolo.YoloParams()))
    with pytest.raises(UserError, match="is not a YOLO tree"):
        list(yolo.read(tmp_path / "images", yolo.YoloParams()))


def test_yolo_labels_beside_the_images_as_darknet_has_them(tmp_path: Path) -> None:
    for name in ("obj_train_data/a", "obj_train_data/b", "obj_train_data/c", "obj_test_data/d"):
        picture(tmp_path / f"{name}.png")
    write(tmp_path / "obj_train_data/a.txt", "1 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "obj_train_data/b.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "obj.names", "cat\ndog\n")
    write(tmp_path / "train.txt", "data/obj_train_data/a.png\n")
    write(tmp_path / "valid.txt", "data/obj_train_data/b.png\n\n")
    assert yolo.sniff(tmp_path) == "labels beside the images in obj_train_data, obj.names"
    found, failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert failed == {}
    assert [(row.id, row.split, [box.label for box in row.targets.boxes]) for row in found] == [
        ("obj_test_data/d.png", "", []),
        ("obj_train_data/a.png", "train", ["dog"]),
        ("obj_train_data/b.png", "val", ["cat"]),
        ("obj_train_data/c.png", "", []),
    ]


@pytest.mark.parametrize(
    ("folder", "names", "said"),
    [
        (".", "classes.txt", "labels beside the images, classes.txt"),
        ("valid", "_darknet.labels", "labels beside the images in valid, _darknet.labels"),
    ],
)
def test_yolo_labels_beside_the_images_as_labelimg_and_roboflow_have_them(
    tmp_path: Path, folder: str, names: str, said: str
) -> None:
    picture(tmp_path / folder / "a.png")
    write(tmp_path / folder / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / folder / names, "dog\n")
    assert yolo.sniff(tmp_path) == said
    (sample,), failed = sort_out(yolo.read(tmp_path, yolo.YoloParams()))
    assert (sample.split, sample.targets.boxes, failed) == ("val" * (folder == "valid"), (Box(15, 10, 45, 30, "dog"),), {})


@pytest.mark.parametrize("text", ["a dog on a lawn\n", "3 dogs\n", "1 2 3\n", "", "0 0.5 0.5 0 0.5\n"])
def test_texts_beside_images_that_are_no_boxes_are_no_yolo(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "a.txt", text)
    assert yolo.sniff(tmp_path) == Rejected(
        "no folders 'images' and 'labels' side by side, and no .txt files with boxes beside images"
    )


# --- voc -----------------------------------------------------------------------------------------------------------------

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def test_voc_corners_count_from_one(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    picture(tmp_path / "SegmentationClass" / "a.png")
    objects = OBJECT.format("dog", 0, 1, 1, 60, 40) + OBJECT.format("cat", 1, 5, 5, 9, 9) + OBJECT.format("cat", 0, 9, 9, 3, 3)
    write(tmp_path / "Annotations/a.xml", f"<annotation><filename>a.jpg</filename>{objects}</annotation>")
    write(tmp_path / "Annotations/b.xml", "<annotation>")
    write(tmp_path / "Annotations/c.xml", "<annotation><filename>../../x.jpg</filename></annotation>")
    write(tmp_path / "ImageSets/Main/val.txt", "a\n")
    (sample,), failed = sort_out(voc.read(tmp_path, voc.VocParams(difficult=False)))
    assert sample.targets.boxes == (Box(0, 0, 60, 40, "dog"),)
    assert (sample.id, sample.split, Path(sample.targets.mask).name) == ("a.jpg", "val", "a.png")
    assert failed["a.jpg object 3"].startswith("a.xml line 1: a box of 'cat' has no size")
    assert failed["b.xml"].startswith("not XML")
    assert failed["../../x.jpg"] == "no such file; c.xml names it"
    assert voc.sniff(tmp_path) == "boxes, by 3 XML files in Annotations"


def xml(name: str, *objects: str) -> str:
    return f"<annotation><filename>{name}</filename>{''.join(objects)}</annotation>"


def test_voc_images_without_annotations_have_no_boxes(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "other.jpg"):
        picture(tmp_path / "JPEGImages" / name)
    write(tmp_path / "Annotations/a.xml", xml("a.jpg", OBJECT.format("dog", 0, 1, 1, 9, 9)))
    write(tmp_path / "Annotations/x.xml", xml("other.jpg", OBJECT.format("cat", 0, 1, 1, 9, 9)))
    write(tmp_path / "ImageSets/Main/test.txt", "b\n")
    found, failed = sort_out(voc.read(tmp_path, voc.VocParams()))
    assert failed == {}
    rows = [("a.jpg", "", 1), ("other.jpg", "", 1), ("b.jpg", "test", 0)]
    assert [(row.id, row.split, len(row.targets.boxes)) for row in found] == rows
    picture(tmp_path / "JPEGImages/x.jpg")
    found, failed = sort_out(voc.read(tmp_path, voc.VocParams()))
    assert (len(found), failed) == (3, {"x.jpg": "x.xml is about other.jpg"})


def test_voc_beside_the_images_of_each_split(tmp_path: Path) -> None:
    for folder in ("train", "valid"):
        for name in ("a.jpg", "b.jpg"):
            picture(tmp_path / folder / name)
        write(tmp_path / folder / "a.xml", xml("a.jpg", OBJECT.format(folder, 0, 1, 1, 9, 9)))
    assert voc.sniff(tmp_path) == "boxes, by XML files of VOC in train, valid"
    assert voc.sniff(tmp_path / "train") == "boxes, by XML files of VOC beside the images"
    found, failed = sort_out(voc.read(tmp_path, voc.VocParams(label="single")))
    assert failed == {}
    assert [(row.id, row.split, row.label, row.image) for row in found] == [
        ("train/a.jpg", "train", "train", str(tmp_path / "train/a.jpg")),
        ("train/b.jpg", "train", None, str(tmp_path / "train/b.jpg")),
        ("valid/a.jpg", "val", "valid", str(tmp_path / "valid/a.jpg")),
        ("valid/b.jpg", "val", None, str(tmp_path / "valid/b.jpg")),
    ]


def test_voc_folders_may_be_called_otherwise(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    write(tmp_path / "annotations/a.xml", xml("a.jpg", OBJECT.format("dog", 0, 1, 1, 9, 9)))
    assert voc.sniff(tmp_path) == "boxes, by 1 XML file in annotations"
    (sample,), failed = sort_out(voc.read(tmp_path, voc.VocParams()))
    assert (sample.id, len(sample.targets.boxes), failed) == ("a.jpg", 1, {})


@pytest.mark.parametrize("text", ["<svg/>", "<annotation", "words"])
def test_other_xml_beside_images_is_no_voc(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path / "a.xml", text)
    assert not voc.sniff(tmp_path)
    with pytest.raises(UserError, match="is not a VOC tree"):
        list(voc.read(tmp_path, voc.VocParams()))


# --- masks ---------------------------------------------------------------------------------------------------------------


def test_masks_go_with_their_images(tmp_path: Path) -> None:
    for name in ("images/train/a.jpg", "images/test/b.jpg", "images/test/c.jpg", "masks/train/a.png", "masks/test/b_mask.png"):
        picture(tmp_path / name)
    found, failed = sort_out(masks.read(tmp_path, masks.MasksParams()))
    assert [(s.id, s.split, Path(s.targets.mask).name) for s in found] == [
        ("test/b.jpg", "test", "b_mask.png"),
        ("train/a.jpg", "train", "a.png"),
    ]
    assert failed == {"test/c.jpg": "no mask in masks"}
    assert masks.sniff(tmp_path) == "images in images, masks in masks"
    assert masks.sniff(tmp_path / "images") == Rejected("no folder of images in it: images, image, imgs, img, jpegimages")


def test_every_annotated_format_runs_as_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.engine.adhoc import AdhocPipeline

    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    picture(tmp_path / "data/a.png")
    entry = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [5, 6, 10, 20], "segmentation": [[5, 6, 15, 6, 15, 26]]}
    coco_file(tmp_path / "data/x.json", [entry], files=("a.png",))
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
    adhoc.add("data", "import.coco", path="data", masks=True)
    (sample,) = adhoc.run().artifact("data")  # type: ignore[misc]
    assert images.read_mask(sample.targets.mask).max() == 7
    assert sample.targets.mask_sha256
    assert adhoc.run().stages[0].cached


@pytest.mark.parametrize("name", ["panoptic_train.json", "a.xml", "a.txt"])
def test_pictures_among_other_annotations_are_no_masks(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "images/a.jpg")
    picture(tmp_path / "annotations/a.png")
    assert masks.sniff(tmp_path) == "images in images, masks in annotations"
    write(tmp_path / "annotations" / name, "")
    assert masks.sniff(tmp_path) == Rejected(f"annotations holds other annotations: {name}")


def test_bad_annotations_are_no_bad_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of five lines are bad, and both images are kept: ``max_failed`` counts images."""
    import pipekit

    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    for name in ("a", "b"):
        picture(tmp_path / f"data/images/{name}.png")
    write(tmp_path / "data/labels/a.txt", "0 0.5 0.5 0.5 0.5\n0 9 9 0.1 0.1\n0 x\n")
    write(tmp_path / "data/labels/b.txt", "0 9 9 0.1 0.1\n0 1 2\n")
    monkeypatch.chdir(tmp_path)
    made = pipekit.run_stage("import.yolo", path="data", max_failed=0.0, name="boxes")
    dataset: Any = made.artifact
    assert len(dataset) == 2
    assert (dataset.meta["num_failed"], dataset.meta["num_failed_annotations"]) == (0, 4)
    parts = [("images/a.png", 2), ("images/a.png", 3), ("images/b.png", 1), ("images/b.png", 2)]
    assert [(one.part_of, one.id) for one in dataset.failed()] == [(name, f"{name} line {line}") for name, line in parts]
    (said,) = made.outcome.stages[0].warnings
    assert said.startswith("4 annotations can't be used and left out, but not the images")
    assert said.endswith(f"where there is no run, pipekit stage import.yolo --path {tmp_path / 'data'} --name NAME makes one")
    (listed,) = made.folder.rglob("failed.csv")
    assert listed.read_text().count(" line ") == 4
    again = pipekit.run_stage("import.yolo", path="data", max_failed=0.0, name="boxes").outcome.stages[0]
    assert again.cached
    assert again.warnings == (said,)
    found = pipekit.inspect("boxes", only=["corrupt"]).found
    assert (found["num_images"], found["num_unusable"]) == (2, 0)
    (tmp_path / "data/images/b.png").write_bytes(b"no image")
    with pytest.raises(StageError, match="1 of 2 samples can't be used"):
        pipekit.run_stage("import.yolo", path="data", max_failed=0.0, name="boxes")
