"""Section ``decision``: what the decision rule that was chosen on val does on the evaluated split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.builtin.report.phrasing import count, estimate
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal

MOST_CLASSES = 12
"""Number of classes above which the tables of costs and of counts are left out: they can't be read."""


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics.get("decision")
    if not found:
        return None
    words = _of_target(evaluation, found) if found["rule"] == "threshold" else _of_costs(evaluation, found)
    applied = (
        f"The rule changes {count(found['num_changed'], 'prediction')} of {len(evaluation):,}. Everything else in this report "
        "is about the most probable class; `--decide` of `pipekit predict` and `pipekit export` applies the rule."
    )
    return Section("Decision rule", f"{words}\n\n{applied}", tables=tuple(_tables(evaluation, found)))


def _of_target(evaluation: Evaluation, found: Mapping[str, Any]) -> str:
    split, name, figure = literal(evaluation.split), literal(found["positive"]), found["figure"]
    val, here = found["val"], found[figure]["chosen"]
    if found["met"] is None:
        verdict = f"On {split} there are no such images, so nothing can be said of it."
    elif not found["met"]:
        chance = here["high"] is None or here["high"] >= found["target_value"]
        verdict = (
            f"On {split} it is **missed**: {_measured(here, found)}"
            f"{', which may be chance' if chance else ', beyond chance'}. The threshold was chosen on val, where it is met."
        )
    elif here["low"] is not None and here["low"] >= found["target_value"]:
        verdict = f"On {split} it is met, beyond chance: {_measured(here, found)}."
    else:
        verdict = f"On {split} it is met: {_measured(here, found)}. The interval does not exclude a lower value."
    return (
        f"Which class is predicted, if mistakes are not equally bad? *{name}* is predicted from a calibrated probability of "
        f"{found['threshold']:.4f} up. The threshold was chosen on val for the target `{found['target']}`, and reaches "
        f"{val['value']:.3f} there (95 % interval {val['low']:.3f} to {val['high']:.3f}, {val['num_right']} of "
        f"{val['num_counted']}; chosen on the same images, so a little flattered). {verdict}"
    )


def _measured(here: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if here["low"] is None:
        return f"{here['value']:.3f} ({found['num_right']} of {found['num_counted']})"
    ends = f"95 % interval {here['low']:.3f} to {here['high']:.3f}"
    return f"{here['value']:.3f} ({ends}, {found['num_right']} of {found['num_counted']})"


def _of_costs(evaluation: Evaluation, found: Mapping[str, Any]) -> str:
    cost, val = found["cost"], found["val"]
    change = cost["difference"]
    if change["high"] is not None and change["high"] < 0:
        verdict = "The rule saves costs, beyond chance."
    elif change["low"] is not None and change["low"] > 0:
        verdict = "**The rule costs more** than predicting the most probable class: the probabilities are not right."
    else:
        verdict = "The difference may be due to chance."
    return (
        "Which class is predicted, if mistakes are not equally bad? The one with the lowest expected cost, from the calibrated "
        f"probabilities. On {literal(evaluation.split)}, the mean cost of an image is {_cost(cost['chosen'])}, and "
        f"{_cost(cost['default'])} if the most probable class is predicted: a difference of {_cost(change)}. {verdict} On val, "
        f"it is {val['chosen']:.3f} instead of {val['default']:.3f}."
    )


def _cost(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} (95 % interval {found['low']:.3f} to {found['high']:.3f})"


def _tables(evaluation: Evaluation, found: Mapping[str, Any]) -> list[Table]:
    rows = [("accuracy", *(estimate(found["accuracy"][name]) for name in ("default", "chosen")))]
    for figure in ("recall", "precision"):
        if figure in found:
            values = (estimate(found[figure][name]) for name in ("default", "chosen"))
            rows.append((f"{figure} of {found['positive']}", *values))
    if "cost" in found:
        rows.append(("mean cost", *(_cost(found["cost"][name]) for name in ("default", "chosen"))))
    tables = [Table(("figure", "most probable class", "decision rule"), tuple(rows), "With 95 % intervals")]
    if len(evaluation.classes) > MOST_CLASSES:
        return tables
    head = ("true \\ predicted", *evaluation.classes)
    counts = tuple((name, *row) for name, row in zip(evaluation.classes, found["confusion_matrix"], strict=True))
    tables.append(Table(head, counts, "Confusion matrix of the decision rule"))
    if "cost" in found:
        costs = tuple(
            (name, *(f"{cost:g}" for cost in row)) for name, row in zip(evaluation.classes, found["costs"], strict=True)
        )
        tables.append(Table(head, costs, "Cost of each mistake"))
    return tables
