"""A small convolutional network (CNN), as in most tutorials, with every part adjustable."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs
from pipekit.learning.templates import Work, gradient_descent_s

Width = Annotated[int, Field(ge=1, le=8192)]


class SimpleCnnParams(Params):
    filters: tuple[Width, ...] = param((32, 64, 128), "Filters of each block; one block per number", min_length=1)
    convolutions: int = param(1, "Number of convolutions in each block", ge=1, le=8)
    kernel_px: int = param(3, "Kernel size of the convolutions", unit="px", ge=1, le=31)
    pool_px: int = param(2, "Size and stride of the max pooling that ends each block", unit="px", ge=1, le=8)
    batch_norm: bool = param(True, "Batch normalisation after each convolution: faster, more stable training")
    head: Literal["average", "flatten"] = param(
        "average", "average: global average pooling (few weights, shift-invariant); flatten: all positions (many weights)"
    )
    dense: tuple[Width, ...] = param((128,), "Units of each dense layer before the output")
    dropout: float = param(0.0, "Dropout rate before the output; 0.3 to 0.5 against overfitting", ge=0, lt=1)
    l2: float = param(0.0, "L2 regularisation: penalty on the squares of all weights", ge=0, le=1)


def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: SimpleCnnParams) -> Any:
    """Blocks of convolution, ReLU and max pooling; then dense layers, dropout and softmax.

    He et al. 2015 initialisation. The model rescales pixels from 0..255 to -1..1.

    Raises:
        UserError: the image is too small for that many poolings.
    """
    keras = load_keras()
    layers = keras.layers
    height, width, _ = input_shape_hwc
    needed = params.pool_px ** len(params.filters)
    if min(height, width) < needed:
        raise UserError(
            f"simple_cnn with {len(params.filters)} blocks, each of which divides the image's sides by {params.pool_px}, "
            f"needs at least {needed} x {needed} pixels, got {height} x {width}",
            f"Set fewer blocks, such as filters = {list(params.filters[:-1]) or [params.filters[0]]}, or a larger input_hw.",
        )
    penalty = keras.regularizers.L2(params.l2) if params.l2 else None
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(inputs)
    for block, filters in enumerate(params.filters, 1):
        for number in range(1, params.convolutions + 1):
            name = f"{block}" if params.convolutions == 1 else f"{block}_{number}"
            x = layers.Conv2D(
                filters,
                params.kernel_px,
                padding="same",
                use_bias=not params.batch_norm,
                kernel_initializer="he_normal",
                kernel_regularizer=penalty,
                name=f"conv{name}",
            )(x)
            if params.batch_norm:
                # 0.9: small data has few steps, and with Keras' 0.99 the moving mean would still be far off at the end
                x = layers.BatchNormalization(momentum=0.9, name=f"norm{name}")(x)
            x = layers.ReLU(name=f"relu{name}")(x)
        if params.pool_px > 1:
            x = layers.MaxPooling2D(params.pool_px, name=f"pool{block}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x) if params.head == "average" else layers.Flatten(name="flatten")(x)
    for number, units in enumerate(params.dense, 1):
        x = layers.Dense(units, "relu", kernel_initializer="he_normal", kernel_regularizer=penalty, name=f"dense{number}")(x)
    if params.dropout:
        x = layers.Dropout(params.dropout, name="dropout")(x)
    answers = Outputs.of(outputs).layer(x)
    return keras.Model(inputs, answers, name="simple_cnn")


def cost_s(work: Work, params: SimpleCnnParams) -> float:
    """The multiply-adds of the convolutions, which take nearly all the time."""
    area, before, total = float(work.pixels), work.shape_hwc[2], 0.0
    for filters in params.filters:
        for _ in range(params.convolutions):
            total += area * params.kernel_px**2 * before * filters
            before = filters
        area /= params.pool_px**2
    return gradient_descent_s(work, total)


build.cost_s = cost_s  # type: ignore[attr-defined]
build.images_a_class = 100  # type: ignore[attr-defined]
