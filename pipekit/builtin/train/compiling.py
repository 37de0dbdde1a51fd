"""Create from the parameters what Keras compiles a model with: targets, loss, metrics, optimizer, learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Call
from pipekit.errors import PipekitError, PluginError, UserError, did_you_mean
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.outputs import Outputs
from pipekit.tasks import MULTILABEL, NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

LEARNING_RATES: Mapping[str, float] = {"sgd": 0.01, "adagrad": 0.01, "adadelta": 1.0, "lion": 1e-4}
"""Defaults other than 0.001: Adadelta's from its paper (Zeiler 2012), Lion's a tenth of Adam's (Chen et al. 2023)."""

BY_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Labels:
    """The form in which the loss receives the labels.

    Attributes:
        mode: ``sparse``, ``categorical``, ``binary`` or ``input``; ``multilabel`` or ``number`` for these tasks.
        classes: the class names, in the order of the model's outputs.
        outputs: of a number, for the scale of its loss.
        shares: of each label among the training images, if labels are weighted by them.
    """

    mode: str
    classes: tuple[str, ...]
    outputs: Outputs | None = None
    shares: tuple[float, ...] = ()

    def targets(self, numbers: NDArray[Any]) -> NDArray[Any] | None:
        """Targets for class numbers: ``(N,) int64``, or ``(N, C) float32``; None if the image is its own target.

        Targets of another task stay as they are.
        """
        if self.mode == "input":
            return None
        if self.mode == "sparse" or self.mode in OF_TASKS:
            return numbers
        one_hot: NDArray[Any] = np.eye(len(self.classes), dtype=np.float32)[numbers]
        return one_hot


def choose_labels(params: TrainParams, classes: Sequence[str], reconstructs: bool) -> Labels:
    """The label mode that the model, the loss, the metrics and label mixing need.

    Args:
        reconstructs: the model's output has the shape of its input: an autoencoder.

    Raises:
        UserError: the parameters contradict each other or the data.
    """
    names = tuple(classes)
    mode = params.label_mode
    if mode == "auto":
        by_loss = params.loss is not None and not takes_numbers(params.loss)
        by_metric = "auc" in params.metrics or (params.loss is None and any(map(is_part, params.metrics)))
        soft = params.label_smoothing or params.mixes or by_metric
        mode = "input" if reconstructs else "categorical" if soft or by_loss else "sparse"
    if (mode == "input") != reconstructs:
        raise UserError(
            f"label_mode 'input' is for models whose output is an image, which need it; got {mode!r}",
            "Use template = 'autoencoder' with label_mode = 'input', or omit label_mode.",
        )
    if mode == "binary" and len(names) != 2:
        raise UserError(f"label_mode 'binary' needs two classes, the data has {len(names)}: {_some(names)}", "Omit label_mode.")
    if mode == "input" and (params.mixes or params.label_smoothing):
        raise UserError("an autoencoder has no labels to mix", "Omit mixup, cutmix, mosaic and label_smoothing.")
    if mode == "sparse" and "auc" in params.metrics:
        raise UserError("the metric 'auc' needs one-hot labels", "Omit label_mode, or set it to 'categorical'.")
    return Labels(mode, names)


def is_part(value: Any) -> bool:
    """Whether a loss, metric, optimizer or schedule is a component of a plugin, and not a name of Keras or of this stage."""
    return isinstance(value, Call)


def takes_numbers(loss: Call | str) -> bool:
    """Whether a loss takes class numbers, and not one-hot labels."""
    if isinstance(loss, Call):
        return getattr(loss.load(), "labels", "categorical") == "sparse"
    return loss.lower().startswith("sparse")


def built(call: Call, expected: Sequence[type], *, or_function: bool = False) -> Any:
    """What a plugin's loss, metric, optimizer or callback builds.

    Raises:
        PluginError: it raises, or builds something else.
    """
    where = f"{call.kind} {call.name!r} of plugin {call.component.plugin!r}"
    try:
        found = call.load()(call.params)
    except PipekitError:
        raise
    except Exception as error:
        raise PluginError(f"{where} can't be built: {type(error).__name__}: {error}") from error
    if not isinstance(found, tuple(expected)) and not (or_function and callable(found) and not isinstance(found, type)):
        raise PluginError(f"{where} must build a Keras {call.kind}, and built a value of type {type(found).__name__}")
    return found


def make_loss(params: TrainParams, labels: Labels) -> Any:
    """The Keras loss; ``input`` compares pixels on the scale 0..1."""
    keras = load_keras()
    if labels.mode == "input":
        found = _loss(keras, params, "mean_squared_error")
        measure = getattr(found, "call", found)

        def of_pixels(image: Any, restored: Any) -> Any:
            flat = [keras.ops.reshape(pixels, (keras.ops.shape(pixels)[0], -1)) for pixels in (image, restored)]
            return measure(keras.ops.cast(flat[0], "float32") / 255.0, flat[1] / 255.0)

        return of_pixels
    if labels.mode in OF_TASKS:
        return _of_task(keras, params, labels)
    if params.loss is not None:
        return _loss(keras, params)
    if labels.mode == "sparse":
        return keras.losses.SparseCategoricalCrossentropy()
    if labels.mode == "binary":
        return keras.losses.BinaryCrossentropy(label_smoothing=params.label_smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing)


def _loss(keras: Any, params: TrainParams, default: str = "") -> Any:
    if isinstance(params.loss, Call):
        return built(params.loss, (keras.losses.Loss,), or_function=True)
    return _by_name(keras.losses, params.loss or default, "loss", label_smoothing=params.label_smoothing)


def _of_task(keras: Any, params: TrainParams, labels: Labels) -> Any:
    """The loss of several labels, which may be weighted; or that of a number, on the scale of its standard deviation."""
    if labels.mode == NUMBER:
        measure = _elementwise(_loss(keras, params, "huber"))
        mean, spread = (labels.outputs.mean, labels.outputs.spread) if labels.outputs else (0.0, 1.0)

        def scaled(y_true: Any, y_pred: Any) -> Any:
            return measure((y_true - mean) / spread, (y_pred - mean) / spread)

        return scaled
    found = _loss(keras, params, "binary_crossentropy")
    if not labels.shares:
        return found
    shares = np.clip(np.array(labels.shares, np.float32), 1e-3, 1 - 1e-3)
    positive, negative = 0.5 / shares, 0.5 / (1 - shares)
    measure, ops = _elementwise(found), keras.ops

    def weighted(y_true: Any, y_pred: Any) -> Any:
        each = measure(ops.expand_dims(ops.cast(y_true, "float32"), -1), ops.expand_dims(y_pred, -1))
        weights = y_true * positive + (1 - y_true) * negative
        return ops.mean(each * ops.cast(weights, each.dtype), axis=-1)

    return weighted


def _elementwise(found: Any) -> Any:
    return getattr(found, "call", found)


def make_metrics(params: TrainParams, labels: Labels) -> list[Any]:
    """The Keras metrics; an autoencoder omits those of classifiers."""
    keras = load_keras()
    if labels.mode == "input":
        return [_metric(name) for name in params.metrics if name not in ("accuracy", "auc", *BY_CLASS)]
    if labels.mode in OF_TASKS:
        names = OF_TASKS[labels.mode] if params.metrics == ("accuracy",) else params.metrics
        return [_metric_of_task(keras, name, labels) for name in names]
    made = []
    for name in params.metrics:
        if name == "accuracy":
            kind = keras.metrics.SparseCategoricalAccuracy if labels.mode == "sparse" else keras.metrics.CategoricalAccuracy
            made.append(kind(name="accuracy"))
        elif name == "auc":
            shares = [0.0, 1.0] if labels.mode == "binary" else None
            made.append(keras.metrics.AUC(name="auc", multi_label=True, num_labels=len(labels.classes), label_weights=shares))
        elif isinstance(name, str) and name in BY_CLASS:
            made.append(_by_class(name, len(labels.classes), labels.mode == "binary"))
        else:
            made.append(_metric(name))
    return made


OF_TASKS = {MULTILABEL: ("f1",), NUMBER: ("mae",)}
"""The default metrics of these tasks."""


def _metric_of_task(keras: Any, name: Call | str, labels: Labels) -> Any:
    if labels.mode == MULTILABEL and isinstance(name, str) and name in BY_CLASS:
        if name == "f1":
            return keras.metrics.F1Score(average="macro", threshold=0.5, name="f1")
        return (keras.metrics.Precision if name == "precision" else keras.metrics.Recall)(name=name)
    if labels.mode == MULTILABEL and name == "auc":
        return keras.metrics.AUC(name="auc", multi_label=True, num_labels=len(labels.classes))
    return keras.metrics.RootMeanSquaredError(name="rmse") if name == "rmse" else _metric(name)


def _by_class(name: str, num_classes: int, second_only: bool) -> Any:
    """Precision, recall or F1 of the most probable class: the macro mean over classes that occur, or the second class only."""
    keras = load_keras()
    ops = keras.ops

    class ByClass(keras.metrics.Metric):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name=name)
            self.hits = self.add_variable((num_classes,), "zeros", name="hits")
            self.predicted = self.add_variable((num_classes,), "zeros", name="predicted")
            self.actual = self.add_variable((num_classes,), "zeros", name="actual")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            y_true = ops.argmax(y_true, -1) if len(y_true.shape) == 2 and y_true.shape[-1] == num_classes else y_true
            y_true = ops.one_hot(ops.reshape(ops.cast(y_true, "int32"), (-1,)), num_classes)
            found = ops.one_hot(ops.argmax(y_pred, -1), num_classes)
            self.hits.assign_add(ops.sum(y_true * found, 0))
            self.predicted.assign_add(ops.sum(found, 0))
            self.actual.assign_add(ops.sum(y_true, 0))

        def result(self) -> Any:
            below = {"precision": self.predicted, "recall": self.actual, "f1": (self.predicted + self.actual) / 2}[name]
            scores = ops.divide_no_nan(self.hits, below)
            if second_only:
                return scores[1]
            occurs = ops.cast(self.predicted + self.actual > 0, "float32")
            return ops.divide_no_nan(ops.sum(scores * occurs), ops.sum(occurs))

    return ByClass()


def _metric(name: Call | str) -> Any:
    """A Keras metric with the name from the parameters, so that its column in history.csv has that name."""
    keras = load_keras()
    if isinstance(name, Call):
        made = built(name, (keras.metrics.Metric,), or_function=True)
        bare = name.name.rpartition(":")[2]
        return made if isinstance(made, keras.metrics.Metric) else keras.metrics.MeanMetricWrapper(made, name=bare)
    found = _by_name(keras.metrics, name, "metric")
    if not isinstance(found, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(found, name=name)
    return found if found.name == name else type(found)(**{**found.get_config(), "name": name})


def _by_name(module: Any, name: str, what: str, **options: Any) -> Any:
    """A loss or metric by its Keras name, created with ``options``."""
    try:
        found = module.get(name)
    except ValueError as error:
        known = [known for known in dir(module) if not known.startswith("_")]
        raise UserError(
            f"Keras has no {what} called {name!r}. {did_you_mean(name, known)}".rstrip(), "keras.io/api lists them."
        ) from error
    options = {key: value for key, value in options.items() if value}
    if options and isinstance(found, module.Loss):
        try:
            return type(found)(**{**found.get_config(), **options})
        except TypeError as error:
            raise UserError(f"the {what} {name!r} takes no {', '.join(options)}", "Omit one of the two.") from error
    if options:
        raise UserError(f"the {what} {name!r} takes no {', '.join(options)}", "Omit one of the two.")
    return found


def usual_rate(optimizer: Call | str) -> float:
    """The default learning rate of an optimizer: a plugin's may have a parameter ``learning_rate``."""
    if isinstance(optimizer, Call):
        return float(getattr(optimizer.params, "learning_rate", None) or 1e-3)
    return LEARNING_RATES.get(optimizer, 1e-3)


def base_rate(params: TrainParams) -> float:
    return params.learning_rate if params.learning_rate is not None else usual_rate(params.optimizer)


def make_optimizer(params: TrainParams) -> Any:
    keras = load_keras()
    if isinstance(params.optimizer, Call):
        made = built(params.optimizer, (keras.optimizers.Optimizer,))
        made.learning_rate = base_rate(params)
        made.global_clipnorm = params.clip_norm if params.clip_norm is not None else made.global_clipnorm
        return made
    options: dict[str, Any] = {"learning_rate": base_rate(params), "global_clipnorm": params.clip_norm}
    if params.optimizer == "sgd":
        options["momentum"] = params.momentum
    if params.weight_decay is not None:
        options["weight_decay"] = params.weight_decay or None
    kinds = {
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "adagrad": keras.optimizers.Adagrad,
        "adadelta": keras.optimizers.Adadelta,
        "adamax": keras.optimizers.Adamax,
        "nadam": keras.optimizers.Nadam,
        "lion": keras.optimizers.Lion,
    }
    return kinds[params.optimizer](**options)


def rate_at(params: TrainParams, step: int, steps_per_epoch: int, base: float | None = None) -> float:
    """The learning rate of a step, counted from 0 over all epochs; the loop applies ``plateau`` on top.

    cosine and linear fall from the base rate to 0 at the end of the last epoch (Loshchilov and Hutter 2017, without restarts).
    """
    base = base_rate(params) if base is None else base
    warmup = params.warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * (step + 1) / warmup if step + 1 < warmup else base
    total = params.epochs * steps_per_epoch
    share = (step - warmup) / max(1.0, total - warmup)
    if isinstance(params.schedule, Call):
        return base * factor_of(params.schedule, share)
    if params.schedule == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * share))
    if params.schedule == "linear":
        return base * (1 - share)
    if params.schedule == "exponential":
        return float(base * params.decay**share)
    if params.schedule == "step":
        return base * float(params.decay) ** (step // (steps_per_epoch * params.decay_epochs))
    return base


def factor_of(schedule: Call, share: float) -> float:
    """The factor of a plugin's schedule at a share of the steps.

    Raises:
        PluginError: it raises, or returns something else than a finite number from 0 on.
    """
    where = f"schedule {schedule.name!r} of plugin {schedule.component.plugin!r}"
    try:
        found = float(schedule.load()(share, schedule.params))
    except Exception as error:
        raise PluginError(f"{where} failed at the share {share:g} of the steps: {type(error).__name__}: {error}") from error
    if not (math.isfinite(found) and found >= 0):
        raise PluginError(f"{where} gave {found} at the share {share:g} of the steps; expected a finite number from 0 on")
    return found


def name_of(part: Call | str) -> str:
    return part.name if isinstance(part, Call) else part


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
