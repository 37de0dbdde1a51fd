"""LSTM over the image's rows, from top to bottom."""

from __future__ import annotations

from typing import Any

from pipekit.contract import Params, param
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs


class RowLstmParams(Params):
    units: int = param(128, "Size of the LSTM's state", ge=1, le=8192)
    layers: int = param(1, "Number of stacked LSTMs", ge=1, le=8)
    both_ways: bool = param(False, "Bidirectional: also read from bottom to top")
    dropout: float = param(0.0, "Dropout rate before the output", ge=0, lt=1)


def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: RowLstmParams) -> Any:
    """An LSTM (Hochreiter and Schmidhuber 1997) with one step per row, all its columns and colours; then softmax."""
    keras = load_keras()
    layers = keras.layers
    height, width, channels = input_shape_hwc
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = layers.Reshape((height, width * channels), name="rows")(x)
    for number in range(1, params.layers + 1):
        lstm = layers.LSTM(params.units, return_sequences=number < params.layers, name=f"lstm{number}")
        x = layers.Bidirectional(lstm, name=f"both_ways{number}")(x) if params.both_ways else lstm(x)
    if params.dropout:
        x = layers.Dropout(params.dropout, name="dropout")(x)
    answers = Outputs.of(outputs).layer(x)
    return keras.Model(inputs, answers, name="row_lstm")
