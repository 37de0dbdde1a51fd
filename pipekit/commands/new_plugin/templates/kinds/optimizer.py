"""The optimizer `${component}`."""

from typing import TYPE_CHECKING, Any

import pipekit

if TYPE_CHECKING:
    import keras


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    learning_rate: float = pipekit.param(0.001, "Length of a step, unless train has a learning_rate", gt=0, le=10)


def ${component}(params: ${Component}Params) -> "keras.optimizers.Optimizer":
    """Gradient descent whose steps have the sign of the gradient alone (Bernstein et al. 2018)."""
    from keras import ops, optimizers

    class Sign(optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(gradient))

    return Sign(learning_rate=params.learning_rate, name="${component}")
