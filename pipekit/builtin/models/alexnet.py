"""AlexNet: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional networks", NIPS 2012."""

from __future__ import annotations

from typing import Any, Literal

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs

INPUT_HW = (227, 227)
"""The paper says 224; its first layer's 55 x 55 outputs need 227."""
SMALLEST_PX = 67
"""Minimum side of an image: a smaller one leaves nothing after the third pooling."""
MEAN_RGB = (123.68, 116.779, 103.939)
"""The mean pixel of ImageNet's training images, which the model subtracts, as in the paper."""


class AlexnetParams(Params):
    groups: Literal[1, 2] = param(
        2, "Convolution groups. 2: the second, fourth and fifth convolutions have two halves, as on the paper's two GPUs"
    )
    norm: Literal["lrn", "batch", "none"] = param(
        "lrn", "Normalisation. lrn: local response, after the first two convolutions; batch: after all five"
    )
    dropout: float = param(0.5, "Dropout rate after each of the two dense layers", ge=0, lt=1)
    initial: Literal["published", "he"] = param(
        "published",
        "Weight initialisation. published: N(0, 0.01), some biases 1; he: He et al. 2015, learns faster from few images",
    )


def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: AlexnetParams) -> Any:
    """Five convolutions, three overlapping 3 x 3 / 2 poolings, three dense layers.

    At 227 x 227 x 3 and 1,000 classes it has 60,965,224 parameters, with ``groups = 1`` 62,378,344.

    Raises:
        UserError: the image is smaller than 67 x 67.
    """
    keras = load_keras()
    layers = keras.layers
    height, width, channels = input_shape_hwc
    if min(height, width) < SMALLEST_PX:
        raise UserError(
            f"AlexNet needs images of at least {SMALLEST_PX} x {SMALLEST_PX} pixels, and was designed for 227 x 227; "
            f"got {height} x {width}",
            "Set input_hw = [227, 227], or use template = 'simple_cnn' for small images.",
        )
    offset = [-value for value in MEAN_RGB] if channels == 3 else -sum(MEAN_RGB) / 3
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1.0, offset=offset, name="centre")(inputs)
    x = _convolution(x, "conv1", 96, 11, 1, params, bias=0, strides=4, padding="valid")
    x = _after(x, 1, params)
    x = _convolution(x, "conv2", 256, 5, params.groups, params, bias=1)
    x = _after(x, 2, params)
    x = _convolution(x, "conv3", 384, 3, 1, params, bias=0)
    x = _convolution(x, "conv4", 384, 3, params.groups, params, bias=1)
    x = _convolution(x, "conv5", 256, 3, params.groups, params, bias=1)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (6, 7):
        x = layers.Dense(4096, "relu", **_initial(params, 1), name=f"dense{number}")(x)
        if params.dropout:
            x = layers.Dropout(params.dropout, name=f"dropout{number}")(x)
    answers = Outputs.of(outputs).layer(x, **_initial(params, 0))
    return keras.Model(inputs, answers, name="alexnet")


build.input_hw = INPUT_HW  # type: ignore[attr-defined]


def _initial(params: AlexnetParams, bias: int) -> dict[str, Any]:
    keras = load_keras()
    if params.initial == "he":
        return {"kernel_initializer": "he_normal"}
    return {
        "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.01),
        "bias_initializer": "ones" if bias else "zeros",
    }


def _convolution(
    x: Any,
    name: str,
    filters: int,
    size: int,
    groups: int,
    params: AlexnetParams,
    *,
    bias: int,
    strides: int = 1,
    padding: str = "same",
) -> Any:
    """Convolution and ReLU. Two groups are two layers on half of the feature maps each, as on the paper's two GPUs.

    Keras' own ``groups=2`` computes the same, but TensorFlow is some 20 times slower at it on CPUs.
    """
    layers = load_keras().layers
    half = x.shape[-1] // groups
    outs = []
    for group in range(groups):
        part = x if groups == 1 else x[..., group * half : (group + 1) * half]
        outs.append(
            layers.Conv2D(
                filters // groups,
                size,
                strides,
                padding,
                use_bias=params.norm != "batch",
                name=name if groups == 1 else f"{name}_{'ab'[group]}",
                **_initial(params, bias),
            )(part)
        )
    x = outs[0] if groups == 1 else layers.Concatenate(name=f"{name}_joined")(outs)
    if params.norm == "batch":
        x = layers.BatchNormalization(name=f"norm_{name}")(x)
    return layers.ReLU(name=f"relu_{name}")(x)


def _after(x: Any, number: int, params: AlexnetParams) -> Any:
    if params.norm == "lrn":
        x = local_response_norm(x.shape[1:], name=f"lrn{number}")(x)
    return load_keras().layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)


def local_response_norm(shape: tuple[int, int, int], name: str) -> Any:
    """Section 3.3 of the paper: ``b_i = a_i / (k + alpha * sum of a_j^2 over the 5 nearest maps)^beta``.

    k = 2, n = 5, alpha = 1e-4, beta = 0.75. It consists of standard operations, so any Keras can load a saved model.
    """
    keras = load_keras()
    ops = keras.ops
    maps = shape[-1]
    inputs = keras.Input(shape)
    squares = ops.pad(ops.square(inputs), ((0, 0), (0, 0), (0, 0), (2, 2)))
    total = squares[..., 0:maps]
    for shift in range(1, 5):
        total = total + squares[..., shift : shift + maps]
    return keras.Model(inputs, inputs / (2.0 + 1e-4 * total) ** 0.75, name=name)
