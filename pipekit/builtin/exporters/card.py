"""A model card (Mitchell et al. 2019) in Markdown: the model, its training data, its metrics, its limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters import card_tasks
from pipekit.contract import Model, Params, Report
from pipekit.errors import UserError
from pipekit.learning.decisions import KEY as DECISION
from pipekit.learning.predictor import read_model_info
from pipekit.learning.temperature import KEY
from pipekit.page.paths import without_paths
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

TASKS = (CLASSES, MULTILABEL, NUMBER)

TO_FILL_IN = "*To be filled in.*"
MAX_CLASSES = 50
WEIGHTS = {"licence": "licence", "source": "source", "trained_on": "trained on", "weights_sha256": "SHA-256 of the weights"}


def write(artifact: Model, out_dir: Path, params: Params, report: Report | None = None) -> Mapping[str, Any]:
    """``model_card.md``, with the metrics of a report if one is given."""
    info = read_model_info(artifact.path, TASKS)
    (out_dir / "model_card.md").write_text(card_text(info, report), "utf-8")
    counted = {CLASSES: "classes", MULTILABEL: "labels", NUMBER: "numbers"}[card_tasks.task_of_info(info)]
    return {"facts": {counted: str(len(info["classes"])), "figures": "from the report" if report else "none"}}


def card_text(info: Mapping[str, Any], report: Report | None, *, usage: str = "", checked: str = "") -> str:
    """The whole card.

    Args:
        info: ``model.json``.
        report: an evaluation of this model.
        usage: how to use the exported file.
        checked: how the exported model compares with the original.
    """
    metrics = _metrics(report)
    parts = [card_tasks.title(info), *_what(info)]
    parts += ["## Intended use", f"{TO_FILL_IN} Who is it for, on which images, and what must it not be used for?"]
    parts += ["## Results", *(_results(metrics) if metrics else ["The model was not evaluated here, or no report was given."])]
    parts += ["## Limits", "\n".join(f"- {line}" for line in _limits(info, metrics))]
    parts += ["## Data", *_data(info)]
    parts += ["## Preprocessing", "\n".join(f"- {line}" for line in _preprocessing(info))]
    if usage:
        parts += ["## Using this file", usage]
    if checked:
        parts += ["## The export", checked[0].upper() + checked[1:] + "."]
    parts += ["## How it was made", *_made(info)]
    parts += ["## Licence", f"{TO_FILL_IN} Mind the licences of the images and of pretrained weights.", *_weights(info)]
    return without_paths("\n\n".join(parts) + "\n")


def _metrics(report: Report | None) -> dict[str, Any] | None:
    if report is None:
        return None
    file = report.path / "metrics.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read: {error}", "Evaluate the model again.") from error
    return found


def _what(info: Mapping[str, Any]) -> Iterator[str]:
    height, width, channels = info["input_shape_hwc"]
    size = f"{int(info['parameters']):,} parameters, " if "parameters" in info else ""
    colours = "colour" if channels == 3 else "grey"
    yield f"Template `{info.get('template')}`, {size}for {colours} images of {height} x {width} pixels."
    if card_tasks.task_of_info(info) != CLASSES:
        yield from card_tasks.outputs(info)
        return
    shown = ", ".join(f"`{name}`" for name in info["classes"][:MAX_CLASSES])
    more = len(info["classes"]) - MAX_CLASSES
    yield f"Classes, in the order of the outputs: {shown}{f', and {more} more (labels.txt)' if more > 0 else ''}."


def _results(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield f"Measured on {metrics['num_images']:,} images of the split `{metrics['split']}`."
    if metrics.get("task") in (MULTILABEL, "regression"):
        yield from (_table(*found) for found in card_tasks.results(metrics))
        return
    rows = [
        ("accuracy", metrics["accuracy"]),
        ("balanced accuracy", metrics["balanced_accuracy"]),
        ("macro F1", metrics["macro_f1"]),
        *((f"top-{k} accuracy", found) for k, found in metrics.get("top_k", {}).items()),
    ]
    lines = [(name, _number(found.get("value")), _interval(found)) for name, found in rows]
    baseline = metrics["baseline"]
    lines.append((f"always predicting `{baseline['class']}`", _number(baseline["accuracy"]), "–"))
    if model := metrics.get("baseline_model"):
        lines.append(
            (f"the baseline `{model['name']}`, on {model['num_images']} of them", _number(model["accuracy_first"]), "–")
        )
    lines.append(("expected calibration error", _number(metrics["calibration"]["expected_error"]), "–"))
    yield _table(("figure", "value", "95 % interval"), lines)
    per_class = [
        (f"`{row['class']}`", str(row["support"]), _number(row["precision"]["value"]), _number(row["recall"]["value"]))
        for row in metrics["per_class"][:MAX_CLASSES]
    ]
    yield _table(("class", "images", "precision", "recall"), per_class)


def _limits(info: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> Iterator[str]:
    if card_tasks.task_of_info(info) != CLASSES:
        yield from ([_unknown(info)] if info.get("unknown") else [])
        yield from card_tasks.limits(info, metrics)
        return
    yield _unknown(info)
    if said := _calibration(info):
        yield said
    if isinstance(rule := info.get(DECISION), Mapping) and rule.get("words"):
        own = "Its `expected_cost` decides by a rule" if rule.get("applied") else "It has a decision rule, applied on request"
        yield f"{own}: {rule['words']}."
    yield "The metrics hold for images like those that were measured; on others it may be less accurate."
    if metrics is None:
        return
    found = metrics["accuracy"]
    if found["high"] - found["low"] > 0.1:
        yield (
            f"{metrics['num_images']} images are few: the true accuracy may lie anywhere from {found['low']:.3f} to "
            f"{found['high']:.3f}."
        )
    for pair in metrics.get("confused_most", [])[:3]:
        yield f"`{pair['true']}` is predicted as `{pair['predicted']}` in {pair['share_of_true']:.0%} of its images."
    copies = metrics.get("near_copies")
    if copies and copies.get("count"):
        yield f"{copies['count']} of the measured images have a near duplicate in its training set: the metrics are too high."
    if metrics.get("num_failed"):
        yield f"{metrics['num_failed']} images could not be read and were not measured."


def _unknown(info: Mapping[str, Any]) -> str:
    """What the model does with an image that shows none of its classes."""
    found = info.get("unknown")
    if not isinstance(found, Mapping):
        return "It always predicts one of its classes, also for an image that shows none of them."
    words = "It predicts one of its classes for any image; `unknown_score` is above 1 for an image unlike its training images."
    if {"share", "num_images", "expected_low", "expected_high"} <= found.keys():
        words += (
            f" The limit was set on {found['num_images']:,} training images to reject {found['share']:.0%} of such images; "
            f"so many allow {found['expected_low']:.1%} to {found['expected_high']:.1%}. Foreign images that resemble them "
            "pass."
        )
    return words


def _calibration(info: Mapping[str, Any]) -> str:
    """What is known of the calibration of the probabilities; "" if nothing is."""
    found = info.get(KEY)
    if not isinstance(found, Mapping):
        return ""
    if found.get("temperature") is None:
        return f"Its probabilities are as trained, not calibrated: {found.get('reason')}."
    on = (
        f"fitted on {found['num_val_images']:,} validation images"
        if found.get("num_val_images")
        else "fitted on validation images"
    )
    if found.get("applied"):
        return f"Its probabilities are calibrated: the temperature {found['temperature']}, {on}, is inside the exported model."
    return f"Its probabilities are as trained; `softmax(log p / {found['temperature']})` calibrates them ({on})."


def _data(info: Mapping[str, Any]) -> Iterator[str]:
    images = info.get("images")
    if isinstance(images, Mapping) and images:
        yield "Images: " + ", ".join(f"{name} {count:,}" for name, count in images.items()) + "."
    yield f"{TO_FILL_IN} Where do the images come from, who took them, whom or what do they leave out?"


def _preprocessing(info: Mapping[str, Any]) -> Iterator[str]:
    height, width, _ = info["input_shape_hwc"]
    said = info.get("preprocessing")
    if isinstance(said, Mapping):
        yield from (f"{name}: {value}" for name, value in said.items())
    yield f"input size: {height} x {width} pixels; scaling and normalising are inside the model"


def _made(info: Mapping[str, Any]) -> Iterator[str]:
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in dict(info.get("params") or {}).items()]
    rows += [(name, str(info[name])) for name in ("seed", "kept_epoch", "weights_sha256") if info.get(name) is not None]
    rows += [(name, str(version)) for name, version in dict(info.get("versions") or {}).items()]
    yield _table(("", "value"), [(name, value.replace("|", "\\|")) for name, value in rows]) if rows else "Not recorded."


def _weights(info: Mapping[str, Any]) -> Iterator[str]:
    """Licence, source and training data of the pretrained weights that the model contains."""
    found = info.get("pretrained_on")
    if not isinstance(found, Mapping):
        return
    name = found.get("embedder", "a pretrained network")
    rows = [(title, str(found[key])) for key, title in WEIGHTS.items() if found.get(key)]
    yield f"The model contains the pretrained weights of `{name}`:"
    yield _table(("", "value"), rows)


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(found: Mapping[str, Any]) -> str:
    return "–" if found.get("low") is None else f"{found['low']:.3f} to {found['high']:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
