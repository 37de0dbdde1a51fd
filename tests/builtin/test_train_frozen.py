"""Features of a frozen network: made once, found again by later trainings, and a whole model at the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.train import frozen
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Model
from pipekit.engine.run import run_plan
from pipekit.errors import PluginError, StageError
from pipekit.learning.keras_backend import load_keras
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.testing.checks import write_tiny_dataset

PLUGIN = '''
"""Two templates on the same frozen network, whose weights hang on nothing."""
import pipekit
from pipekit.learning.keras_backend import load_keras


class FrozenParams(pipekit.Params):
    """Parameters of the templates."""

    dropout: float = pipekit.param(0.0, "Share of units silenced", ge=0, lt=1)
    thaws: bool = pipekit.param(False, "Whether the network learns later")


def build(input_shape_hwc, num_classes, params: FrozenParams):
    """A frozen convolution and what learns from it."""
    keras = load_keras()
    layers = keras.layers
    inner = keras.Sequential(
        [
            layers.Input(input_shape_hwc),
            layers.Conv2D(12, 5, strides=3, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(5)),
            layers.BatchNormalization(),
        ],
        name="network_inside",
    )
    inner.trainable = False
    image = keras.Input(input_shape_hwc)
    x = layers.GlobalMaxPooling2D()(inner(layers.Rescaling(1 / 255)(image), training=False))
    if params.dropout:
        x = layers.Dropout(params.dropout, name="drop")(x)
    return keras.Model(image, layers.Dense(num_classes, "softmax", name="answer")(x))


def other(input_shape_hwc, num_classes, params: FrozenParams):
    """The same, under another name."""
    return build(input_shape_hwc, num_classes, params)


def head(params, epochs):
    return "" if params.thaws else "drop" if params.dropout else "answer"


build.head = head
other.head = head


@pipekit.hookimpl
def register_models(register):
    register("frozen", build)
    register("frozen_too", other)
'''


class Project:
    """A folder with the tiny dataset, in which models are trained."""

    def __init__(self, path: Path) -> None:
        self.path = path
        write_tiny_dataset(path / "images")
        (path / "frozen_plugin.py").write_text(PLUGIN)
        self.registry = load_registry(("frozen_plugin.py",), path, installed=False)
        self.told: list[str] = []

    def train(self, template: str = "frozen", seed: int = 1, dropout: float = 0.0, thaws: bool = False, **values: Any) -> Model:
        stages = {
            "data": {"use": "import.folders", "path": "images", "verify": "none"},
            "split": {"use": "split", "fractions": {"train": 0.7, "val": 0.3}},
            "train": {
                "use": "train",
                "model": {"template": template, "dropout": dropout, "thaws": thaws},
                "input_hw": [24, 24],
                "epochs": 2,
                "seed": 3,
                **values,
            },
        }
        table = {"name": "trial", "seed": seed, "shard_size": 4, "stages": stages}
        plan = load_plan(table=table, base_dir=self.path, registry=self.registry)
        found = run_plan(plan, publish=False).artifact("train")
        assert isinstance(found, Model)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def networks_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """One entry for each time that somebody begins to compute features."""
    read, found = frozen.read_network, []

    def counted(folder: Path) -> Any:
        found.append(folder)
        return read(folder)

    monkeypatch.setattr(frozen, "read_network", counted)
    return found


def test_later_trainings_find_what_the_network_saw(project: Project, networks_read: list[Path]) -> None:
    first = project.train()
    assert networks_read
    networks_read.clear()
    others = [
        project.train(learning_rate=0.1, batch_size=4),
        project.train(dropout=0.5, epochs=3),
        project.train("frozen_too", class_weights="balanced"),
        project.train(seed=2),
    ]
    assert networks_read == [], "the network is not run again"
    assert len({first.digest, *(one.digest for one in others[:3])}) == 4
    project.train(input_hw=[25, 25])
    assert networks_read, "other images, other features"


def test_one_more_image_costs_one_shard(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    load = frozen.data.Loader

    def watched(*args: Any) -> Any:
        read = load(*args)
        return lambda file: (seen.append(file), read(file))[1]

    monkeypatch.setattr(frozen.data, "Loader", watched)
    project.train()
    first = len(seen)
    assert first == 18
    write_tiny_dataset(project.path / "images", per_class=7)
    project.train()
    assert 3 <= len(seen) - first < 18


def test_the_model_is_whole_and_is_what_learning_from_the_images_gives(project: Project) -> None:
    keras = load_keras()
    adhoc, plain = project.train(epochs=4), project.train(epochs=4, features="off")
    model, reference = (keras.models.load_model(found.path / "model.keras") for found in (adhoc, plain))
    assert model.input_shape == (None, 24, 24, 3)
    assert [layer.name for layer in model.layers if layer.name in ("network_inside", "answer")] == ["network_inside", "answer"]
    batch = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), np.uint8).astype(np.float32)
    assert np.allclose(model.predict(batch, verbose=0), reference.predict(batch, verbose=0), atol=1e-4)
    assert np.allclose(model.get_layer("answer").kernel, reference.get_layer("answer").kernel, atol=1e-4)
    histories = [json.loads((found.path / "model.json").read_text())["history"] for found in (adhoc, plain)]
    for row, expected in zip(*histories, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "layer"),
    [
        ({}, "dense"),
        ({"epochs": 7}, "dense"),
        ({"epochs": 8}, ""),
        ({"features": "off"}, ""),
        ({"ops": [{"op": "hflip"}]}, ""),
        ({"mixup": 0.2}, ""),
        ({"mosaic": 0.5}, ""),
    ],
    ids=str,
)
def test_where_images_change_or_the_network_learns_it_is_run_in_every_epoch(values: dict[str, Any], layer: str) -> None:
    registry = load_registry(installed=False)
    params = registry.check_params(TrainParams, {"epochs": 2, **values})
    assert frozen.first_to_learn(SimpleNamespace(head=lambda params, epochs: "dense" if epochs < 8 else ""), params) == layer
    assert frozen.first_to_learn(SimpleNamespace(), params) == "", "most templates have no such part"


def test_images_that_cant_be_read_are_listed_and_left_out(project: Project) -> None:
    broken = project.path / "images" / "discs" / "discs_1.png"
    broken.write_bytes(b"no image")
    with pytest.raises(StageError, match="1 of 18 samples can't be used"):
        project.train()
    model = project.train(max_failed=0.1)
    with (model.path / "left_out.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["discs/discs_1.png"]
    again = project.train(learning_rate=0.1, max_failed=0.1)
    assert (again.path / "left_out.csv").exists(), "also where the features come from the store"


def test_a_head_that_is_none_is_refused(project: Project) -> None:
    keras = load_keras()
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(2, name="learns")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(2, name="answer")(x))
    with pytest.raises(PluginError, match="has no such layer"):
        frozen.cut(model, "nowhere")
    with pytest.raises(PluginError, match="weights before it are trainable: learns/kernel"):
        frozen.cut(model, "answer")
