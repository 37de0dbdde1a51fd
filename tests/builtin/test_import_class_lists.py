"""The list of classes that each source has: its order, its numbers, and the names that no sample has."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.contract import Categories, Failure
from pipekit.registry.registry import load_registry
from tests.builtin import tfrecords
from tests.builtin.annotated import picture, write
from tests.builtin.test_import_arrow import row, save

REGISTRY = load_registry(installed=False)

ZEBRA_FIRST = ["zebra", "unused", "ant"]
"""Not the sorted order."""


def lists_of(importer: str, path: Path, **values: Any) -> dict[str, list[tuple[str, int | None]]]:
    component = REGISTRY.get("importer", importer)
    module, params = component.load(), component.params_type()
    more = (path.parent / "written",) if "out_dir" in inspect.signature(module.read).parameters else ()
    given = {name: value for name, value in {"path": path, **values}.items() if name in params.model_fields}
    rows = list(module.read(path, params(**given), *more))
    assert not [found for found in rows if isinstance(found, Failure)]
    return {
        found.of: [(entry.name, entry.number) for entry in found.entries] for found in rows if isinstance(found, Categories)
    }


def pets(root: Path) -> Path:
    for name in ("zebra_1", "ant_1"):
        picture(root / f"images/{name}.jpg")
    write(root / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED\nzebra_1 2 1 1\nant_1 7 2 1\n")
    write(root / "annotations/trainval.txt", "zebra_1 2 1 1\n")
    write(root / "annotations/test.txt", "ant_1 7 2 1\n")
    return root


def food101(root: Path) -> Path:
    for name in ("zebra", "ant"):
        picture(root / f"images/{name}/1.jpg")
    write(root / "meta/classes.txt", "\n".join(ZEBRA_FIRST))
    write(root / "meta/train.txt", "zebra/1\n")
    write(root / "meta/test.txt", "ant/1\n")
    return root


def imagenet(root: Path) -> Path:
    picture(root / "val/a.JPEG")
    write(root / "LOC_synset_mapping.txt", "n3 zebra, horse\nn2 unused\nn1 ant\n")
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString\na,n3 1 1 9 9\n")
    return root


def npz(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    arrays = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.array([0, 2])}
    np.savez(root / "a.npz", class_names=np.array(ZEBRA_FIRST), **arrays)  # type: ignore[arg-type]
    return root / "a.npz"


def hdf5(root: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    root.mkdir(exist_ok=True)
    with h5py.File(root / "a.h5", "w") as file:
        file["x_train"], file["y_train"] = np.zeros((2, 4, 4), np.uint8), np.array([0, 2])
        file["list_classes"] = np.array([name.encode() for name in ZEBRA_FIRST])
    return root / "a.h5"


def features() -> dict[str, Any]:
    names = {"names": ZEBRA_FIRST, "_type": "ClassLabel"}
    return {"image": {"_type": "Image"}, "label": names, "objects": {"bbox": {}, "category": {"feature": names}}}


def arrow(root: Path) -> Path:
    image = picture(root.parent / "a.png")
    save(root, [row(image, 2, objects={"bbox": [[1.0, 1.0, 9.0, 9.0]], "category": [0]})], features())
    return root


def parquet(root: Path) -> Path:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    root.mkdir(exist_ok=True)
    rows = [row(picture(root.parent / "a.png"), 2, objects={"bbox": [[1.0, 1.0, 9.0, 9.0]], "category": [0]})]
    described = {"huggingface": json.dumps({"info": {"features": features()}})}
    write_table(pa.Table.from_pylist(rows).replace_schema_metadata(described), root / "train.parquet")
    return root


def tfrecord(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    image = picture(root.parent / "a.png").read_bytes()
    tfrecords.write(root / "train.tfrecord", [{"image/encoded": [image], "image/class/label": [2]}])
    write(root / "classes.txt", "\n".join(ZEBRA_FIRST))
    write(root / "label_map.pbtxt", 'item { id: 9 name: "zebra" } item { id: 3 name: "ant" }')
    return root


def via(root: Path) -> Path:
    picture(root / "a.png")
    region = {
        "shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9},
        "region_attributes": {"kind": "ant"},
    }
    options = dict.fromkeys(ZEBRA_FIRST, "")
    described = {"region": {"kind": {"type": "dropdown", "options": options}}, "file": {}}
    entry = {"filename": "a.png", "size": 1, "regions": [region], "file_attributes": {}}
    project = {"_via_settings": {}, "_via_img_metadata": {"a.png1": entry}, "_via_attributes": described}
    write(root / "x.json", json.dumps(project))
    return root


def label_studio(root: Path) -> Path:
    picture(root / "a.png")
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["ant"]}
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": value}]}]}
    write(root / "x.json", json.dumps([task]))
    labels = "".join(f'<Label value="{name}"/>' for name in ZEBRA_FIRST)
    points = '<KeyPointLabels name="p"><Label value="nose"/></KeyPointLabels>'
    choices = '<Choices name="c"><Choice value="out"/><Choice value="in"/></Choices>'
    write(root / "config.xml", f'<View><RectangleLabels name="r">{labels}</RectangleLabels>{points}{choices}</View>')
    return root


BY_POSITION = [("zebra", 0), ("unused", 1), ("ant", 2)]
WITHOUT_NUMBERS = [(name, None) for name in ZEBRA_FIRST]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (pets, {"labels": [("zebra", 2), ("ant", 7)]}),
        (food101, {"labels": BY_POSITION}),
        (imagenet, {"labels": BY_POSITION, "boxes": BY_POSITION}),
        (npz, {"labels": BY_POSITION}),
        (hdf5, {"labels": BY_POSITION}),
        (arrow, {"labels": BY_POSITION, "boxes": BY_POSITION}),
        (parquet, {"labels": BY_POSITION, "boxes": BY_POSITION}),
        (tfrecord, {"labels": BY_POSITION, "boxes": [("ant", 3), ("zebra", 9)]}),
        (via, {"boxes": WITHOUT_NUMBERS}),
        (label_studio, {"boxes": WITHOUT_NUMBERS, "labels": [("out", None), ("in", None)]}),
    ],
)
def test_the_list_of_a_source_has_its_order_numbers_and_unused_names(
    tmp_path: Path, make: Callable[[Path], Path], expected: dict[str, Any]
) -> None:
    path = make(tmp_path / "data")
    assert lists_of(make.__name__, path) == expected


def test_the_list_follows_the_parameter_that_chooses_the_class(tmp_path: Path) -> None:
    assert lists_of("pets", pets(tmp_path / "pets"), label="species") == {"labels": [("cat", 1), ("dog", 2)]}
    assert lists_of("imagenet", imagenet(tmp_path / "net"), label="synset", boxes=False) == {
        "labels": [("n3", 0), ("n2", 1), ("n1", 2)]
    }
