"""Peak memory of importers on annotation files of a million rows.

    python benchmarks/readers/million.py                           # a table; or: --rows 100000 --readers via createml

Every row is an entry of its own that names an image which is not there (or a label without a name), so it is read, looked up
and listed as failed: what is measured is the reader, not the writing of a million images. Each reader runs in a separate
process, on a file of two rows first; the table has the peak of that process before and after.
"""

from __future__ import annotations

import argparse
import inspect
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


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


def image(file: Path) -> None:
    """A readable image."""
    import numpy as np

    from pipekit import images

    file.parent.mkdir(parents=True, exist_ok=True)
    images.write(file, np.zeros((40, 60, 3), np.uint8))


BOX = {"x": 10, "y": 10, "width": 50, "height": 50}


def coco(folder: Path, count: int) -> Path:
    image(folder / "a.png")
    outline = '"segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]'
    images = '"images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}]'
    head = f'{{{images}, "categories": [{{"id": 1, "name": "x"}}], "annotations": ['

    def row(at: int) -> str:
        return f'{{"id": {at}, "image_id": {at + 2}, "category_id": 1, "bbox": [1, 1, 8, 8], {outline}}}'

    return lines(folder / "x.json", head, row, "]}", count, ",\n")


def csv(folder: Path, count: int) -> Path:
    image(folder / "0.png")
    return lines(folder / "t.csv", "path,label,split\n", lambda at: f"{at}.png,dog,{'train' if at % 2 else 'odd'}", "\n", count)


def metadata(folder: Path, count: int) -> Path:
    image(folder / "0.png")
    lines(folder / "metadata.jsonl", "", lambda at: f'{{"file_name": "{at}.png", "label": "dog", "camera": {at}}}', "\n", count)
    return folder


def box_csv(folder: Path, count: int) -> Path:
    return lines(folder / "t.csv", "filename,class,xmin,ymin,xmax,ymax\n", lambda at: f"{at}.png,dog,1,1,9,9", "\n", count)


def createml(folder: Path, count: int) -> Path:
    objects = json.dumps([{"label": "dog", "coordinates": BOX}])
    return lines(folder / "x.json", "[", lambda at: f'{{"image": "{at}.png", "annotations": {objects}}}', "]", count, ",\n")


def label_studio(folder: Path, count: int) -> Path:
    result = json.dumps([{"result": [{"type": "rectanglelabels", "value": {**BOX, "rectanglelabels": ["dog"]}}]}])
    return lines(
        folder / "x.json", "[", lambda at: f'{{"data": {{"image": "{at}.png"}}, "annotations": {result}}}', "]", count, ",\n"
    )


def via(folder: Path, count: int) -> Path:
    region = json.dumps([{"shape_attributes": {"name": "rect", **BOX}, "region_attributes": {"class": "dog"}}])

    def row(at: int) -> str:
        return f'"{at}.png": {{"filename": "{at}.png", "regions": {region}, "file_attributes": {{}}}}'

    return lines(folder / "x.json", '{"_via_settings": {}, "_via_img_metadata": {', row, "}}", count, ",\n")


def via_csv(folder: Path, count: int) -> Path:
    head = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    shape = '"{""name"":""rect"",""x"":1,""y"":1,""width"":2,""height"":2}"'
    return lines(folder / "x.csv", head, lambda at: f'{at}.png,1,"{{}}",1,0,{shape},"{{}}"', "\n", count)


def cvat(folder: Path, count: int) -> Path:
    box = '<box label="dog" xtl="1" ytl="1" xbr="9" ybr="9" occluded="0"/>'
    return lines(
        folder / "x.xml",
        "<annotations><version>1.1</version>\n",
        lambda at: f'<image id="{at}" name="{at}.png" width="60" height="40">{box}</image>',
        "</annotations>",
        count,
    )


def image_list(folder: Path, count: int) -> Path:
    image(folder / "0.png")
    return lines(folder / "train.txt", "", lambda at: f"{at}.png dog", "\n", count)


def cub(folder: Path, count: int) -> Path:
    image(folder / "images/0.png")
    rows = {"images": "{}.png", "image_class_labels": "1", "train_test_split": "1", "bounding_boxes": "1 1 8 8"}
    for name, text in rows.items():
        lines(folder / f"{name}.txt", "", lambda at, text=text: f"{at + 1} {text.format(at)}", "\n", count)  # type: ignore[misc]
    lines(folder / "classes.txt", "1 dog\n", str, "", 0)
    return folder


def pets(folder: Path, count: int) -> Path:
    image(folder / "images/dog_0.jpg")
    for name in ("trainval", "test", "list"):
        lines(folder / f"annotations/{name}.txt", "", lambda at: f"dog_{at} 1 2 1", "\n", count)
    return folder


def food101(folder: Path, count: int) -> Path:
    image(folder / "images/dog/0.jpg")
    lines(folder / "meta/train.txt", "", lambda at: f"dog/{at}", "\n", count)
    lines(folder / "meta/test.txt", "", str, "", 0)
    return folder


def imagenet(folder: Path, count: int) -> Path:
    image(folder / "val/0.JPEG")
    lines(folder / "LOC_synset_mapping.txt", "n01 dog\n", str, "", 0)
    lines(folder / "LOC_val_solution.csv", "ImageId,PredictionString\n", lambda at: f"{at},n01 1 1 9 9", "\n", count)
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


def parquet(folder: Path, count: int) -> Path:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(parents=True, exist_ok=True)
    block = min(count, 10_000)
    rows = {"image": [{"bytes": None, "path": None}] * block, "objects": [{"bbox": [[1.0, 1, 8, 8]], "category": [0]}] * block}
    kinds = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows["image"], kinds), "objects": rows["objects"]})
    with ParquetWriter(folder / "train.parquet", table.schema) as writer:
        for _ in range(count // block):
            writer.write_table(table)
    return folder


READERS: dict[str, tuple[str, Callable[[Path, int], Path], dict[str, Any]]] = {
    "coco": ("coco", coco, {}),
    "csv": ("csv", csv, {}),
    "metadata (JSON Lines)": ("metadata", metadata, {}),
    "box_csv": ("box_csv", box_csv, {}),
    "createml": ("createml", createml, {}),
    "label_studio": ("label_studio", label_studio, {}),
    "via": ("via", via, {}),
    "via (CSV)": ("via", via_csv, {}),
    "cvat": ("cvat", cvat, {}),
    "image_list": ("image_list", image_list, {}),
    "cub": ("cub", cub, {}),
    "pets": ("pets", pets, {}),
    "food101": ("food101", food101, {}),
    "imagenet": ("imagenet", imagenet, {}),
    "npz": ("npz", npz, {"classes": ["a"]}),
    "hdf5": ("hdf5", hdf5, {"classes": ["a"]}),
    "tfrecord": ("tfrecord", tfrecord, {}),
    "parquet": ("parquet", parquet, {}),
}


def rows_of(name: str, path: Path, out_dir: Path) -> Iterator[Any]:
    from pipekit.registry.registry import load_registry

    importer, _, values = READERS[name]
    component = load_registry(installed=False).get("importer", importer)
    module, params = component.load(), component.params_type()
    more = (out_dir,) if "out_dir" in inspect.signature(module.read).parameters else ()
    assert module.sniff(path), f"{name}: {module.sniff(path)}"
    given = {**values, "path": path}
    yield from module.read(path, params(**{key: value for key, value in given.items() if key in params.model_fields}), *more)


def work(name: str, folder: Path) -> None:
    """In a separate process: read a small file, then the large one."""
    small, large = (Path((folder / which / "path").read_text("utf-8")) for which in ("small", "large"))
    before = _read(name, small, folder)
    start = time.process_time()
    after = _read(name, large, folder)
    print(json.dumps({"rows": after[0], "before_kb": before[1], "peak_kb": after[1], "cpu_s": time.process_time() - start}))


def _read(name: str, path: Path, folder: Path) -> tuple[int, int]:
    count = sum(1 for _ in rows_of(name, path, folder / "written"))
    return count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(name: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        for which, rows in (("small", 2), ("large", count)):
            path = READERS[name][1](Path(scratch) / which / "data", rows)
            (Path(scratch) / which / "path").write_text(str(path), "utf-8")
        size = sum(file.stat().st_size for file in (Path(scratch) / "large").rglob("*") if file.is_file())
        command = [sys.executable, __file__, "--work", name, scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-2000:]}")
        return {**json.loads(done.stdout.splitlines()[-1]), "bytes": size}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS), metavar="NAME")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], Path(options.work[1]))
        return 0
    print("| importer | file | rows read | memory before | peak | processor time |\n|---|---|---|---|---|---|", flush=True)
    for name in options.readers:
        found = measured(name, options.rows)
        memory = " | ".join(f"{found[kind] / 1024:.0f} MB" for kind in ("before_kb", "peak_kb"))
        size = f"{found['bytes'] / 1e6:.0f} MB"
        print(f"| `{name}` | {size} | {found['rows']:,} | {memory} | {found['cpu_s']:.0f} s |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
