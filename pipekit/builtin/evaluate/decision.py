"""What the model's decision rule does on the evaluated split: the target that was set on val, or the cost of mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import Groups, mean_of_levels, share_of
from pipekit.learning.decisions import DECIMALS, decision_of, parse_target, reached
from pipekit.learning.temperature import UNROUNDED, is_applied, scaled


def measure(
    info: Mapping[str, Any], unrounded: NDArray[np.float64], y_true: NDArray[np.int64], groups: Groups
) -> dict[str, Any]:
    """The figures of the rule beside those of predicting the most probable class, each with its interval.

    Args:
        info: ``model.json``.
        unrounded: ``(N, C)``, the model's probabilities.
    """
    rule = decision_of(info, None)
    inside = is_applied(info) or rule.temperature == 1
    calibrated = np.round(unrounded if inside else scaled(unrounded, rule.temperature, UNROUNDED), DECIMALS)
    default, chosen = calibrated.argmax(axis=1), rule.decide(calibrated)
    found = {
        **{name: rule.entry.get(name) for name in ("rule", "target", "positive", "threshold", "costs", "val")},
        "temperature": rule.temperature,
        "num_changed": int((default != chosen).sum()),
        "accuracy": {"default": share_of(default == y_true, groups), "chosen": share_of(chosen == y_true, groups)},
        "confusion_matrix": _confusion(y_true, chosen, len(rule.costs)),
    }
    if rule.entry.get("rule") == "threshold":
        return {**found, **_of_target(info, str(rule.entry["target"]), default, chosen, y_true, groups)}
    before, after = rule.costs[y_true, default], rule.costs[y_true, chosen]
    changes = (rule.costs[:, :, None] - rule.costs[:, None, :]).ravel()
    cost = {
        "default": mean_of_levels(before, rule.costs.ravel(), groups),
        "chosen": mean_of_levels(after, rule.costs.ravel(), groups),
        "difference": mean_of_levels(after - before, changes, groups),
    }
    return {**found, "cost": cost}


def _of_target(
    info: Mapping[str, Any],
    text: str,
    default: NDArray[np.int64],
    chosen: NDArray[np.int64],
    y_true: NDArray[np.int64],
    groups: Groups,
) -> dict[str, Any]:
    target = parse_target(text)
    place = info["classes"].index(target.name)
    figures: dict[str, Any] = {}
    for figure in ("recall", "precision"):
        for name, said in (("default", default), ("chosen", chosen)):
            counted = y_true == place if figure == "recall" else said == place
            right = (said == y_true)[counted]
            figures.setdefault(figure, {})[name] = share_of(right, None if groups is None else groups[counted])
    right = reached(target, chosen == place, y_true == place)
    return {
        **figures,
        "figure": target.figure,
        "target_value": target.value,
        "met": None if not len(right) else bool(right.mean() >= target.value - 1e-12),
        "num_right": int(right.sum()),
        "num_counted": len(right),
    }


def _confusion(y_true: NDArray[np.int64], chosen: NDArray[np.int64], num_classes: int) -> list[list[int]]:
    counts = np.bincount(y_true * num_classes + chosen, minlength=num_classes**2)
    return np.asarray(counts.reshape(num_classes, num_classes)).tolist()  # type: ignore[no-any-return]
