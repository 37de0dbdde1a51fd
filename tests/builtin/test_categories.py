"""The list of classes of a dataset: order, numbers and unused names, from an import through the stages to an export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipekit import images
from pipekit.artifacts import class_order, in_order, joined_categories
from pipekit.builtin.exporters import tfrecord
from pipekit.contract import Box, Categories, Category, Dataset, Sample, Targets
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.store.rows import from_row, to_row
from tests.builtin.annotated import picture, write
from tests.builtin.exporting import as_dataset

DOORS = ["closed_door", "opened_door", "bus", "number"]


def doors(root: Path) -> Path:
    """Boxes of the classes 0, 2 and 3; the second name is unused."""
    chance = np.random.default_rng(0)
    for at, number in enumerate((0, 2, 3, 0, 2, 3)):
        path = picture(root / f"images/train/{at}.png")
        images.write(path, images.resize(chance.integers(0, 255, (6, 6, 3), np.uint8), (48, 64)))
        write(root / f"labels/train/{at}.txt", f"{number} 0.5 0.5 0.2 0.2\n")
    write(root / "data.yaml", yaml.safe_dump({"train": "images/train", "names": DOORS}))
    return root


def run(folder: Path, *stages: tuple[str, dict[str, Any]]) -> Any:
    """The outcome of stages, each with the one before as its dataset."""
    adhoc = AdhocPipeline(base_dir=folder, settings={"executor": "serial"})
    last = ""
    for number, (use, params) in enumerate(stages):
        last = adhoc.add(f"s{number}", use, **({"dataset": last} if last else {}), **params)
    return adhoc.run()


AUGMENT = ("augment", {"ops": "hflip", "copies": 1})


def test_yolo_numbers_come_back_from_augment(tmp_path: Path) -> None:
    data = ("import.yolo", {"path": str(doors(tmp_path / "doors"))})
    outcome = run(tmp_path, data, AUGMENT, ("split", {}), ("export.yolo", {}))
    out = outcome.stages[-1].artifact.path
    described = yaml.safe_load((out / "data.yaml").read_text())
    assert described["names"] == dict(enumerate(DOORS))
    numbers = {path.stem: path.read_text().split()[0] for path in out.rglob("labels/*/*.txt")}
    expected = {"0": "0", "1": "2", "2": "3", "3": "0", "4": "2", "5": "3"}
    assert numbers == expected | {f"{name}.aug1": number for name, number in expected.items()}
    assert not [text for text in outcome.stages[-1].warnings if "class numbers" in text]
    dataset = outcome.stages[1].artifact
    assert isinstance(dataset, Dataset)
    assert [(entry.name, entry.number) for entry in dataset.categories("boxes")] == [
        (name, at) for at, name in enumerate(DOORS)
    ]


def test_another_list_of_classes_is_another_dataset(tmp_path: Path) -> None:
    """The labels are the same, and what an exporter writes is not: a cached export would have the old names."""
    data = ("import.yolo", {"path": str(doors(tmp_path / "doors"))})
    first = run(tmp_path, data, ("export.yolo", {})).stages
    again = run(tmp_path, data, ("export.yolo", {})).stages
    assert again[0].artifact.categories("boxes") == first[0].artifact.categories("boxes")
    assert again[1].cached
    write(tmp_path / "doors/data.yaml", yaml.safe_dump({"names": [*DOORS, "sign"]}))
    other = run(tmp_path, data, ("export.yolo", {})).stages
    assert other[0].artifact.digest != first[0].artifact.digest
    assert not other[1].cached
    assert "sign" in (other[1].artifact.path / "data.yaml").read_text()


def test_coco_ids_empty_categories_and_skeletons_come_back(tmp_path: Path) -> None:
    picture(tmp_path / "d/train/a.png")
    picture(tmp_path / "d/train/b.png")
    categories = [
        {"id": 90, "name": "zebra", "supercategory": "animal"},
        {"id": 1, "name": "dog", "supercategory": "animal", "keypoints": ["tail", "nose", "ear"], "skeleton": [[2, 3], [1, 2]]},
        {"id": 44, "name": "unused"},
    ]
    annotation = {"category_id": 1, "bbox": [5.0, 6.0, 20.0, 10.0], "segmentation": [], "iscrowd": 0}
    annotations = [
        {**annotation, "id": 70, "image_id": 9, "area": 123.5, "keypoints": [6, 7, 2, 8, 9, 1, 0, 0, 0], "num_keypoints": 2},
        {**annotation, "id": 71, "image_id": 9, "category_id": 90, "area": 200.0, "iscrowd": 1},
        {**annotation, "id": 30, "image_id": 4, "area": 200.0, "attributes": {"occluded": True, "colour": "red"}},
    ]
    entries = [
        {"id": 9, "file_name": "a.png", "width": 60, "height": 40, "license": 3, "label": "street"},
        {"id": 4, "file_name": "b.png", "width": 60, "height": 40},
    ]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    write(tmp_path / "d/annotations/instances_train.json", json.dumps(content))
    data = ("import.coco", {"path": str(tmp_path / "d")})

    def exported(*stages: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        outcome = run(tmp_path, data, *stages, ("export.coco", {}))
        text = (outcome.stages[-1].artifact.path / "annotations/instances_train.json").read_text("utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    plain = exported()
    assert plain["categories"] == [
        {**entry, **({"keypoints": entry["keypoints"], "skeleton": entry["skeleton"]} if "keypoints" in entry else {})}
        for entry in categories
    ]
    assert plain["images"] == entries
    by_id = {found["id"]: found for found in plain["annotations"]}
    for expected in annotations:
        assert {name: by_id[expected["id"]][name] for name in expected} == expected
    both = exported(AUGMENT)
    assert both["categories"] == plain["categories"]
    assert {image["file_name"]: image["id"] for image in both["images"] if "aug" not in image["file_name"]} == {
        "a.png": 9,
        "b.png": 4,
    }
    ids = [found["id"] for found in both["annotations"]]
    assert len(set(ids)) == len(ids) == 6
    assert {found["area"] for found in both["annotations"] if found["id"] > 71} == {200.0}, "a copy's area is measured"
    assert sorted(found["iscrowd"] for found in both["annotations"]) == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("ignored", [["__ignore__"], []])
def test_the_21_categories_of_labelme_stay_21(tmp_path: Path, ignored: list[str]) -> None:
    names = ["_background_", *(f"class {chr(122 - at)}" for at in range(20))]
    picture(tmp_path / "d/a.png")
    shape = {"label": names[7], "shape_type": "rectangle", "points": [[5, 6], [15, 26]]}
    write(tmp_path / "d/a.json", json.dumps({"shapes": [shape], "imagePath": "a.png", "imageWidth": 60, "imageHeight": 40}))
    write(tmp_path / "d/labels.txt", "\n".join([*ignored, *names]))
    outcome = run(tmp_path, ("import.labelme", {"path": str(tmp_path / "d")}), AUGMENT, ("export.coco", {}))
    written = json.loads((outcome.stages[-1].artifact.path / "annotations/instances_all.json").read_text("utf-8"))
    assert [(entry["id"], entry["name"]) for entry in written["categories"]] == list(enumerate(names))
    assert {found["category_id"] for found in written["annotations"]} == {7}


def test_numeric_names_of_folders_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "2", "b", "a"):
        picture(tmp_path / f"d/{name}/x.png", (20 + len(name), 30))
        picture(tmp_path / f"d/{name}/y.png", (20, 30 + len(name)))
    dataset = run(tmp_path, ("import.folders", {"path": str(tmp_path / "d")})).stages[0].artifact
    assert isinstance(dataset, Dataset)
    assert dataset.classes == ("2", "9", "10", "a", "b")
    assert dataset.meta["classes"] == ["2", "9", "10", "a", "b"]


def test_the_order_of_names_that_no_source_lists() -> None:
    assert sorted(["10", "9", "١", "a", "9" * 30, "B", ""], key=class_order) == ["١", "9", "10", "", "9" * 30, "B", "a"]
    assert in_order(["b", "a", "c"], [Category("c"), Category("z"), Category("b")]) == ("c", "b", "a")


def test_lists_of_several_sources_are_joined_by_name() -> None:
    one = {"boxes": [{"name": "dog", "number": 1}, {"name": "cat", "number": 2}]}
    other = {"boxes": [{"name": "cow", "number": 2}, {"name": "dog", "number": 9, "keypoints": ["nose"]}], "masks": []}
    assert joined_categories([one, other]) == {
        "boxes": [{"name": "dog", "number": 1, "keypoints": ["nose"]}, {"name": "cat", "number": 2}, {"name": "cow"}]
    }
    assert joined_categories([]) == {}


def test_files_that_number_classes_differently_are_said(tmp_path: Path) -> None:
    for split, number in (("train", 1), ("val", 2)):
        picture(tmp_path / f"d/{split}/{split}.png")
        content = {
            "images": [{"id": 1, "file_name": f"{split}.png"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": number, "bbox": [1, 1, 9, 9]}],
            "categories": [{"id": number, "name": "dog"}],
        }
        write(tmp_path / f"d/{split}/_annotations.coco.json", json.dumps(content))
    (stage,) = run(tmp_path, ("import.coco", {"path": str(tmp_path / "d")})).stages
    assert [text for text in stage.warnings if "differently" in text] == [
        "the files of the source number their classes differently: 'dog' is 2 in one and 1 in another; the first file's "
        "numbers are kept"
    ]


def test_a_category_survives_its_json_form() -> None:
    full = Category("dog", 0, ("nose", "tail"), ((0, 1),), (1, 0), "animal")
    assert Category.from_plain(json.loads(json.dumps(full.to_plain()))) == full
    assert Category("dog").to_plain() == {"name": "dog"}
    assert Categories("boxes", (full,)).entries == (full,)


def test_facts_of_boxes_survive_rows() -> None:
    boxes = (Box(0, 0, 1, 1, "a", facts={"difficult": True}), Box(0, 0, 1, 1, "b"), Box(0, 0, 1, 1, "c", ((0.0, 0.0, 1.0),)))
    sample = Sample("a", "a.png", targets=Targets(boxes=boxes))
    assert from_row(json.loads(json.dumps(to_row(sample)))) == sample
    assert len(to_row(sample)["targets"]["boxes"][1]) == 5, "rows without facts are as they were"


def test_lists_of_labels_keep_their_order_and_numbers(tmp_path: Path) -> None:
    for at in range(3):
        picture(tmp_path / f"d/images/{at}.png", (20 + at, 30))
    write(tmp_path / "d/classes.txt", "zebra\nunused\napple\n")
    write(tmp_path / "d/train.txt", "images/0.png 2\nimages/1.png 0\nimages/2.png 2\n")
    outcome = run(tmp_path, ("import.image_list", {"path": str(tmp_path / "d")}), ("export.webdataset", {}))
    dataset = outcome.stages[0].artifact
    assert isinstance(dataset, Dataset)
    assert dataset.classes == ("zebra", "apple"), "a model has an output for each class that occurs"
    assert [entry.name for entry in dataset.categories("labels")] == ["zebra", "unused", "apple"]
    assert (outcome.stages[1].artifact.path / "classes.txt").read_text() == "zebra\nunused\napple\n"


@pytest.mark.parametrize(
    ("listed", "numbers", "said"),
    [
        ([], {"a": 1, "b": 2}, []),
        ([Category("b", 90), Category("unused", 3)], {"b": 90, "unused": 3, "a": 91}, []),
        (
            [Category("b", 0), Category("a", 1)],
            {"b": 1, "a": 2},
            ["1 is added to the class numbers of boxes, since 0 stands for the background"],
        ),
    ],
)
def test_the_label_map_of_tfrecord_has_the_source_s_numbers(
    tmp_path: Path, listed: list[Category], numbers: dict[str, int], said: list[str]
) -> None:
    boxes = (Box(0, 0, 4, 4, "a"), Box(0, 0, 4, 4, "b"))
    made = as_dataset([Sample("a.png", "a.png", targets=Targets(boxes=boxes))])
    made = replace(made, meta={**made.meta, "categories": {"boxes": [entry.to_plain() for entry in listed]}})
    assert tfrecord._box_numbers(made) == numbers
    assert list(tfrecord.limits(made, tfrecord.TfrecordParams())) == said
