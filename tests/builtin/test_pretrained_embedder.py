"""The embedder `pretrained`: networks of keras.applications."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.embedders import DIMENSIONS, pretrained
from pipekit.errors import UserError
from pipekit.learning.backbones import BackboneParams
from pipekit.learning.embedders import facts_of
from pipekit.testing import check_embedder


def test_it_states_the_facts_of_its_network() -> None:
    facts = facts_of(pretrained, BackboneParams(backbone="ResNet50"))
    assert (facts.dimensions, facts.input_hw) == (2048, (224, 224))
    assert "keras.applications.ResNet50 with the weights 'imagenet'" in facts.source
    assert facts_of(pretrained).dimensions == 576, "that of its default, MobileNetV3Small"
    names = " ".join(DIMENSIONS.values()).split()
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (BackboneParams(backbone="ResNet51"), "no embedder can be made of the backbone 'ResNet51'"),
        (BackboneParams(weights="random"), "random weights give other features in every process"),
    ],
)
def test_what_has_no_features_is_refused(params: BackboneParams, message: str) -> None:
    with pytest.raises(UserError, match=message):
        facts_of(pretrained, params)


def test_keras_runs_it(tmp_path: Path) -> None:
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV3Small(include_top=False, pooling="avg", weights=None, input_shape=(224, 224, 3))
    network.save_weights(tmp_path / "small.weights.h5")
    check_embedder("pretrained", weights_file=str(tmp_path / "small.weights.h5"))
