"""Convolutional autoencoder: compresses the image to a code and reconstructs it. It needs no labels."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras

Width = Annotated[int, Field(ge=1, le=8192)]


class AutoencoderParams(Params):
    filters: tuple[Width, ...] = param(
        (32, 64), "Filters of each downsampling convolution; the decoder mirrors them", min_length=1
    )
    code: int = param(64, "Size of the code (bottleneck)", ge=1, le=65536)


def build(input_shape_hwc: tuple[int, int, int], num_classes: int, params: AutoencoderParams) -> Any:
    """Strided convolutions to a dense code, then transposed convolutions. Pixels 0..255 in and out.

    Sizes that can't be halved evenly are padded with black and cropped at the end. ``num_classes`` is not used.

    Raises:
        UserError: the image is too small for that many halvings.
    """
    keras = load_keras()
    layers = keras.layers
    height, width, channels = input_shape_hwc
    step = 2 ** len(params.filters)
    if min(height, width) < step:
        raise UserError(
            f"autoencoder with {len(params.filters)} halvings needs images of at least {step} x {step} pixels, "
            f"got {height} x {width}",
            "Set fewer filters or a larger input_hw.",
        )
    extra_h, extra_w = -height % step, -width % step
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    if extra_h or extra_w:
        x = layers.ZeroPadding2D(((0, extra_h), (0, extra_w)), name="pad")(x)
    for number, filters in enumerate(params.filters, 1):
        x = layers.Conv2D(filters, 3, 2, "same", activation="relu", kernel_initializer="he_normal", name=f"down{number}")(x)
    small = x.shape[1:]
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(params.code, name="code")(x)
    x = layers.Dense(small[0] * small[1] * small[2], "relu", kernel_initializer="he_normal", name="open")(x)
    x = layers.Reshape(small, name="grid")(x)
    for number, filters in enumerate(reversed(params.filters), 1):
        x = layers.Conv2DTranspose(
            filters, 3, 2, "same", activation="relu", kernel_initializer="he_normal", name=f"up{number}"
        )(x)
    x = layers.Conv2D(channels, 3, padding="same", activation="sigmoid", dtype="float32", name="pixels")(x)
    if extra_h or extra_w:
        x = layers.Cropping2D(((0, extra_h), (0, extra_w)), dtype="float32", name="cut")(x)
    outputs = layers.Rescaling(255.0, dtype="float32", name="image_again")(x)
    return keras.Model(inputs, outputs, name="autoencoder")


build.reconstructs = True  # type: ignore[attr-defined]
