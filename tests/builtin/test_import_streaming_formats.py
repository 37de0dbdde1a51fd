"""Importers of annotation files and lists hold neither entries nor names: a thousand images are not a thousand objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import files, images
from pipekit.builtin.importers import (
    box_csv,
    createml,
    cub,
    cvat,
    food101,
    image_list,
    imagenet,
    json_items,
    label_studio,
    labelme,
    npz,
    pets,
    roboflow_labels,
    roboflow_masks,
    via,
    xml_items,
)
from pipekit.builtin.importers.annotated import FileParams
from pipekit.builtin.importers.arrays import ArraysParams
from pipekit.builtin.importers.boxes import BoxedParams
from pipekit.contract import Params
from tests.builtin.test_import_streaming import most_objects

Write = Callable[[Path, list[str]], None]


def _cvat(root: Path, names: list[str]) -> None:
    shape = '<box label="dog" xtl="1" ytl="1" xbr="3" ybr="3" occluded="1"/>'
    entries = "".join(f'<image id="0" name="images/{name}">{shape}</image>\n' for name in names)
    (root / "annotations.xml").write_text(f"<annotations>{entries}</annotations>")


def _labelme(root: Path, names: list[str]) -> None:
    for name in names:
        shape = {"label": "dog", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"}
        (root / f"images/{name[:-4]}.json").write_text(json.dumps({"shapes": [shape], "imagePath": name}))


def _via(root: Path, names: list[str]) -> None:
    regions = [{"shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}, "region_attributes": {}}]
    entries = {name: {"filename": name, "regions": regions, "file_attributes": {}} for name in names}
    (root / "via.json").write_text(json.dumps({"_via_img_metadata": entries}))


def _via_csv(root: Path, names: list[str]) -> None:
    rect = '"{""name"":""rect"",""x"":1,""y"":1,""width"":2,""height"":2}"'
    rows = [f'{name},1,"{{}}",1,0,{rect},"{{}}"' for name in names]
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    (root / "via.csv").write_text("\n".join([head, *rows, *rows]))


def _label_studio(root: Path, names: list[str]) -> None:
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["dog"]}
    annotations = [{"result": [{"type": "rectanglelabels", "value": value}]}]
    (root / "x.json").write_text(json.dumps([{"data": {"image": name}, "annotations": annotations} for name in names]))


def _createml(root: Path, names: list[str]) -> None:
    objects = [{"label": "dog", "coordinates": {"x": 2, "y": 2, "width": 2, "height": 2}}]
    (root / "x.json").write_text(json.dumps([{"image": name, "annotations": objects} for name in names]))


def _box_csv(root: Path, names: list[str]) -> None:
    rows = [f"{name},dog,1,1,3,3" for name in (*names, *names)]
    (root / "x.csv").write_text("\n".join(["filename,class,xmin,ymin,xmax,ymax", *rows]))


def _image_list(root: Path, names: list[str]) -> None:
    (root / "train.txt").write_text("".join(f"images/{name} dog\n" for name in names))


def _cub(root: Path, names: list[str]) -> None:
    lists = {"images": names, "image_class_labels": ["1"] * len(names), "bounding_boxes": ["1 1 2 2"] * len(names)}
    for name, rows in {**lists, "train_test_split": ["1"] * len(names), "classes": ["dog"]}.items():
        (root / f"{name}.txt").write_text("".join(f"{at} {row}\n" for at, row in enumerate(rows, 1)))


def _pets(root: Path, names: list[str]) -> None:
    (root / "annotations").mkdir()
    for name in names:
        (root / "images" / name).rename(root / f"images/dog_{name[:-4]}.jpg")
    rows = [f"dog_{name[:-4]} 1 2 1\n" for name in names]
    for name, part in (("list", rows), ("trainval", rows), ("test", rows[:1])):
        (root / f"annotations/{name}.txt").write_text("".join(part))


def _food101(root: Path, names: list[str]) -> None:
    (root / "images/dog").mkdir()
    (root / "meta").mkdir()
    for name in names:
        (root / "images" / name).rename(root / f"images/dog/{name[:-4]}.jpg")
    (root / "meta/train.txt").write_text("".join(f"dog/{name[:-4]}\n" for name in names))
    (root / "meta/test.txt").write_text("")


def _imagenet(root: Path, names: list[str]) -> None:
    (root / "images").rename(root / "val")
    (root / "LOC_synset_mapping.txt").write_text("n01 dog\n")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n" + "".join(f"{name[:-4]},n01 1 1 3 3\n" for name in names)
    )


def _roboflow_masks(root: Path, names: list[str]) -> None:
    for name in names:
        (root / f"images/{name[:-4]}_mask.png").hardlink_to(root / "images" / name)
    (root / "images").rename(root / "train")
    (root / "train/_classes.csv").write_text("Pixel Value, Class\n0, dog\n")


def _roboflow_labels(root: Path, names: list[str]) -> None:
    (root / "images").rename(root / "train")
    (root / "train/_classes.csv").write_text("filename,dog,cat\n" + "".join(f"{name},1,1\n" for name in names))


FORMATS: dict[str, tuple[Any, Params, Write]] = {
    "cvat": (cvat, FileParams(), _cvat),
    "labelme": (labelme, BoxedParams(), _labelme),
    "via": (via, via.ViaParams(), _via),
    "via as CSV": (via, via.ViaParams(), _via_csv),
    "label_studio": (label_studio, label_studio.LabelStudioParams(), _label_studio),
    "createml": (createml, FileParams(), _createml),
    "box_csv": (box_csv, box_csv.BoxCsvParams(), _box_csv),
    "image_list": (image_list, image_list.ImageListParams(), _image_list),
    "cub": (cub, cub.CubParams(), _cub),
    "pets": (pets, pets.PetsParams(), _pets),
    "food101": (food101, Params(), _food101),
    "imagenet": (imagenet, imagenet.ImageNetParams(), _imagenet),
    "roboflow_labels": (roboflow_labels, Params(), _roboflow_labels),
    "roboflow_masks": (roboflow_masks, Params(), _roboflow_masks),
}


@pytest.mark.parametrize("name", FORMATS)
def test_objects_in_memory_do_not_grow_with_the_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files.trees, "NAMES_AT_ONCE", 250)
    monkeypatch.setattr(files.trees, "LISTED", 250)
    monkeypatch.setattr(json_items, "BLOCK_CHARS", 1 << 12)
    monkeypatch.setattr(xml_items, "BLOCK_BYTES", 1 << 12)
    module, params, write = FORMATS[name]
    images.write(tmp_path / "one.png", np.zeros((4, 4, 3), np.uint8))
    most = {}
    for count in (2, 400, 1600):  # the first one loads what is needed
        root = tmp_path / str(count)
        (root / "images").mkdir(parents=True)
        names = [f"{number:06}.png" for number in range(count)]
        for file in names:
            (root / "images" / file).hardlink_to(tmp_path / "one.png")
        write(root, names)
        assert module.sniff(root)
        rows, most[count] = most_objects(module.read(root, params))
        assert rows == count
    assert most[1600] - most[400] < 1000, most


def test_an_archive_of_arrays_is_read_row_by_row(tmp_path: Path) -> None:
    import tracemalloc

    most = {}
    for count in (2, 50, 1000):
        file = tmp_path / f"{count}.npz"
        np.savez(file, images=np.zeros((count, 64, 64), np.uint8), labels=np.zeros(count, np.int64))
        tracemalloc.start()
        assert sum(1 for _ in npz.read(file, ArraysParams(), tmp_path / "out")) == count
        most[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most[1000] - most[50] < 500_000, most  # the whole array has 4 MB
