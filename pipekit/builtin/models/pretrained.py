"""Transfer learning: a pretrained backbone with a new output layer; train the output first, then fine-tune the last layers."""

from __future__ import annotations

from typing import Any

from pipekit.contract import param
from pipekit.learning.backbones import INPUT_HW, BackboneParams, frozen_features
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs


class PretrainedParams(BackboneParams):
    dropout: float = param(0.2, "Dropout rate before the output", ge=0, lt=1)
    frozen_epochs: int = param(5, "Number of first epochs in which the backbone is frozen", unit="epochs", ge=0, le=100_000)
    fine_tune: int = param(0, "Number of last backbone layers to fine-tune after that; 0: none, -1: all; no batch norm", ge=-1)
    fine_tune_rate: float = param(0.1, "Factor for the learning rate during fine-tuning", gt=0, le=1)


def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: PretrainedParams) -> Any:
    """The backbone's own preprocessing, the backbone in inference mode, pooling, dropout, softmax.

    Raises:
        UserError: the backbone does not exist; its weights are unavailable or do not fit; the image is too small.
    """
    keras = load_keras()
    layers = keras.layers
    inputs, x = frozen_features(input_shape_hwc, params)
    if params.dropout:
        x = layers.Dropout(params.dropout, name="dropout")(x)
    answers = Outputs.of(outputs).layer(x)
    return keras.Model(inputs, answers, name="pretrained")


def unfreeze(model: Any, params: PretrainedParams, epoch: int) -> float | None:
    """Unfreeze the last layers at epoch ``frozen_epochs``. Returns the factor for the learning rate, or None if unchanged."""
    if epoch != params.frozen_epochs or params.fine_tune == 0:
        return None
    batch_norm = load_keras().layers.BatchNormalization
    backbone = next(layer for layer in model.layers if getattr(layer, "layers", None))
    backbone.trainable = True
    first = 0 if params.fine_tune < 0 else max(0, len(backbone.layers) - params.fine_tune)
    for position, layer in enumerate(backbone.layers):
        layer.trainable = position >= first and not isinstance(layer, batch_norm)
    return params.fine_tune_rate


def head(params: PretrainedParams, epochs: int) -> str:
    """The name of the first trainable layer if the backbone stays frozen in all epochs; else ""."""
    if params.fine_tune and params.frozen_epochs < epochs:
        return ""
    return "dropout" if params.dropout else "probabilities"


build.head = head  # type: ignore[attr-defined]
FAMILIES = {
    "resnet": "ResNet50",
    "vgg": "VGG16",
    "mobilenet": "MobileNetV3Small",
    "efficientnet": "EfficientNetB0",
    "inception": "InceptionV3",
    "densenet": "DenseNet121",
    "xception": "Xception",
    "nasnet": "NASNetMobile",
    "convnext": "ConvNeXtTiny",
}
"""Names that people try as templates, and a backbone of each family."""


def offers(name: str) -> str:
    """How to get a network that was asked for by its own name; "" if it is none of ``keras.applications``."""
    plain = name.lower().replace("_", "").replace("-", "")
    backbone = next((one for family, one in FAMILIES.items() if plain.startswith(family)), "")
    if not backbone:
        return ""
    return (
        f"'pretrained' has it: --model pretrained --set model.backbone={backbone} (its weights are downloaded once). "
        "'logistic_regression' needs no download."
    )


build.offers = offers  # type: ignore[attr-defined]
build.input_hw = INPUT_HW  # type: ignore[attr-defined]
build.example = {"weights": "random"}  # type: ignore[attr-defined]
build.unfreeze = unfreeze  # type: ignore[attr-defined]
