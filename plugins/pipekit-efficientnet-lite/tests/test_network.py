"""The network against the PyTorch implementation: reference.npz, which make_reference.py makes."""

from pathlib import Path

import numpy as np
import pytest
from pipekit_efficientnet_lite.checkpoint import read_checkpoint
from pipekit_efficientnet_lite.network import DEVIATION, MEAN, backbone, fill, weights_file

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))
PLACES = ["stem", *(f"block_{number}" for number in range(16)), "head", "features", "logits"]
TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285
"""Their numbers among the 1,000 classes of ImageNet."""


@pytest.fixture(scope="module")
def tensors():
    return read_checkpoint(weights_file())


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
def test_every_layer_says_what_the_reference_says(image, tensors):
    said = outputs(REFERENCE[image], tensors)
    assert list(said) == PLACES
    for place, value in said.items():
        expected = {part: REFERENCE[f"{image}/{place}/{part}"] for part in ("shape", "moments", "values")}
        assert list(value.shape) == expected["shape"].tolist(), place
        flat = value.reshape(-1)
        at = np.linspace(0, flat.size - 1, len(expected["values"])).astype(np.int64)
        scale = float(expected["moments"][1])
        np.testing.assert_allclose(flat[at], expected["values"], rtol=1e-3, atol=1e-3 * scale, err_msg=place)
        np.testing.assert_allclose([flat.mean(), flat.std()], expected["moments"], rtol=1e-3, atol=1e-3 * scale, err_msg=place)


def test_a_cat_is_a_cat(tensors):
    best = outputs(REFERENCE["photo"], tensors)["logits"].argsort()[::-1][:3]
    assert set(best.tolist()) == {TABBY, TIGER_CAT, EGYPTIAN_CAT}


def test_every_tensor_of_the_backbone_is_used(tensors):
    model, sources = backbone((64, 64, 3))
    unused = {name.rpartition(".")[0] for name in tensors} - set(sources.values())
    assert unused == {"_fc"}
    # the authors' table says 4.7 million in all; the layer for ImageNet's classes, left out here, has 1281 x 1000 of them
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) + 1281 * 1000 == 4_652_008
