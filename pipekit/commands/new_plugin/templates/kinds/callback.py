"""The callback `${component}`."""

from typing import TYPE_CHECKING, Any

import pipekit

if TYPE_CHECKING:
    import keras


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    metric: str = pipekit.param("val_accuracy", "A column of history.csv")
    at_least: float = pipekit.param(0.99, "The value at which training stops", ge=0, le=1e6)


def ${component}(params: ${Component}Params) -> "keras.callbacks.Callback":
    """Stop as soon as a metric reaches a value.

    Epochs count from 0, as in Keras. After a kill the callback is built anew, and resumes with the epoch.
    """
    from keras import callbacks

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if (logs or {}).get(params.metric, 0.0) >= params.at_least:
                self.model.stop_training = True

    return Stop()
