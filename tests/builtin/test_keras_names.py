"""Misspelt losses, metrics, optimizers and schedules are mistakes of the pipeline file: found before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.train import keras_names
from pipekit.errors import PlanError
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import Registry, load_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(installed=False)


def test_all_mistakes_are_told_at_once(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    train = {"use": "train", "loss": "hinged", "metrics": ["acuracy", "f1"], "optimizer": "adm", "schedule": "cosin"}
    stages = {"data": {"use": "import.folders", "path": "images"}, "split": {"use": "split"}, "train": train}
    with pytest.raises(PlanError) as caught:
        load_plan(table={"stages": stages}, base_dir=tmp_path, registry=registry)
    told = {problem.path.removeprefix("stages.train."): (problem.message, problem.hint) for problem in caught.value.problems}
    assert told["loss"] == ("Keras has no loss called 'hinged'", "Did you mean 'hinge'?")
    assert told["metrics[0]"] == ("Keras has no metric called 'acuracy'", "Did you mean 'accuracy'?")
    assert set(told) == {"loss", "metrics[0]", "optimizer", "schedule"}
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "categorical_focal_crossentropy"},
        {"loss": "CategoricalFocalCrossentropy"},
        {"metrics": ["precision", "auc", "top_k_categorical_accuracy"]},
        {"loss": "acme>SoftLoss"},
    ],
)
def test_what_keras_or_a_plugin_has_is_accepted(registry: Registry, values: dict[str, Any]) -> None:
    assert registry.problems(registry.get("stage", "train").params_type(), values)[1] == []


def test_another_version_of_keras_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_names, "version", lambda name: "99.0.1")
    keras_names.table.cache_clear()
    assert keras_names.problem_of("loss", "hinged") == ("", "")
    keras_names.table.cache_clear()
    monkeypatch.undo()
    assert keras_names.problem_of("loss", "zzz")[1].startswith("For example: sparse_categorical_crossentropy")
