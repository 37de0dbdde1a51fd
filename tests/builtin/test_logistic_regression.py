"""Logistic regression on features: the layer is scikit-learn's, both classes have weights, and features come from the store."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.builtin.explain import maps, section
from pipekit.builtin.exporters.card import card_text
from pipekit.builtin.models import logistic_regression
from pipekit.builtin.models.logistic_regression import CANDIDATES, LogisticRegressionParams, build, choose_c, fit
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import UserError
from pipekit.learning.efficientnet_lite import LITE0
from pipekit.learning.embeddings import read_embeddings
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.light_predictor import features_predictor, load_light
from pipekit.learning.linear_head import read_head
from pipekit.learning.predictor import load_predictor
from pipekit.learning.unknown import load_unknown
from pipekit.registry.registry import load_registry
from pipekit.testing import write_tiny_dataset


def clouds(count: int, num_classes: int, distance: float, seed: int = 3) -> tuple[Any, Any]:
    """Points in 30 dimensions around a centre for each class."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % num_classes
    centres = np.random.default_rng(0).normal(0, 1, (num_classes, 30))
    return (rng.normal(0, 1, (count, 30)) + distance * centres[numbers]).astype(np.float32), numbers


def batches(x: NDArray[Any], numbers: NDArray[Any], size: int = 16) -> Iterator[Any]:
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        yield x[part], numbers[part], np.ones(len(numbers[part]), np.float32)


def checked(**values: Any) -> LogisticRegressionParams:
    return load_registry(installed=False).check_params(LogisticRegressionParams, values)


@pytest.mark.parametrize(("num_classes", "with_images"), [(2, 2), (4, 3)])
def test_keras_gives_the_probabilities_of_scikit_learn_for_two_classes_and_with_one_that_is_absent(
    num_classes: int, with_images: int
) -> None:
    from sklearn.linear_model import LogisticRegression

    keras = load_keras()
    x, numbers = clouds(60, with_images, 0.4)
    model = keras.Sequential([keras.layers.Input((30,)), keras.layers.Dense(num_classes, "softmax", name="probabilities")])
    fit(model, batches(x, numbers), (), checked(c=0.1), 0)
    middle, spread = logistic_regression.scale_of(x)
    expected = LogisticRegression(C=0.1, max_iter=1000, tol=1e-6).fit((x - middle) / spread, numbers)
    found = model.predict(x, verbose=0)
    np.testing.assert_allclose(found[:, :with_images], expected.predict_proba((x - middle) / spread), atol=2e-4)
    assert (found[:, with_images:] == 0).all()
    kernel = model.get_layer("probabilities").get_weights()[0]
    assert (np.abs(kernel).sum(axis=0)[:with_images] > 0.01).all(), "each class has weights that explain it"
    with pytest.raises(UserError, match="at least two classes"):
        fit(model, batches(x, np.zeros_like(numbers)), (), checked(c=0.1), 0)


class Layer:
    """A dense layer that keeps its weights; its activation is called ``sigmoid``."""

    def activation(self) -> None: ...

    activation.__name__ = "sigmoid"

    def set_weights(self, weights: list[Any]) -> None:
        self.weights = [one.tobytes() for one in weights]


def test_several_labels_have_the_same_weights_on_any_number_of_threads() -> None:
    from threadpoolctl import threadpool_limits

    x = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32)
    labels = (x[:, :5] + np.random.default_rng(1).normal(size=(400, 5)) > 0.5).astype(np.float32)
    found = []
    for threads in (1, 2):
        layer = Layer()
        model = SimpleNamespace(input_shape=(None, 300), get_layer=lambda name, layer=layer: layer)
        with threadpool_limits(threads):
            fit(model, batches(x[:300], labels[:300]), batches(x[300:], labels[300:]), checked(), 0)
        found.append(layer.weights)
    assert found[0] == found[1]


def test_val_chooses_the_regularisation() -> None:
    def chosen(distance: float, flipped: float, num_val: int) -> float:
        x, numbers = clouds(80, 2, distance)
        noisy = np.where(np.random.default_rng(1).random(80) < flipped, 1 - numbers, numbers)
        held, held_numbers = clouds(num_val, 2, distance, seed=4)
        return choose_c(x, noisy, np.ones(80), held, held_numbers, 0)

    assert chosen(1.5, 0.0, 200) > chosen(0.15, 0.3, 200), "clear classes need less regularisation than noise"
    assert chosen(1.5, 0.0, 0) > chosen(0.15, 0.3, 0), "without val, held-out images of train decide"


def test_with_images_enough_val_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def folds(*_: Any) -> Iterator[Any]:
        asked.append(1)
        return iter(())

    monkeypatch.setattr(logistic_regression, "_folds", folds)
    x, numbers = clouds(40, 2, 1.0)
    for num_val, times in ((logistic_regression.ENOUGH, 0), (logistic_regression.ENOUGH - 1, 1)):
        choose_c(x, numbers, np.ones(40), *clouds(num_val, 2, 1.0, seed=5), 0)
        assert len(asked) == times
    assert choose_c(x[:2], numbers[:2], np.ones(2), np.empty((0, 0)), np.empty(0, np.int64), 0) in CANDIDATES


def test_a_map_that_is_the_same_everywhere_is_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    blank, real = np.zeros((4, 4), np.float32), np.arange(16, dtype=np.float32).reshape(4, 4)
    assert maps.is_constant(blank)
    assert maps.is_constant(np.full((4, 4), np.nan, np.float32))
    assert not maps.is_constant(real)
    opened: Any = object()
    for made, believable in ((blank, False), (real, True)):
        monkeypatch.setitem(
            maps.METHODS, "occlusion", lambda where, image, target, made=made: made if where is opened else -blank
        )
        kind = section._checked("occlusion", opened, None, [(np.zeros((4, 4, 3), np.uint8), 0)])  # type: ignore[arg-type]
        assert kind.believable == believable


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    write_tiny_dataset(tmp_path / "images")
    return tmp_path


def shards(project: Path) -> set[str]:
    return {path.parent.name for path in project.glob("store/shards/*/*/rows.jsonl") if b'"features"' in path.read_bytes()}


def test_keras_model_of_a_pipeline_is_whole_and_its_features_are_those_of_embed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = AdhocPipeline(settings={"name": "trial", "seed": 7})
    pipeline.add("data", "import.folders", path="images")
    pipeline.add("split", "split", fractions={"train": 0.7, "val": 0.15, "test": 0.15})
    pipeline.add("embed", "embed")
    pipeline.add("train", "train", dataset="split", model={"template": "auto", "budget": "1s"}, epochs=3)
    pipeline.add("report", "evaluate", dataset="split", explain=0)
    monkeypatch.setattr("pipekit.learning.predictor._open_keras", None)  # the report needs no network
    outcome = pipeline.run()
    monkeypatch.undo()
    made, model = read_embeddings(outcome.artifact("embed")), outcome.artifact("train")
    assert len(shards(project)) == 1, "train has found the features of embed"

    info = json.loads((model.path / "model.json").read_text("utf-8"))
    assert (info["template"], info["chosen_by"], info["params"]["embedder"]) == (
        "logistic_regression",
        "auto",
        {"use": "efficientnet_lite0", "side": None},
    )
    assert "Models tried" in (outcome.artifact("report").path / "report.html").read_text("utf-8")
    assert info["input_shape_hwc"] == [224, 224, 3]
    assert info["pretrained"] is True
    assert info["pretrained_on"]["weights_sha256"] == LITE0.sha256
    card = card_text(info, None)
    assert "Apache-2.0" in card.partition("## Licence")[2]
    assert "ImageNet-1k" in card.partition("## Licence")[2]

    predictor = load_predictor(model.path, load_registry(installed=False).get)
    kernel, bias = load_keras().saving.load_model(model.path / "model.keras").get_layer("probabilities").get_weights()
    scores = made.table.astype(np.float32) @ kernel + bias
    images = np.stack([predictor.prepare(project / "images" / name) for name in made.ids[::5]])
    expected = np.exp(scores[::5] - scores[::5].max(axis=1, keepdims=True))
    found = predictor.probabilities(images)
    head = read_head(model.path, info, load_registry(installed=False).get)
    assert head is not None
    np.testing.assert_allclose(head.probabilities(made.table[::5]), found, atol=1e-4)
    with (outcome.artifact("report").path / "predictions.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ours = head.probabilities(made.table[[made.ids.index(row["id"])]])[0]
            np.testing.assert_allclose([float(row[f"p:{name}"]) for name in info["classes"]], ours, atol=1e-6)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=5e-3)
    light = load_light(model.path, load_registry(installed=False).get)
    shown = project / "shown"
    shown.mkdir()
    for name in model.headline:  # what lies at the top of the run's folder, which people name
        shutil.copy(model.path / name, shown)
    assert features_predictor(shown, load_registry(installed=False).get) is not None, "it predicts without TensorFlow"
    np.testing.assert_allclose(light.probabilities(images), found, atol=1e-4)
    np.testing.assert_allclose(light.scoring().probabilities(images), predictor.scoring().probabilities(images), atol=1e-3)

    stated, unknown = info["unknown"], load_unknown(model.path, info)
    assert unknown is not None
    assert predictor.with_score is not None
    num_train = sum(outcome.artifact("split").counts["train"].values())
    assert (stated["num_images"], stated["num_stored"], stated["share"]) == (num_train, num_train, 0.05)
    in_graph = predictor.with_score(images)
    np.testing.assert_allclose(in_graph[:, :-1], found, atol=1e-5)
    np.testing.assert_allclose(in_graph[:, -1], unknown.scores(made.table[::5]), atol=2e-2)
    noise = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    assert predictor.with_score(noise)[0, -1] > 1


def test_an_embedder_without_keras_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from pipekit.builtin.embedders import efficientnet_lite0
    from pipekit.learning.embedders import facts_of

    monkeypatch.setattr(efficientnet_lite0, "__pipekit_embedder__", replace(facts_of(efficientnet_lite0), keras=None))
    with pytest.raises(UserError, match="no model can be built on it"):
        build((224, 224, 3), 2, checked())
