"""Compare models of several labels, or of a number, on the same images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.compare.paired import Answers, groups_of, in_both, kind_of_groups, p_words, sizes_of
from pipekit.contract import Section, Table
from pipekit.errors import UserError
from pipekit.learning import multilabel_metrics as metrics_of
from pipekit.learning.significance import LEVEL, holm, of_resamples, paired_mean
from pipekit.page.markdown import literal
from pipekit.rng import rng_for
from pipekit.tasks import MULTILABEL, TASKS

RESAMPLES = 1999
"""Resamples of the images: p-values of 0.001 can be told from larger ones."""

SAME = 1e-9
"""Differences below this are due to rounding."""

LISTED = 2000
"""Maximum number of images that ``comparison.json`` lists as predicted differently."""

SCORES = {
    "mean_average_precision": "mAP",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "subset_accuracy": "all labels of an image right",
}
ERRORS = {"mae": "MAE", "rmse": "RMSE", "median_error": "median absolute error", "r2": "R²", "bias": "bias"}

HOW = {
    "bootstrap": "The comparison is paired: both models are measured on the same resampled images, 1,999 times. The interval "
    "is that of the percentiles of the differences, with the level of Student's t for the number of images; the p-value is the "
    "level at which it ends at 0. *Gained*: images whose labels only the later model predicts without a mistake. ",
    "paired t": "The comparison is paired: it uses the differences of the absolute errors on the same images, and Student's t. "
    "A negative difference is a smaller error of the later model. *Gained*: images to which the later model is closer. ",
}


def one_task(names: Sequence[str], tasks: Sequence[str]) -> str:
    """The task of all reports.

    Raises:
        UserError: they differ.
    """
    for name, task in zip(names, tasks, strict=True):
        if task != tasks[0]:
            raise UserError(
                f"{names[0]!r} is about {TASKS[tasks[0]]}, and {name!r} about {TASKS[task]}: these can't be compared",
                "Compare models of one task, on the same images.",
            )
    return tasks[0]


def compare_all(answers: Sequence[Answers], task: str) -> dict[str, Any]:
    """The content of ``comparison.json``: each later report against the first, on the images that both have."""
    found = [_compare_two(answers[0], other, task) for other in answers[1:]]
    pairs = []
    for pair, p in zip(found, holm([pair["p"] for pair in found]), strict=True):
        pair = {**pair, "p_holm": p, "num_comparisons": len(found)}
        pairs.append({**pair, "verdict": verdict(pair)})
    name = "mean_average_precision" if task == MULTILABEL else "mae"
    return {
        "task": task,
        "models": [{"name": one.name, name: one.metrics[name]} for one in answers],
        "pairs": pairs,
        "headline": " ".join(pair["verdict"] for pair in pairs),
    }


def _compare_two(first: Answers, other: Answers, task: str) -> dict[str, Any]:
    _check_alike(first, other, task)
    shared = in_both(first, other, "labels" if task == MULTILABEL else "value")
    named = groups_of(first, other, shared)
    groups = None if named is None else np.unique(named, return_inverse=True)[1]
    tested = (_several if task == MULTILABEL else _numbers)(first, other, shared, groups)
    return {
        **sizes_of(first, other, shared),
        "better_than_baseline": {one.name: _beats_baseline(one.metrics, task) for one in (first, other)},
        "groups": kind_of_groups(first, other),
        **tested,
    }


def _check_alike(first: Answers, other: Answers, task: str) -> None:
    """Raises UserError: the reports are about other labels or another number, or lack the groups of their images."""
    if task == MULTILABEL and first.metrics["labels"] != other.metrics["labels"]:
        only = sorted({*first.metrics["labels"]} ^ {*other.metrics["labels"]})
        raise UserError(
            f"{first.name!r} and {other.name!r} have other labels: {', '.join(only[:5]) or 'in another order'}",
            "Compare models that were trained on the same labels.",
        )
    if task != MULTILABEL and first.metrics["value"] != other.metrics["value"]:
        named = [f"{one.name!r}: {' '.join(filter(None, one.metrics['value'].values()))}" for one in (first, other)]
        raise UserError(f"the reports are about other numbers ({', '.join(named)})", "Compare models of the same number.")
    for one in (first, other):
        if one.metrics.get("num_groups") and not all("group" in row for row in one.rows.values()):
            raise UserError(f"predictions.csv of {one.name!r} has no column 'group' for its groups", "Evaluate it again.")


def _beats_baseline(metrics: Mapping[str, Any], task: str) -> bool:
    """Whether the interval of the model's figure excludes that of its baseline."""
    name = "mean_average_precision" if task == MULTILABEL else "mae"
    found, base = metrics[name], metrics["baseline"][name]
    if found["low"] is None or base is None:
        return False
    return bool(found["low"] > base if task == MULTILABEL else found["high"] < base)


# --- several labels ------------------------------------------------------------------------------------------------------


def _several(first: Answers, other: Answers, shared: Sequence[str], groups: NDArray[np.int64] | None) -> dict[str, Any]:
    labels = first.metrics["labels"]
    true = _has(first, shared, labels, "labels")
    said = [_has(one, shared, labels, "predicted") for one in (first, other)]
    scores = [
        np.array([[float(one.rows[name][f"p:{label}"]) for label in labels] for name in shared]) for one in (first, other)
    ]
    found = differences(true, (said[0], said[1]), (scores[0], scores[1]), groups, RESAMPLES)
    right = [(true == one).all(axis=1) for one in said]
    changed = np.flatnonzero(right[0] != right[1])[:LISTED].tolist()
    undefined = {"difference": {"value": 0.0, "low": None, "high": None}, "p": 1.0}
    return {
        "method": "bootstrap",
        "metric": "mAP",
        **found.get("mean_average_precision", undefined),
        "differences": {name: {**one["difference"], "p": one["p"]} for name, one in found.items()},
        "gained": int((right[1] & ~right[0]).sum()),
        "lost": int((right[0] & ~right[1]).sum()),
        "num_groups": None if groups is None else int(groups.max()) + 1,
        "changed": [{"id": shared[at], "gained": bool(right[1][at])} for at in changed],
    }


def _has(one: Answers, shared: Sequence[str], labels: Sequence[str], column: str) -> NDArray[np.bool_]:
    sets = [{*json.loads(one.rows[name][column])} for name in shared]
    return np.array([[label in some for label in labels] for some in sets], np.bool_)


def differences(
    true: NDArray[np.bool_],
    said: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    groups: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, Any]]:
    """The differences of the figures of two models of several labels, the later minus the first, with intervals and p-values.

    Args:
        true, said, scores: ``(N, C)``: the labels of the images, and those and the probabilities that each model predicts.
        groups: ``(N,)``, the number of each image's group, from 0; groups are resampled whole. None: each image is its own.
    """
    number, count = true.shape
    precisions = [[metrics_of.resampled_precision(true[:, at], table[:, at]) for at in range(count)] for table in scores]

    def figures_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        each = []
        for of_labels, predicted in zip(precisions, said, strict=True):
            found = np.array([of(counts) for of in of_labels])
            mean = float("nan") if np.isnan(found).all() else float(np.nanmean(found))
            each.append([mean, *_f1s(counts, true, predicted), float(counts @ (true == predicted).all(axis=1) / counts.sum())])
        return np.subtract(np.array(each[1], np.float64), np.array(each[0], np.float64), dtype=np.float64)

    chance, values = rng_for(0, "compare", "bootstrap"), figures_of(np.ones(number, np.int64))
    table = np.array([figures_of(_counted(chance, number, groups)) for _ in range(resamples)])
    units = number if groups is None else int(groups.max()) + 1
    return {
        name: of_resamples(float(values[at]), table[~np.isnan(table[:, at]), at], units)
        for at, name in enumerate(SCORES)
        if not np.isnan(values[at])
    }


def _counted(chance: np.random.Generator, number: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """How often each image is drawn, with replacement; images of one group together."""
    if groups is None:
        return np.bincount(chance.integers(0, number, number), minlength=number)
    total = int(groups.max()) + 1
    return np.bincount(chance.integers(0, total, total), minlength=total)[groups]


def _f1s(counts: NDArray[np.int64], true: NDArray[np.bool_], said: NDArray[np.bool_]) -> tuple[float, float]:
    """Macro and micro F1 of images that count several times."""
    hits, sizes = counts @ (true & said), counts @ true.astype(np.int64) + counts @ said.astype(np.int64)
    each = np.divide(2 * hits, sizes, out=np.zeros(len(hits)), where=sizes > 0)
    return float(each.mean()), float(2 * hits.sum() / max(1, sizes.sum()))


# --- numbers -------------------------------------------------------------------------------------------------------------


def _numbers(first: Answers, other: Answers, shared: Sequence[str], groups: NDArray[np.int64] | None) -> dict[str, Any]:
    true = np.array([float(first.rows[name]["value"]) for name in shared])
    errors = [np.abs(np.array([float(one.rows[name]["predicted"]) for name in shared]) - true) for one in (first, other)]
    apart = errors[1] - errors[0]
    order = np.argsort(-np.abs(apart), kind="stable")
    return {
        "method": "paired t",
        "metric": "MAE",
        "unit": first.metrics["value"]["unit"],
        "mae_first": float(errors[0].mean()),
        "mae_other": float(errors[1].mean()),
        **paired_mean(apart, groups),
        "gained": int((apart < 0).sum()),
        "lost": int((apart > 0).sum()),
        "changed": [{"id": shared[at], "gained": bool(apart[at] < 0)} for at in order[:LISTED].tolist() if apart[at]],
    }


# --- words ---------------------------------------------------------------------------------------------------------------


def verdict(found: Mapping[str, Any]) -> str:
    """``B is better than A by 0.031 mAP (95 % interval 0.010 to 0.052), p = 0.004.``"""
    value, low, high = (found["difference"][name] for name in ("value", "low", "high"))
    first, other, scored = found["first"], found["other"], found["metric"] == "mAP"
    if low is None and abs(value) < SAME and found["num_images"] > 1:
        same = "the same mAP" if scored else "the same mean absolute error"
        changed = found["gained"] + found["lost"]
        but = f", though the labels of {changed} images are right in one alone" if scored and changed else ""
        return (
            f"{first} and {other} have {same} on these {found['num_images']} images{but}; "
            "by how much they differ on other images can't be told from them."
        )
    if low is None:
        return f"{found['num_images']} images are too few, or too alike, to compare {other} with {first}."
    sign = 1 if scored else -1  # a smaller error is better
    gain, ends = sign * value, sorted((sign * low, sign * high))
    better, worse = (other, first) if gain >= 0 else (first, other)
    if gain < 0:
        gain, ends = -gain, [-ends[1], -ends[0]]
    digits = "{:.3f}" if scored else "{:.3g}"
    size = " ".join(filter(None, [digits.format(gain), found.get("unit", "")]))
    span = f"95 % interval {digits.format(ends[0])} to {digits.format(ends[1])}"
    number, p = found["num_comparisons"], p_words(found["p"])
    if number > 1:
        p += f", {p_words(found['p_holm'])} after Holm's adjustment for {number} comparisons"
    if found["p_holm"] < LEVEL:
        how = f"by {size} mAP" if scored else f"by {size} of mean absolute error"
        return f"{better} is better than {worse} {how} ({span}), {p}.{_doubt(found)}"
    how = f"{size} higher mAP" if scored else f"{size} less mean absolute error"
    return f"{better} has {how} than {worse}, but the difference may be due to chance ({span}), {p}.{_doubt(found)}"


def _doubt(found: Mapping[str, Any]) -> str:
    """Models that may know nothing: the difference then says little about either."""
    weak = [name for name, known in found["better_than_baseline"].items() if not known]
    if not weak:
        return ""
    what = "scores without any information" if found["metric"] == "mAP" else "always predicting the mean"
    if len(weak) == 2:
        return f" Neither is clearly better than {what}."
    return f" {weak[0]} is not clearly better than {what}."


def stated_in(row: Mapping[str, str]) -> str:
    """What an image is labelled with, as a row of ``predictions.csv`` has it, for reading."""
    return _for_reading(row, next(name for name in ("true", "labels", "value") if name in row))


def said_in(row: Mapping[str, str]) -> str:
    """What the model predicts, for reading."""
    return _for_reading(row, "predicted")


def _for_reading(row: Mapping[str, str], column: str) -> str:
    if "true" in row:
        return row[column]
    if "labels" in row:
        return ", ".join(json.loads(row[column])) or "none"
    return f"{float(row[column]):.4g}"


# --- sections ------------------------------------------------------------------------------------------------------------


def summary(found: Mapping[str, Any]) -> Section:
    """The verdicts with the tables of the tests."""
    pairs = found["pairs"]
    several = len(pairs) > 1
    rows = [
        (
            f"{pair['other']} against {pair['first']}",
            {**SCORES, **ERRORS}[name],
            f"{one['value']:+.4g}",
            "–" if one["low"] is None else f"{one['low']:+.4g} to {one['high']:+.4g}",
            "< 0.001" if one["p"] < 0.001 else round(one["p"], 3),
        )
        for pair in pairs
        for name, one in pair.get("differences", {"mae": {**pair["difference"], "p": pair["p"]}}).items()
    ]
    counts = tuple(
        (
            f"{pair['other']} against {pair['first']}",
            pair["num_images"],
            pair["gained"],
            pair["lost"],
            *((round(pair["p_holm"], 3),) if several else ()),
        )
        for pair in pairs
    )
    words = [literal(pair["verdict"]) for pair in pairs]
    for pair in pairs:
        if left_out := pair["num_only_first"] + pair["num_only_other"]:
            words.append(f"{left_out} images are in only one of the two reports and are omitted.")
    how = HOW[pairs[0]["method"]]
    if pairs[0]["num_groups"] is None:
        how += "Both hold if the images are independent: images of one patient, video or scene are not."
    else:
        how += f"The images come in {pairs[0]['num_groups']} groups; both allow for that."
    tables = (
        Table(("pair", "figure", "difference", "95 % interval", "p"), tuple(rows), "Differences"),
        Table(("pair", "images", "gained", "lost", *(("p (Holm)",) if several else ())), counts, "Images"),
    )
    return Section("Summary", "\n\n".join([*words, how]), tables=tables)


def figures(answers: Sequence[Answers]) -> Section:
    """The figures of each report, side by side."""
    names = tuple(one.name for one in answers)
    several = "labels" in answers[0].metrics
    chosen = {**SCORES, "samples_f1": "samples F1", "hamming_loss": "Hamming loss"} if several else ERRORS
    overall = tuple((word, *(_estimate(one.metrics[key]) for one in answers)) for key, word in chosen.items())
    tables = [Table(("metric", *names), overall, "Over all images")]
    if several:
        for key, word in (("average_precision", "Average precision"), ("recall", "Recall"), ("precision", "Precision")):
            rows = tuple(
                (label, *(_estimate(one.metrics["per_label"][label][key]) for one in answers))
                for label in answers[0].metrics["labels"]
            )
            tables.append(Table(("label", *names), rows, f"{word} of each label"))
    else:
        known = [(one.name, one.metrics.get("prediction_interval")) for one in answers]
        rows = tuple((name, f"{of['half_width']:.4g}", _estimate(of["coverage"])) for name, of in known if of)
        tables += [Table(("model", "half-width", "images inside"), rows, "Prediction intervals")] if rows else []
    words = "How good is each model? Metrics over all the images in its report, with 95 % intervals."
    return Section("Metrics", words, tables=tuple(tables))


def _estimate(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    return f"{found['value']:.4g}" + (f" ({found['low']:.3g} to {found['high']:.3g})" if found["low"] is not None else "")
