"""What a model card says of models of several labels and of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, task_named

Row = tuple[str, ...]
Table = tuple[Sequence[str], Sequence[Row]]

MAX_LABELS = 50

AVERAGES = (
    ("mean_average_precision", "mean average precision (mAP)"),
    ("macro_f1", "macro F1"),
    ("micro_f1", "micro F1"),
    ("subset_accuracy", "all labels of an image right"),
    ("hamming_loss", "Hamming loss"),
)
ERRORS = (
    ("mae", "mean absolute error (MAE)"),
    ("rmse", "root of the mean squared error (RMSE)"),
    ("r2", "R²"),
    ("bias", "bias: mean of predicted minus true"),
)


def task_of_info(info: Mapping[str, Any]) -> str:
    return task_named(info.get("task")) or CLASSES


def title(info: Mapping[str, Any]) -> str:
    """``# Model card: 5 labels of an image``"""
    task, number = task_of_info(info), len(info["classes"])
    if task == MULTILABEL:
        return f"# Model card: {number} label{'s' if number != 1 else ''} of an image"
    if task == NUMBER:
        return f"# Model card: the number `{info['classes'][0]}`{_in_unit(info)} of an image"
    return f"# Model card: an image classifier for {number} classes"


def _in_unit(info: Mapping[str, Any]) -> str:
    unit = (info.get("value") or {}).get("unit")
    return f" in {unit}" if unit else ""


def outputs(info: Mapping[str, Any]) -> Iterator[str]:
    """What the outputs are, for several labels with their thresholds, for a number with its interval."""
    if task_of_info(info) == MULTILABEL:
        shown, more = info["classes"][:MAX_LABELS], len(info["classes"]) - MAX_LABELS
        thresholds, target = info.get("thresholds") or {}, info.get("threshold_target")
        listed = ", ".join(f"`{name}` {float(thresholds.get(name, 0.5)):.3f}" for name in shown)
        further = f", and {more} more (model.json)" if more > 0 else ""
        chosen = f"; the thresholds were chosen on {_held_out(info)} for {target}" if target else ""
        yield f"Labels with their thresholds, in the order of the outputs: {listed}{further}."
        yield f"An image has each label whose probability reaches its threshold{chosen}."
        return
    about, scale = info.get("value") or {}, ""
    if about.get("spread"):
        scale = f" The training targets had the mean {about['mean']:.4g} and the standard deviation {about['spread']:.4g}."
    yield f"One output: the number `{info['classes'][0]}`{_in_unit(info)}.{scale}"
    yield interval(info)


def interval(info: Mapping[str, Any]) -> str:
    """The prediction interval of a number, or why there is none."""
    found = (info.get("value") or {}).get("interval")
    if not found:
        return "There is no prediction interval: it needs at least 9 labelled images of val."
    half = f"{found['half_width']:.4g} {(info['value'].get('unit') or '')}".rstrip()
    return (
        f"Prediction interval: the number plus or minus {half}, which holds {found['level']:.0%} of new images like the "
        f"{found['images']:,} {'images out of fold' if found.get('from') == 'folds' else 'of val'} (split conformal)."
    )


def _held_out(info: Mapping[str, Any]) -> str:
    return "the predictions out of fold" if info.get("fitted_on") == "folds" else "val"


def results(metrics: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of the figures from a report."""
    base = metrics["baseline"]
    names = AVERAGES if metrics["task"] == MULTILABEL else ERRORS
    rows = [(words, *_estimate(metrics[name]), _number(base.get(name))) for name, words in names]
    yield ("figure", "value", "95 % interval", f"baseline: {base['rule']}"), rows
    if metrics["task"] == MULTILABEL:
        head = ("label", "images", "precision", "recall", "average precision")
        shown = list(metrics["per_label"].items())[:MAX_LABELS]
        keys = ("precision", "recall", "average_precision")
        yield head, [(f"`{name}`", str(one["images"]), *(_number(one[key]["value"]) for key in keys)) for name, one in shown]
    elif found := metrics.get("prediction_interval"):
        row = (f"{found['level']:.0%} expected", *_estimate(found["coverage"]))
        yield ("images inside the prediction interval", "share", "95 % interval"), [row]


def limits(info: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> Iterator[str]:
    """What the model can't do."""
    if task_of_info(info) == MULTILABEL:
        yield "It gives each label a probability for any image, also for one unlike its training images."
        yield "Its probabilities are as trained, not calibrated."
    else:
        yield "It predicts a number for any image, also for one unlike its training images, where the interval does not hold."
    yield "The metrics hold for images like those that were measured; on others it may be less accurate."
    if metrics is None:
        return
    if task_of_info(info) == MULTILABEL and (few := [name for name, one in metrics["per_label"].items() if one["images"] < 20]):
        listed = ", ".join(f"`{name}`" for name in few[:8])
        others = " and others" if len(few) > 8 else ""
        yield f"Fewer than 20 measured images have {listed}{others}: the figures of these labels are uncertain."
    name = "macro_f1" if metrics["task"] == MULTILABEL else "mae"
    ours, base = metrics[name]["value"], metrics["baseline"][name]
    if ours <= base if name == "macro_f1" else ours >= base:
        yield f"On the measured images it is no better than the baseline ({metrics['baseline']['rule']})."
    for doubt in metrics.get("doubts", ()):
        yield f"{doubt[0].upper()}{doubt[1:]}."
    name = "subset_accuracy" if metrics["task"] == MULTILABEL else "mae"
    for row in metrics.get("slices", ()):
        if row["weaker"]:
            yield f"It is worse on {row['by']} `{row['slice']}`: {name} {_number(row[name]['value'])} on {row['count']} images."
    if metrics.get("num_failed"):
        yield f"{metrics['num_failed']} images could not be read and were not measured."


def _estimate(found: Mapping[str, Any]) -> tuple[str, str]:
    span = "–" if found.get("low") is None else f"{_number(found['low'])} to {_number(found['high'])}"
    return _number(found.get("value")), span


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}"
