"""Datasets of any number of rows, for `million.py`: images are links to one tiny file."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lines(file: Path, head: str, row: Callable[[int], str], tail: str, count: int, between: str = "\n") -> Path:
    """Write ``head``, rows and ``tail``, a thousand rows at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        out.write(head)
        for start in range(0, count, 1000):
            stop = min(count, start + 1000)
            out.write(between.join(map(row, range(start, stop))) + (between if stop < count else ""))
        out.write(tail)
    return file


def image(file: Path) -> Path:
    """A readable image."""
    import numpy as np

    from pipekit import images

    file.parent.mkdir(parents=True, exist_ok=True)
    images.write(file, np.zeros((40, 60, 3), np.uint8))
    return file


def stem(at: int) -> str:
    """The name of an image without its suffix: one of two classes."""
    return f"{'cat' if at % 2 else 'dog'}_{at}"


_LINKS: dict[tuple[int, str, Path], Path] = {}
"""Folders of links: their number, suffix and file -> where the folder is now."""


def links(place: Path, count: int, suffix: str, file: Path) -> None:
    """A folder of links to one file, ``dog_0.jpg`` and so on. It is moved from the reader that had it before."""
    place.parent.mkdir(parents=True, exist_ok=True)
    key = count, suffix, file
    if before := _LINKS.get(key):
        before.rename(place)
    else:
        place.mkdir()
        for at in range(count):
            os.symlink(file, f"{place}/{stem(at)}{suffix}")  # noqa: PTH211 (a million of them)
    _LINKS[key] = place


def pictures(place: Path, count: int) -> None:
    """A folder of links to one JPEG."""
    links(place, count, ".jpg", _shared(place) / "one.jpg")


def _shared(place: Path) -> Path:
    """The folder of the files that links lead to: ``shared`` in the folder of all data."""
    return next(folder / "shared" for folder in place.parents if (folder / "shared").is_dir())


def shared_files(folder: Path) -> None:
    """The files that links lead to."""
    import numpy as np

    from pipekit import images

    image(folder / "shared/one.jpg")
    image(folder / "shared/one.png")
    images.write(folder / "shared/mask.png", np.ones((40, 60, 1), np.uint8))
    (folder / "shared/one.txt").write_text("0 0.5 0.5 0.2 0.2\n", "utf-8")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    (folder / "shared/one.xml").write_text(f"<annotation><object><name>dog</name>{box}</object></annotation>", "utf-8")
    shape = {"label": "dog", "points": [[1, 1], [9, 9]], "shape_type": "rectangle", "flags": {}}
    content = {"version": "5", "flags": {}, "shapes": [shape], "imagePath": "", "imageData": None}
    (folder / "shared/one.json").write_text(json.dumps(content), "utf-8")


BOX = {"x": 10, "y": 10, "width": 20, "height": 20}


def coco(folder: Path, count: int) -> Path:
    """An image with as many objects as there are images."""
    pictures(folder / "images", count)
    return _coco(folder, count, '"bbox": [1, 1, 8, 8], "segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]')


def _coco(folder: Path, count: int, entry: str) -> Path:
    def images(at: int) -> str:
        return f'{{"id": {at}, "file_name": "{stem(at)}.jpg", "width": 60, "height": 40}}'

    def row(at: int) -> str:  # in another order than the images
        return f'{{"id": {at}, "image_id": {count - 1 - at}, "category_id": 1, {entry.replace("STEM", stem(count - 1 - at))}}}'

    file = lines(folder / "x.json", '{"categories": [{"id": 1, "name": "x"}], "images": [', images, "", count, ",\n")
    rest = lines(folder / "rest", '], "annotations": [', row, "]}", count, ",\n")
    with file.open("a", encoding="utf-8") as out, rest.open(encoding="utf-8") as text:
        out.writelines(text)
    rest.unlink()
    return file


def coco_panoptic(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    links(folder / "x", count, ".png", _shared(folder) / "mask.png")
    number = 1 + 256 + 65536
    return _coco(
        folder, count, f'"file_name": "STEM.png", "segments_info": [{{"id": {number}, "category_id": 1, "isthing": 1}}]'
    )


def csv(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)

    def row(at: int) -> str:
        return f"images/{stem(at)}.jpg,dog,{'train' if at % 2 else 'test'}"

    return lines(folder / "t.csv", "path,label,split\n", row, "\n", count)


def metadata(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)

    def row(at: int) -> str:
        return f'{{"file_name": "images/{stem(at)}.jpg", "label": "dog", "camera": {at}}}'

    lines(folder / "metadata.jsonl", "", row, "\n", count)
    return folder


def box_csv(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    head = "filename,class,xmin,ymin,xmax,ymax\n"
    return lines(folder / "t.csv", head, lambda at: f"images/{stem(at)}.jpg,dog,1,1,9,9", "\n", count)


def createml(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    objects = json.dumps([{"label": "dog", "coordinates": BOX}])

    def row(at: int) -> str:
        return f'{{"image": "images/{stem(at)}.jpg", "annotations": {objects}}}'

    return lines(folder / "x.json", "[", row, "]", count, ",\n")


def label_studio(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    result = json.dumps([{"result": [{"type": "rectanglelabels", "value": {**BOX, "rectanglelabels": ["dog"]}}]}])

    def row(at: int) -> str:
        return f'{{"data": {{"image": "images/{stem(at)}.jpg"}}, "annotations": {result}}}'

    return lines(folder / "x.json", "[", row, "]", count, ",\n")


def via(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    region = json.dumps([{"shape_attributes": {"name": "rect", **BOX}, "region_attributes": {"class": "dog"}}])

    def row(at: int) -> str:
        name = f"images/{stem(at)}.jpg"
        return f'"{name}": {{"filename": "{name}", "regions": {region}, "file_attributes": {{}}}}'

    return lines(folder / "x.json", '{"_via_settings": {}, "_via_img_metadata": {', row, "}}", count, ",\n")


def via_csv(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    shape = '"{""name"":""rect"",""x"":1,""y"":1,""width"":2,""height"":2}"'
    return lines(folder / "x.csv", head, lambda at: f'images/{stem(at)}.jpg,1,"{{}}",1,0,{shape},"{{}}"', "\n", count)


def cvat(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    box = '<box label="dog" xtl="1" ytl="1" xbr="9" ybr="9" occluded="0"/>'

    def row(at: int) -> str:
        return f'<image id="{at}" name="images/{stem(at)}.jpg" width="60" height="40">{box}</image>'

    return lines(folder / "x.xml", "<annotations><version>1.1</version>\n", row, "</annotations>", count)


def image_list(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    return lines(folder / "train.txt", "", lambda at: f"images/{stem(at)}.jpg dog", "\n", count)


def cub(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    rows: dict[str, Callable[[int], str]] = {
        "images": lambda at: f"{at + 1} {stem(at)}.jpg",
        "image_class_labels": lambda at: f"{at + 1} 1",
        "train_test_split": lambda at: f"{at + 1} 1",
        "bounding_boxes": lambda at: f"{at + 1} 1 1 8 8",
    }
    for name, row in rows.items():
        lines(folder / f"{name}.txt", "", row, "\n", count)
    lines(folder / "classes.txt", "1 dog\n", str, "", 0)
    return folder


def pets(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    for name, first in (("trainval", 0), ("test", 1)):
        lines(folder / f"annotations/{name}.txt", "", lambda at, first=first: f"{stem(2 * at + first)} 1 2 1", "\n", count // 2)  # type: ignore[misc]
    lines(folder / "annotations/list.txt", "", lambda at: f"{stem(at)} 1 2 1", "\n", count)
    return folder


def food101(folder: Path, count: int) -> Path:
    pictures(folder / "images/dog", count)
    lines(folder / "meta/train.txt", "", lambda at: f"dog/{stem(at)}", "\n", count)
    lines(folder / "meta/test.txt", "", str, "", 0)
    return folder


def imagenet(folder: Path, count: int) -> Path:
    image(folder / "val/0.JPEG")
    lines(folder / "LOC_synset_mapping.txt", "n01 dog\n", str, "", 0)
    lines(folder / "LOC_val_solution.csv", "ImageId,PredictionString\n", lambda at: f"{at},n01 1 1 9 9", "\n", count)
    return folder


def folders(folder: Path, count: int) -> Path:
    pictures(folder / "dog", count)
    image(folder / "cat/0.png")
    return folder


def names(folder: Path, count: int) -> Path:
    pictures(folder, count)
    return folder


def masks(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    links(folder / "masks", count, ".png", _shared(folder) / "mask.png")
    return folder


def roboflow_masks(folder: Path, count: int) -> Path:
    links(folder, count // 2, ".jpg", _shared(folder) / "one.jpg")
    for at in range(count // 2):
        (folder / f"{stem(at)}_mask.png").symlink_to(_shared(folder) / "mask.png")
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, dog\n", "utf-8")
    return folder


def yolo(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    links(folder / "labels", count, ".txt", _shared(folder) / "one.txt")
    (folder / "data.yaml").write_text("names: [dog]\n", "utf-8")
    return folder


def voc(folder: Path, count: int) -> Path:
    pictures(folder / "JPEGImages", count)
    links(folder / "Annotations", count, ".xml", _shared(folder) / "one.xml")
    return folder


def labelme(folder: Path, count: int) -> Path:
    pictures(folder / "images", count)
    links(folder / "json", count, ".json", _shared(folder) / "one.json")
    return folder


def videos(folder: Path, count: int) -> Path:
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    out = cv2.VideoWriter(str(folder / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 16))
    frame = np.zeros((16, 32, 3), np.uint8)
    for _ in range(count):
        out.write(frame)
    out.release()
    return folder


def idx(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, magic, values in (("images-idx3", 0x803, bytes(4)), ("labels-idx1", 0x801, b"\xc8")):
        size = struct.pack(">II", 2, 2) if magic == 0x803 else b""
        with (folder / f"train-{name}-ubyte").open("wb") as out:
            out.write(struct.pack(">II", magic, count) + size)
            for _ in range(count):
                out.write(values)
    return folder


def cifar(folder: Path, count: int) -> Path:
    """A file of zeros without blocks on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "data_batch_1.bin").open("wb") as out:
        out.truncate(3073 * count)
    return folder


def arrays(count: int) -> Any:
    import numpy as np

    return {"x_train": np.zeros((count, 2, 2), np.uint8), "y_train": np.full(count, 7)}


def npz(folder: Path, count: int) -> Path:
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "x.npz", **arrays(count))
    return folder / "x.npz"


def hdf5(folder: Path, count: int) -> Path:
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "x.h5", "w") as file:
        for name, values in arrays(count).items():
            file[name] = values
    return folder / "x.h5"


def tfrecord(folder: Path, count: int) -> Path:
    from tests.builtin import tfrecords

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.tfrecord").open("wb") as out:
        out.write(tfrecords.record(tfrecords.example({"image/encoded": [b"\x89PNG\r\n\x1a\n" + bytes(20)]})))
        row = tfrecords.record(tfrecords.example({"image/class/label": [7], "image/object/bbox/xmin": [0.5] * 4}))
        for _ in range(count - 1):
            out.write(row)
    return folder


def _rows(count: int) -> Any:
    """Rows of a table without bytes."""
    import pyarrow as pa

    rows = {"image": [{"bytes": None, "path": None}] * count, "objects": [{"bbox": [[1.0, 1, 8, 8]], "category": [0]}] * count}
    kinds = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(rows["image"], kinds), "objects": rows["objects"]})


def parquet(folder: Path, count: int) -> Path:
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(parents=True, exist_ok=True)
    table = _rows(block := min(count, 10_000))
    with ParquetWriter(folder / "train.parquet", table.schema) as writer:
        for _ in range(count // block):
            writer.write_table(table)
    return folder


def arrow(folder: Path, count: int) -> Path:
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    table = _rows(block := min(count, 1000))
    with pa.OSFile(str(folder / "data.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        for _ in range(count // block):
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}), "utf-8")
    return folder
