"""Suspected labels of datasets of several labels and of numbers: what the check ``suspected_labels`` computes by features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.builtin.inspect.sight import Sight
from pipekit.contract import Finding
from pipekit.learning.out_of_fold_tasks import suspected
from pipekit.tasks import MULTILABEL, labels_in

SPREADS = 5.0
"""A number is suspect from this many spreads of the residuals on; the spread is that of a normal distribution with their
quartiles."""

LEAST_EXPLAINED = 0.2
"""Part of the numbers' median distance to their median that a prediction has to take away, so that its residuals mean
something."""


def find_suspects_of_task(rows: Sequence[Mapping[str, Any]], sight: Sight, least_chance: float) -> Iterator[Finding]:
    measured = MeasuredRows.of(rows)
    yield from _of_labels(measured, sight, least_chance) if measured.task == MULTILABEL else _of_numbers(measured, sight)


def _of_labels(rows: MeasuredRows, sight: Sight, least_chance: float) -> Iterator[Finding]:
    """One finding for each label that is missing or wrong on images, by the number of images."""
    judged = sight.judged_labels(rows)
    if judged is None:
        yield _not_judged("no label has ten images with it and ten without, or there are fewer than five groups of images")
        return
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row, at, kind, wrong in suspected(judged.given, judged.found, least_chance):
        name, p = judged.labels[at], float(judged.found.probabilities[row, at])
        said = labels_in(rows.text("label", int(judged.numbers[row]))) or ()
        one = {"id": judged.ids[row], "labels": list(said), "label": name, "suspected": kind}
        found.setdefault((name, kind), []).append(one | {"probability": round(p, 4), "chance": round(wrong, 4)})
    for (name, kind), some in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        message = f"{name} may be missing" if kind == "missing" else f"labelled {name}, which looks wrong"
        captions = {one["id"]: f"{message}: p = {one['probability']:.2f}; labelled {_shown(one['labels'])}" for one in some}
        yield Finding(
            "suspected_labels", "warning", message, tuple(captions), {"suspects": some, "captions": captions, "remove": []}
        )
    if judged.left_out:
        yield _not_judged(f"too few images with them or without: {', '.join(map(repr, judged.left_out[:8]))}")


def _not_judged(why: str) -> Finding:
    return Finding("suspected_labels", "info", f"labels that were not judged by features: {why}")


def _shown(labels: Sequence[str]) -> str:
    return "|".join(labels) or "with none"


def _of_numbers(rows: MeasuredRows, sight: Sight) -> Iterator[Finding]:
    """Numbers far from those that the features of the picture predict, out of fold."""
    judged = sight.judged_numbers(rows)
    if judged is None:
        yield Finding("suspected_labels", "info", "fewer than 20 numbers: none was judged by features")
        return
    ids, values, predicted = judged
    residuals = values - predicted
    middle, spread = _spread(residuals)
    explained = 1 - np.median(np.abs(residuals - middle)) / (np.median(np.abs(values - np.median(values))) or 1.0)
    if explained < LEAST_EXPLAINED:
        yield Finding(
            "suspected_labels",
            "info",
            "the features of the pictures say too little about the numbers to suspect any: predictions out of fold take "
            f"{max(0.0, explained):.0%} of the numbers' median distance to their median away, {LEAST_EXPLAINED:.0%} is needed",
            values={"explained": round(float(explained), 4)},
        )
        return
    far = np.abs(residuals - middle) / spread
    order = np.flatnonzero(far > SPREADS)
    order = order[np.argsort(-far[order], kind="stable")]
    if not len(order):
        return
    some = [
        {
            "id": ids[at],
            "label": repr(float(values[at])),
            "suggested": f"{predicted[at]:.4g}",
            "why": f"the number is {values[at]:g}, the picture looks like {predicted[at]:.4g}",
        }
        for at in order.tolist()
    ]
    captions = {one["id"]: one["why"] for one in some}
    yield Finding(
        "suspected_labels",
        "warning",
        f"a number more than {SPREADS:g} spreads from what the features of the picture predict, out of fold (a spread is "
        f"{spread:.3g})",
        tuple(captions),
        {"suspects": some, "captions": captions, "explained": round(float(explained), 4), "remove": []},
    )


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    low, middle, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    return middle, max((high - low) / 1.349, 1e-12)
