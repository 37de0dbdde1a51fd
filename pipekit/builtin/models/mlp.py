"""Multilayer perceptron (MLP) on the raw pixels: the baseline that a convolutional network must beat."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipekit.contract import Params, param
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs

Width = Annotated[int, Field(ge=1, le=65536)]


class MlpParams(Params):
    units: tuple[Width, ...] = param((256, 128), "Units of each hidden layer; empty: a linear classifier")
    batch_norm: bool = param(False, "Batch normalisation before each ReLU")
    dropout: float = param(0.0, "Dropout rate after each hidden layer", ge=0, lt=1)
    l2: float = param(0.0, "L2 regularisation: penalty on the squares of all weights", ge=0, le=1)


def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: MlpParams) -> Any:
    """Flatten, dense layers with ReLU (He et al. 2015 initialisation), softmax. Any image size."""
    keras = load_keras()
    layers = keras.layers
    penalty = keras.regularizers.L2(params.l2) if params.l2 else None
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(params.units, 1):
        x = layers.Dense(
            units,
            use_bias=not params.batch_norm,
            kernel_initializer="he_normal",
            kernel_regularizer=penalty,
            name=f"dense{number}",
        )(x)
        if params.batch_norm:
            x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if params.dropout:
            x = layers.Dropout(params.dropout, name=f"dropout{number}")(x)
    answers = Outputs.of(outputs).layer(x)
    return keras.Model(inputs, answers, name="mlp")
