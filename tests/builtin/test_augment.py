"""The stage ``augment``, through the engine: what it makes, what it passes on, and that the seed alone decides."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.augment import output_name
from pipekit.contract import Dataset, Sample
from pipekit.engine.run import run_plan
from pipekit.errors import PlanError, StageError
from pipekit.pipeline.plan import load_plan
from pipekit.recipe import compile_recipe
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for
from tests.builtin.annotated import picture, write

COUNTS = {"train/cat": 5, "train/dog": 3, "val/cat": 1, "val/dog": 1, "test/cat": 1, "test/dog": 2}

MADE = '''
import numpy as np
import pipekit
from pipekit import images


@pipekit.stage
def made(ctx: pipekit.Context) -> pipekit.Dataset:
    """One picture with a mask, a box and a keypoint on its left half."""
    image = np.zeros((60, 100, 3), np.uint8)
    image[20:40, 10:30] = 255
    mask = np.zeros((60, 100), np.uint8)
    mask[20:40, 10:30] = 3
    images.write(ctx.out_dir / "a.png", image)
    images.write(ctx.out_dir / "mask.png", mask)
    targets = pipekit.Targets(
        str(ctx.out_dir / "mask.png"), "", (pipekit.Box(10, 20, 30, 40, "square"),), (pipekit.Keypoint(20, 30, "left_eye"),)
    )
    return ctx.dataset([pipekit.Sample("left/a.png", str(ctx.out_dir / "a.png"), label="left", split="train", targets=targets)])


@pipekit.hookimpl
def register_stages(register):
    register("made", made)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for folder, count in COUNTS.items():
        for number in range(count):
            path = tmp_path / "images" / folder / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            small = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            images.write(path, images.resize(small, (60, 80)))
    return tmp_path


def outcome(project: Path, workers: int = 1, settings: dict[str, Any] | None = None, **params: Any) -> Dataset:
    table = {
        "name": "t",
        "seed": 3,
        "workers": workers,
        **(settings or {}),
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "augment": {"use": "augment", "ops": "keras_tutorial", "copies": 2, **params},
        },
    }
    found = run_plan(load_plan(table=table, base_dir=project)).artifact("augment")
    assert isinstance(found, Dataset)
    return found


def made(dataset: Dataset) -> list[Sample]:
    return [sample for sample in dataset if "augmented" in sample.extra]


def test_only_the_train_split_is_augmented_and_originals_stay(project: Path) -> None:
    dataset = outcome(project, size_hw=[40, 50])
    assert Counter((s.split, s.label) for s in made(dataset)) == {("train", "cat"): 10, ("train", "dog"): 6}
    originals = [s for s in dataset if "augmented" not in s.extra]
    assert len(originals) == sum(COUNTS.values())
    assert all(Path(s.image).is_relative_to(project / "images") for s in originals)
    assert all(images.read(s.image).shape == (40, 50, 3) for s in made(dataset))
    assert dataset.meta["facts"] == {"copies": "16", "originals": "13"}


def test_originals_can_be_left_out_and_splits_chosen(project: Path) -> None:
    dataset = outcome(project, keep_originals=False, splits=["train", "val"])
    assert Counter(s.split for s in made(dataset)) == {"train": 16, "val": 4}
    assert Counter(s.split for s in dataset if "augmented" not in s.extra) == {"test": 3}


@pytest.mark.parametrize("keep_originals", [True, False])
def test_balance_brings_every_class_to_the_same_number(project: Path, keep_originals: bool) -> None:
    dataset = outcome(project, balance=True, keep_originals=keep_originals)
    counts = Counter(s.label for s in dataset if s.split == "train")
    assert counts == {"cat": 15, "dog": 15} if keep_originals else {"cat": 10, "dog": 10}
    each = Counter(s.extra["augmented"]["of"] for s in made(dataset) if s.label == "dog")
    assert max(each.values()) - min(each.values()) <= 1
    assert set(dict(dataset.counts)["test"].values()) == {1, 2}


def test_the_row_tells_how_to_make_the_picture_again(project: Path) -> None:
    dataset = outcome(project, size_hw=[40, 50], format="png")
    registry = load_registry(installed=False)
    recipe = compile_recipe(dataset.meta["params"]["ops"], (40, 50), registry=registry)
    for sample in made(dataset):
        history = sample.extra["augmented"]
        rng = rng_for(dataset.meta["seed"], "augment", "make_copies", history["of"], history["copy"])
        again = recipe.load(project / "images" / history["of"], rng)
        assert np.array_equal(again.image, images.read(sample.image))
        assert [[step.op, dict(step.drawn)] for step in again.steps] == history["steps"]
        assert again.matrix is not None
        assert again.matrix.tolist() == history["matrix"]


def test_workers_shards_and_order_change_nothing(project: Path) -> None:
    digests = set()
    for number, (workers, shard_size, executor) in enumerate([(1, 100, "serial"), (2, 3, "threads"), (2, 1, "processes")]):
        copy = project.parent / f"{project.name}-{number}"
        shutil.copytree(project / "images", copy / "images")
        digests.add(outcome(copy, workers, {"executor": executor, "shard_size": shard_size}).digest)
    assert len(digests) == 1
    assert outcome(project, settings={"seed": 4}).digest not in digests


def test_one_more_image_changes_no_other_copy(project: Path) -> None:
    before = {s.id: s.sha256 for s in made(outcome(project))}
    shutil.copy(project / "images/train/dog/0.jpg", project / "images/train/dog/new.jpg")
    after = {s.id: s.sha256 for s in made(outcome(project))}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


def test_targets_and_labels_move_with_the_pixels(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(MADE)
    table = {
        "name": "t",
        "plugins": ["./made.py"],
        "stages": {
            "data": {"use": "made"},
            "augment": {
                "use": "augment",
                "ops": "hflip(p=1)",
                "copies": 1,
                "mirror_labels": {"left": "right", "right": "left"},
            },
        },
    }
    dataset = run_plan(load_plan(table=table, base_dir=tmp_path)).artifact("augment")
    assert isinstance(dataset, Dataset)
    (sample,) = made(dataset)
    assert sample.id == "left/a.aug1.png"
    assert sample.label == "right"
    assert [(b.x_min, b.y_min, b.x_max, b.y_max) for b in sample.targets.boxes] == [(70, 20, 90, 40)]
    assert [(k.x, k.y, k.label) for k in sample.targets.keypoints] == [(79, 30, "right_eye")]
    mask, image = images.read_mask(sample.targets.mask), images.read(sample.image)
    assert np.array_equal(mask == 3, image[..., 0] == 255)
    assert np.argwhere(mask)[0].tolist() == [20, 70]


def test_a_damaged_image_is_listed_and_leaves_no_copies(project: Path) -> None:
    whole = (project / "images/train/cat/0.jpg").read_bytes()
    (project / "images/train/cat/0.jpg").write_bytes(whole[: len(whole) // 2])
    table = {
        "name": "t",
        "stages": {
            "data": {"use": "import.folders", "path": "images", "verify": "none", "max_failed": 0.5},
            "augment": {"use": "augment", "ops": "hflip", "max_failed": 0.2},
        },
    }
    dataset = run_plan(load_plan(table=table, base_dir=project)).artifact("augment")
    assert isinstance(dataset, Dataset)
    assert [(failure.id, failure.reason) for failure in dataset.failed()] == [("train/cat/0.jpg", "truncated JPEG")]
    assert not any(s.extra["augmented"]["of"] == "train/cat/0.jpg" for s in made(dataset))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ops": "rotate(p=1.2)"}, "less than or equal to 1, got 1.2"),
        ({"interpolation": "cubik"}, "'cubic'"),
        ({"fill_mode": "mirror"}, "'reflect'"),
        ({"ops": "crop(200, 200)", "size_hw": [100, 100]}, "larger than the image"),
        ({"ops": "hflip(p=0)"}, "never changes anything"),
        ({"size_hw": [0, 10]}, "within 1 and 32767"),
        ({"copies": 0}, "greater than or equal to 1"),
        ({"suffix": "a/b"}, "pattern"),
        ({"ops": "mediun"}, "Did you mean 'medium'"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(project: Path, params: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        outcome(project, **params)
    assert message in str(caught.value)


def test_a_split_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(Exception, match="no image is in the splits tran") as caught:
        outcome(project, splits=["tran"])
    assert "'train'" in str(caught.value)


def test_more_failures_than_allowed_stop_the_stage(project: Path) -> None:
    with pytest.raises(StageError, match="larger than the image"):
        outcome(project, ops="crop(70, 70)")


@pytest.mark.parametrize(
    ("sample_id", "format", "name"),
    [
        ("cat/1.jpg", "same", "cat/1.aug2.jpg"),
        ("cat/1.png", "same", "cat/1.aug2.png"),
        ("cat/1.png", "jpg", "cat/1.png.aug2.jpg"),
        ("cat/1.jpeg", "same", "cat/1.jpeg.aug2.jpg"),
        ("cat/1.JPG", "same", "cat/1.JPG.aug2.jpg"),
        ("cat/1.gif", "same", "cat/1.gif.aug2.png"),
        ("no ending", "webp", "no ending.aug2.webp"),
    ],
)
def test_names_never_meet(sample_id: str, format: str, name: str) -> None:
    assert output_name(sample_id, 2, "aug", format)[0] == name


def mirrored_poses(folder: Path, described: str, **params: Any) -> tuple[list[tuple[str, int | None, float]], list[str]]:
    """(name, box, x) of the keypoints of the copies of an image with an object of each class, and the warnings."""
    picture(folder / "images/train/a.png")
    write(folder / "labels/train/a.txt", "0 0.5 0.5 0.9 0.9 0.2 0.5 2 0.8 0.5 2\n1 0.5 0.5 0.9 0.9 0.3 0.5 2 0.7 0.5 2\n")
    write(folder / "data.yaml", "names: {0: owl, 1: fish}\nkpt_shape: [2, 3]\n" + described)
    stages = {
        "data": {"use": "import.yolo", "path": "."},
        "augment": {"use": "augment", "ops": "hflip(p=1)", "copies": 1, "keep_originals": False, **params},
    }
    result = run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=folder))
    dataset = result.artifact("augment")
    assert isinstance(dataset, Dataset)
    (sample,) = dataset
    said = json.loads((folder / "runs/t/run.json").read_text())["stages"][1]["warnings"]
    return [(point.label, point.of, round(point.x)) for point in sample.targets.keypoints], said


@pytest.mark.parametrize("ops", ["hflip(p=1)", "transpose(p=1)|rotate90(turns=[3])", "albu.HorizontalFlip(p=1)"])
def test_a_mirror_table_swaps_names_that_do_not_say_left_or_right(tmp_path: Path, ops: str) -> None:
    found, said = mirrored_poses(tmp_path, "flip_idx: [1, 0]\nkpt_names: {1: [port, starboard]}\n", ops=ops)
    assert [(name, of) for name, of, _ in found] == [("1", 0), ("0", 0), ("starboard", 1), ("port", 1)]
    assert said == []


def test_two_flips_and_an_identity_table_swap_nothing(tmp_path: Path) -> None:
    found, _ = mirrored_poses(tmp_path / "twice", "flip_idx: [1, 0]\n", ops="hflip(p=1)|vflip(p=1)")
    assert [name for name, _, _ in found] == ["0", "1", "0", "1"]
    found, said = mirrored_poses(tmp_path / "same", "flip_idx: [0, 1]\nkpt_names: {0: [left_a, right_a]}\n")
    assert [name for name, _, _ in found] == ["left_a", "right_a", "0", "1"]
    assert said == []


def test_numbered_keypoints_without_a_table_are_counted_once_where_the_recipe_mirrors(tmp_path: Path) -> None:
    found, said = mirrored_poses(tmp_path / "a", "kpt_names: {1: [left_a, right_a]}\n")
    assert [name for name, _, _ in found] == ["0", "1", "right_a", "left_a"]
    assert len(said) == 1
    assert said[0].startswith("left and right can't be told apart in 1 images: their keypoints are named by numbers")
    assert mirrored_poses(tmp_path / "b", "", ops="rotate(20)")[1] == []
    found, said = mirrored_poses(tmp_path / "c", "", mirror_labels={"0": "1", "1": "0"})
    assert [name for name, _, _ in found] == ["1", "0", "1", "0"]
    assert said == []
