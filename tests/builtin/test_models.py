"""The model templates: published counts, shapes, what they refuse; and what `pipekit models` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pipekit.builtin.models import alexnet
from pipekit.builtin.train import TrainParams
from pipekit.builtin.train.stage import _unfreeze
from pipekit.errors import UserError
from pipekit.learning import backbones
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.model_summary import ModelSummary, Part, draw_svg, human, summarize_model
from pipekit.registry.registry import load_registry

REGISTRY = load_registry(installed=False)
RANDOM = {"weights": "random"}


def build(name: str, shape: tuple[int, int, int], num_classes: int = 3, **values: Any) -> Any:
    component = REGISTRY.get("model", name)
    return component.load()(shape, num_classes, REGISTRY.check_params(component.params_type(), values))


@pytest.mark.parametrize(("groups", "expected"), [(2, 60_965_224), (1, 62_378_344)])
def test_alexnet_has_the_published_parameters(groups: int, expected: int) -> None:
    model = build("alexnet", (227, 227, 3), 1000, groups=groups)
    assert model.count_params() == expected
    found = summarize_model(model)
    shapes = {part.name: part.output_shape for part in found.parts}
    assert (shapes["conv1"], shapes["pool5"]) == ((55, 55, 96), (6, 6, 256))
    # 724 million multiply-adds in the two-group network, 1,135 million in the whole one
    assert round(found.multiply_adds / 1e6) == {2: 724, 1: 1135}[groups]


def test_local_response_normalisation_is_tensorflows() -> None:
    load_keras()
    import tensorflow as tf

    pixels = np.random.default_rng(0).normal(0, 60, (2, 4, 3, 11)).astype(np.float32)
    ours = np.asarray(alexnet.local_response_norm((4, 3, 11), "lrn")(pixels))
    theirs = tf.nn.local_response_normalization(pixels, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)


def test_alexnet_begins_as_published() -> None:
    """ImageNet's mean pixel (R, G, B) is that of Simonyan and Zisserman's networks, which state it."""
    assert alexnet.build.input_hw == (227, 227)  # type: ignore[attr-defined]
    model = build("alexnet", (67, 67, 3))
    mean = np.asarray(model.get_layer("centre")(np.zeros((1, 1, 1, 3), np.float32))).ravel()
    np.testing.assert_allclose(mean, (-123.68, -116.779, -103.939), rtol=1e-6)
    assert alexnet.AlexnetParams().dropout == 0.5
    biases = {layer.name: float(np.mean(layer.bias.numpy())) for layer in model.layers if hasattr(layer, "bias")}
    assert {name for name, value in biases.items() if value == 1} == {
        *("conv2_a", "conv2_b", "conv4_a", "conv4_b", "conv5_a", "conv5_b"),
        *("dense6", "dense7"),
    }
    assert np.std(model.get_layer("conv3").kernel.numpy()) == pytest.approx(0.01, rel=0.02)
    assert not any("lrn" in layer.name for layer in build("alexnet", (67, 67, 3), norm="batch").layers)


@pytest.mark.parametrize(
    ("name", "shape", "values", "words"),
    [
        ("alexnet", (66, 227, 3), {}, "at least 67 x 67 pixels, and was designed for 227 x 227; got 66 x 227"),
        ("simple_cnn", (7, 9, 3), {}, "needs at least 8 x 8 pixels, got 7 x 9"),
        ("autoencoder", (3, 9, 1), {}, "at least 4 x 4 pixels"),
        ("pretrained", (32, 32, 1), RANDOM, "needs colour images"),
        ("pretrained", (16, 16, 3), RANDOM, "can't be built for images of"),
        ("pretrained", (32, 32, 3), {"backbone": "MobileNetV3Smal"}, "no backbone called 'MobileNetV3Smal'"),
        ("pretrained", (32, 32, 3), {"weights": "imagenet21k"}, "must be 'imagenet', 'random' or 'package:NAME/FILE'"),
        ("pretrained", (32, 32, 3), {"weights": "package:no_such_package/a.h5"}, "no installed package 'no_such_package'"),
        ("pretrained", (32, 32, 3), {"weights": "package:pipekit/a.h5"}, "has no file 'a.h5'"),
    ],
)
def test_what_a_template_cant_take(name: str, shape: tuple[int, int, int], values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(name, shape, **values)


def test_a_missing_network_is_said_and_never_a_random_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def offline(*_: Any, **__: Any) -> str:
        raise Exception("URL fetch failure on https://example.org: None -- Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", offline)
    with pytest.raises(UserError, match=r"weights of MobileNetV3Small are not on this machine and can't be fetched") as caught:
        build("pretrained", (224, 224, 3))
    assert "weights_file" in caught.value.hint
    assert "pipekit train FOLDER --model logistic_regression" in caught.value.hint


def test_weights_from_a_file_are_the_weights_of_the_model(tmp_path: Path) -> None:
    keras = load_keras()
    keras.utils.set_random_seed(3)
    first = keras.applications.MobileNetV3Small(include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3))
    file = tmp_path / "mine.weights.h5"
    first.save_weights(file)
    model = build("pretrained", (32, 32, 3), weights_file=str(file), dropout=0.0)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    inner = next(layer for layer in model.layers if getattr(layer, "layers", None))
    np.testing.assert_allclose(inner(pixels), first(pixels), rtol=1e-5)
    (tmp_path / "broken.weights.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match="does not fit MobileNetV3Small"):
        build("pretrained", (32, 32, 3), weights_file=str(tmp_path / "broken.weights.h5"))


@pytest.mark.parametrize("backbone", ["ResNet50", "MobileNetV2", "DenseNet121", "MobileNetV3Small"])
def test_preprocessing_inside_the_model_is_the_authors(backbone: str) -> None:
    keras = load_keras()
    inputs = keras.Input((4, 5, 3))
    model = keras.Model(inputs, backbones._preprocessed(inputs, backbone))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    expected = backbones._module_of(backbone).preprocess_input(pixels.copy())
    np.testing.assert_allclose(np.asarray(model(pixels)), expected, atol=1e-4)


def test_every_backbone_has_its_preprocessing() -> None:
    assert {name for name in backbones.backbones() if not hasattr(backbones._module_of(name), "preprocess_input")} == set()
    assert {"ResNet50", "EfficientNetB0", "VGG16"} <= set(backbones.backbones())


def test_training_finds_the_template_s_unfreeze() -> None:
    """The stage looks it up by name: under another one, `fine_tune` would silently do nothing."""
    params = REGISTRY.check_params(TrainParams, {"model": {"template": "pretrained", "fine_tune": 6}})
    unfreeze = _unfreeze(REGISTRY.get("model", "pretrained").load(), params)
    assert unfreeze is not None
    assert unfreeze(None, 0) is None  # before its epoch, the model is not touched


def test_the_last_layers_unfreeze_when_their_epoch_comes() -> None:
    component = REGISTRY.get("model", "pretrained")
    chosen = REGISTRY.check_params(
        component.params_type(), {**RANDOM, "frozen_epochs": 2, "fine_tune": 6, "fine_tune_rate": 0.5}
    )
    model = component.load()((32, 32, 3), 4, chosen)
    assert len(model.trainable_variables) == 2  # the new output alone
    assert [component.load().unfreeze(model, chosen, epoch) for epoch in (0, 1)] == [None, None]
    assert component.load().unfreeze(model, chosen, 2) == 0.5
    assert len(model.trainable_variables) > 2
    inner = next(layer for layer in model.layers if getattr(layer, "layers", None))
    assert not any(layer.trainable for layer in inner.layers if type(layer).__name__ == "BatchNormalization")
    assert not any(layer.trainable for layer in inner.layers[:-6])


def test_an_autoencoder_gives_back_any_size() -> None:
    for shape in ((28, 28, 1), (13, 10, 3)):
        model = build("autoencoder", shape)
        restored = np.asarray(model(np.zeros((2, *shape), np.float32)))
        assert restored.shape == (2, *shape)
        assert restored.min() >= 0
        assert restored.max() <= 255


# --- anatomy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "giga_multiply_adds"),
    # Published: VGG16 138.4 M and 15.5 G; MobileNetV2 3.5 M and 0.30 G (Sandler et al. 2018)
    [("VGG16", 138_357_544, 15.47), ("MobileNetV2", 3_538_984, 0.30)],
)
def test_counts_are_those_of_the_literature(name: str, parameters: int, giga_multiply_adds: float) -> None:
    found = summarize_model(getattr(load_keras().applications, name)(weights=None))
    assert found.parameters == parameters
    assert found.multiply_adds / 1e9 == pytest.approx(giga_multiply_adds, abs=0.005)


def test_multiply_adds_by_hand() -> None:
    lstm = summarize_model(build("row_lstm", (8, 5, 3), 4, units=7, both_ways=True))
    assert lstm.multiply_adds == 2 * 8 * (15 * 28 + 7 * 28) + 14 * 4
    mlp = summarize_model(build("mlp", (4, 5, 3), 4, units=[9]))
    assert mlp.multiply_adds == 60 * 9 + 9 * 4
    assert mlp.parameters == 61 * 9 + 10 * 4
    assert mlp.weights_bytes == 4 * mlp.parameters


def test_a_frozen_backbone_does_not_count_as_learning() -> None:
    found = summarize_model(build("pretrained", (32, 32, 3), 4, **RANDOM))
    assert found.trainable == 576 * 4 + 4 < found.parameters
    assert max(part.depth for part in found.parts) == 1


@pytest.mark.parametrize("name", ["simple_cnn", "row_lstm", "autoencoder", "hog_svm"])
def test_the_drawing_is_an_svg_that_names_every_layer_with_weights(name: str) -> None:
    found = summarize_model(build(name, (32, 32, 3)))
    drawing = ElementTree.fromstring(draw_svg(found))
    titles = " ".join(element.text or "" for element in drawing.iter() if element.tag.endswith("title"))
    assert all(part.name in titles for part in found.parts if part.parameters)


def test_the_drawing_of_a_deep_network_has_few_blocks_in_rows() -> None:
    parts = [Part("image", "InputLayer", (224, 224, 3), 0, 0, 0)]
    for number, side in enumerate([112, 113, 112, 56, 57, 1, 56, 28] * 4):
        side = side // (1 + number // 8) or 1
        parts.append(Part(f"conv_{number}", "Conv2D", (side, side, 8), 10, 10, 100))
    parts.append(Part("probabilities", "Dense", (3,), 5, 5, 5))
    found = ModelSummary("deep", (224, 224, 3), tuple(parts), 325, 325)
    whole, short = draw_svg(found), draw_svg(found, wrap_px=400, most=24)
    assert whole.count("<rect x") > 30 > short.count("<rect x") > 5
    assert " layers (Conv2D): 56 x 56 x 8, 40 parameters" in short, "the squeezed one and the padded one are in it"
    width, height = (float(ElementTree.fromstring(short).attrib[name]) for name in ("width", "height"))
    assert width < 800
    assert height > 330


@pytest.mark.parametrize(("count", "text"), [(3, "3"), (1234, "1.2 k"), (60_965_224, "61.0 M"), (1.5e9, "1.5 G")])
def test_large_numbers_are_short(count: float, text: str) -> None:
    assert human(count) == text
