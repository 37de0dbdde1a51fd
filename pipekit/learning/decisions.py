"""Decision rules: which class to predict from calibrated probabilities, for a target or for the costs of mistakes.

A rule is one matrix of costs, a row for each true class and a column for each predicted one: the predicted class has the
lowest expected cost (C. Elkan, "The foundations of cost-sensitive learning", IJCAI 2001). A threshold t of two classes is
the same rule with the costs t for a false positive and 1 - t for a false negative.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError, did_you_mean
from pipekit.learning import temperature
from pipekit.learning.significance import exact
from pipekit.tasks import CLASSES, require, task_named

if TYPE_CHECKING:
    from pipekit.learning.predictor import Predictor

KEY = "decision"
"""The entry of ``model.json``."""

OUTPUT = "expected_cost"
"""The output of an export that decides: a column for each class, and the class with the lowest value is the predicted one."""

DECIMALS = 6
"""Decimals of the probabilities that a threshold is chosen on: those of ``predictions.csv``."""

DEFAULT_COST = 1.0
"""The cost of a mistake that no cost is stated for."""

Costs = Mapping[str, Mapping[str, float]]
Float = NDArray[np.float64]

_TARGET = re.compile(r"\s*(recall|precision)\s+of\s+(.+?)\s*>=\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", re.DOTALL)
TARGET_FORM = "'recall of CLASS >= 0.95' or 'precision of CLASS >= 0.9'"


@dataclass(frozen=True)
class Target:
    """What a threshold has to reach: ``recall of defect >= 0.95``."""

    figure: str
    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.figure} of {self.name} >= {self.value:g}"


def parse_target(text: str) -> Target:
    """Read a target; a class's name may be in quotes, the value a share or a percentage.

    >>> parse_target("recall of defect >= 95 %")
    Target(figure='recall', name='defect', value=0.95)

    Raises:
        ValueError: it is none, with what was expected.
    """
    found = _TARGET.fullmatch(text)
    if found is None:
        raise ValueError(f"a target reads {TARGET_FORM}, got {text!r}")
    figure, name, number, percent = found.groups()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
        name = name[1:-1]
    value = float(number) / (100 if percent else 1)
    if not 0 < value <= 1:
        raise ValueError(f"the value of a target is above 0 and at most 1 (or 100 %), got {number}{percent} in {text!r}")
    return Target(figure, name, value)


def check_costs(costs: Costs) -> None:
    """Check a table of costs, as far as it can be checked without the classes.

    Raises:
        ValueError: a cost is negative or not finite, a correct prediction has one, or no mistake costs anything.
    """
    for true, row in costs.items():
        for predicted, cost in row.items():
            if not isfinite(cost) or cost < 0:
                raise ValueError(f"a cost is a number from 0 up, got {cost} for {true!r} predicted as {predicted!r}")
            if true == predicted and cost:
                raise ValueError(f"a correct prediction costs nothing, got {cost:g} for {true!r} predicted as {predicted!r}")


def cost_matrix(costs: Costs, classes: Sequence[str]) -> Float:
    """``(C, C)``: row true, column predicted; a mistake without a stated cost costs 1.

    Raises:
        UserError: a class that the model does not have, or no mistake costs anything.
    """
    place = {name: number for number, name in enumerate(classes)}
    matrix = DEFAULT_COST * (1 - np.eye(len(classes)))
    for true, row in costs.items():
        for predicted, cost in row.items():
            for name in (true, predicted):
                if name not in place:
                    raise _unknown_class(name, classes, "cost")
            matrix[place[true], place[predicted]] = cost
    if not matrix.any():
        raise UserError("no mistake costs anything, so every decision is as good", "State a cost above 0.")
    return matrix


def _unknown_class(name: str, classes: Sequence[str], where: str) -> UserError:
    hint = f"{did_you_mean(name, classes)} The model's classes: {', '.join(classes)}".strip()
    return UserError(f"{where}: the model has no class {name!r}", hint)


# --- choosing a threshold on val -----------------------------------------------------------------------------------------


def needed_images(value: float) -> int | None:
    """The number of images that support a share of at least ``value``: with all of them right, the exact 95 % interval begins
    there. None for 1, which no number supports.

    >>> needed_images(0.95)
    72
    """
    return None if value >= 1 else ceil(log(0.025) / log(value) - 1e-9)


def positive_class(target: Target, classes: Sequence[str]) -> int:
    """The number of the target's class.

    Raises:
        UserError: the model has no such class, or not two classes.
    """
    if len(classes) != 2:
        raise UserError(
            f"target: a threshold is for two classes, and the model has {len(classes)}: {', '.join(classes[:8])}",
            "State the costs of mistakes instead: cost = { defect = { ok = 5 } }",
        )
    if target.name not in classes:
        raise _unknown_class(target.name, classes, "target")
    return list(classes).index(target.name)


def threshold_for(target: Target, positive: Float, is_positive: NDArray[np.bool_]) -> float:
    """The threshold that reaches a target on val at the smallest price: the highest one for a recall, and for a precision the
    one with the largest recall. It lies midway between two probabilities that occur, so that rounding moves no image.

    Args:
        positive: ``(N,)``, the probability of the target's class.
        is_positive: ``(N,)``, whether the image is of that class.

    Raises:
        UserError: val lacks images of a class, or no threshold reaches the target.
    """
    found, other = int(is_positive.sum()), int((~is_positive).sum())
    if not found or not other:
        lacking = f"of {target.name!r}" if not found else f"of the other class than {target.name!r}"
        need = needed_images(target.value)
        raise UserError(
            f"val has no image {lacking}, so no threshold can be chosen for {str(target)!r}",
            f"Put images of it into val; {need} support {target.value:g}." if need else "Put images of it into val.",
        )
    seen = np.round(positive, DECIMALS)
    values = np.unique(seen)[::-1]
    place = np.searchsorted(-values, -seen)
    hits = np.bincount(place[is_positive], minlength=len(values)).cumsum()
    predicted = np.bincount(place, minlength=len(values)).cumsum()
    reached = hits / found if target.figure == "recall" else hits / predicted
    good = np.flatnonzero(reached >= target.value - 1e-12)
    if not len(good):
        best = int(reached.argmax())
        raise UserError(
            f"no threshold reaches {str(target)!r} on val: the highest {target.figure} is {reached[best]:.3f} "
            f"({hits[best]} of {predicted[best]} images predicted as {target.name!r} are right)",
            "State a lower target, or train a better model.",
        )
    chosen = int(good[0] if target.figure == "recall" else good[hits[good].argmax()])
    below = float(values[chosen + 1]) if chosen + 1 < len(values) else 0.0
    return (float(values[chosen]) + below) / 2


def reached(target: Target, positive_said: NDArray[np.bool_], is_positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a target counts: for recall, which images of the class are found; for precision, which found ones are right."""
    return positive_said[is_positive] if target.figure == "recall" else is_positive[positive_said]


def doubt(target: Target, total: int) -> str:
    """A sentence if so few images can't support the target; "" if they can."""
    need = needed_images(target.value)
    counted = f"images of {target.name!r}" if target.figure == "recall" else f"images predicted as {target.name!r}"
    if need is not None and total >= need:
        return ""
    low = exact(total, total)[0]
    return (
        f"val has {total} {counted}, too few to support {str(target)!r}: even without a mistake, the 95 % interval would begin "
        f"at {low:.3f}" + (f"; {need} are needed" if need else "; no number of images supports 1")
    )


def choose_threshold(target: Target, classes: Sequence[str], calibrated: Float, y_true: NDArray[np.int64]) -> dict[str, Any]:
    """Choose the threshold on val; the entry of ``model.json``, without the temperature.

    Args:
        calibrated: ``(N, 2)``, the probabilities of the val images.

    Raises:
        UserError: see :func:`positive_class` and :func:`threshold_for`.
    """
    place = positive_class(target, classes)
    positive, own = np.round(calibrated[:, place], DECIMALS), y_true == place
    threshold = threshold_for(target, positive, own)
    right = reached(target, positive >= threshold, own)
    before = reached(target, calibrated.argmax(axis=1) == place, own)
    low, high = exact(int(right.sum()), len(right))
    value = float(right.mean())
    return {
        "rule": "threshold",
        "target": str(target),
        "figure": target.figure,
        "positive": target.name,
        "threshold": threshold,
        "costs": threshold_costs(threshold, place).tolist(),
        "val": {
            "num_images": len(y_true),
            "num_right": int(right.sum()),
            "num_counted": len(right),
            "value": value,
            "low": low,
            "high": high,
            "default": float(before.mean()) if len(before) else None,
        },
        "doubt": doubt(target, len(right)),
        "words": (
            f"{target.name} is predicted from a probability of {threshold:.4f} up; on val, the {target.figure} is then "
            f"{value:.3f} (95 % interval {low:.3f} to {high:.3f}, {int(right.sum())} of {len(right)})"
        ),
    }


def choose_costs(costs: Costs, classes: Sequence[str], calibrated: Float, y_true: NDArray[np.int64]) -> dict[str, Any]:
    """The rule of the lowest expected cost; the entry of ``model.json``, without the temperature.

    Raises:
        UserError: see :func:`cost_matrix`.
    """
    matrix = cost_matrix(costs, classes)
    calibrated = np.round(calibrated, DECIMALS)
    default = float(matrix[y_true, calibrated.argmax(axis=1)].mean())
    chosen = float(matrix[y_true, (calibrated @ matrix).argmin(axis=1)].mean())
    return {
        "rule": "expected_cost",
        "costs": matrix.tolist(),
        "val": {"num_images": len(y_true), "default": default, "chosen": chosen},
        "words": (
            f"the class with the lowest expected cost is predicted; on val, the mean cost of an image is then {chosen:.3f} "
            f"instead of {default:.3f}"
        ),
    }


def threshold_costs(threshold: float, positive: int) -> Float:
    """The costs that make the same decisions as a threshold of two classes."""
    matrix = np.zeros((2, 2))
    matrix[1 - positive, positive], matrix[positive, 1 - positive] = threshold, 1 - threshold
    return matrix


# --- a rule that a model has ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Decision:
    """A decision rule.

    Attributes:
        costs: ``(C, C)``, row true, column predicted.
        temperature: of the probabilities that it is for; 1 for those as trained.
        entry: all that ``model.json`` says of it.
    """

    costs: Float
    temperature: float
    entry: Mapping[str, Any]

    def expected_costs(self, probabilities: NDArray[Any]) -> Float:
        """``(N, C)`` calibrated probabilities to the expected cost of predicting each class."""
        return np.asarray(probabilities, np.float64) @ self.costs

    def decide(self, probabilities: NDArray[Any]) -> NDArray[np.int64]:
        """``(N, C)`` calibrated probabilities to ``(N,)`` class numbers; of equal costs, the first class."""
        return np.asarray(self.expected_costs(probabilities).argmin(axis=1), np.int64)

    @property
    def words(self) -> str:
        """The rule in a few words."""
        if self.entry.get("rule") == "threshold":
            return f"{self.entry['positive']!r} from a probability of {self.entry['threshold']:.4f} up ({self.entry['target']})"
        return "the class with the lowest expected cost"


def decision_of(info: Mapping[str, Any], folder: Path | None) -> Decision:
    """The rule in ``model.json``.

    Raises:
        UserError: there is none, or it is damaged.
    """
    where = "the model" if folder is None else f"the model in {folder}"
    entry, number = info.get(KEY), len(info["classes"])
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where} has no decision rule: model.json has no {KEY!r}",
            "Choose one on val: pipekit stage calibrate --model RUN --dataset RUN:split --target 'recall of CLASS >= 0.95'",
        )
    try:
        costs, scale = np.array(entry["costs"], np.float64), float(entry.get("temperature", 1.0))
        if entry.get("rule") == "threshold":
            str(entry["positive"]), str(entry["target"]), float(entry["threshold"])
    except (KeyError, TypeError, ValueError):
        costs, scale = np.zeros(0), 1.0
    if costs.shape != (number, number) or not np.isfinite(costs).all() or (costs < 0).any() or not scale > 0:
        raise UserError(
            f"{where}: the entry {KEY!r} of model.json is damaged: its costs must be {number} x {number} numbers from 0 up",
            "Copy model.json again, or choose the rule again: pipekit stage calibrate",
        )
    return Decision(costs, scale, entry)


def decides(info: Mapping[str, Any]) -> bool:
    """Whether the model was exported with its decision rule, and so is always to be predicted by it."""
    entry = info.get(KEY)
    return isinstance(entry, Mapping) and entry.get("applied") is True


def asked_for(predictor: Predictor, calibrated: bool, decide: bool) -> tuple[Predictor, Decision | None]:
    """The predictor as it is asked for, and its decision rule.

    Args:
        calibrated: calibrate the probabilities by the model's temperature.
        decide: predict by the model's decision rule, from the probabilities that the rule is for. An export that has its rule
            inside decides by it in any case.

    Raises:
        UserError: the model has no temperature, or no rule.
    """
    for wanted, name in ((calibrated, "calibrated"), (decide, "decide")):
        if wanted:
            require(f"{name!r}", task_named(predictor.info.get("task")) or CLASSES, [CLASSES])
    if decide or decides(predictor.info):
        decision = decision_of(predictor.info, predictor.folder)
        return temperature.at_temperature(predictor, decision.temperature), decision
    return (temperature.calibrated(predictor) if calibrated else predictor), None


# --- in Keras' graph -----------------------------------------------------------------------------------------------------


def with_expected_costs(model: Any, costs: Float) -> Any:
    """The Keras model with one more output, the expected cost of predicting each class ``(N, C)``."""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    outputs = list(model.outputs)
    layer = keras.layers.Dense(len(costs), use_bias=False, trainable=False, dtype="float32", name=OUTPUT)
    found = keras.Model(model.input, [*outputs, layer(outputs[0])], name="with_expected_costs")
    layer.set_weights([costs.astype(np.float32)])
    return found
