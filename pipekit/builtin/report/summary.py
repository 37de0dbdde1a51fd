"""Section ``summary``: accuracy with its interval, the baselines, the most confused classes, and caveats, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipekit.builtin.report.phrasing import count, is_fine, percent
from pipekit.contract import Context, Section
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal

FEW = 20
"""Number of images below which a class's metrics are guesses: one image moves its recall by five points."""


def section(ctx: Context, evaluation: Evaluation) -> Section:
    paragraphs = [how_good(evaluation), named_alike(evaluation), versus_baseline(evaluation.metrics)]
    paragraphs += [versus_model(evaluation.metrics)]
    paragraphs += [confuses(evaluation.metrics), *doubts(evaluation)]
    return Section("Summary", "\n\n".join(text for text in paragraphs if text), html=_verdict(evaluation))


def how_good(evaluation: Evaluation) -> str:
    found = evaluation.metrics["accuracy"]
    fine = is_fine(found)
    number = evaluation.metrics["num_groups"]
    if number is None:
        sure = (
            "If these images are independent (no two of one patient, video or scene), the 95 % interval of the accuracy on "
            "further images of the same kind is"
        )
    elif evaluation.metrics.get("groups") == "copies":
        sure = (
            f"Copies of one image count as one: {number:,} groups. If these are independent (no two of one patient, video or "
            "scene), the 95 % interval of the accuracy on further images of the same kind is"
        )
    else:
        sure = f"They come in {number:,} groups; the 95 % interval of the accuracy on images of further groups is"
    return (
        f"The model classifies **{found['correct']:,} of {len(evaluation):,}** {literal(evaluation.split)} images correctly: "
        f"an accuracy of **{percent(found['value'], fine)}**. {sure} "
        f"**{percent(found['low'], fine)} to {percent(found['high'], fine)}**."
    )


def named_alike(evaluation: Evaluation) -> str:
    """Names that look like groups which the split did not keep together."""
    found, number = evaluation.metrics.get("name_groups"), len(evaluation)
    if not found:
        return ""
    where = (
        f"{found['in_train']:,} of {number:,} {literal(evaluation.split)} images have the stem of a training image. If a stem "
        "is a patient, a video or a scene, the accuracy says how well the model remembers those that it knows, and nothing "
        "about others"
        if found["in_train"]
        else "If a stem is a patient, a video or a scene, the images are not independent, and the interval is too narrow"
    )
    return f"**Warning: {literal(found['words'])}**. {where}: split with `{found['option']}`."


def versus_baseline(metrics: Mapping[str, Any]) -> str:
    baseline, found = metrics["baseline"], metrics["accuracy"]
    name, share = literal(baseline["class"]), percent(baseline["accuracy"])
    always = f"Always predicting the most frequent class, *{name}*, would be correct for {share}"
    if (alike := metrics.get("name_groups")) and alike["in_train"]:
        return f"{always}. Whether the model is better than that on other groups is not known."
    if knows_something(metrics):
        return f"{always}. The model is clearly better than that."
    if found["high"] < baseline["accuracy"]:
        return f"{always}. **The model is worse than that**: something is wrong with it or with the labels."
    return f"{always}. **The model is not clearly better than that**: the difference may be due to chance."


def versus_model(metrics: Mapping[str, Any]) -> str:
    """The comparison with the baseline model on the same images, if there is one."""
    found = metrics.get("baseline_model")
    if not found:
        return ""
    difference, p = found["difference"], found["p_mcnemar"]
    theirs = (
        f"The baseline model, *{literal(found['name'])}*, classifies {percent(found['accuracy_first'])} of "
        f"{found['num_images']:,} images correctly"
    )
    points = [100 * difference[name] for name in ("value", "low", "high")]
    p_value = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    span = f"{points[0]:+.1f} points, 95 % interval {points[1]:+.1f} to {points[2]:+.1f}, {p_value} (McNemar)"
    if p >= 0.05:
        return f"{theirs}. **The model is not clearly better than that** ({span}): the difference may be due to chance."
    return f"{theirs}. The model is clearly {'better' if points[0] > 0 else 'worse'} than that ({span})."


def confuses(metrics: Mapping[str, Any]) -> str:
    pairs = metrics["confused_most"][:3]
    if not pairs:
        return "It makes no mistakes on these images."
    listed = "; ".join(
        f"*{literal(p['true'])}* predicted as *{literal(p['predicted'])}*, {count(p['count'], 'time')} "
        f"({percent(p['share_of_true'])} of the class)"
        for p in pairs
    )
    return f"Most frequent confusions: {listed}."


def doubts(evaluation: Evaluation) -> Iterator[str]:
    """Caveats: what makes the measured accuracy less reliable than it seems."""
    metrics = evaluation.metrics
    yield from leaks(evaluation)
    if metrics["num_failed"]:
        yield f"Not counted, because unreadable: {count(metrics['num_failed'], 'image')}."
    absent = [row["class"] for row in metrics["per_class"] if not row["support"]]
    if absent:
        yield f"There is no image of {_names(absent)} here, so nothing is known about {'it' if len(absent) == 1 else 'them'}."
    few = [row["class"] for row in metrics["per_class"] if 0 < row["support"] < FEW]
    if few:
        yield f"There are fewer than {FEW} images of {_names(few)}: read their metrics as guesses."
    over = metrics["calibration"]["overconfidence"]
    if abs(over) > 0.05:
        mean = percent(float(evaluation.confidence.mean()))
        accuracy = percent(metrics["accuracy"]["value"])
        yield (
            f"Its probabilities are too {'high' if over > 0 else 'low'}: {mean} on average, with {accuracy} of the predictions "
            "correct."
        )


def leaks(evaluation: Evaluation) -> Iterator[str]:
    """How many evaluated images have a copy in train, and how many are there again under another label: in every report."""
    metrics, number = evaluation.metrics, len(evaluation)
    copies, split, where = metrics["near_copies"], literal(evaluation.split), evaluation.learned_from
    if copies and copies["count"]:
        without = copies["accuracy_without"]
        left = (
            f"without them the accuracy is {percent(without['value'], is_fine(without))} "
            f"({percent(without['low'], is_fine(without))} to {percent(without['high'], is_fine(without))})"
            if without["low"] is not None
            else "every image has one"
            if without["value"] is None
            else "too few are left without one"
        )
        yield (
            f"**Warning: {copies['count']:,} of {number:,} {split} images {'has' if copies['count'] == 1 else 'have'} a copy "
            f"in {where}** (a near duplicate, or another copy of the same original), so the model may remember rather than "
            f"recognise; {left}."
        )
    elif copies:
        yield (
            f"0 of {number:,} {split} images have a copy in {where}, as far as the search for near duplicates can see: other "
            "views of one scene, patient or object are not found."
        )
    elif "label_conflicts" in metrics:
        why = "near_copies = false" if evaluation.dataset.counts.get("train") else "the dataset has no training images"
        yield f"How many {split} images have a copy in the training images is not known: {why}."
    conflicts = metrics.get("label_conflicts")
    if conflicts and not conflicts["count"]:
        yield f"0 of {number:,} {split} images are in the dataset again under another label (as the same file)."
    elif conflicts:
        yield (
            f"**Warning: {conflicts['count']:,} of {number:,} {split} images {'is' if conflicts['count'] == 1 else 'are'} in "
            "the dataset again under another label** "
            f"(the same file, in {count(conflicts['num_pairs'], 'pair')}): one of the labels is wrong, and so is one of the "
            "predictions, or both."
        )


def _names(names: list[str], most: int = 5) -> str:
    shown = [f"*{literal(name)}*" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _verdict(evaluation: Evaluation) -> str:
    """The accuracy as a number and on a scale from 0 to 1: a dot with its interval, and a mark for the baseline."""
    from markupsafe import escape

    metrics = evaluation.metrics
    found, base = metrics["accuracy"], metrics["baseline"]["accuracy"]
    value, low, high = (percent(found[name], is_fine(found)) for name in ("value", "low", "high"))
    model = metrics.get("baseline_model")
    beside = ((percent(model["accuracy_first"]), f"baseline: {model['name']}"),) if model else ()
    figures = (
        (value, f"accuracy, {low} to {high}"),
        (percent(base), "baseline: always the most frequent class"),
        *beside,
        (f"{metrics['macro_f1']['value']:.3f}", "macro F1"),
        (f"{len(evaluation):,}", f"images, {len(evaluation.classes)} classes"),
    )
    items = "".join(f"<li><strong>{figure}</strong><span>{escape(word)}</span></li>" for figure, word in figures)
    ticks = "".join(f'<span class="tick" style="left:{x}%">{x} %</span>' for x in (25, 50, 75))
    left, width = 100 * found["low"], 100 * (found["high"] - found["low"])
    return (
        f'<ul class="verdict">{items}</ul>'
        f'<div class="range" role="img" aria-label="Accuracy {value}, 95 % interval {low} to {high}; baseline {percent(base)}">'
        f'<div class="rail"></div><div class="span" style="left:{left:.2f}%;width:{width:.2f}%"></div>'
        f'<div class="base" style="left:{100 * base:.2f}%"></div>'
        f'<div class="point" style="left:{100 * found["value"]:.2f}%"></div>{ticks}</div>'
    )
