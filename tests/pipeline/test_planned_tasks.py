"""What does not fit several labels or a number is listed when the pipeline is read, before anything runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.errors import PlanError
from pipekit.pipeline.plan import load_plan
from tests.conftest import Trial


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coco").mkdir()
    for name in ("labels.csv", "angles.csv"):
        (tmp_path / name).write_text("file,label\n")


def problems(stages: dict[str, Any], **more: Any) -> dict[str, str]:
    with pytest.raises(PlanError) as caught:
        load_plan(table={"stages": stages}, base_dir=Path.cwd(), **more)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_six_mistakes_about_several_labels_are_told_at_once() -> None:
    found = problems(
        {
            "photos": {"use": "import.csv", "path": "labels.csv", "task": "multilabel"},
            "split": {"use": "split", "folds": 5, "fold": 0},
            "tiles": {"use": "tile"},
            "train": {
                "use": "train",
                "model": "hog_svm",
                "loss": "huber",
                "metrics": ["rmse"],
                "label_mode": "sparse",
                "class_weights": "balanced",
            },
        }
    )
    assert list(found) == [
        "stages.tiles.use",
        *(f"stages.train.{name}" for name in ("model", "label_mode", "loss", "metrics", "class_weights")),
    ]
    assert "does not support several labels" in found["stages.tiles.use"]


def test_boxes_as_labels_are_several_labels() -> None:
    photos = {"use": "import.coco", "path": "coco", "labels_from": "boxes"}
    found = problems({"photos": photos, "split": {"use": "split"}, "train": {"use": "train", "loss": "mse"}})
    assert list(found) == ["stages.train.loss"]


def test_an_import_with_another_mistake_states_its_task_too() -> None:
    photos = {"use": "import.csv", "path": "missing.csv", "task": "number"}
    found = problems({"photos": photos, "train": {"use": "train", "loss": "hinge"}})
    assert list(found) == ["stages.photos.path", "stages.train.loss"]


def test_a_number_and_the_mistakes_of_the_file_are_told_together() -> None:
    photos = {"use": "import.csv", "path": "angles.csv", "task": "number"}
    found = problems(
        {
            "photos": photos,
            "split": {"use": "splitt"},
            "train": {"use": "train", "dataset": "photos", "ops": "rotate(9)", "mixup": 0.2},
            "calibrate": {"use": "calibrate", "model": "train", "dataset": "photos"},
        }
    )
    assert list(found) == ["stages.split.use", "stages.train.mixup", "stages.train.ops", "stages.calibrate.use"]


@pytest.mark.parametrize(
    ("photos", "train"),
    [
        ({"task": "number"}, {"model": "autoencoder"}),  # it learns from the images alone
        ({"task": "number"}, {"ops": "rotate(9)", "keep_value": True}),
        ({"task": "multilabel"}, {"mixup": 0.2, "threshold": 0.5}),
        ({"task": "multilabel"}, {"model": "auto"}),
        ({"task": "multilabel"}, {"cross_validate": True}),
        ({"task": "number"}, {"cross_validate": True}),
        ({}, {"label_mode": "sparse"}),
    ],
)
def test_what_fits_is_planned(photos: dict[str, Any], train: dict[str, Any]) -> None:
    table = {"photos": {"use": "import.csv", "path": "labels.csv", **photos}, "train": {"use": "train", **train}}
    assert len(load_plan(table={"stages": table}, base_dir=Path.cwd()).stages) == 2


ASK = '''
"""A stage that makes a dataset of another task."""
import pipekit
from pipekit.tasks import supports

class AskParams(pipekit.Params):
    label: str = pipekit.param("", "A label")

def check(task, params):
    if params.label:
        yield "label", f"label = {params.label!r}: not for {task}"

@supports("multilabel", check=check, keeps=False)
@pipekit.stage
def ask(ctx: pipekit.Context, dataset: pipekit.Dataset, params: AskParams) -> pipekit.Dataset:
    """Makes a dataset of another task."""

@pipekit.hookimpl
def register_stages(register):
    register("ask", ask)
'''


def test_a_stage_of_a_plugin_checks_its_own_parameters_and_may_change_the_task(tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(ASK)
    photos = {"use": "import.csv", "path": "labels.csv", "task": "multilabel"}
    table = {"photos": photos, "ask": {"use": "ask", "label": "x"}, "train": {"use": "train", "loss": "mse"}}
    assert problems(table, plugins=["asking.py"]) == {"stages.ask.label": "label = 'x': not for multilabel"}


TRAINED = {
    "split": {"use": "split", "dataset": "photos"},
    "tiles": {"use": "tile", "dataset": "split"},
    "train": {"use": "train", "dataset": "split", "model": "hog_svm", "loss": "huber", "metrics": ["rmse"]},
}


def test_a_task_that_only_the_data_have_is_checked_right_after_the_import(trial: Trial) -> None:
    """Roboflow's tables need no `task`: all that does not fit is listed before the next stage, without TensorFlow."""
    (trial.path / "photos").mkdir()
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        images.write(trial.path / "photos" / name, np.full((8, 8, 3), 10 * number, np.uint8))
    rows = [f"{name}, {number % 2}, {number // 2}" for number, name in enumerate(names)]
    (trial.path / "photos" / "_classes.csv").write_text("\n".join(["filename, cat, dog", *rows]) + "\n")
    photos = {"use": "import.roboflow_labels", "path": "photos"}
    with pytest.raises(PlanError, match=r"4 problems in .*; nothing after 'photos' was run") as caught:
        trial.run({"photos": photos, **TRAINED})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["stages.tiles.use", *(f"stages.train.{name}" for name in ("model", "loss", "metrics"))]
    assert [told["stage"] for told in trial.told("stage_finished")] == ["photos"]
    assert pickle.loads(pickle.dumps(caught.value)).ran == "photos"
    trial.run({"photos": photos, "split": {**TRAINED["split"], "fractions": {"train": 1.0}}})


def test_a_dataset_that_is_there_already_states_its_task(trial: Trial) -> None:
    (trial.path / "photos").mkdir()
    images.write(trial.path / "photos" / "a.png", np.zeros((8, 8, 3), np.uint8))
    (trial.path / "photos" / "_classes.csv").write_text("filename, cat, dog\na.png, 1, 0\n")
    made = trial.run({"photos": {"use": "import.roboflow_labels", "path": "photos"}}).artifact("photos")
    found = problems(TRAINED, given={"photos": made})
    assert list(found) == ["stages.tiles.use", "stages.train.model", "stages.train.loss", "stages.train.metrics"]
