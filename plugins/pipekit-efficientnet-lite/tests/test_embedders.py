"""The embedders: what they promise, the networks that they load, and the same features as in Keras."""

import numpy as np
import pytest
from pipekit_efficientnet_lite.embedders import LITE1, LITE2

from pipekit.learning.efficientnet_lite import facts_for, features_model
from pipekit.learning.embedders import onnx_embed
from pipekit.learning.embeddings import read_embeddings
from pipekit.testing import check_embedder


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_they_keep_the_promises_of_an_embedder(name):
    check_embedder(name)


@pytest.mark.parametrize("variant", [LITE1, LITE2], ids=lambda variant: variant.name)
def test_the_network_is_the_same_in_keras_and_as_onnx(variant, tmp_path):
    network = tmp_path / "network"
    network.write_bytes(facts_for(variant).convert(variant.weights_file()))
    images = np.random.default_rng(5).integers(0, 256, (2, *variant.input_hw, 3), dtype=np.uint8)
    in_keras = np.asarray(features_model((*variant.input_hw, 3), variant)(images.astype(np.float32)))
    np.testing.assert_allclose(onnx_embed(network)(images), in_keras, atol=1e-3)


def test_a_pipeline_uses_one(pipekit_project):
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "embed": {"use": "embed", "embedder": "efficientnet_lite1"},
    }
    found = read_embeddings(pipekit_project.run(stages).artifact("embed"))
    assert found.table.shape == (18, 1280)
