"""The stage ``calibrate``: a model with its temperature and its decision rule, and what follows from them."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest

from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan
from pipekit.errors import PipekitError, PlanError
from pipekit.learning.decisions import choose_threshold, parse_target
from pipekit.learning.temperature import fitted, scaled
from pipekit.pipeline.plan import load_plan

PAIR = {"classes": ["blue", "green"], "params": {"sureness": 40.0}}


def run(project: Any, calibrate: dict[str, Any]) -> Outcome:
    """A pipeline of two classes, in whose val two images are painted in the other colour."""
    table: dict[str, Any] = {
        "name": "trial",
        "plugins": ["./by_colour.py"],
        "stages": {
            "read": {"use": "import.folders", "path": "images"},
            "data": {"use": "rename_classes", "dataset": "read", "drop": ["red"]},
            "train": {"use": "made_model", "folder": "model"},
            "tuned": {"use": "calibrate", "model": "train", "dataset": "data", **calibrate},
            "answers": {"use": "predict", "model": "tuned", "dataset": "data", "split": "val", "decide": bool(calibrate)},
        },
    }
    return run_plan(load_plan(table=table, base_dir=project.path))


@pytest.fixture
def pair(colour_project: Any) -> Any:
    images = colour_project.path / "images" / "val"
    for number, (own, other) in enumerate((("blue", "green"), ("green", "blue"))):
        target, source = (images / name / f"{name}_{number}.png" for name in (own, other))
        kept = target.read_bytes()
        target.write_bytes(source.read_bytes())
        source.write_bytes(kept)
    colour_project.model(**PAIR)
    return colour_project


def info_of(outcome: Outcome) -> dict[str, Any]:
    return dict(json.loads((outcome.artifact("tuned").path / "model.json").read_text("utf-8")))


def answers_of(outcome: Outcome) -> list[dict[str, str]]:
    with (outcome.artifact("answers").path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_temperature_and_the_threshold_are_those_of_val_and_predict_applies_them(pair: Any) -> None:
    outcome = run(pair, {"target": "recall of green >= 80 %"})
    info, rows = info_of(outcome), answers_of(outcome)
    y_true = np.array([("blue", "green").index(row["image"].split("/")[1]) for row in rows])
    calibrated = np.array([[float(row["p:blue"]), float(row["p:green"])] for row in rows])
    temperature = info["calibration"]["temperature"]
    original = scaled(calibrated, 1 / temperature)
    assert fitted(original, y_true)["temperature"] == pytest.approx(temperature, rel=0.02)
    assert temperature > 1
    entry = choose_threshold(parse_target("recall of green >= 0.8"), ("blue", "green"), calibrated, y_true)
    assert info["decision"]["threshold"] == pytest.approx(entry["threshold"], abs=2e-6)
    assert info["decision"]["val"]["num_right"] == entry["val"]["num_right"]
    said = calibrated[:, 1] >= info["decision"]["threshold"]
    assert [row["predicted"] for row in rows] == ["green" if green else "blue" for green in said]
    assert info["decision"]["target"] == "recall of green >= 0.8", "one form for every spelling"
    assert any("too few to support 'recall of green >= 0.8'" in warning for warning in outcome.stages[3].warnings)
    other = run(pair, {"cost": {"green": {"blue": 9.0}}})
    assert info_of(other)["decision"]["costs"] == [[0, 1], [9, 0]]
    assert other.artifact("tuned").digest != outcome.artifact("tuned").digest


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target": "recall green >= 0.9"}, "a target reads 'recall of CLASS >= 0.95'"),
        ({"target": "recall of green >= 0.9", "cost": {"green": {"blue": 5}}}, "state a target or costs, not both"),
        ({"cost": {"green": {"blue": -5}}}, "a number from 0 up"),
        ({"cost": {"green": 5}}, "cost"),
    ],
)
def test_what_is_wrong_in_itself_is_said_before_anything_runs(colour_project: Any, values: Any, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        run(colour_project, values)
    assert said in str(caught.value)
    assert not (colour_project.path / "runs").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target": "recall of gren >= 0.9"}, "the model has no class 'gren'"),
        ({"cost": {"green": {"gren": 5}}}, "cost: the model has no class 'gren'"),
    ],
)
def test_a_rule_that_does_not_fit_the_model_is_refused(pair: Any, values: Any, said: str) -> None:
    with pytest.raises(PipekitError, match=said):
        run(pair, values)


def test_an_export_with_its_temperature_inside_is_not_calibrated_again(pair: Any) -> None:
    pair.model(**PAIR, calibration={"temperature": 2.0, "applied": True})
    with pytest.raises(PipekitError, match="an export with its temperature inside"):
        run(pair, {})


def test_the_section_says_where_a_target_met_on_val_is_missed_on_test() -> None:
    from pipekit.builtin.report.decision import section

    ctx: Any = None
    figures = {"value": 0.5, "low": 0.157, "high": 0.843}
    found = {
        "rule": "threshold",
        "target": "recall of b >= 0.9",
        "positive": "b",
        "threshold": 0.3,
        "figure": "recall",
        "target_value": 0.9,
        "met": False,
        "num_right": 4,
        "num_counted": 8,
        "num_changed": 2,
        "val": {"value": 1.0, "low": 0.541, "high": 1.0, "num_right": 6, "num_counted": 6},
        "accuracy": {"default": figures, "chosen": figures},
        "recall": {"default": figures, "chosen": figures},
        "precision": {"default": figures, "chosen": figures},
        "confusion_matrix": [[3, 0], [4, 4]],
    }

    def words(**changes: Any) -> str:
        from dataclasses import replace

        from tests.builtin.test_none_of_these import evaluation

        made = section(ctx, replace(evaluation(None), metrics={"decision": {**found, **changes}}))
        assert made is not None
        return made.markdown

    assert "On test it is **missed**: 0.500 (95 % interval 0.157 to 0.843, 4 of 8), beyond chance" in words()
    assert "1.000 there (95 % interval 0.541 to 1.000, 6 of 6" in words()
    assert "The interval does not exclude a lower value" in words(met=True)
    sure = {"value": 1.0, "low": 0.95, "high": 1.0}
    assert "met, beyond chance" in words(met=True, recall={"default": sure, "chosen": sure})
