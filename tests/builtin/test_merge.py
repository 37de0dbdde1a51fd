"""The stage ``merge``: ids, pictures in several datasets, conflicts, classes and their numbers, and unchanged parts."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipekit import images
from pipekit.builtin.merge import MergeParams
from pipekit.builtin.merge.classes import joined_lists, new_mask_values
from pipekit.contract import Dataset
from pipekit.errors import StageError, UserError
from tests.conftest import Trial

MERGED = {"use": "merge", "datasets": ["one", "two"]}


def draw(trial: Trial, name: str, shade: int) -> None:
    path = trial.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((20, 30, 3), shade, np.uint8))


def folders(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"use": "import.folders", "path": name} for name in names}


def merged(trial: Trial, *names: str, **values: Any) -> Dataset:
    names = names or ("one", "two")
    stages = {**folders(*names), "merged": {"use": "merge", "datasets": list(names), **values}}
    found: Dataset = trial.run(stages, shard_size=2).artifact("merged")
    return found


def warnings(trial: Trial) -> list[str]:
    return [one["message"] for one in trial.told("warning") if one["stage"] == "merged"]


def test_an_id_that_clashes_gets_the_number_of_its_dataset(trial: Trial) -> None:
    for number, name in enumerate(["one/cat/1.png", "one/dog/1.png", "two/cat/1.png", "two/cat/2.png", "three/cat/1.png"]):
        draw(trial, name, 10 * number)
    draw(trial, "one/3/cat/1.png", 99)
    draw(trial, "one/3/cat/2.png", 98)
    made = merged(trial, "one", "two", "three")
    assert sorted(one.id for one in made) == [
        "2/cat/1.png",
        "3/3/cat/1.png",
        "3/cat/1.png",
        "3/cat/2.png",
        "cat/1.png",
        "cat/2.png",
        "dog/1.png",
    ]
    where = {one.id: one.image for one in made}
    assert where["3/3/cat/1.png"].endswith("three/cat/1.png")
    assert made.meta["facts"]["new ids"] == "2"


def test_names_begin_every_id(trial: Trial) -> None:
    draw(trial, "one/cat/1.png", 1)
    draw(trial, "two/cat/1.png", 2)
    made = merged(trial, names=["studio", "street"])
    assert [(one.id, one.label) for one in made] == [("street/cat/1.png", "cat"), ("studio/cat/1.png", "cat")]


def test_a_picture_in_both_is_counted_once_or_said(trial: Trial) -> None:
    draw(trial, "one/cat/1.png", 1)
    draw(trial, "two/cat/1.png", 1)
    draw(trial, "two/cat/other.png", 1)
    draw(trial, "two/cat/3.png", 3)
    made = merged(trial)
    assert [one.id for one in made] == ["cat/1.png", "cat/3.png"]
    assert made.meta["facts"]["counted once"] == "2"
    assert warnings(trial) == []
    made = merged(trial, duplicates="keep")
    assert [one.id for one in made] == ["2/cat/1.png", "cat/1.png", "cat/3.png", "cat/other.png"]
    assert made.meta["facts"]["in several datasets"] == "2"


def test_a_picture_twice_in_one_dataset_stays_as_it_is(trial: Trial) -> None:
    draw(trial, "one/cat/1.png", 1)
    draw(trial, "one/cat/2.png", 1)
    draw(trial, "two/cat/3.png", 3)
    assert [one.id for one in merged(trial)] == ["cat/1.png", "cat/2.png", "cat/3.png"]


def test_a_conflict_is_said_and_settled_as_asked(trial: Trial) -> None:
    draw(trial, "one/cat/1.png", 1)
    draw(trial, "one/cat/again.png", 1)
    draw(trial, "one/dog/1.png", 2)
    draw(trial, "two/dog/5.png", 1)
    made = merged(trial)
    assert [(one.id, one.label) for one in made] == [("cat/1.png", "cat"), ("cat/again.png", "cat"), ("dog/1.png", "dog")]
    (said,) = warnings(trial)
    assert said.startswith(
        "1 picture has other annotations in another dataset: cat/1.png of dataset 1 has the label 'cat', "
        "and dog/5.png of dataset 2 'dog'. The annotations of the first dataset are kept"
    )
    with (made.path / "conflicts.csv").open() as file:
        assert [row["other_id"] for row in csv.DictReader(file)] == ["dog/5.png"]
    assert [one.id for one in merged(trial, conflicts="drop")] == ["dog/1.png"], "its copies in one dataset too"
    with pytest.raises(StageError, match="1 picture has other annotations"):
        merged(trial, conflicts="fail")
    made = merged(trial, duplicates="keep")
    assert len(made) == 4
    assert "Both are kept" in warnings(trial)[0]


def test_what_the_first_does_not_say_is_filled_in(trial: Trial) -> None:
    draw(trial, "one/1.png", 1)
    draw(trial, "one/2.png", 2)
    draw(trial, "two/train/cat/1.png", 1)
    draw(trial, "two/val/cat/7.png", 7)
    made = merged(trial)
    assert [(one.id, one.label, one.split) for one in made] == [
        ("1.png", "cat", "train"),
        ("2.png", None, ""),
        ("val/cat/7.png", "cat", "val"),
    ]
    assert [said for said in warnings(trial) if "annotations in another" in said] == []
    assert "dataset 2 has labels and dataset 1 has none" in warnings(trial)


def test_names_that_may_mean_one_class_are_said(trial: Trial) -> None:
    draw(trial, "one/Stop sign/1.png", 1)
    draw(trial, "two/stop_sign/2.png", 2)
    draw(trial, "two/cat/2.png", 3)
    made = merged(trial)
    assert made.classes == ("Stop sign", "cat", "stop_sign")
    assert warnings(trial) == [
        "the classes 'Stop sign' and 'stop_sign' stay apart, since their names differ; the stage rename_classes makes them one"
    ]


def test_boxes_that_only_one_dataset_marks_are_said(trial: Trial) -> None:
    for number, (folder, label) in enumerate([("one", "cat"), ("two", "dog")]):
        draw(trial, f"{folder}/{number}.png", 10 * number)
        (trial.path / f"{folder}.csv").write_text(
            f"filename,width,height,class,xmin,ymin,xmax,ymax\n{folder}/{number}.png,30,20,{label},1,2,9,9\n"
        )
    stages = {name: {"use": "import.box_csv", "path": f"{name}.csv"} for name in ("one", "two")}
    made = trial.run({**stages, "merged": MERGED}).artifact("merged")
    assert sorted(box.label for one in made for box in one.targets.boxes) == ["cat", "dog"]
    (said,) = warnings(trial)
    assert said.startswith("dataset 1 has no box of dog; dataset 2 has no box of cat. If such objects")


def test_copies_follow_their_originals(trial: Trial) -> None:
    """An original that gets a new id is named by it in its copies, so that a split keeps them together."""
    for number in range(3):
        draw(trial, f"one/cat/{number}.png", 10 * number)
        draw(trial, f"two/cat/{number}.png", 10 * number + 5)
    augmented = {
        f"{name}_more": {"use": "augment", "dataset": name, "ops": "hflip(p=1)", "copies": 2} for name in ("one", "two")
    }
    merge = {"use": "merge", "datasets": ["one_more", "two_more"]}
    for values in ({}, {"names": ["a", "b"]}):
        made = trial.run({**folders("one", "two"), **augmented, "merged": {**merge, **values}}).artifact("merged")
        there = {one.id: one.sha256 for one in made}
        copies = [one.extra["augmented"] for one in made if "augmented" in one.extra]
        assert len(copies) == 12
        assert all(there[copy["of"]] == copy["sha256"] for copy in copies)


def test_parts_that_do_not_change_keep_their_shards(trial: Trial) -> None:
    for number in range(10):
        draw(trial, f"one/cat/{number}.png", 20 * number)
        draw(trial, f"two/dog/d{number}.png", 20 * number + 7)
    stages = {**folders("one", "two"), "merged": MERGED, "stamped": {"use": "stamp", "dataset": "merged"}}
    trial.run(stages, shard_size=2)
    before = trial.shards()
    draw(trial, "two/dog/new.png", 3)
    trial.run(stages, shard_size=2)
    assert "dog/new.png" in trial.done()
    assert len(trial.done()) <= 4, "only the part of the new image is stamped again"
    assert before < trial.shards()


@pytest.mark.parametrize(
    ("values", "message"),
    [({"names": ["a", "a"]}, "each dataset needs a unique name"), ({"names": ["/x"]}, "can't begin an id")],
)
def test_names_that_can_not_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MergeParams(**values)


def test_the_number_of_datasets(trial: Trial) -> None:
    draw(trial, "one/cat/1.png", 1)
    draw(trial, "two/cat/1.png", 2)
    with pytest.raises(UserError, match="nothing to merge: 1 dataset"):
        merged(trial, "one")
    with pytest.raises(UserError, match="2 datasets and 1 names"):
        merged(trial, names=["a"])


# --- lists of classes and masks ------------------------------------------------------------------------------------------


def test_lists_are_joined_by_name_and_masks_renumbered() -> None:
    one = {"masks": [{"name": "background", "number": 0}, {"name": "car", "number": 1}]}
    two = {"masks": [{"name": "sky", "number": 1}, {"name": "car", "number": 2}, {"name": "road", "number": 3}]}
    joined = joined_lists([one, two])
    assert joined["masks"] == [
        {"name": "background", "number": 0},
        {"name": "car", "number": 1},
        {"name": "sky", "number": 4},
        {"name": "road", "number": 3},
    ]
    assert new_mask_values([one, two], joined) == [{}, {1: 4, 2: 1}]


PLUGIN = """
import pipekit

LISTS = {"one": [["car", 1]], "two": [["sky", 1], ["car", 2]]}

class ListedParams(pipekit.Params):
    of: str = "one"

@pipekit.stage
def listed(ctx: pipekit.Context, dataset: pipekit.Dataset, params: ListedParams) -> pipekit.Dataset:
    \"\"\"The same samples, with a list of what the values of masks mean.\"\"\"
    entries = [{"name": name, "number": number} for name, number in LISTS[params.of]]
    return ctx.dataset(dataset, categories={"masks": entries})

@pipekit.hookimpl
def register_stages(register):
    register("listed", listed)
"""


def test_masks_of_the_second_dataset_speak_the_numbers_of_the_joined_list(trial: Trial) -> None:
    (trial.path / "listing.py").write_text(PLUGIN)
    for number, name in enumerate(("one", "two")):
        draw(trial, f"{name}/images/{name}.png", number)
        (trial.path / name / "masks").mkdir()
        images.write(trial.path / name / f"masks/{name}.png", np.full((20, 30), number + 1, np.uint8))
    stages: dict[str, dict[str, Any]] = {}
    for name in ("one", "two"):
        stages[f"{name}_data"] = {"use": "import.masks", "path": name}
        stages[name] = {"use": "listed", "dataset": f"{name}_data", "of": name}
    made = trial.run({**stages, "merged": MERGED}, plugins=["listing.py"]).artifact("merged")
    values = {one.id: set(images.read_mask(one.targets.mask).ravel().tolist()) for one in made}
    assert values == {"one.png": {1}, "two.png": {1}}, "a car is 1 in both"
    assert [(entry["name"], entry["number"]) for entry in made.meta["categories"]["masks"]] == [("car", 1), ("sky", 3)]
