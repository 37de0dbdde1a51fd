"""The model template `${component}`."""

from typing import TYPE_CHECKING

import pipekit

if TYPE_CHECKING:
    import keras


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    filters: int = pipekit.param(16, "Filters of the first block; each further block has twice as many", ge=1, le=1024)
    blocks: int = pipekit.param(3, "Blocks of convolution and pooling", ge=1, le=5)
    dropout: float = pipekit.param(0.2, "Dropout rate before the last layer", ge=0, lt=1)


def ${component}(
    input_shape_hwc: tuple[int, int, int], num_classes: int, params: ${Component}Params
) -> "keras.Model":
    """A small convolutional network.

    It takes images in 0..255 (rescaling is its first layer) and gives probabilities that sum to 1.
    """
    from keras import Model, layers  # imported here and not at the top, because it takes seconds

    image = layers.Input(input_shape_hwc)
    x = layers.Rescaling(1 / 255)(image)
    for block in range(params.blocks):
        x = layers.Conv2D(params.filters * 2**block, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(params.dropout)(x)
    return Model(image, layers.Dense(num_classes, activation="softmax")(x), name="${component}")
