"""Small datasets in the format of each importer that hold every kind of entry the format knows: what mutations change."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.builtin import tfrecords
from tests.contract import examples

SQUARE = [[4, 5], [24, 5], [24, 15], [4, 15]]


@dataclass(frozen=True)
class Example:
    """A dataset, and how it is read.

    Attributes:
        make: writes it into a folder, and returns the path to import.
        changed: suffixes of the files to change; "" for files without one.
    """

    importer: str
    make: Callable[[Path], Path]
    changed: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)


def pictures(folder: Path, count: int = 3) -> list[str]:
    """Images of 32 x 32 pixels; their names."""
    from pipekit import images

    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(count)]
    for name in names:
        images.write(folder / name, chance.integers(0, 256, (32, 32, 3), np.uint8))
    return names


def few(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """An example of three images: thousands of mutations read each of them."""

    def made(folder: Path) -> Path:
        with mock.patch.object(examples, "write_tiny_dataset", partial(examples.write_tiny_dataset, per_class=1)):
            return make(folder)

    return made


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def coco(folder: Path) -> Path:
    names = pictures(folder / "images")
    flat = [float(value) for corner in SQUARE for value in corner]
    run = {"size": [32, 32], "counts": [100, 10, 22, 10, 882]}
    packed = {"size": [32, 32], "counts": "U4:f00ki0"}
    points = [8, 8, 2, 9, 9, 1, 0, 0, 0]
    parts: list[dict[str, Any]] = [
        {"segmentation": [flat], "keypoints": points, "num_keypoints": 2},
        {"segmentation": run, "iscrowd": 1},
        {"segmentation": packed},
        {"category_id": 2, "segmentation": [flat, flat]},
    ]
    base = {"image_id": 1, "category_id": 1, "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0}
    content = {
        "info": {"year": 2026},
        "licenses": [],
        "images": [{"id": at, "file_name": name, "width": 32, "height": 32} for at, name in enumerate(names, 1)],
        "annotations": [{"id": at, **base, **part} for at, part in enumerate(parts, 1)],
        "categories": [
            {"id": 1, "name": "cat", "keypoints": ["nose", "ear", "tail"], "skeleton": [[1, 2]]},
            {"id": 2, "name": "dog", "supercategory": "animal"},
        ],
    }
    written(folder / "annotations/instances_train.json", content)
    return folder


def yolo_pose(folder: Path) -> Path:
    for name in pictures(folder / "images/train"):
        written(
            folder / f"labels/train/{name[:-4]}.txt",
            "0 0.5 0.5 0.4 0.3 0.4 0.4 2 0.5 0.5 1 0 0 0\n1 0.5 0.5 0.4 0.3 .4 .4 2 .5 .5 1 0 0 0\n",
        )
    yaml = "path: .\ntrain: images/train\nnames:\n  0: cat\n  1: dog\nkpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\n"
    yaml += "kpt_names:\n  0: [a, b, c]\n"
    written(folder / "data.yaml", yaml)
    return folder


def yolo_polygons(folder: Path) -> Path:
    for name in pictures(folder):
        written(
            folder / f"{name[:-4]}.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5\n1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n0 0.5 0.5 0.4 0.3\n"
        )
    written(folder / "classes.txt", "cat\ndog\n")
    written(folder / "train.txt", "data/0.png\ndata/1.png\n")
    return folder


def voc(folder: Path) -> Path:
    names = pictures(folder / "JPEGImages")
    for name in names:
        size = "<size><width>32</width><height>32</height><depth>3</depth></size>"
        box = "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>24</xmax><ymax>15</ymax></bndbox>"
        part = f"<part><name>head</name>{box}</part>"
        thing = f"<object><name>cat</name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>{box}{part}</object>"
        written(
            folder / f"Annotations/{name[:-4]}.xml", f"<annotation><filename>{name}</filename>{size}{thing}{thing}</annotation>"
        )
    written(folder / "ImageSets/Main/train.txt", "0\n1\n")
    written(folder / "ImageSets/Main/val.txt", "2\n")
    return folder


def cvat(folder: Path) -> Path:
    names = pictures(folder)
    inner = (
        '<box label="cat" xtl="4" ytl="5" xbr="24" ybr="15" rotation="30" occluded="1" z_order="2">'
        '<attribute name="age">3</attribute></box>'
        '<polygon label="dog" points="4,5;24,5;24,15"/><polyline label="dog" points="4,5;24,5"/>'
        '<ellipse label="cat" cx="10" cy="10" rx="4" ry="5" rotation="10"/><points label="eye" points="4,5;6,7"/>'
        '<mask label="cat" left="2" top="3" width="4" height="2" rle="1, 3, 4"/><tag label="indoor"/>'
        '<skeleton label="person"><points label="head" outside="0" points="4,5"/></skeleton>'
    )
    shown = "".join(
        f'<image id="{at}" name="{name}" subset="train" width="32" height="32">{inner}</image>\n'
        for at, name in enumerate(names)
    )
    written(folder / "annotations.xml", f"<annotations><version>1.1</version>{shown}</annotations>")
    return folder


def labelme(folder: Path) -> Path:
    for name in pictures(folder):
        kinds = {
            "polygon": SQUARE,
            "rectangle": SQUARE[::2],
            "circle": [[10, 10], [14, 10]],
            "point": [[3, 4]],
            "line": SQUARE[:2],
        }
        shapes = [
            {"label": kind, "points": points, "shape_type": kind, "group_id": 1, "flags": {"hard": True}, "description": "x"}
            for kind, points in kinds.items()
        ]
        content = {"version": "5.0", "flags": {"cat": True}, "shapes": shapes, "imagePath": name, "imageData": None}
        written(folder / f"{name[:-4]}.json", {**content, "imageHeight": 32, "imageWidth": 32})
    return folder


REGIONS = [
    {"name": "rect", "x": 1, "y": 1, "width": 20, "height": 9},
    {"name": "polygon", "all_points_x": [4, 24, 24], "all_points_y": [5, 5, 15]},
    {"name": "polyline", "all_points_x": [4, 24, 24, 4], "all_points_y": [5, 5, 15, 5]},
    {"name": "circle", "cx": 10, "cy": 10, "r": 4},
    {"name": "ellipse", "cx": 10, "cy": 10, "rx": 4, "ry": 5, "theta": 0.5},
    {"name": "point", "cx": 10, "cy": 10},
]


def via(folder: Path) -> Path:
    regions = [{"shape_attributes": shape, "region_attributes": {"class": {"cat": True}, "hard": "yes"}} for shape in REGIONS]
    entries = {
        name: {"filename": name, "size": 1, "regions": regions, "file_attributes": {"light": "day"}}
        for name in pictures(folder)
    }
    written(folder / "via.json", {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}})
    return folder


def via_csv(folder: Path) -> Path:
    def cell(value: Any) -> str:
        return '"' + json.dumps(value).replace('"', '""') + '"'

    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rows = [
        f"{name},1,{cell({'light': 'day'})},{len(REGIONS)},{at},{cell(shape)},{cell({'class': 'cat'})}"
        for name in pictures(folder)
        for at, shape in enumerate(REGIONS)
    ]
    written(folder / "via.csv", "\n".join([head, *rows]))
    return folder


def label_studio(folder: Path) -> Path:
    size = {"original_width": 32, "original_height": 32, "image_rotation": 0}
    place = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 15}
    results = [
        {"id": "a", "type": "rectanglelabels", **size, "value": {**place, "rectanglelabels": ["cat"]}},
        {"id": "b", "type": "polygonlabels", **size, "value": {"points": SQUARE, "polygonlabels": ["dog"]}},
        {"type": "ellipselabels", **size, "value": {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5, "ellipselabels": ["cat"]}},
        {"type": "keypointlabels", "parentID": "a", **size, "value": {"x": 5, "y": 5, "width": 1, "keypointlabels": ["eye"]}},
        {"type": "choices", "from_name": "kind", "value": {"choices": ["indoor"]}},
        {"type": "brushlabels", "value": {"format": "rle", "rle": [1, 2]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
        {"id": "c", "type": "rectangle", **size, "value": place},
        {"id": "c", "type": "labels", **size, "value": {**place, "labels": ["cat"]}},
    ]
    annotations = [{"was_cancelled": False, "result": results}, {"was_cancelled": True, "result": []}]
    tasks = [
        {"id": at, "data": {"image": f"/data/upload/{name}"}, "annotations": annotations}
        for at, name in enumerate(pictures(folder))
    ]
    written(folder / "tasks.json", tasks)
    return folder


def createml(folder: Path) -> Path:
    objects: list[Any] = [{"label": "cat", "coordinates": {"x": 14, "y": 10, "width": 20, "height": 10}}, {"label": "dog"}]
    entries = [{"image": name, "annotations": objects} for name in pictures(folder)]
    written(folder / "_annotations.createml.json", [*entries, {"imagefilename": "0.png", "annotation": "cat"}])
    return folder


def box_csv(folder: Path) -> Path:
    rows = [f"{name},32,32,cat,4,5,24,15,train" for name in pictures(folder) * 2]
    written(folder / "_annotations.csv", "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax,split", *rows]))
    return folder


def retinanet(folder: Path) -> Path:
    written(folder / "boxes.csv", "\n".join([f"{name},4,5,24,15,cat" for name in pictures(folder)] + ["2.png,,,,,"]))
    return folder


def one_cell(folder: Path) -> Path:
    written(
        folder / "train.csv",
        "\n".join(["image_id,width,height,bbox", *(f'{name[:-4]},32,32,"[4, 5, 20, 10]"' for name in pictures(folder))]),
    )
    return folder


def csv(folder: Path) -> Path:
    rows = [f"{name};cat;train;3;a b" for name in pictures(folder)]
    return written(folder / "table.csv", "\n".join(["sep=;", "file_name;label;split;age;note", *rows]))


def tsv(folder: Path) -> Path:
    rows = [f'C:\\data\\{name}\tcat\t"a\tb"' for name in pictures(folder)]
    return written(folder / "table.tsv", "\n".join(["image\tclass\tnote", *rows]))


def metadata_jsonl(folder: Path) -> Path:
    for split in ("train", "test"):
        rows = [{"file_name": name, "label": "cat", "camera": {"iso": 3}} for name in pictures(folder / split)]
        written(folder / split / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def cifar_binary(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        (folder / f"{name}.bin").write_bytes(chance.integers(0, 2, (3, 2 + 3072), np.uint8).tobytes())
    for kind in ("fine", "coarse"):
        written(folder / f"{kind}_label_names.txt", "cat\ndog\n")
    return folder


def cifar_100(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        data = chance.integers(0, 256, (3, 3072), np.uint8)
        labels = {b"fine_labels": [0, 1, 0], b"coarse_labels": [0, 0, 0], b"filenames": [b"a", b"b", b"c"]}
        (folder / name).write_bytes(pickle.dumps({b"data": data, **labels}, 2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"cat", b"dog"], b"coarse_label_names": [b"pet"]}, 2))
    return folder


def pets(folder: Path) -> Path:
    path = few(examples.pets)(folder)
    box = "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>24</xmax><ymax>15</ymax></bndbox>"
    for file in (path / "images").iterdir():
        text = f"<annotation><filename>{file.name}</filename><object><name>cat</name>{box}</object></annotation>"
        written(path / f"annotations/xmls/{file.stem}.xml", text)
    return path


def imagenet(folder: Path) -> Path:
    path = few(examples.imagenet)(folder)
    names = pictures(path / "ILSVRC/Data/CLS-LOC/val")
    words = (path / "LOC_synset_mapping.txt").read_text("utf-8").split()[0]
    rows = "".join(f"{name[:-4]},{words} 1 1 9 9 {words} 2 2 8 8\n" for name in names)
    written(path / "LOC_val_solution.csv", f"ImageId,PredictionString\n{rows}")
    return path


def parquet(folder: Path) -> Path:
    """Rows with boxes, outlines, keypoints and masks, as the exporter writes them."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    names = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    features = {"label": names, "objects": {"bbox": {}, "category": {"feature": names, "_type": "Sequence"}}}
    pictured = [{"bytes": (folder / name).read_bytes(), "path": name} for name in pictures(folder)]
    outline = [[float(value) for corner in SQUARE for value in corner]]
    rows = [
        {
            "image": picture,
            "label": 1,
            "objects": {"bbox": [[4.0, 5.0, 20.0, 10.0]] * 2, "category": [0, 1], "segmentation": [outline, []]},
            "keypoints": {"x": [1.5], "y": [2.5], "label": ["eye"], "visible": [True], "object": [1]},
            "mask": picture,
        }
        for picture in pictured
    ]
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    write_table(table, folder / "train.parquet")
    return folder


def tfrecord(folder: Path) -> Path:
    """The example, and one without texts, whose class has a number."""
    path = few(examples.tfrecord)(folder)
    picture = next((folder / "sorted").rglob("*.png")).read_bytes()
    tfrecords.write(path / "test.tfrecord", [{"image/encoded": [picture], "image/class/label": [1], "image/height": [32]}] * 2)
    written(path / "classes.txt", "cat\ndog\n")
    return path


EXAMPLES: dict[str, Example] = {
    "coco": Example("coco", coco, (".json",), {"masks": True, "crowds": True}),
    "coco (boxes)": Example("coco", coco, (".json",), {"label": "largest"}),
    "coco_panoptic": Example("coco_panoptic", few(examples.coco_panoptic), (".json",)),
    "yolo": Example("yolo", few(examples.yolo), (".txt",)),
    "yolo (polygons)": Example("yolo", yolo_polygons, (".txt",)),
    "yolo (pose)": Example("yolo", yolo_pose, (".txt", ".yaml")),
    "voc": Example("voc", voc, (".xml", ".txt")),
    "csv": Example("csv", csv, (".csv",)),
    "tsv": Example("csv", tsv, (".tsv",)),
    "metadata.csv": Example("metadata", few(examples.metadata), (".csv",)),
    "metadata.jsonl": Example("metadata", metadata_jsonl, (".jsonl",)),
    "parquet": Example("parquet", parquet, (".parquet",)),
    "arrow": Example("arrow", few(examples.arrow), (".arrow", ".json")),
    "cvat": Example("cvat", cvat, (".xml",)),
    "labelme": Example("labelme", labelme, (".json",)),
    "via": Example("via", via, (".json",)),
    "via (CSV)": Example("via", via_csv, (".csv",)),
    "label_studio": Example("label_studio", label_studio, (".json",)),
    "createml": Example("createml", createml, (".json",)),
    "box_csv": Example("box_csv", box_csv, (".csv",)),
    "box_csv (retinanet)": Example("box_csv", retinanet, (".csv",)),
    "box_csv (bbox)": Example("box_csv", one_cell, (".csv",)),
    "image_list": Example("image_list", few(examples.image_list), (".txt",)),
    "cub": Example("cub", few(examples.cub), (".txt",)),
    "pets": Example("pets", pets, (".txt", ".xml")),
    "food101": Example("food101", few(examples.food101), (".txt",)),
    "imagenet": Example("imagenet", imagenet, (".txt", ".csv")),
    "roboflow_labels": Example("roboflow_labels", few(examples.roboflow_labels), (".csv",)),
    "roboflow_masks": Example("roboflow_masks", few(examples.roboflow_masks), (".csv",)),
    "idx": Example("idx", few(examples.idx), ("",)),
    "cifar": Example("cifar", few(examples.cifar), ("", ".meta")),
    "cifar (100)": Example("cifar", cifar_100, ("",)),
    "cifar (binary)": Example("cifar", cifar_binary, (".bin", ".txt")),
    "tfrecord": Example("tfrecord", tfrecord, (".tfrecord", ".pbtxt", ".txt")),
    "npz": Example("npz", few(examples.npz), (".npz",)),
    "hdf5": Example("hdf5", few(examples.hdf5), (".h5",)),
}
