"""The embedders in the box: EfficientNet-Lite0 on ONNX Runtime, with weights from a package, and networks of Keras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.contract import Params, param
from pipekit.errors import UserError, did_you_mean
from pipekit.learning.backbones import INPUT_HW, BackboneParams, features_model
from pipekit.learning.embedders import Embed, Facts, embedder, onnx_embed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


FINE_SIDE = 320
"""The best of four sides on photographs of cats and dogs: see "Accuracy" in docs/benchmarks.md."""


class Lite0Params(Params):
    side: int | None = param(
        None,
        "Side of the square input. Default: 224, on which the weights were trained. 320 takes twice as long, and tells "
        "photographs of that size apart better",
        unit="px",
        ge=32,
        le=1024,
        in_key="changed",
    )


def _facts_of_lite0(params: Lite0Params) -> Facts:
    from pipekit.learning.efficientnet_lite import LITE0, facts_for

    found = facts_for(LITE0 if params.side is None else replace(LITE0, input_hw=(params.side, params.side)))
    return replace(found, fine_side=FINE_SIDE)


@embedder(_facts_of_lite0, libraries=["onnxruntime"])
def efficientnet_lite0(params: Lite0Params, network: Path) -> Embed:
    """EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet: 1,280 features of an image of 224 x 224, or of another side.

    The features are the averages of the last feature maps. They agree with those of the network in PyTorch and in Keras to a
    thousandth of their spread.
    """
    return onnx_embed(network)


DIMENSIONS = {
    512: "VGG16 VGG19",
    576: "MobileNetV3Small",
    768: "ConvNeXtSmall ConvNeXtTiny",
    960: "MobileNetV3Large",
    1024: "ConvNeXtBase DenseNet121 MobileNet",
    1056: "NASNetMobile",
    1280: "EfficientNetB0 EfficientNetB1 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2L EfficientNetV2M EfficientNetV2S "
    "MobileNetV2",
    1408: "EfficientNetB2 EfficientNetV2B2",
    1536: "ConvNeXtLarge EfficientNetB3 EfficientNetV2B3 InceptionResNetV2",
    1664: "DenseNet169",
    1792: "EfficientNetB4",
    1920: "DenseNet201",
    2048: "ConvNeXtXLarge EfficientNetB5 InceptionV3 ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 Xception",
    2304: "EfficientNetB6",
    2560: "EfficientNetB7",
    4032: "NASNetLarge",
}
"""The length of the pooled features of the networks in keras.applications, which are known without TensorFlow that way."""


def _facts_of_keras(params: BackboneParams) -> Facts:
    from pipekit.learning.efficientnet_lite import TRAINED_ON

    known = {name: length for length, names in DIMENSIONS.items() for name in names.split()}
    if params.backbone not in known:
        hint = did_you_mean(params.backbone, list(known)) or f"Available: {', '.join(sorted(known))}"
        raise UserError(f"no embedder can be made of the backbone {params.backbone!r}", hint)
    if params.weights == "random" and params.weights_file is None:
        raise UserError("random weights give other features in every process", "Give weights_file, or weights = 'imagenet'.")
    own = f"the weights in {params.weights_file}" if params.weights_file else f"the weights {params.weights!r}"
    return Facts(
        input_hw=INPUT_HW,
        dimensions=known[params.backbone],
        licence="as the authors of the weights state it: keras.io/api/applications names them",
        source=f"keras.applications.{params.backbone} with {own}; 'imagenet' is downloaded once, into Keras' cache",
        trained_on=TRAINED_ON if params.weights == "imagenet" and params.weights_file is None else "what its weights state",
        keras=lambda input_shape_hwc: features_model(input_shape_hwc, params),
    )


@embedder(_facts_of_keras, libraries=["tensorflow", "keras"])
def pretrained(params: BackboneParams) -> Embed:
    """A network of keras.applications without its top: the pooled features of an image of 224 x 224. It needs TensorFlow.

    Raises:
        UserError: the weights are not on this machine and can't be fetched, or do not fit.
    """
    import numpy as np

    model = features_model((*INPUT_HW, 3), params)

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([np.asarray(model(image[None].astype(np.float32), training=False)) for image in images])

    return embed
