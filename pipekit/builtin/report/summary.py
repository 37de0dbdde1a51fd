"""Section ``summary``: in words how good, how sure, better than what, what it confuses, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipekit.builtin.report.words import count, percent
from pipekit.contract import Context, Section
from pipekit.evaluation import Evaluation
from pipekit.page.markdown import literal

WIDE = 0.1
"""An interval wider than ten points says little."""
FEW = 20
"""Images of a class below which its own figures are guesses: one image moves its recall by five points."""


def section(ctx: Context, evaluation: Evaluation) -> Section:
    steps = [f"{place}. {step}" for place, step in enumerate(next_steps(evaluation), 1)]
    paragraphs = [how_good(evaluation), versus_baseline(evaluation.metrics), confuses(evaluation.metrics), *doubts(evaluation)]
    words = "\n\n".join(text for text in paragraphs if text)
    return Section("In words", f"{words}\n\n**What to do next**\n\n" + "\n".join(steps), html=_verdict(evaluation))


def how_good(evaluation: Evaluation) -> str:
    found = evaluation.metrics["accuracy"]
    return (
        f"The model gets **{found['correct']:,} of {len(evaluation):,}** {literal(evaluation.split)} images right: an accuracy "
        f"of **{percent(found['value'])}**. From this many images the figure is known no better than this: between "
        f"**{percent(found['low'])} and {percent(found['high'])}** (95 % interval), for further images of the same kind."
    )


def versus_baseline(metrics: Mapping[str, Any]) -> str:
    baseline, found = metrics["baseline"], metrics["accuracy"]
    name, share = literal(baseline["class"]), percent(baseline["accuracy"])
    always = f"To answer *{name}* every time, the commonest class, would get {share}"
    if found["low"] > baseline["accuracy"]:
        return f"{always}. The model is clearly better than that."
    if found["high"] < baseline["accuracy"]:
        return f"{always}. **The model is worse than that**: something is wrong with it or with the labels."
    return f"{always}. **The model is not clearly better than that**: the difference may be chance."


def confuses(metrics: Mapping[str, Any]) -> str:
    pairs = metrics["confused_most"][:3]
    if not pairs:
        return "It made no mistake on these images."
    listed = "; ".join(
        f"*{literal(p['true'])}* taken for *{literal(p['predicted'])}*, {p['count']} times "
        f"({percent(p['share_of_true'])} of the class)"
        for p in pairs
    )
    return f"What it confuses most: {listed}."


def doubts(evaluation: Evaluation) -> Iterator[str]:
    """What makes the figure less than it seems."""
    metrics = evaluation.metrics
    copies = metrics["near_copies"]
    if copies and copies["count"]:
        without = copies["accuracy_without"]
        left = (
            f"without them the accuracy is {percent(without['value'])} "
            f"({percent(without['low'])} to {percent(without['high'])})"
            if without["value"] is not None
            else "no image is left without one"
        )
        yield (
            f"**Take care:** {count(copies['count'], 'image has', 'images have')} a near copy among the training images, "
            f"so the model may remember rather than recognise; {left}."
        )
    if metrics["num_failed"]:
        yield f"Not counted, because they could not be read: {count(metrics['num_failed'], 'image')}."
    absent = [row["class"] for row in metrics["per_class"] if not row["support"]]
    if absent:
        yield f"There is no image of {_names(absent)} here, so nothing is known about {'it' if len(absent) == 1 else 'them'}."
    few = [row["class"] for row in metrics["per_class"] if 0 < row["support"] < FEW]
    if few:
        yield f"There are fewer than {FEW} images of {_names(few)}: read their own figures as guesses."
    over = metrics["calibration"]["overconfidence"]
    if abs(over) > 0.05:
        said = percent(float(evaluation.confidence.mean()))
        kept = percent(metrics["accuracy"]["value"])
        yield f"Its probabilities are too {'high' if over > 0 else 'low'}: on average it states {said} and gets {kept} right."


def next_steps(evaluation: Evaluation) -> list[str]:
    """The few things that would help most, most urgent first."""
    metrics = evaluation.metrics
    found, steps = metrics["accuracy"], []
    if metrics["near_copies"] and metrics["near_copies"]["count"]:
        steps.append("Keep near copies on one side of the split (by a group column, or by removing them), and train again.")
    if found["low"] <= metrics["baseline"]["accuracy"]:
        steps.append("Look at the training images and their labels, then train longer or with a larger model.")
    if metrics["label_errors"]:
        suspected = count(len(metrics["label_errors"]), "image whose label looks", "images whose labels look")
        steps.append(f"Look at the {suspected} wrong; a wrong label here costs accuracy that the model deserves.")
    gap = overfitting_gap(evaluation.model)
    if gap is not None and gap > 0.1:
        steps.append(
            f"The model does {percent(gap)} points better on its training images than on val: it learns them by heart. More "
            "images, stronger augmentation or more dropout help."
        )
    if metrics["confused_most"] and found["value"] < 0.99:
        pair = metrics["confused_most"][0]
        steps.append(
            f"Look at the pictures of *{literal(pair['true'])}* taken for *{literal(pair['predicted'])}*, and collect more "
            "like them for training."
        )
    if found["high"] - found["low"] > WIDE:
        steps.append(
            f"Collect more {literal(evaluation.split)} images: four times as many ({4 * len(evaluation):,}) would halve the "
            f"range of {percent(found['high'] - found['low'])} points."
        )
    temperature = metrics["temperature"]
    if temperature and temperature["expected_error"] < 0.8 * metrics["calibration"]["expected_error"] - 0.005:
        steps.append(
            f"If you use the probabilities, divide the logits by {temperature['temperature']} (temperature scaling): the "
            f"calibration error falls from {metrics['calibration']['expected_error']:.3f} "
            f"to {temperature['expected_error']:.3f}."
        )
    if found["value"] == 1:
        steps.append(
            "Make sure that the test is hard enough: images from another place, day or camera than the training images."
        )
    return steps or ["Try it on images from elsewhere: another camera, place or day than those it was trained and measured on."]


def overfitting_gap(model: Mapping[str, Any]) -> float | None:
    """Training less val accuracy at the epoch with the best val accuracy."""
    epochs = [
        epoch
        for epoch in model.get("history") or []
        if isinstance(epoch, Mapping) and isinstance(epoch.get("val_accuracy"), (int, float)) and "accuracy" in epoch
    ]
    if not epochs:
        return None
    best = max(epochs, key=lambda epoch: epoch["val_accuracy"])
    return float(best["accuracy"] - best["val_accuracy"])


def _names(names: list[str], most: int = 5) -> str:
    shown = [f"*{literal(name)}*" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _verdict(evaluation: Evaluation) -> str:
    """The figure, and where it lies between 0 and 1: a dot with its interval, and a mark for the baseline."""
    metrics = evaluation.metrics
    found, base = metrics["accuracy"], metrics["baseline"]["accuracy"]
    value, low, high = (percent(found[name]) for name in ("value", "low", "high"))
    figures = (
        (value, f"accuracy, {low} to {high}"),
        (percent(base), "baseline: always the commonest class"),
        (f"{metrics['macro_f1']['value']:.3f}", "macro F1"),
        (f"{len(evaluation):,}", f"images, {len(evaluation.classes)} classes"),
    )
    items = "".join(f"<li><strong>{figure}</strong><span>{word}</span></li>" for figure, word in figures)
    ticks = "".join(f'<span class="tick" style="left:{x}%">{x} %</span>' for x in (25, 50, 75))
    left, width = 100 * found["low"], 100 * (found["high"] - found["low"])
    return (
        f'<ul class="verdict">{items}</ul>'
        f'<div class="range" role="img" aria-label="Accuracy {value}, 95 % interval {low} to {high}; baseline {percent(base)}">'
        f'<div class="rail"></div><div class="span" style="left:{left:.2f}%;width:{width:.2f}%"></div>'
        f'<div class="base" style="left:{100 * base:.2f}%"></div>'
        f'<div class="point" style="left:{100 * found["value"]:.2f}%"></div>{ticks}</div>'
    )
