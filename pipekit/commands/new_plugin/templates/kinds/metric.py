"""The metric `${component}`."""

from typing import TYPE_CHECKING, Any

import pipekit

if TYPE_CHECKING:
    import keras


def ${component}(params: pipekit.Params) -> "keras.metrics.Metric":
    """Mean confidence of the predicted class.

    Its name is the column in history.csv; with `val_` before it, that of the validation images. Targets are one-hot.
    """
    from keras import metrics, ops

    def confidence(y_true: Any, y_pred: Any) -> Any:
        return ops.max(y_pred, axis=-1)

    return metrics.MeanMetricWrapper(confidence, name="${component}")
