"""The top of the report: the verdict in words, what was evaluated, the worst mistakes, and the next command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipekit.contract import Context, Picture
from pipekit.errors import ImageError
from pipekit.files.urls import is_copy, shown
from pipekit.learning import advice
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation
from pipekit.page import Top
from pipekit.page.markdown import literal

MOST = 6
THUMBNAIL_PX = 240
_COMMAND = re.compile(r"`(pipekit [^`]+)`\.?")


def top_of(ctx: Context, evaluation: Evaluation) -> Top:
    title, chosen = telling(evaluation)
    step, command = next_step(ctx, evaluation)
    return Top(
        verdict(evaluation.metrics, evaluation.split),
        tuple(warnings(evaluation)),
        tuple(facts(ctx, evaluation)),
        title,
        tuple(_pictures(evaluation, chosen)),
        step,
        command,
    )


def verdict(metrics: Mapping[str, Any], split: str) -> str:
    """The result in one sentence."""
    found, baseline = metrics["accuracy"], metrics["baseline"]["accuracy"]
    said = f"The model classifies {_share(found['value'])} of the {split} images correctly"
    if _remembered(metrics):
        return f"{said}, but their names suggest groups that it has learned from: the figure may be far too high"
    if knows_something(metrics):
        if advice.is_weak(found["value"], baseline):
            return f"{said}: better than the baseline of {_share(baseline)}, but weak"
        return f"{said}: clearly better than the baseline of {_share(baseline)}"
    if found["high"] < baseline:
        return f"{said}: worse than the baseline of {_share(baseline)}"
    return f"{said}: not clearly better than the baseline of {_share(baseline)}"


def _remembered(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the names say, where they suggest groups (patients, videos) that training images belong to as well."""
    alike: Mapping[str, Any] | None = metrics.get("name_groups")
    return alike if alike and alike["in_train"] else None


def warnings(evaluation: Evaluation) -> Iterator[str]:
    """What makes the accuracy less reliable than it seems; the summary has the details."""
    metrics, number = evaluation.metrics, f"{len(evaluation):,} {literal(evaluation.split)} images"
    if alike := _remembered(metrics):
        yield (
            f"**{alike['in_train']:,} of {number} have the stem of a training image**: if a stem is a patient, a video "
            "or a scene, this is what the model remembers, and says nothing about others."
        )
    if metrics["near_copies"] and metrics["near_copies"]["count"]:
        count = metrics["near_copies"]["count"]
        yield (
            f"**{count:,} of {number} {'has' if count == 1 else 'have'} a copy in {evaluation.learned_from}**: the model may "
            "remember rather than recognise."
        )
    conflicts = (metrics.get("label_conflicts") or {"count": 0})["count"]
    if conflicts:
        yield f"**{conflicts:,} of {number} {'is' if conflicts == 1 else 'are'} in the dataset again under another label.**"


def facts(ctx: Context, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """The project, the model, the data and the date."""
    yield "Project", ctx.project_dir.absolute().name
    model, shape = evaluation.model, evaluation.model.get("input_shape_hwc")
    size = f", input {' x '.join(map(str, shape[:2]))} px" if shape else ""
    chosen = ", chosen by auto" if model.get("chosen_by") == "auto" else ""
    yield "Model", f"{model.get('template') or 'unknown template'}{chosen}{size}"
    counts = {split: sum(classes.values()) for split, classes in evaluation.dataset.counts.items() if split}
    folder = advice.source_folder(ctx, evaluation.dataset)
    splits = ", ".join(f"{split} {counts[split]:,}" for split in sorted(counts, key=_place))
    yield "Data", f"{f'{folder.name}: ' if folder else ''}{len(evaluation.classes)} classes; {splits}"
    yield "Date", today()


def _place(split: str) -> tuple[int, str]:
    usual = ("train", "val", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def today() -> str:
    """The date of the evaluation (UTC); ``SOURCE_DATE_EPOCH`` sets it, for pages with the same bytes each time.

    It is on the page alone, which is part of no digest.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)
    return moment.date().isoformat()


def telling(evaluation: Evaluation) -> tuple[str, list[int]]:
    """A heading, and the positions of the most confident mistakes; without mistakes, of the least confident predictions."""
    order = np.argsort(-evaluation.confidence, kind="stable")
    wrong = [i for i in order.tolist() if not evaluation.correct[i]]
    if wrong:
        return "Most confident mistakes", wrong
    return "No mistakes: the least confident predictions", order[::-1].tolist()


def _pictures(evaluation: Evaluation, chosen: list[int]) -> Iterator[Picture]:
    from pipekit import images

    made = 0
    for i in chosen:
        if made == MOST:
            return
        sample = evaluation.samples[i]
        try:
            pixels = images.thumbnail(images.read(sample.image, at_least_hw=(THUMBNAIL_PX, THUMBNAIL_PX)), THUMBNAIL_PX)
        except ImageError:
            continue
        made += 1
        true, predicted = evaluation.classes[evaluation.y_true[i]], evaluation.classes[evaluation.predicted[i]]
        said = true if evaluation.correct[i] else f"{true}, predicted as {predicted}"
        share = _share(float(evaluation.confidence[i]))
        data = images.encode(pixels, "jpg", quality=84)
        yield Picture(data, f"{sample.id}: {said}, {share}", f"{said}\n{share} confident\n{sample.id}")


def next_step(ctx: Context, evaluation: Evaluation) -> tuple[str, str]:
    """What to do next, in words, and its command: the first remedy that has one, else to use the model."""
    if alike := _remembered(evaluation.metrics):
        folder = advice.source_folder(ctx, evaluation.dataset)
        place = "" if folder is None else shown(folder) if is_copy(folder) else os.path.relpath(folder, ctx.project_dir)
        words = "If each stem is a patient, a video or a scene, keep it in one split, and train again."
        return words, f"pipekit train {shlex.quote(place) if place else 'FOLDER'} --name grouped {alike['option']}"
    commands = advice.commands_for(ctx, evaluation.dataset, evaluation.model)
    for remedy in advice.remedies(advice.case_of_evaluation(evaluation), commands):
        if found := _COMMAND.search(remedy):
            return f"{remedy[: found.start()].strip().rstrip(':,.')}.{remedy[found.end() :]}", found[1]
    if knows_something(evaluation.metrics) and evaluation.metrics["label_errors"]:
        number = len(evaluation.metrics["label_errors"])
        words = (
            f"Check the {number:,} suspected label error{'' if number == 1 else 's'}: list {'it' if number == 1 else 'them'}."
        )
        return words, "pipekit corrections from runs/NAME"
    return "Use it: predict other images.", "pipekit predict runs/NAME FOLDER"


def _share(value: float) -> str:
    """``85 %``; with a decimal where rounding would say 0 % or 100 % of a share that is neither."""
    rounded = f"{100 * value:.0f}"
    return (
        f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
        if rounded in ("0", "100") and 0 < value < 1
        else f"{rounded}\N{NO-BREAK SPACE}%"
    )
