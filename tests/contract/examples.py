"""A small folder in the format of each importer in the box: the tiny dataset, written otherwise."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipekit import images
from pipekit.testing.checks import write_tiny_dataset
from tests.builtin import tfrecords


def files(folder: Path) -> list[Path]:
    return sorted(write_tiny_dataset(folder).rglob("*.png"))


def image(folder: Path) -> Path:
    return files(folder)[0]


def names(folder: Path) -> Path:
    for file in files(folder / "sorted"):
        file.rename(folder / file.name)
        if not any(file.parent.iterdir()):
            file.parent.rmdir()
    (folder / "sorted").rmdir()
    return folder


def csv(folder: Path) -> Path:
    rows = [f"{file.relative_to(folder).as_posix()},{file.parent.name}" for file in files(folder)]
    (folder / "table.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    return folder / "table.csv"


def metadata(folder: Path) -> Path:
    rows = [f"{file.relative_to(folder).as_posix()},{file.parent.name}" for file in files(folder)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *rows]), encoding="utf-8")
    return folder


def parquet(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    found = files(folder / "sorted")
    pictures = [{"bytes": file.read_bytes(), "path": file.name} for file in found]
    write_table(pa.table({"image": pictures, "label": [file.parent.name for file in found]}), folder / "train.parquet")
    return folder / "train.parquet"


def arrow(folder: Path) -> Path:
    import pyarrow as pa

    found = files(folder / "sorted")
    pictures = [{"bytes": file.read_bytes(), "path": file.name} for file in found]
    table = pa.table({"image": pictures, "label": [file.parent.name for file in found]})
    saved = folder / "saved/train"
    saved.mkdir(parents=True)
    with pa.OSFile(str(saved / "data-00000-of-00001.arrow"), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (saved.parent / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return saved.parent


def idx(folder: Path) -> Path:
    found = files(folder / "sorted")
    pixels = np.stack([images.read(file, gray=True)[..., 0] for file in found])
    labels = np.arange(len(found), dtype=np.uint8) % 10
    raw = folder / "raw"
    raw.mkdir()
    (raw / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, *pixels.shape) + pixels.tobytes())
    (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())
    return raw


def coco(folder: Path) -> Path:
    found = files(folder / "images")
    labels = sorted({file.parent.name for file in found})
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    pictures, annotations = [], []
    for number, file in enumerate(found, 1):
        name = file.relative_to(folder / "images").as_posix()
        pictures.append({"id": number, "file_name": name, "width": 32, "height": 32})
        box = {"id": number, "image_id": number, "category_id": labels.index(file.parent.name) + 1, "bbox": [4, 5, 20, 10]}
        annotations.append({**box, "area": 200, "iscrowd": 0})
    (folder / "annotations").mkdir()
    text = json.dumps({"images": pictures, "annotations": annotations, "categories": categories})
    (folder / "annotations" / "instances.json").write_text(text, encoding="utf-8")
    return folder


def coco_panoptic(folder: Path) -> Path:
    """Each image has a thing of 20 x 10 px on stuff."""
    path = coco(folder)
    file = path / "annotations/instances.json"
    content = json.loads(file.read_text("utf-8"))
    numbers = np.full((32, 32, 3), (7, 0, 0), np.uint8)
    numbers[5:15, 4:24] = (1, 1, 0)
    for entry in content["annotations"]:
        name = f"{entry['image_id']:06}.png"
        thing = {"id": 257, "category_id": entry["category_id"], "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0}
        entry.update(file_name=name, segments_info=[thing, {"id": 7, "category_id": 90, "area": 824, "iscrowd": 0}])
        for key in ("bbox", "category_id", "area", "iscrowd", "id"):
            del entry[key]
        (path / "annotations/panoptic").mkdir(exist_ok=True)
        images.write(path / "annotations/panoptic" / name, numbers)
    content["categories"] = [{**entry, "isthing": 1} for entry in content["categories"]]
    content["categories"].append({"id": 90, "name": "grass", "isthing": 0})
    file.unlink()
    (path / "annotations/panoptic.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def masks(folder: Path) -> Path:
    for file in files(folder / "images"):
        path = folder / "masks" / file.relative_to(folder / "images")
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, (images.read(file, gray=True) > 128).astype(np.uint8))
    return folder


def voc(folder: Path) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    for file in files(folder / "sorted"):
        (folder / "JPEGImages").mkdir(exist_ok=True)
        file.rename(folder / "JPEGImages" / file.name)
        box = "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>24</xmax><ymax>15</ymax></bndbox>"
        size = "<size><width>32</width><height>32</height><depth>3</depth></size>"
        text = f"<object><name>{file.parent.name}</name>{box}</object>"
        xml = f"<annotation><filename>{file.name}</filename>{size}{text}</annotation>"
        (folder / "Annotations" / f"{file.stem}.xml").write_text(xml, encoding="utf-8")
    return folder


def yolo(folder: Path) -> Path:
    found = files(folder / "images")
    labels = sorted({file.parent.name for file in found})
    for file in found:
        path = (folder / "labels" / file.relative_to(folder / "images")).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{labels.index(file.parent.name)} 0.5 0.5 0.4 0.3\n", encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(labels), encoding="utf-8")
    return folder


def cvat(folder: Path) -> Path:
    image = '<image id="0" name="{0}/{1}" width="32" height="32">{2}</image>'
    box = '<box label="{}" xtl="4" ytl="5" xbr="24" ybr="15" occluded="1" z_order="2"/>'
    found = [(file.parent.name, file.name) for file in files(folder / "images")]
    entries = [image.format(label, name, box.format(label)) for label, name in found]
    text = f"<annotations><version>1.1</version>{''.join(entries)}</annotations>"
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    return folder


def labelme(folder: Path) -> Path:
    for file in files(folder):
        shape = {"label": file.parent.name, "points": [[4, 5], [24, 15]], "shape_type": "rectangle"}
        content = {"shapes": [shape], "imagePath": file.name, "imageHeight": 32, "imageWidth": 32}
        file.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    return folder / sorted(one.name for one in folder.iterdir())[0]


def via(folder: Path) -> Path:
    shape = {"name": "rect", "x": 4, "y": 5, "width": 20, "height": 10}
    entries = {}
    for file in files(folder / "images"):
        regions = [{"shape_attributes": shape, "region_attributes": {"class": file.parent.name}}]
        name = f"{file.parent.name}/{file.name}"
        entries[f"{name}{file.stat().st_size}"] = {"filename": name, "regions": regions, "file_attributes": {}}
    (folder / "via.json").write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": entries}), encoding="utf-8")
    return folder


def label_studio(folder: Path) -> Path:
    tasks = []
    for file in files(folder / "images"):
        value = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": [file.parent.name]}
        result = {"type": "rectanglelabels", "original_width": 32, "original_height": 32, "value": value}
        data = {"image": f"/data/local-files/?d={file.parent.name}/{file.name}"}
        tasks.append({"id": len(tasks), "data": data, "annotations": [{"result": [result]}]})
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    return folder


def createml(folder: Path) -> Path:
    entries = []
    for file in files(folder / "images"):
        place = {"x": 14, "y": 10, "width": 20, "height": 10}
        objects = [{"label": file.parent.name, "coordinates": place}]
        entries.append({"image": f"{file.parent.name}/{file.name}", "annotations": objects})
    (folder / "_annotations.createml.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def box_csv(folder: Path) -> Path:
    found = [f"{file.parent.name}/{file.name},32,32,{file.parent.name},4,5,24,15" for file in files(folder / "images")]
    text = "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *found])
    (folder / "_annotations.csv").write_text(text, encoding="utf-8")
    return folder


def roboflow_masks(folder: Path) -> Path:
    for file in files(folder / "train"):
        images.write(file.with_name(f"{file.stem}_mask.png"), (images.read(file, gray=True) > 128).astype(np.uint8))
    (folder / "train/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, thing\n", encoding="utf-8")
    return folder


def roboflow_labels(folder: Path) -> Path:
    found = [(file.parent.name, f"{file.parent.name}/{file.name}") for file in files(folder / "images")]
    names = sorted({own for own, _ in found})
    rows = [f"{name},{','.join(str(int(other <= own)) for other in names)}" for own, name in found]
    text = "\n".join([f"filename, {', '.join(names)}", *rows])
    (folder / "images/_classes.csv").write_text(text, encoding="utf-8")
    return folder / "images"


def image_list(folder: Path) -> Path:
    found = [f"images/{file.parent.name}/{file.name} {file.parent.name}" for file in files(folder / "images")]
    (folder / "train.txt").write_text("\n".join(found), encoding="utf-8")
    return folder


def cub(folder: Path) -> Path:
    found = files(folder / "images")
    classes = sorted({file.parent.name for file in found})
    lists = {
        "images.txt": [f"{file.parent.name}/{file.name}" for file in found],
        "image_class_labels.txt": [str(classes.index(file.parent.name) + 1) for file in found],
        "train_test_split.txt": ["1" for _ in found],
        "bounding_boxes.txt": ["4.0 5.0 20.0 10.0" for _ in found],
        "classes.txt": classes,
    }
    for name, rows in lists.items():
        (folder / name).write_text("".join(f"{at} {row}\n" for at, row in enumerate(rows, 1)), encoding="utf-8")
    return folder


def pets(folder: Path) -> Path:
    rows = []
    for number, file in enumerate(files(folder / "sorted")):
        name = f"{file.parent.name}_{number}"
        (folder / "images").mkdir(exist_ok=True)
        images.write(folder / f"images/{name}.jpg", images.read(file))
        rows.append(f"{name} 1 1 1\n")
    (folder / "annotations").mkdir()
    for name, part in (("list", rows), ("trainval", rows[::2]), ("test", rows[1::2])):
        (folder / f"annotations/{name}.txt").write_text("".join(part), encoding="utf-8")
    return folder


def food101(folder: Path) -> Path:
    names = []
    for file in files(folder / "images"):
        images.write(file.with_suffix(".jpg"), images.read(file))
        names.append(f"{file.parent.name}/{file.stem}\n")
    (folder / "meta").mkdir()
    for name, part in (("train", names[::2]), ("test", names[1::2])):
        (folder / f"meta/{name}.txt").write_text("".join(part), encoding="utf-8")
    return folder


def imagenet(folder: Path) -> Path:
    found = files(folder / "ILSVRC/Data/CLS-LOC/train")
    names = "".join(f"{name} {name} one, two\n" for name in sorted({file.parent.name for file in found}))
    (folder / "LOC_synset_mapping.txt").write_text(names, encoding="utf-8")
    return folder


def cifar(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    folder.mkdir()
    for name in ("data_batch_1", "test_batch"):
        data = chance.integers(0, 256, (4, 3072), np.uint8)
        (folder / name).write_bytes(pickle.dumps({b"data": data, b"labels": [0, 1, 0, 1]}, 2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}, 2))
    return folder


def tfrecord(folder: Path) -> Path:
    found = files(folder / "sorted")
    edges = {
        f"image/object/bbox/{edge}": [value] for edge, value in {"xmin": 0.1, "ymin": 0.2, "xmax": 0.5, "ymax": 0.6}.items()
    }
    rows = [
        {"image/encoded": [file.read_bytes()], "image/class/text": [file.parent.name], "image/object/class/label": [1], **edges}
        for file in found
    ]
    (folder / "label_map.pbtxt").write_text("item {\n  id: 1\n  name: 'thing'\n}\n", encoding="utf-8")
    return tfrecords.write(folder / "train-00000-of-00001.tfrecord", rows).parent


def arrays() -> dict[str, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    return {"x_train": pixels, "y_train": np.arange(4) % 2, "x_test": pixels, "y_test": np.arange(4) % 2}


def npz(folder: Path) -> Path:
    folder.mkdir()
    np.savez(folder / "data.npz", **arrays())
    return folder / "data.npz"


def hdf5(folder: Path) -> Path:
    import h5py

    folder.mkdir()
    with h5py.File(folder / "data.h5", "w") as file:
        for name, values in arrays().items():
            file[name] = values
    return folder / "data.h5"


def videos(folder: Path) -> Path:
    import cv2

    for file in files(folder / "sorted")[::6]:
        film = file.parents[2] / f"films/{file.parent.name}/{file.stem}.avi"
        film.parent.mkdir(parents=True)
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 2, (32, 32))
        for _ in range(4):
            writer.write(np.ascontiguousarray(images.read(file)))
        writer.release()
    return folder / "films"


EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "arrow": arrow,
    "box_csv": box_csv,
    "coco": coco,
    "coco_panoptic": coco_panoptic,
    "createml": createml,
    "csv": csv,
    "cvat": cvat,
    "folders": write_tiny_dataset,
    "idx": idx,
    "image": image,
    "label_studio": label_studio,
    "labelme": labelme,
    "masks": masks,
    "metadata": metadata,
    "names": names,
    "parquet": parquet,
    "roboflow_masks": roboflow_masks,
    "roboflow_labels": roboflow_labels,
    "via": via,
    "image_list": image_list,
    "cub": cub,
    "pets": pets,
    "food101": food101,
    "imagenet": imagenet,
    "cifar": cifar,
    "videos": videos,
    "tfrecord": tfrecord,
    "npz": npz,
    "hdf5": hdf5,
    "voc": voc,
    "yolo": yolo,
}
