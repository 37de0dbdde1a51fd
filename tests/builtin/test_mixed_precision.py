"""Models of a mixed precision: published in float32 without the optimizer, and exported to every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.plain_models import has_mixed_precision, plain_model
from pipekit.learning.predictor import load_keras_model
from tests.builtin.export_grid import EXPORTERS, PRECISIONS, REGISTRY, TEMPLATES, export, taken_apart

SHAPE = (32, 32, 3)
LARGE = ("alexnet", "logistic_regression", "pretrained")


def built(template: str, precision: str) -> Any:
    """A model of the template, in a process that has named nothing yet."""
    keras = load_keras()
    component = REGISTRY.get("model", template)
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        values, more = taken_apart(template)
        shape = (*more.get("input_hw", SHAPE[:2]), 3)
        return component.load()(shape, 3, REGISTRY.check_params(component.params_type(), values))
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def trained(template: str, precision: str) -> Any:
    """The same after one step with Adam."""
    model = built(template, precision)
    reconstructs = tuple(model.output_shape[1:]) == SHAPE
    model.compile("adam", "mse" if reconstructs else "categorical_crossentropy")
    pixels = images()
    model.train_on_batch(pixels, pixels if reconstructs else np.eye(3)[[0, 1, 2, 0]])
    return model


def images() -> Any:
    return np.random.default_rng(1).integers(0, 256, (4, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize(
    ("template", "precision"),
    [
        ("mlp", "mixed_float16"),
        ("row_lstm", "mixed_float16"),
        *((name, "mixed_bfloat16") for name in ("mlp", "simple_cnn", "row_lstm", "autoencoder", "pretrained")),
    ],
)
def test_a_plain_model_computes_in_float32_with_the_same_weights(template: str, precision: str) -> None:
    model = trained(template, precision)
    assert has_mixed_precision(model)
    plain = plain_model(model)
    assert not has_mixed_precision(plain)
    assert not plain.compiled
    assert plain.get_config() == built(template, "float32").get_config()
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    scale = 255 if template == "autoencoder" else 1
    apart = np.abs(np.asarray(model.predict_on_batch(images()), np.float32) - plain.predict_on_batch(images()))
    assert apart.max() / scale < 0.05


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_published_alike_in_every_precision(template: str) -> None:
    """So an exporter is given the same model, whatever the precision of the training."""
    expected = plain_model(built(template, "float32")).get_config()
    for precision in ["mixed_float16"] if template in LARGE else PRECISIONS[1:]:
        model = built(template, precision)
        assert has_mixed_precision(model)
        assert plain_model(model).get_config() == expected


def test_the_published_file_has_no_optimizer(tmp_path: Path) -> None:
    model = trained("simple_cnn", "float32")
    model.save(tmp_path / "compiled.keras")
    plain_model(model).save(tmp_path / "model.keras")
    sizes = {name: (tmp_path / f"{name}.keras").stat().st_size for name in ("compiled", "model")}
    assert sizes["model"] < 0.4 * sizes["compiled"]  # Adam keeps two numbers for each weight
    again = load_keras().saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(images()), model.predict_on_batch(images()))


CELLS = [(to, template, PRECISIONS[1 + place % 2]) for place, to in enumerate(EXPORTERS) for template in ("mlp", "row_lstm")]
CELLS += [("savedmodel", "simple_cnn", "mixed_bfloat16"), ("tflite-int8", "simple_cnn", "mixed_bfloat16")]
"""`python -m tests.builtin.export_grid` converts the models of all templates."""


@pytest.mark.parametrize(("to", "template", "precision"), CELLS)
def test_a_file_in_mixed_precision_is_exported(to: str, template: str, precision: str, tmp_path: Path) -> None:
    """Older versions published models as they were trained."""
    folder = tmp_path / "model"
    folder.mkdir()
    trained(template, precision).save(folder / "model.keras")
    info = {"classes": ["a", "b", "c"], "input_shape_hwc": list(SHAPE), "template": template, "params": {}}
    (folder / "model.json").write_text(json.dumps(info), "utf-8")
    assert not has_mixed_precision(load_keras_model(folder))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    from pipekit import images as files

    for number, pixels in enumerate(images().astype(np.uint8)):
        files.write(pictures / f"{number}.png", pixels)
    if (to, template) == ("tflite-int8", "row_lstm"):
        with pytest.raises(UserError, match="is recurrent"):
            export(to, folder, tmp_path / "out", pictures)
        return
    checked = export(to, folder, tmp_path / "out", pictures)
    assert checked["same_class"] == checked["count"]


def test_a_model_that_can_not_be_rebuilt_is_written_as_it_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template's own layer that Keras does not know by its name."""
    from types import SimpleNamespace

    from pipekit.builtin.train import record

    def fails(model: Any) -> Any:
        raise TypeError("Could not locate class 'Unknown'")

    said: list[str] = []
    context: Any = SimpleNamespace(warn=said.append)
    monkeypatch.setattr(record, "plain_model", fails)
    model = SimpleNamespace(compiled=True)
    assert record._published(context, model) is model
    assert "Could not locate class 'Unknown'" in said[0]
