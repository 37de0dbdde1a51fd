"""The stage ``rename_classes``: names of images and boxes, what is dropped, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipekit import images
from pipekit.builtin.rename_classes import RenameClassesParams, RenameParams, mask_values, rename, renamed_list
from pipekit.contract import Box, Keypoint, Sample, Targets
from pipekit.errors import UserError
from tests.conftest import DATA, Trial


def renamed(sample: Sample, **values: Any) -> list[Sample]:
    return list(rename(sample, RenameParams(**values), None))  # type: ignore[arg-type]


BOXES = (Box(0, 0, 5, 5, "cat"), Box(1, 1, 9, 9, "dog", ((1, 1, 9, 1, 9, 9),)), Box(2, 2, 4, 4, "cow"))
POINTS = (Keypoint(1, 1, "nose", of=0), Keypoint(2, 2, "nose", of=1), Keypoint(3, 3, "centre"), Keypoint(3, 3, "tail", of=2))


def test_boxes_are_renamed_and_keypoints_follow_theirs() -> None:
    sample = Sample("a", "a.jpg", label="pets", targets=Targets("m.png", "", BOXES, POINTS))
    (found,) = renamed(sample, classes={"dog": "pet", "cow": "pet"}, drop=["cat"])
    assert found.label == "pets"
    assert found.targets.mask == "m.png"
    assert [(box.label, box.outline) for box in found.targets.boxes] == [("pet", BOXES[1].outline), ("pet", ())]
    assert [(point.label, point.of) for point in found.targets.keypoints] == [("nose", 0), ("centre", None), ("tail", 1)]


def test_names_change_at_once() -> None:
    swap = {"cat": "dog", "dog": "cat"}
    (found,) = renamed(Sample("a", "a.jpg", label="dog", targets=Targets(boxes=BOXES)), classes=swap)
    assert found.label == "cat"
    assert [box.label for box in found.targets.boxes] == ["dog", "cat", "cow"]


def test_others_are_dropped_where_asked() -> None:
    sample = Sample("a", "a.jpg", targets=Targets(boxes=BOXES))
    (found,) = renamed(sample, classes={"dog": "dog"}, others="drop")
    assert [box.label for box in found.targets.boxes] == ["dog"]
    assert found.label is None, "an image without a label is not one of a class"
    assert renamed(Sample("a", "a.jpg", label="cow"), classes={"dog": "dog"}, others="drop") == []


def test_an_image_without_its_boxes_is_kept_or_left_out() -> None:
    sample = Sample("a", "a.jpg", targets=Targets(boxes=BOXES[:1]))
    empty = Sample("b", "b.jpg")
    (found,) = renamed(sample, drop=["cat"])
    assert found.targets.boxes == ()
    assert renamed(sample, drop=["cat"], drop_empty=True) == []
    assert renamed(empty, drop=["cat"], drop_empty=True) == [empty], "it had none before"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "names no class"),
        ({"classes": {"a": " "}}, "the new name of 'a' is empty"),
        ({"classes": {"a": "b"}, "drop": ["a"]}, "'a' is in classes and in drop"),
    ],
)
def test_parameters_that_contradict_themselves(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RenameClassesParams(**values)


def draw(trial: Trial, *names: str) -> None:
    for number, name in enumerate(names):
        path = trial.path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.full((20, 30, 3), 10 * number, np.uint8))


def test_folders_are_merged_and_dropped(trial: Trial) -> None:
    draw(trial, "cat/1.png", "kitten/1.png", "dog/1.png", "unclear/1.png")
    stage = {"use": "rename_classes", "classes": {"kitten": "cat"}, "drop": ["unclear"]}
    made = trial.run({"data": DATA, "some": stage}).artifact("some")
    assert {one.id: one.label for one in made} == {"cat/1.png": "cat", "kitten/1.png": "cat", "dog/1.png": "dog"}
    assert made.classes == ("cat", "dog")
    assert made.meta["facts"] == {"classes": "4 to 2", "left out": "1"}


def test_a_name_that_is_not_there_is_an_error(trial: Trial) -> None:
    draw(trial, "cat/1.png", "dog/1.png")
    with pytest.raises(UserError, match="no image, box or mask has the class 'cta'") as caught:
        trial.run({"data": DATA, "some": {"use": "rename_classes", "classes": {"cta": "pet"}}})
    assert "Did you mean 'cat'? The classes are: cat, dog." in caught.value.hint
    with pytest.raises(UserError, match="no image is left"):
        trial.run({"data": DATA, "some": {"use": "rename_classes", "drop": ["cat", "dog"]}})


def test_boxes_of_coco_are_dropped_and_counted(trial: Trial) -> None:
    draw(trial, "1.png", "2.png")
    boxes = [(1, 1, [2, 2, 5, 5]), (1, 2, [3, 3, 9, 9]), (2, 2, [0, 0, 8, 8])]
    found = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 30, "height": 20} for number in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": 9, "iscrowd": 0}
            for number, (image, category, box) in enumerate(boxes)
        ],
    }
    (trial.path / "images" / "instances.json").write_text(json.dumps(found))
    data = {"use": "import.coco", "path": "images"}
    made = trial.run({"data": data, "some": {"use": "rename_classes", "drop": ["dog"]}}).artifact("some")
    assert {one.id: [box.label for box in one.targets.boxes] for one in made} == {"1.png": ["cat"], "2.png": []}
    assert made.meta["facts"]["boxes dropped"] == "2"


LISTED = [
    {"name": "background", "number": 0},
    {"name": "van", "number": 7},
    {"name": "car", "number": 2},
    {"name": "sky", "number": 5},
]


def test_a_list_of_classes_keeps_its_order_and_the_number_of_the_name_that_stays() -> None:
    params = RenameClassesParams(classes={"van": "car", "background": "other"}, drop=("sky",))
    assert renamed_list(LISTED, params) == [{"name": "other", "number": 0}, {"name": "car", "number": 2}]
    assert mask_values(LISTED, params) == {7: 2, 5: 0}
    assert mask_values(LISTED, RenameClassesParams(classes={"van": "bus"})) == {}, "a new name changes no pixel"


PLUGIN = """
import pipekit

@pipekit.stage
def listed(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Dataset:
    \"\"\"The same samples, with a list of what the values of masks mean.\"\"\"
    return ctx.dataset(dataset, categories={"masks": LISTED})

@pipekit.hookimpl
def register_stages(register):
    register("listed", listed)
"""


def test_merged_and_dropped_classes_change_the_pixels_of_masks(trial: Trial) -> None:
    (trial.path / "listing.py").write_text(f"LISTED = {LISTED!r}\n{PLUGIN}")
    for folder in ("images", "masks"):
        (trial.path / "images" / folder).mkdir()
    images.write(trial.path / "images/images/a.png", np.zeros((2, 3, 3), np.uint8))
    images.write(trial.path / "images/masks/a.png", np.array([[0, 7, 2], [5, 9, 255]], np.uint8))
    stages: dict[str, dict[str, Any]] = {
        "data": {"use": "import.masks", "path": "images"},
        "named": {"use": "listed"},
        "some": {"use": "rename_classes", "classes": {"van": "car"}, "drop": ["sky"]},
    }
    made = trial.run(stages, plugins=["listing.py"]).artifact("some")
    (sample,) = made
    assert images.read_mask(sample.targets.mask).tolist() == [[0, 2, 2], [0, 9, 255]]
    assert [entry["name"] for entry in made.meta["categories"]["masks"]] == ["background", "car"]


def test_several_labels_are_renamed_merged_and_dropped() -> None:
    sample = Sample("a", "a.jpg", labels=("cat", "dog", "kitten"))
    (found,) = renamed(sample, classes={"kitten": "cat"}, drop=["dog"])
    assert found.labels == ("cat",)
    (bare,) = renamed(sample, drop=["cat", "dog", "kitten"])
    assert bare.labels == (), "none of the labels, and not unlabelled"
    assert renamed(sample, drop=["cat", "dog", "kitten"], drop_empty=True) == []
    assert renamed(Sample("b", "b.jpg", labels=()), drop=["cat"], drop_empty=True)[0].labels == ()


def test_a_dataset_of_several_labels_has_the_new_ones_and_one_of_numbers_is_refused(trial: Trial) -> None:
    images.write(trial.path / "a.png", np.zeros((8, 8, 3), np.uint8))
    images.write(trial.path / "b.png", np.full((8, 8, 3), 9, np.uint8))
    (trial.path / "labels.csv").write_text("file,labels,size\na.png,cat|kitten,1\nb.png,dog,2\n")
    table = {"use": "import.csv", "path": "labels.csv"}
    stages: dict[str, Any] = {
        "data": {**table, "task": "multilabel", "label": "labels"},
        "new": {"use": "rename_classes", "dataset": "data", "classes": {"kitten": "cat"}},
    }
    made = trial.run(stages).artifact("new")
    assert (made.task, list(made.classes)) == ("multilabel", ["cat", "dog"])
    stages["data"] = {**table, "task": "number", "label": "size"}
    with pytest.raises(UserError, match="a number has no classes to rename"):
        trial.run(stages)
    stages = {"data": stages["data"], "new": {"use": "tile", "dataset": "data"}}
    with pytest.raises(UserError, match="the number of a whole image does not hold for its tiles"):
        trial.run(stages)
