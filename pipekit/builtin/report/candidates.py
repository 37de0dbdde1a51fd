"""Section ``candidates``: the templates that ``model = "auto"`` tried, what each reached on val, and why one was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.builtin.report.phrasing import count, number
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = [one for one in evaluation.model.get("candidates") or () if isinstance(one, Mapping)]
    if not found:
        return None
    chosen = str(evaluation.model.get("template", ""))
    rows = tuple(_row(one, chosen) for one in found)
    columns = ("template", "accuracy on val (95 % interval)", "loss on val", "estimated time", "")
    return Section("Models tried", _words(evaluation.model, found, chosen), tables=(Table(columns, rows),))


def _row(one: Mapping[str, Any], chosen: str) -> tuple[str, ...]:
    seconds = one.get("estimate_s")
    estimated = "–" if seconds is None else f"{seconds:.0f} s"
    if one.get("left_out"):
        return (one["template"], "–", "–", estimated, f"left out: {one['left_out']}")
    accuracy = "–"
    if one.get("val_accuracy") is not None:
        accuracy = f"{one['val_accuracy']:.3f} ({one['val_low']:.2f} to {one['val_high']:.2f})"
    return (one["template"], accuracy, number(one.get("val_loss")), estimated, "chosen" if one["template"] == chosen else "")


def _words(model: Mapping[str, Any], found: list[Mapping[str, Any]], chosen: str) -> str:
    tried = [one for one in found if not one.get("left_out")]
    name = literal(chosen)
    if len(tried) == 1:
        return f"Why this model? *{name}* is the only template that was trained; the table has the reasons."
    num_val = max(int(one.get("num_val") or 0) for one in tried)
    return (
        f"Why this model? Of {count(len(tried), 'template')}, *{name}* is {literal(str(model.get('rule', '')))}. "
        f"The accuracies are measured on {count(num_val, 'validation image')}; that of the chosen model is slightly too high, "
        "since it was chosen by it. The accuracy at the top of this report is not."
    )
