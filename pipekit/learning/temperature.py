"""Temperature scaling: one number, fitted on val, that divides a model's logits to calibrate its probabilities.

The method is that of C. Guo et al., "On calibration of modern neural networks", ICML 2017. ``train`` fits the temperature and
writes it into ``model.json``; `predict` and the exporters apply it when they are asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.learning.predictor import Predictor

KEY = "calibration"
"""The entry of ``model.json``: ``temperature``, or None and a ``reason``; ``applied`` where the model's file has it inside."""

SMALLEST = 1e-7
"""Lower bound of probabilities before a logarithm; they are stored to six decimals."""

UNROUNDED = 1e-37
"""Lower bound of a network's own probabilities: the smallest normal number of float32."""

COLDEST, HOTTEST = 0.05, 20.0
"""The range of temperatures that is searched."""

FLAT = 1e-12
"""Log losses that differ by less count as equal."""


def normalised(probabilities: NDArray[np.float64], smallest: float = SMALLEST) -> NDArray[np.float64]:
    """Probabilities clipped to be above zero, with rows that sum to exactly 1: safe for a logarithm."""
    kept = np.clip(probabilities, smallest, 1.0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def log_loss(probabilities: NDArray[np.float64], y_true: NDArray[np.int64], smallest: float = SMALLEST) -> float:
    """Mean of -ln p(true class), natural logarithm."""
    return float(-np.log(normalised(probabilities, smallest)[np.arange(len(y_true)), y_true]).mean())


def scaled(probabilities: NDArray[np.float64], temperature: float, smallest: float = SMALLEST) -> NDArray[np.float64]:
    """Temperature scaling, ``softmax(log p / T)``: the order of the classes stays, T above 1 softens the probabilities."""
    logits = np.log(normalised(probabilities, smallest)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: NDArray[np.float64], y_true: NDArray[np.int64], smallest: float = SMALLEST) -> float:
    """The T in 0.05..20 with the lowest log loss (Guo et al. 2017), by Brent's bounded method on ln T.

    The loss is computed from the logits, without the limit that :func:`log_loss` puts on confident mistakes, so it has a single
    minimum. With the limit, it can have a second one at the lowest temperature, where a more confident mistake costs no more.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
    from scipy.special import log_softmax  # type: ignore[import-untyped]

    logits, rows = np.log(normalised(probabilities, smallest)), np.arange(len(y_true))
    low, high = np.log(COLDEST), np.log(HOTTEST)

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, y_true].mean())

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    # Without a mistake the loss is flat at zero, and Brent's method may stop anywhere: take the lowest temperature.
    coldest = loss(low) <= found.fun + FLAT
    return round(COLDEST if coldest else float(np.exp(found.x)), 3)


def fitted(probabilities: NDArray[Any], y_true: NDArray[np.int64]) -> dict[str, Any]:
    """The entry of ``model.json``.

    Args:
        probabilities: ``(N, C)`` of the val images, unrounded: to six decimals, a very overconfident model's mistakes would all
            cost the same.
        y_true: ``(N,)``, their classes.
    """
    count = len(y_true)
    if not count:
        return {"temperature": None, "reason": "there were no val images to fit it on", "num_val_images": 0}
    seen = np.asarray(probabilities, np.float64)
    right = int((seen.argmax(axis=1) == y_true).sum())
    if right == count:
        # Without a mistake on val, the lowest temperature always fits best, which says nothing.
        reason = f"the model made no mistake on the {count} val images, so any lower temperature fits better"
        return {"temperature": None, "reason": reason, "num_val_images": count, "val_accuracy": 1.0}
    temperature = fit_temperature(seen, y_true, UNROUNDED)
    return {
        "temperature": temperature,
        "num_val_images": count,
        "val_accuracy": right / count,
        "val_log_loss": round(log_loss(seen, y_true, UNROUNDED), 6),
        "val_log_loss_calibrated": round(log_loss(scaled(seen, temperature, UNROUNDED), y_true, UNROUNDED), 6),
    }


def temperature_of(info: Mapping[str, Any], folder: Path | None) -> float:
    """The temperature that ``model.json`` states.

    Args:
        info: ``model.json``.
        folder: the model's folder, for messages.

    Raises:
        UserError: there is none, with the reason, or it is no temperature.
    """
    where = "the model" if folder is None else f"the model in {folder}"
    entry = info.get(KEY)
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where} has no temperature, so its probabilities can't be calibrated: model.json has no {KEY!r}",
            "Fit it on val: pipekit stage calibrate --model RUN --dataset RUN:split. Or omit `calibrated`.",
        )
    value = entry.get("temperature")
    if value is None:
        reason = str(entry.get("reason") or "model.json gives no reason")
        raise UserError(
            f"{where} has no temperature, so its probabilities can't be calibrated: {reason}",
            "Omit `calibrated`, or train again with more val images.",
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not COLDEST <= value <= HOTTEST:
        raise UserError(
            f"{where}: the temperature in model.json must be a number from {COLDEST} to {HOTTEST:g}, got {value!r}",
            "Copy model.json again, or train the model again.",
        )
    return float(value)


def states_temperature(info: Mapping[str, Any]) -> bool:
    """Whether ``model.json`` has a temperature that can be applied."""
    entry = info.get(KEY)
    return isinstance(entry, Mapping) and entry.get("temperature") is not None


def is_applied(info: Mapping[str, Any]) -> bool:
    """Whether the model's own probabilities are calibrated: it was exported so."""
    entry = info.get(KEY)
    return isinstance(entry, Mapping) and entry.get("applied") is True


def calibrated(predictor: Predictor) -> Predictor:
    """The same classifier with calibrated probabilities; its score for *none of these* stays.

    Raises:
        UserError: ``model.json`` states no temperature.
    """
    return at_temperature(predictor, temperature_of(predictor.info, predictor.folder))


def at_temperature(predictor: Predictor, temperature: float) -> Predictor:
    """The same classifier with its logits divided by a temperature, unless its own file has that inside."""
    if is_applied(predictor.info) or temperature == 1:
        return predictor
    number = len(predictor.classes)

    def wrapped(answers: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Callable[..., NDArray[np.float32]]:
        return lambda batch: scaled_rows(answers(batch), number, temperature)

    score = predictor.with_score
    return replace(
        predictor, probabilities=wrapped(predictor.probabilities), with_score=None if score is None else wrapped(score)
    )


def scaled_rows(rows: NDArray[np.float32], num_classes: int, temperature: float) -> NDArray[np.float32]:
    """Rows of probabilities, scaled; further columns, such as a score, stay as they are."""
    found = scaled(rows[:, :num_classes].astype(np.float64), temperature, UNROUNDED).astype(np.float32)
    return np.concatenate([found, rows[:, num_classes:]], axis=1)


# --- in Keras' graph -----------------------------------------------------------------------------------------------------


def with_temperature(model: Any, temperature: float) -> Any:
    """The Keras model with its logits divided by the temperature.

    In a last layer that is dense with softmax, the weights and the bias are divided: the graph has no layer more, and in 8-bit
    integers no logarithm of a rounded probability. Elsewhere ``softmax(log p / T)`` follows the model.
    """
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    last = model.output._keras_history.operation
    if isinstance(last, keras.layers.Dense) and getattr(last.activation, "__name__", "") == "softmax":
        divided = keras.layers.Dense.from_config({**last.get_config(), "dtype": "float32"})
        made = keras.Model(model.input, divided(last.input), name=model.name)
        divided.set_weights([weight / temperature for weight in last.get_weights()])
        return made
    logits = keras.ops.log(keras.ops.maximum(model.output, UNROUNDED)) / temperature
    return keras.Model(model.input, keras.layers.Softmax(dtype="float32", name="calibrated")(logits), name=model.name)
