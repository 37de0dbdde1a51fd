"""The loss `${component}`."""

from collections.abc import Callable
from typing import Any

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    gamma: float = pipekit.param(2.0, "Exponent: the higher, the less an image counts that the model is sure of", ge=0, le=10)


def ${component}(params: ${Component}Params) -> Callable[[Any, Any], Any]:
    """Cross-entropy that counts images the model is sure of less (Lin et al. 2017).

    It returns a function of targets and outputs that gives the loss of each image, or a keras.losses.Loss. Targets are one-hot,
    `(N, C)`, and outputs probabilities. With `${component}.labels = "sparse"` below this function, targets are class
    numbers. The loss is used in training alone: the saved model does not need this plugin.
    """
    from keras import ops

    def focal(y_true: Any, y_pred: Any) -> Any:
        probability = ops.clip(ops.sum(y_true * y_pred, axis=-1), 1e-7, 1.0)
        return -((1 - probability) ** params.gamma) * ops.log(probability)

    return focal
