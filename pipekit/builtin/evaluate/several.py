"""Evaluate a model of several labels: figures of each label and their averages, co-occurrence, confusion, suspected labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals, label_intervals, task_slices
from pipekit.builtin.evaluate.of_task import (
    DECIMALS,
    Answered,
    common,
    estimate_words,
    gallery,
    last_columns,
    resamples_of,
    short_words,
    table_of,
)
from pipekit.contract import Context, Section, Table
from pipekit.learning import multilabel_metrics as figures

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

NAMED = 5
"""Maximum number of labels that a sentence names."""
LISTED = 200
"""Maximum number of suspected labels, and of pairs of labels, that are listed."""


def measure(ctx: Context, found: Answered, params: EvaluateParams) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    classes, scores = found.classes, found.rows
    true = truth(found)
    thresholds = np.array([float(found.info.get("thresholds", {}).get(name, 0.5)) for name in classes])
    predicted = scores >= thresholds_of(found)
    bounds = label_intervals.measured(true, scores, predicted, found.groups, resamples_of(params), ctx.rng("bootstrap"))
    averages = figures.averages(true, predicted)
    averages_of = {name: figures.interval(value, *bounds[name]) for name, value in averages.items()}
    averages_of["subset_accuracy"] = intervals.share_of((true == predicted).all(axis=1), found.groups)
    mean = figures.mean_average_precision(true, scores)
    shares = _training_shares(found)
    suspected = figures.suspects(true, scores, classes)[:LISTED]
    return {
        "task": "multilabel",
        **common(found),
        "labels": list(classes),
        "threshold_target": found.info.get("threshold_target"),
        "mean_average_precision": figures.interval(mean, *bounds["map"]),
        **averages_of,
        "per_label": {
            name: _of_label(at, true, scores, predicted, thresholds, found.groups, bounds[f"ap{at}"])
            for at, name in enumerate(classes)
        },
        "baseline": {
            "rule": "the labels of more than half of the training images",
            **figures.baseline_of(shares, true),
            "mean_average_precision": float(true.mean(axis=0)[true.any(axis=0)].mean()) if true.any() else None,
        },
        "co_occurrence": figures.co_occurrence(true).tolist(),
        "confusions": figures.confusions(true, predicted).tolist(),
        "label_errors": [
            {"id": found.samples[row].id, "label": label, "suspected": kind, "probability": p}
            for row, label, kind, p in suspected
        ],
        "slices": task_slices.of_labels(ctx, found, params, true, predicted),
        "doubts": doubts(true, classes, found.groups),
    }


def doubts(true: NDArray[np.bool_], classes: Sequence[str], groups: NDArray[np.int64] | None) -> list[str]:
    """Why averages over labels have no interval: labels that too few images have (or all but a few), or too few groups."""
    if groups is not None and (number := len(np.unique(groups))) < intervals.FEWEST_GROUPS:
        return [f"no figure has an interval: the images come in {number} groups, and {intervals.FEWEST_GROUPS} are needed"]
    if not (few := label_intervals.rarest(true)):
        return []
    named = [f"{classes[at]!r} on {int(true[:, at].sum())}" for at in few]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return [
        f"mAP and the macro averages have no interval: of {len(true)} images, {', '.join(named[:NAMED])}{more}; intervals "
        f"hold where at least {figures.FEWEST} images have each label, and {figures.FEWEST} do not"
    ]


def truth(found: Answered) -> NDArray[np.bool_]:
    """``(N, C)``: which labels the images have."""
    return np.array([[name in (sample.labels or ()) for name in found.classes] for sample in found.samples], np.bool_)


def thresholds_of(found: Answered) -> NDArray[np.float64]:
    """``(N, C)``: the thresholds of the model that predicted each image, which are others in each fold."""
    listed = found.of_folds("thresholds", found.info.get("thresholds", {}))
    return np.array([[float(some.get(name, 0.5)) for name in found.classes] for some in listed])


def _training_shares(found: Answered) -> NDArray[np.float64]:
    if found.folds is not None:  # there is no split train: the models learned from the other folds
        return np.asarray(truth(found).mean(axis=0), np.float64)
    counts = found.dataset.counts.get("train", {})
    labelled = sum(sample.labels is not None for sample in found.dataset.split("train"))
    return np.array([counts.get(name, 0) / max(1, labelled) for name in found.classes])


def _of_label(
    at: int,
    true: NDArray[np.bool_],
    scores: NDArray[np.float64],
    predicted: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    bounds: tuple[float, float],
) -> dict[str, Any]:
    has, said, score = true[:, at], predicted[:, at], scores[:, at]
    either = has | said

    def of(chosen: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        return None if groups is None else groups[chosen]

    zero = {"value": 0.0, "low": None, "high": None}
    area = figures.auc(has, score)
    precision = figures.average_precision(has, score)
    grouped = None if groups is None else (groups[has], groups[~has])
    return {
        "images": int(has.sum()),
        "predicted": int(said.sum()),
        "threshold": float(thresholds[at]),
        "precision": intervals.share_of(has[said], of(said)) if said.any() else zero,
        "recall": intervals.share_of(said[has], of(has)) if has.any() else zero,
        "f1": intervals.f1_of(intervals.share_of((has & said)[either], of(either))) if either.any() else zero,
        "average_precision": figures.interval(precision, *bounds),
        "auc": {"value": None, "low": None, "high": None}
        if area is None
        else {**intervals.auc(score[has], score[~has], grouped), "value": area},
        "calibration_error": figures.calibration_error(has, score),
    }


def predictions(found: Answered, metrics: dict[str, Any], paths: bool = True) -> str:
    """``predictions.csv``: the labels of each image, those that are predicted, and all probabilities."""
    at = thresholds_of(found)
    head, last = last_columns(found, paths)
    rows = []
    for sample, row, least_of, more in zip(found.samples, found.rows, at, last, strict=True):
        said = [name for name, p, least in zip(found.classes, row, least_of, strict=True) if p >= least]
        texts = [json.dumps(list(some), ensure_ascii=False) for some in (sample.labels or (), said)]
        rows.append([sample.id, *texts, *(f"{p:.{DECIMALS}f}" for p in row), *more])
    return table_of(rows, ["id", "labels", "predicted", *(f"p:{name}" for name in found.classes), *head])


def headline(metrics: dict[str, Any]) -> str:
    """``test mAP 0.912 (95 % interval …), macro F1 0.871, 120 images``"""
    mean = estimate_words(metrics["mean_average_precision"])
    return f"{metrics['split']} mAP {mean}, macro F1 {metrics['macro_f1']['value']:.3f}, {metrics['num_images']:,} images"


def facts(metrics: dict[str, Any]) -> dict[str, str]:
    mean = metrics["mean_average_precision"]["value"]
    return {
        "images": str(metrics["num_images"]),
        **({} if mean is None else {"mAP": f"{mean:.3f}"}),
        "macro F1": f"{metrics['macro_f1']['value']:.3f}",
        "all labels right": f"{metrics['subset_accuracy']['value']:.3f}",
        "baseline F1": f"{metrics['baseline']['macro_f1']:.3f}",
    }


def sections(found: Answered, metrics: dict[str, Any], params: EvaluateParams) -> Iterator[tuple[str, Section]]:
    yield "summary", _summary(metrics)
    yield "labels", _labels(metrics)
    yield "pairs", _pairs(found, metrics)
    if (slices := task_slices.section(metrics["slices"])) is not None:
        yield "slices", slices
    yield "pictures", _worst(found, metrics, params)
    if metrics["label_errors"]:
        rows = tuple(
            (one["id"], one["label"], one["suspected"], round(one["probability"], 3)) for one in metrics["label_errors"]
        )
        words = "Labels that the model contradicts with confidence (confident learning for each label). Look at the images."
        table = Table(("image", "label", "suspected", "probability"), rows, "Suspected labels")
        yield "label_errors", Section("Suspected missing and wrong labels", words, tables=(table,))


AVERAGES = (
    ("mean_average_precision", "mean average precision (mAP)"),
    ("macro_f1", "macro F1: the mean over the labels"),
    ("micro_f1", "micro F1: over all decisions"),
    ("samples_f1", "samples F1: the mean over the images"),
    ("subset_accuracy", "subset accuracy: all labels of an image right"),
    ("hamming_loss", "Hamming loss: share of wrong decisions"),
)


def _summary(metrics: dict[str, Any]) -> Section:
    base = metrics["baseline"]
    rows = [
        (words, estimate_words(metrics[name]), "" if base.get(name) is None else f"{base[name]:.3f}")
        for name, words in AVERAGES
    ]
    words = (
        f"{metrics['num_images']:,} images with {len(metrics['labels'])} labels. The baseline predicts "
        f"{base['rule']}; its mAP is that of scores without any information."
    )
    if metrics["macro_f1"]["value"] <= base["macro_f1"]:
        words += " **The model is no better than the baseline.**"
    for doubt in metrics["doubts"]:
        words += f"\n\n**{doubt[0].upper()}{doubt[1:]}.**"
    if metrics["num_failed"]:
        words += f" {metrics['num_failed']} images can't be read and are not counted."
    return Section("Summary", words, tables=(Table(("figure", "model", "baseline"), tuple(rows), "Averages"),))


def _labels(metrics: dict[str, Any]) -> Section:
    """Two tables, since one with all figures is wider than the page: what depends on the thresholds, and what does not."""
    each, heads = metrics["per_label"], ("label", "images", "predicted", "threshold", "precision", "recall", "F1")
    decided = tuple(
        (
            name,
            one["images"],
            one["predicted"],
            round(one["threshold"], 3),
            *(short_words(one[key]) for key in ("precision", "recall", "f1")),
        )
        for name, one in each.items()
    )
    ranked = tuple(
        (name, short_words(one["average_precision"]), short_words(one["auc"]), round(one["calibration_error"], 3))
        for name, one in each.items()
    )
    target = metrics["threshold_target"]
    where = "on the predictions out of fold" if "folds" in metrics else "on val"
    words = f"The threshold of each label was chosen {where} for {target}." if target else "All thresholds are 0.5."
    if "folds" in metrics:
        words += " The predictions of each fold are measured with the thresholds of that fold's model, which its val gave."
    words += " In brackets: 95 % intervals, where the label has enough images for one."
    tables = (
        Table(heads, decided, "Each label"),
        Table(("label", "AP", "AUC", "calibration error"), ranked, "Each label, whatever its threshold"),
    )
    return Section("Labels", words, tables=tables)


def _pairs(found: Answered, metrics: dict[str, Any]) -> Section:
    names, together, confused = found.classes, metrics["co_occurrence"], metrics["confusions"]
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names)) if together[i][j]]
    pairs.sort(key=lambda pair: (-together[pair[0]][pair[1]], pair))
    wrong = [(i, j) for i in range(len(names)) for j in range(len(names)) if confused[i][j]]
    wrong.sort(key=lambda pair: (-confused[pair[0]][pair[1]], pair))
    tables = (
        Table(("label", "label", "images"), tuple((names[i], names[j], together[i][j]) for i, j in pairs[:LISTED]), "Together"),
        Table(
            ("missed", "predicted in its place", "images"),
            tuple((names[i], names[j], confused[i][j]) for i, j in wrong[:LISTED]),
            "Confused",
        ),
    )
    words = "Labels that are on the same image; and labels that were missed where another one was predicted wrongly."
    return Section("Co-occurrence and confusion of labels", words, tables=tuple(table for table in tables if table.rows))


def _worst(found: Answered, metrics: dict[str, Any], params: EvaluateParams) -> Section:
    true, names = truth(found), found.classes
    at = thresholds_of(found)
    losses = -np.log(np.clip(np.where(true, found.rows, 1 - found.rows), 1e-6, 1)).sum(axis=1)
    order = np.argsort(-losses, kind="stable").tolist()
    captions = []
    for place in order:
        said = found.rows[place] >= at[place]
        parts = [
            f"{word} {', '.join(name for name, one in zip(names, chosen, strict=True) if one)}"
            for word, chosen in (("missed", true[place] & ~said), ("wrong", said & ~true[place]), ("right", said & true[place]))
            if chosen.any()
        ]
        captions.append("; ".join(parts) or "no label, none predicted")
    return Section("Images, worst first", "By their log loss.", pictures=tuple(gallery(found, order, captions, params)))
