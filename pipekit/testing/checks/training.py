"""Promises of losses, metrics, optimizers, schedules and callbacks of the stage ``train``."""

from __future__ import annotations

import math
from typing import Any

from pipekit.testing.checks.core import Subject, form_of, promise

SHARES = (0.0, 0.01, 0.25, 0.5, 0.99, 1.0)
"""Shares of the steps at which a schedule is called."""


def _examples(sparse: bool) -> tuple[Any, Any, Any]:
    """Targets of four images of three classes, good probabilities and bad ones."""
    import numpy as np

    numbers = np.array([0, 1, 2, 1])
    right = np.full((4, 3), 0.05, np.float32)
    right[np.arange(4), numbers] = 0.9
    return (numbers if sparse else np.eye(3, dtype=np.float32)[numbers]), right, np.roll(right, 1, axis=1)


def _of_keras(kind: str, name: str) -> str:
    """A problem if Keras has something of that name, which the bare name means."""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    try:
        {"loss": keras.losses, "metric": keras.metrics, "optimizer": keras.optimizers}[kind].get(name)
    except ValueError:
        return ""
    return f"Keras has a {kind} called {name!r}, which that name means in a pipeline file; choose another name"


@promise("loss")
def _measures(subject: Subject) -> str:
    """it builds a Keras loss of its own name, which is finite and lower for right predictions than for wrong ones"""
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    loss = subject.found(subject.params)
    if not callable(loss) or isinstance(loss, type):
        return f"expected a keras.losses.Loss or a function, got {form_of(loss)}"
    targets, right, wrong = _examples(getattr(subject.found, "labels", "categorical") == "sparse")
    found = [np.asarray(loss(keras.ops.convert_to_tensor(targets), made)) for made in (right, wrong)]
    if any(one.shape not in ((), (len(right),)) for one in found):
        return f"expected one number for each of {len(right)} images, or their mean, got {form_of(found[0])}"
    low, high = (float(np.mean(one)) for one in found)
    if not math.isfinite(low) or not math.isfinite(high):
        return f"it is {low} for right predictions and {high} for wrong ones"
    return _of_keras("loss", subject.component.name) if low < high else f"right predictions cost {low:g}, wrong ones {high:g}"


@promise("metric")
def _scores(subject: Subject) -> str:
    """it builds a Keras metric of its own name, which is finite after each batch and the same after a reset"""
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    metric = subject.found(subject.params)
    if not isinstance(metric, keras.metrics.Metric):
        if not callable(metric) or isinstance(metric, type):
            return f"expected a keras.metrics.Metric or a function, got {form_of(metric)}"
        answer = metric(*map(keras.ops.convert_to_tensor, _examples(False)[:2]))
        if np.asarray(answer).dtype.kind not in "fiub":
            return f"expected numbers, got {form_of(answer)}"
        metric = keras.metrics.MeanMetricWrapper(metric, name="metric")
    targets, right, wrong = _examples(False)
    results = []
    for _ in range(2):
        metric.reset_state()
        for made in (right, wrong):
            metric.update_state(targets, made)
            found = np.asarray(metric.result())
            if found.shape != () or not np.isfinite(found):
                return f"expected one finite number, got {found}"
        results.append(float(found))
    if results[0] != results[1]:
        return f"after a reset the same batches give {results[1]:g}, not {results[0]:g}"
    return _of_keras("metric", subject.component.name)


@promise("optimizer")
def _optimizes(subject: Subject) -> str:
    """it builds a Keras optimizer of its own name, whose steps lower a loss and whose learning rate can be set"""
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    optimizer = subject.found(subject.params)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return f"expected a keras.optimizers.Optimizer, got {form_of(optimizer)}"
    optimizer.learning_rate = 0.01
    weight = keras.Variable(np.array([1.0, -2.0], np.float32))
    optimizer.build([weight])
    for _ in range(5):
        optimizer.apply_gradients([(2 * keras.ops.convert_to_tensor(weight), weight)])
    moved = np.asarray(weight)
    if not np.isfinite(moved).all() or not float((moved**2).sum()) < 5:
        return f"five steps on a parabola lead from [1, -2] to {moved.tolist()}"
    return _of_keras("optimizer", subject.component.name)


@promise("schedule")
def _falls(subject: Subject) -> str:
    """it gives finite factors from 0 on for each share of the steps, the same each time"""
    for share in SHARES:
        first, second = (subject.found(share, subject.params) for _ in range(2))
        if isinstance(first, bool) or not isinstance(first, (int, float)):
            return f"expected a float, got {form_of(first)}"
        if not math.isfinite(first) or first < 0:
            return f"at the share {share:g} of the steps it gives {first}"
        if first != second:
            return f"at the share {share:g} it gives {first:g} and then {second:g}; the rate may depend on the share alone"
    return ""


@promise("callback")
def _is_called(subject: Subject) -> str:
    """it builds a Keras callback, which can be called for an epoch, and built twice"""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    callback, other = subject.found(subject.params), subject.found(subject.params)
    if not isinstance(callback, keras.callbacks.Callback):
        return f"expected a keras.callbacks.Callback, got {form_of(callback)}"
    if callback is other:
        return "it gives the same object twice, so that a second training would continue the first one's state"
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    logs = {"loss": 1.0, "val_loss": 1.1, "accuracy": 0.5, "val_accuracy": 0.5, "learning_rate": 0.01}
    callback.set_model(model)
    callback.set_params({"epochs": 1, "steps": 1, "verbose": 0})
    for event, values in (
        ("on_train_begin", ()),
        ("on_epoch_begin", (0,)),
        ("on_train_batch_begin", (0,)),
        ("on_train_batch_end", (0, {"loss": 1.0})),
        ("on_epoch_end", (0, logs)),
        ("on_train_end", ()),
    ):
        getattr(callback, event)(*values)
    return ""
