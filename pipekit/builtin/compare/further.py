"""Metrics of plugins in a comparison: the mean of each model, and the paired difference on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipekit.builtin.compare.paired import Answers, groups_of, in_both, p_words
from pipekit.contract import Call, Section, Table
from pipekit.learning.assigning import name_of, scored
from pipekit.learning.significance import holm, paired_mean
from pipekit.page.markdown import literal
from pipekit.tasks import CLASSES, MULTILABEL

COLUMNS = {CLASSES: "true", MULTILABEL: "labels"}
"""Where ``predictions.csv`` has what an image is labelled with; of a number it is ``value``."""


def compare_all(answers: Sequence[Answers], metrics: Sequence[Call], task: str) -> list[dict[str, Any]]:
    """Each later report against the first by each metric; p-values are adjusted for the number of these comparisons.

    Raises:
        PluginError: a metric fails, or gives no finite number for an image.
    """
    found = []
    for other in answers[1:]:
        shared = in_both(answers[0], other, COLUMNS.get(task, "value"))
        groups = groups_of(answers[0], other, shared)
        for call in metrics:
            metric, who = call.load(), name_of(call)
            first, second = (
                scored(metric, [one.rows[name] for name in shared], call.params, who) for one in (answers[0], other)
            )
            found.append(
                {
                    "metric": call.name,
                    "first": answers[0].name,
                    "other": other.name,
                    "mean_first": float(first.mean()),
                    "mean_other": float(second.mean()),
                    **paired_mean(second - first, groups),
                }
            )
    for one, p in zip(found, holm([one["p"] for one in found]), strict=True):
        one["p_holm"] = p
    return found


def section(found: Sequence[Mapping[str, Any]]) -> Section:
    """The table of the page."""
    rows = []
    for one in found:
        difference = one["difference"]
        low, high = difference["low"], difference["high"]
        span = "too few images" if low is None else f"{low:+.4g} to {high:+.4g}"
        rows.append(
            (
                literal(one["metric"]),
                f"{literal(one['first'])}: {one['mean_first']:.4g}",
                f"{literal(one['other'])}: {one['mean_other']:.4g}",
                f"{difference['value']:+.4g}",
                span,
                p_words(one["p_holm"]),
            )
        )
    head = ("metric", "mean", "mean", "difference", "95 % interval", "adjusted")
    words = (
        "The means over the images that both reports have, and the paired difference, later minus first, by Student's t. "
        "p-values are adjusted for the number of rows (Holm)."
    )
    return Section("Further metrics", words, tables=(Table(head, tuple(rows)),))
