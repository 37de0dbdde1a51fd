"""Slices of several labels and of numbers: on which kinds of image is the model worse? By the traits and columns of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import number_intervals, slices
from pipekit.builtin.evaluate.describe import describe
from pipekit.builtin.evaluate.of_task import Answered, estimate_words, resamples_of
from pipekit.contract import Context, Section, Table
from pipekit.learning import multilabel_metrics as labels
from pipekit.learning import number_metrics as numbers
from pipekit.learning.multilabel_metrics import interval
from pipekit.learning.significance import LEVEL, holm
from pipekit.page.markdown import literal

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Groups = NDArray[np.int64] | None
Rows = list[dict[str, Any]]


def of_labels(ctx: Context, found: Answered, params: EvaluateParams, true: Bools, predicted: Bools) -> Rows:
    """The share of images with all labels right of each slice, tested as the accuracy of classes is; and micro F1."""
    traits = _traits(ctx, found)
    right = (true == predicted).all(axis=1)
    parts = slices.parts_of(found.samples, traits, params.slices)
    rows = slices.by_slice(found.samples, traits, right, params.slices, found.groups)
    for row, (_, _, part) in zip(rows, parts, strict=True):
        row["subset_accuracy"] = row.pop("accuracy")
        row["micro_f1"] = labels.averages(true[part], predicted[part])["micro_f1"]
    return rows


def of_numbers(ctx: Context, found: Answered, params: EvaluateParams, true: Floats, predicted: Floats) -> Rows:
    """MAE and bias of each slice with intervals, tested by the ranks of absolute errors (H. B. Mann and D. R. Whitney 1947)."""
    parts = slices.parts_of(found.samples, _traits(ctx, found), params.slices)
    return by_number(parts, true, predicted, found.groups, resamples_of(params), lambda: ctx.rng("slices"))


def by_number(
    parts: Sequence[tuple[str, str, Bools]],
    true: Floats,
    predicted: Floats,
    groups: Groups,
    resamples: int,
    rng: Callable[[], Any],
) -> Rows:
    """A row for each part: ``by``, ``slice``, ``count``, ``mae``, ``bias``, ``p_holm``, ``weaker``, as ``slices.by_slice``
    has them.

    Args:
        parts: the trait or column, the name of the slice, and ``(N,)`` which images are in it.
        rng: a new generator for each part, so that a part's interval does not depend on the others.
    """
    rows: Rows = []
    for by, name, part in parts:
        values = numbers.errors_of(true[part], predicted[part])
        bounds = number_intervals.measured(
            true[part], predicted[part], None if groups is None else groups[part], resamples, rng()
        )
        own = {figure: interval(values[figure], *bounds[figure]) for figure in ("mae", "bias")}
        rows.append({"by": by, "slice": name, "count": int(part.sum()), **own, "p_holm": None, "weaker": False})
    apart = np.abs(predicted - true)
    tested = [at for at, row in enumerate(rows) if slices.FEWEST_TO_TEST <= row["count"] < len(true)]
    for at, p in zip(tested, holm([_p_value(parts[at][2], apart, groups) for at in tested]), strict=True):
        rows[at] |= {"p_holm": p, "weaker": bool(p < LEVEL and rows[at]["mae"]["value"] > apart.mean())}
    return rows


def _p_value(part: Bools, apart: Floats, groups: Groups) -> float:
    """Whether the errors inside and outside differ; the images of a group count as one, with their mean error."""
    from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

    inside, outside = (apart[side] if groups is None else _means(apart[side], groups[side]) for side in (part, ~part))
    return float(mannwhitneyu(inside, outside).pvalue)


def _means(values: Floats, groups: NDArray[np.int64]) -> Floats:
    places = np.unique(groups, return_inverse=True)[1]
    return np.asarray(np.bincount(places, values) / np.bincount(places))


def _traits(ctx: Context, found: Answered) -> dict[str, Floats]:
    return slices.traits_of(found.samples, describe(ctx, found.samples, f"describe {found.split}"))


def section(rows: Sequence[Mapping[str, Any]], unit: str = "") -> Section | None:
    """The section of the report; None without slices."""
    shown = [row for row in rows if row["count"]]
    if not shown:
        return None
    are_labels = "subset_accuracy" in shown[0]
    main, further = ("subset_accuracy", "micro_f1") if are_labels else ("mae", "bias")
    weak = [f"{literal(row['by'])} {literal(row['slice'])}: {row[main]['value']:.4g}{unit}" for row in shown if row["weaker"]]
    tested = sum(row["p_holm"] is not None for row in shown)
    words = f"Worse than the other images: {'; '.join(weak)}." if weak else "No slice is worse beyond chance."
    test = "Fisher's exact test" if are_labels else "Mann and Whitney's test of the absolute errors"
    words += (
        f" {tested} slice{'s were' if tested != 1 else ' was'} tested ({test} against the other images, with Holm's adjustment "
        f"for their number); a slice of fewer than {slices.FEWEST_TO_TEST} images is not. Brightness is the mean grey value "
        "(0 to 255); sharpness the variance of the Laplacian."
    )
    head = ("all labels right (95 % interval)", "micro F1") if are_labels else (f"MAE{unit}", f"bias{unit}")
    table = tuple(
        (
            row["by"],
            row["slice"],
            row["count"],
            estimate_words(row[main]),
            round(row[further], 3) if are_labels else estimate_words(row[further]),
            row["p_holm"],
        )
        for row in shown
    )
    return Section(
        "Slices",
        f"On which kinds of image is the model worse? {words}",
        tables=(Table(("by", "slice", "images", *head, "p (Holm)"), table, "Slices"),),
    )
