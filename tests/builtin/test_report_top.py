"""The top of the report: verdict, facts, pictures and next step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.evaluate import top
from pipekit.builtin.report.summary import versus_baseline
from pipekit.contract import Dataset, Sample
from pipekit.learning.evaluation import Evaluation


def evaluation(folder: Path, sure: list[float], wrong: tuple[int, ...] = (), **metrics: Any) -> Evaluation:
    """Two classes; every image is of class ``a``."""
    samples = []
    for number in range(len(sure)):
        file = folder / f"{number}.png"
        images.write(file, np.full((8, 8, 3), number * 9, np.uint8))
        samples.append(Sample(file.name, str(file), label="a", split="test"))
    first = np.array([1 - p if number in wrong else p for number, p in enumerate(sure)])
    found = {
        "accuracy": {"value": 0.9, "low": 0.8, "high": 1.0},
        "baseline": {"class": "a", "accuracy": 0.5},
        "near_copies": None,
        "label_errors": [],
        **metrics,
    }
    counts = {"train": {"a": 9000}, "test": {"a": len(sure)}}
    dataset = Dataset(folder, "", {"counts": counts}, lambda _: iter(samples), lambda _: iter(()))
    model = {"template": "cnn", "input_shape_hwc": [8, 8, 3], "images": {"train": 9000}}
    y_true, table = np.zeros(len(sure), np.int64), np.stack([first, 1 - first], axis=1)
    return Evaluation(("a", "b"), "test", tuple(samples), y_true, table, found, dataset, model=model)


def context(folder: Path) -> Any:
    return SimpleNamespace(project_dir=folder, pipeline_file=None, out_dir=folder / "store" / "out")


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.9, 0.8, 1.0, "clearly better than the baseline of 50 %"),
        (0.7, 0.6, 0.8, "better than the baseline of 50 %, but weak"),
        (0.55, 0.4, 0.7, "not clearly better than the baseline of 50 %"),
        (0.3, 0.2, 0.4, "worse than the baseline of 50 %"),
    ],
)
def test_the_verdict_in_words(value: float, low: float, high: float, said: str) -> None:
    metrics = {"accuracy": {"value": value, "low": low, "high": high}, "baseline": {"accuracy": 0.5}}
    found = top.verdict(metrics, "test").replace("\N{NO-BREAK SPACE}", " ")
    assert found == f"The model classifies {100 * value:.0f} % of the test images correctly: {said}"


def test_the_top_has_six_of_the_most_confident_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    sure = [0.6, 0.9, 0.7, 0.95, 0.8, 0.65, 0.75, 0.99, 0.51]
    found = top.top_of(context(tmp_path), evaluation(tmp_path, sure, wrong=(0, 1, 2, 3, 4, 5, 6)))
    assert found.pictures_title == "Most confident mistakes"
    assert [picture.caption.splitlines()[-1] for picture in found.pictures] == [f"{n}.png" for n in (3, 1, 4, 6, 2, 5)]
    assert found.pictures[0].caption.startswith("a, predicted as b\n95")
    assert dict(found.facts) == {
        "Project": tmp_path.name,
        "Model": "cnn, input 8 x 8 px",
        "Data": f"{tmp_path.name}: 2 classes; train 9,000, test 9",
        "Date": "2001-09-09",
    }


def test_without_mistakes_the_least_sure_are_shown_and_the_model_can_be_used(tmp_path: Path) -> None:
    found = top.top_of(context(tmp_path), evaluation(tmp_path, [0.9, 0.6, 0.8]))
    assert found.pictures_title.startswith("No mistakes")
    assert [picture.caption.splitlines()[-1] for picture in found.pictures] == ["1.png", "2.png", "0.png"]
    assert found.command == "pipekit predict runs/NAME FOLDER"


def test_what_makes_the_result_doubtful_is_said_at_the_top(tmp_path: Path) -> None:
    found = evaluation(tmp_path, [0.9] * 3, near_copies={"count": 2}, label_conflicts={"count": 1})
    assert [text.split("**")[1] for text in top.warnings(found)] == [
        "2 of 3 test images have a copy in train",
        "1 of 3 test images is in the dataset again under another label.",
    ]


def test_groups_that_the_model_has_seen_are_said_first(tmp_path: Path) -> None:
    """Nothing at the top reassures: neither the verdict, nor the step that follows."""
    alike = {"in_train": 3, "option": "--group-pattern '(.+)_'"}
    found = evaluation(tmp_path, [0.9] * 3, name_groups=alike, label_errors=[{"id": "0.png"}])
    said = top.verdict(found.metrics, "test")
    assert said.endswith("their names suggest groups that it has learned from: the figure may be far too high")
    assert "better" not in said
    assert next(top.warnings(found)).startswith("**3 of 3 test images have the stem of a training image**")
    assert top.next_step(context(tmp_path), found)[1].endswith(" --name grouped --group-pattern '(.+)_'")
    metrics = {"name_groups": alike, "baseline": {"class": "a", "accuracy": 0.5}, "accuracy": {"value": 0.9, "low": 0.8}}
    assert versus_baseline(metrics).endswith("Whether the model is better than that on other groups is not known.")
    apart = evaluation(tmp_path, [0.9] * 3, name_groups={**alike, "in_train": 0})
    assert "suggest" not in top.verdict(apart.metrics, "test")


def test_the_next_step_is_the_first_remedy_with_a_command(tmp_path: Path) -> None:
    weak = evaluation(tmp_path, [0.6], accuracy={"value": 0.55, "low": 0.4, "high": 0.7})
    weak.model["images"]["train"] = 20
    step, command = top.next_step(context(tmp_path), weak)
    assert step == "Start from a pretrained network, which needs few images."
    assert command.startswith("pipekit train ")
    assert command.endswith(" --model logistic_regression")
    doubted = evaluation(tmp_path, [0.6], label_errors=[{"id": "0.png"}])
    assert top.next_step(context(tmp_path), doubted)[1] == "pipekit corrections from runs/NAME"
