"""``pipekit augment`` on images with annotations: the copies are written in the format that they came in, and made again."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import coco_masks
from pipekit.commands.replay import replay
from pipekit.contract import Sample
from pipekit.testing.checks import write_tiny_dataset
from tests.builtin.exporting import export, make_samples, read
from tests.cli.conftest import Pipekit

FLIP = ("--ops", "hflip(p=1)", "--copies", "2", "--split", "train", "--split", "")


def augmented(pipekit: Pipekit, tmp_path: Path, name: str, *words: str) -> list[Any]:
    """A small dataset in a format, augmented; what the format's importer reads of it."""
    source = export(name, make_samples(tmp_path / "made"), tmp_path / "source")
    given = source / "dataset.csv" if name == "csv" else source
    done = pipekit("augment", given, "out", *(words or FLIP))
    assert done.code == 0, done.err
    found = read(name, tmp_path / "out" / "dataset.csv" if name == "csv" else tmp_path / "out")
    assert [item for item in found if not isinstance(item, Sample)] == []
    return found


def numbers(sample: Sample) -> list[tuple[float, ...]]:
    return [(box.x_min, box.y_min, box.x_max, box.y_max) for box in sample.targets.boxes]


@pytest.mark.parametrize("name", ["coco", "yolo", "voc"])
def test_boxes_are_written_where_the_pixels_went(pipekit: Pipekit, tmp_path: Path, name: str) -> None:
    found = {Path(sample.image).name: sample for sample in augmented(pipekit, tmp_path, name)}
    copies = {file: sample for file, sample in found.items() if ".aug1." in file}
    assert len(copies) == 8  # the train split; 12 images as they were, 8 x 2 copies
    assert len(found) == 28
    with_boxes = 0
    for file, sample in copies.items():
        plain = found[file.replace(".aug1", "")]
        width = images.read(sample.image).shape[1]
        assert sample.split == plain.split == "train"
        assert [box.label for box in sample.targets.boxes] == [box.label for box in plain.targets.boxes]
        mirrored = [(width - x_max, y_min, width - x_min, y_max) for x_min, y_min, x_max, y_max in numbers(plain)]
        np.testing.assert_allclose(np.array(numbers(sample)), np.array(mirrored), atol=1e-3)
        with_boxes += bool(mirrored)
        shown, before = images.read(sample.image), images.read(plain.image)
        assert np.abs(shown.astype(int) - before[:, ::-1]).mean() < 3
    assert with_boxes > 3


def test_coco_is_read_by_pycocotools(pipekit: Pipekit, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    augmented(pipekit, tmp_path, "coco")
    (file,) = (tmp_path / "out" / "annotations").glob("*train*.json")
    coco = COCO(str(file))
    assert len(coco.getImgIds()) == 24
    assert {entry["name"] for entry in coco.loadCats(coco.getCatIds())} == {"cat", "dog", "thing"}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        info = coco.loadImgs(annotation["image_id"])[0]
        x, y, width, height = annotation["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= info["width"]
        assert y + height <= info["height"]
        assert annotation["segmentation"] == []  # boxes stay boxes


WHITE, BLUE, RED = (255, 255, 255), (0, 0, 255), (255, 0, 0)


def write_faces(folder: Path, eyes_too: bool = True) -> None:
    """Two white faces on black: one with a polygon as its outline, one, a ring, with run lengths. The left eye is blue."""
    from pycocotools import mask

    face = [20, 20, 100, 12, 110, 60, 70, 70, 66, 104, 24, 100]
    plain, ring = np.zeros((120, 140, 3), np.uint8), np.zeros((120, 140, 3), np.uint8)
    cv2.fillPoly(plain, [np.array(face).reshape(-1, 2)], WHITE)
    cv2.circle(ring, (70, 60), 48, WHITE, -1)
    cv2.circle(ring, (70, 80), 14, (0, 0, 0), -1)
    packed = mask.encode(np.asfortranarray((ring[..., 0] > 0).astype(np.uint8)))
    runs = {"size": packed["size"], "counts": packed["counts"].decode()}
    eyes = [50, 40, 2, 85, 40, 2, 0, 0, 0]
    entries = []
    for number, (image, segmentation) in enumerate(((plain, [face]), (ring, runs)), start=1):
        cv2.circle(image, (50, 40), 6, BLUE, -1)
        cv2.circle(image, (85, 40), 6, RED, -1)
        images.write(folder / "images" / f"{number}.png", image)
        x, y, width, height = cv2.boundingRect((image.max(axis=2) > 0).astype(np.uint8))
        found = {
            "bbox": [x, y, width, height],
            "segmentation": segmentation,
            **({"keypoints": eyes, "num_keypoints": 2} if eyes_too else {}),
            "area": int((image.max(axis=2) > 0).sum()),
            "iscrowd": 0,
        }
        entries.append({"id": number, "image_id": number, "category_id": 5, **found})
    described = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 140, "height": 120} for n in (1, 2)],
        "annotations": entries,
        "categories": [{"id": 5, "name": "face", "keypoints": ["left_eye", "right_eye", "nose"], "skeleton": []}]
        if eyes_too
        else [{"id": 5, "name": "face"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    "ops", ["rotate(25)|shift(0.25, 0.25)|zoom(0.2)|hflip", "perspective(0.1)|vflip", "albu.Affine(rotate=[-20, 20])|hflip"]
)
def test_outlines_and_keypoints_of_coco_move_with_the_pixels(pipekit: Pipekit, tmp_path: Path, ops: str) -> None:
    from pycocotools.coco import COCO

    (tmp_path / "source" / "images").mkdir(parents=True)
    write_faces(tmp_path / "source")
    done = pipekit("augment", "source", "out", "--ops", ops, "--copies", "10", "--fill", "constant")
    assert done.code == 0, done.err
    coco = COCO("out/annotations/instances_train.json")
    (category,) = coco.loadCats(coco.getCatIds())
    seen = {"left_eye": 0, "right_eye": 0}
    mirrored = 0
    for annotation in coco.loadAnns(coco.getAnnIds()):
        info = coco.loadImgs(annotation["image_id"])[0]
        image = images.read(Path("out/images/train", info["file_name"]))
        inside = coco.annToMask(annotation).astype(bool)
        white = image.max(axis=2) > 127
        assert (inside & white).sum() / (inside | white).sum() > 0.93
        x, y, width, height = annotation["bbox"]
        left, top, across, down = cv2.boundingRect(white.astype(np.uint8))
        assert np.abs(np.array([x, y, x + width, y + height]) - (left, top, left + across, top + down)).max() <= 2
        assert annotation["area"] == pytest.approx(white.sum(), rel=0.08)
        points = np.array(annotation["keypoints"]).reshape(-1, 3)
        colours = {}
        for name, (column, row, flag) in zip(category["keypoints"], points, strict=True):
            if flag:
                seen[name] += 1
                blue = image[round(row), round(column), 2] > image[round(row), round(column), 0]
                colours[name] = "blue" if blue else "red"
        assert annotation["num_keypoints"] == len(colours)
        assert colours in [
            {name: colour for name, colour in wanted.items() if name in colours}
            for wanted in ({"left_eye": "blue", "right_eye": "red"}, {"left_eye": "red", "right_eye": "blue"})
        ]
        mirrored += colours.get("left_eye") == "red"
    assert min(seen.values()) > 10
    assert 2 < mirrored < 20


def test_outlines_of_yolo_move_with_the_pixels(pipekit: Pipekit, tmp_path: Path) -> None:
    (tmp_path / "source" / "images").mkdir(parents=True)
    write_faces(tmp_path / "source", eyes_too=False)
    assert pipekit("augment", "source", "out", "--ops", "rotate(25)|hflip", "--fill", "constant", "--as", "yolo").code == 0
    for sample in read("yolo", tmp_path / "out"):
        image = images.read(sample.image)
        (box,) = sample.targets.boxes
        inside = coco_masks.decode([list(polygon) for polygon in box.outline], image.shape[:2]) > 0
        white = image.max(axis=2) > 127
        assert (inside & white).sum() / (inside | white).sum() > 0.93


@pytest.mark.parametrize("name", ["masks", "voc"])
def test_masks_lie_where_their_format_has_them(pipekit: Pipekit, tmp_path: Path, name: str) -> None:
    found = {Path(sample.image).name: sample for sample in augmented(pipekit, tmp_path, name)}
    copies = [file for file in found if ".aug2." in file]
    assert len(copies) == 8
    for file in copies:
        before = images.read_mask(found[file.replace(".aug2", "")].targets.mask)
        np.testing.assert_array_equal(images.read_mask(found[file].targets.mask), before[:, ::-1])


def test_a_table_stays_a_table(pipekit: Pipekit, tmp_path: Path) -> None:
    found = augmented(pipekit, tmp_path, "csv")
    assert sum(".aug" in sample.image for sample in found) == 16
    assert {sample.label for sample in found} == {"cat", "dog"}
    with (tmp_path / "out" / "dataset.csv").open(newline="", encoding="utf-8") as file:
        assert "camera" in next(csv.reader(file))


def test_the_layout_can_be_chosen(pipekit: Pipekit, tmp_path: Path) -> None:
    found = augmented(pipekit, tmp_path, "coco", *FLIP)
    assert found
    for layout, expected in (("yolo", "data.yaml"), ("folders", "train/metadata.csv")):
        assert pipekit("augment", "source", layout, *FLIP, "--as", layout).code == 0
        assert Path(layout, expected).is_file()
    assert "Did you mean 'yolo'" in pipekit("augment", "source", "other", "--as", "yollo").err
    assert not Path("other").exists()


# --- replay --------------------------------------------------------------------------------------------------------------


def test_a_hundred_random_copies_are_made_again(pipekit: Pipekit, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images")
    ops = "heavy|albu.GaussNoise(p=0.5)"
    assert pipekit("augment", "images", "out", "--ops", ops, "--copies", "8", "--format", "jpg", "--seed", "9").code == 0
    copies = sorted(Path("out").rglob("*.aug*.jpg"))
    assert len(copies) == 8 * 18
    for path in random.Random(0).sample(copies, 100):
        made = replay(path)
        assert made.identical
        assert made.data == path.read_bytes()


@pytest.mark.parametrize("name", ["coco", "yolo", "voc", "masks", "csv"])
def test_copies_with_annotations_are_made_again(pipekit: Pipekit, tmp_path: Path, name: str) -> None:
    augmented(pipekit, tmp_path, name, "--ops", "medium", "--copies", "2", "--split", "train", "--split", "val")
    copies = sorted(path for path in Path("out").rglob("*.aug*") if path.suffix in (".png", ".jpg"))
    masks = [path for path in copies if path.parts[1] in ("masks", "SegmentationClass")]
    assert len(copies) - len(masks) == 20
    assert len(masks) == (20 if name in ("masks", "voc") else 0)
    for path in copies:
        made = replay(path)
        assert made.identical, path
        assert made.mask_identical is (True if masks and path not in masks else None)


def test_a_mask_is_written_beside_its_image(pipekit: Pipekit, tmp_path: Path) -> None:
    augmented(pipekit, tmp_path, "masks", "--ops", "rotate", "--copies", "1")
    copy = next(path for path in sorted(Path("out/images").rglob("*.aug1.png")))
    mask = Path("out/masks", *copy.parts[2:])
    done = pipekit("replay", copy, "--out", "again.png")
    assert done.code == 0, done.err
    assert "its mask is identical too" in done.out
    assert Path("again.png").read_bytes() == copy.read_bytes()
    assert Path("again.mask.png").read_bytes() == mask.read_bytes()
    assert "identical, bit for bit" in pipekit("replay", mask).out
    assert "again.png exists already" in pipekit("replay", copy, "--out", "again.png").err
    source = json.loads(Path("out/recipe.json").read_text())["source"]
    Path(source).rename("moved")
    assert "was not found" in pipekit("replay", copy).err
    assert pipekit("replay", copy, "--source", "moved").code == 0
    for path in Path("moved/masks").rglob("*.png"):
        path.unlink()
    assert pipekit("replay", copy, "--source", "moved").code == 0
    assert "the mask of" in pipekit("replay", mask, "--source", "moved").err
