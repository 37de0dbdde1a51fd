"""The embedder in the box: EfficientNet-Lite0, with ImageNet weights from a package, on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from pipekit.contract import Params
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import Embed, embedder, onnx_embed


@embedder(facts_for(LITE0), libraries=["onnxruntime"])
def efficientnet_lite0(params: Params, network: Path) -> Embed:
    """EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet: 1,280 features of an image of 224 x 224.

    The features are the averages of the last feature maps. They agree with those of the network in PyTorch and in Keras to a
    thousandth of their spread.
    """
    return onnx_embed(network)
