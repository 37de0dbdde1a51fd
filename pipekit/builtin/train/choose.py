"""``model = "auto"``: train several templates, and keep one of them, chosen on val.

Each candidate is a variant of the stage, so it is stored under its own key: a larger budget, or the template by name, finds it.
What is tried follows from the data, the parameters and estimated costs. A clock would make the model depend on the machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import sqrt
from typing import Any

from pipekit.builtin.train import data
from pipekit.builtin.train.classes import check_classes
from pipekit.builtin.train.compiling import name_of
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Artifact, Call, Context, Dataset, Model
from pipekit.errors import UserError
from pipekit.learning import templates
from pipekit.learning.candidates import Candidate, exceeds, left_out, within_budget
from pipekit.learning.input_size import size_for
from pipekit.learning.significance import exact
from pipekit.learning.templates import Work, duration
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, task_named

OF_EPOCHS = (
    *("ops", "detail", "epochs", "optimizer", "learning_rate", "find_learning_rate", "momentum", "weight_decay", "clip_norm"),
    *("schedule", "warmup_epochs", "decay", "decay_epochs", "label_smoothing", "mixup", "cutmix", "mosaic"),
    *("keep", "monitor", "patience", "callbacks", "sampler", "precision"),
)
"""Parameters that only a template that trains in epochs uses. The others are trained without them, under the usual keys."""

RULE = (
    "the first, in this order, whose accuracy on val is within one standard error of the best one's "
    "(Breiman et al. 1984); the test images are not used"
)


RULE_OF_LOSS = "the one with the lowest loss on val; the test images are not used"
"""For several labels and numbers."""

Size = tuple[int, int]


def train_best(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train the candidates that the budget allows, and publish the chosen one's model.

    Raises:
        UserError: the parameters don't fit a choice by accuracy, or no candidate can be trained.
    """
    _check(params, dataset.task)
    check_classes(ctx, dataset)
    template = params.model.load()
    calls, budget_s = templates.candidates_of(template, params.model.params), template.budget_s(params.model.params)
    planned = plan(ctx, dataset, params, calls, budget_s)
    work_at = _amount(dataset, params)[1]
    sizes = [smaller_hw(dataset, params, call, work_at, budget_s) for call in calls]
    _announce(ctx, planned, budget_s)
    tried: dict[int, Artifact] = {}
    todo = [place for place, one in enumerate(planned) if not one.left_out]
    for number, place in enumerate(todo, 1):
        ctx.event("remaining", seconds=sum(planned[later].estimate_s or 0.0 for later in todo[number:]))
        try:
            tried[place] = ctx.variant(variant_params(params, calls[place], sizes[place]))
        except UserError as error:
            if number == len(todo) and not tried:
                raise
            planned[place] = left_out(planned[place], error.message)
            ctx.warn(f"{planned[place].template} is left out: {error.message}")
            continue
        planned[place] = _measured(planned[place], tried[place])
        if len(todo) > 1:
            ctx.event("note", message=planned[place].said)
    _warn_of_unused(ctx, params, [calls[place] for place in tried])
    chosen = list(tried)[choose([planned[place] for place in tried])]
    if len(tried) > 1:
        rule = RULE if dataset.task == CLASSES else RULE_OF_LOSS
        ctx.event("note", message=f"{planned[chosen].template} was chosen: {rule}")
    return _publish(ctx, planned[chosen], tried[chosen], planned, budget_s, dataset.task)


def plan(ctx: Context, dataset: Dataset, params: TrainParams, calls: Sequence[Call], budget_s: float) -> list[Candidate]:
    """Each candidate, with the reason why it is left out if it is.

    Raises:
        UserError: none can be trained.
    """
    fewest, work_at = _amount(dataset, params)

    def work_of(call: Call) -> Work:
        return work_at(call, smaller_hw(dataset, params, call, work_at, budget_s))

    return within_budget(calls, work_of, fewest, budget_s)


def smaller_hw(
    dataset: Dataset, params: TrainParams, call: Call, work_at: Callable[[Call, Size | None], Work], budget_s: float
) -> Size | None:
    """The usual size of a candidate whose finer one, for photographs, would exceed the budget alone; None for any other."""
    finer, usual = (ask(call.load(), call.params) for ask in (templates.finer_hw_of, templates.input_hw_of))
    if params.input_hw is not None or finer is None or _size_for(dataset, call) != finer:
        return None
    return usual if exceeds(call, work_at(call, finer), budget_s) else None


def _size_for(dataset: Dataset, call: Call) -> Size:
    return size_for(call.load(), call.params, lambda: tuple(dataset.split("train")))


def _amount(dataset: Dataset, params: TrainParams) -> tuple[int, Callable[[Call, Size | None], Work]]:
    """Training images of the smallest class; and the work of a candidate, at a size or at the one that the stage chooses."""
    if dataset.task == CLASSES:
        counts = dataset.counts.get("train", {})
        fewest = min(count for count in counts.values() if count)
        num_train, num_val = sum(counts.values()), sum(dataset.counts.get("val", {}).values())
    else:
        num_train, num_val = (len(data.read_part(dataset, name, labelled=True)) for name in ("train", "val"))
        fewest = num_train
    classes = max(1, len(dataset.classes))

    def work_at(call: Call, size: Size | None) -> Work:
        height, width = size or params.input_hw or _size_for(dataset, call)
        return Work(len(dataset), num_train, num_val, classes, (height, width, params.channels), params.epochs, dataset.task)

    return fewest, work_at


def choose(tried: Sequence[Candidate]) -> int:
    """The position of the chosen candidate: see ``RULE``.

    The standard error is that of the best accuracy, with one image more of each outcome (Laplace), so that 20 of 20 is not
    certain.
    """
    losses = [one.val_loss for one in tried if one.val_accuracy is None and one.val_loss is not None]
    if len(losses) == len(tried):  # several labels, numbers
        return losses.index(min(losses))
    accuracies = [one.val_accuracy for one in tried]
    if len(tried) == 1 or any(value is None for value in accuracies):
        return 0
    values = [float(value) for value in accuracies if value is not None]
    best, number = max(values), tried[0].num_val
    share = (best * number + 1) / (number + 2)
    error = sqrt(share * (1 - share) / number)
    return next(place for place, value in enumerate(values) if value >= best - error)


def variant_params(params: TrainParams, call: Call, input_hw: Size | None = None) -> TrainParams:
    """The parameters that train one candidate; those of epochs only where there are epochs.

    Args:
        input_hw: a size that is stated in place of the one that the stage would choose.
    """
    changes: dict[str, Any] = {"model": call, "input_hw": input_hw or params.input_hw}
    if hasattr(call.load(), "fit"):
        changes |= {name: TrainParams.model_fields[name].get_default() for name in OF_EPOCHS}
    return params.model_copy(update=changes)


# --- details -------------------------------------------------------------------------------------------------------------


def _check(params: TrainParams, task: str) -> None:
    if params.label_mode == "input":
        raise UserError(
            "model = 'auto' chooses a classifier, and label_mode = 'input' asks for an autoencoder",
            "Name the template: --model autoencoder.",
        )
    if task == CLASSES and "accuracy" not in params.metrics:
        raise UserError(
            "model = 'auto' chooses by the accuracy on val, and metrics has no 'accuracy': "
            f"{', '.join(map(name_of, params.metrics))}",
            "Add it, or name a template: --model simple_cnn.",
        )


def _announce(ctx: Context, planned: Sequence[Candidate], budget_s: float) -> None:
    """What will be trained, for how long, and what is left out."""
    kept = [one for one in planned if not one.left_out]
    total = sum(one.estimate_s or 0.0 for one in kept)
    names = ", ".join(one.template for one in kept)
    words = f"{names}: about {duration(total)} on two cores (estimated; the budget is {duration(budget_s)})"
    ctx.event("note", message=words)
    if total > budget_s:
        ctx.warn(f"the cheapest candidate, {names}, is estimated at {duration(total)}; the budget is {duration(budget_s)}")
    for one in planned:
        if one.left_out:
            ctx.event("note", message=f"{one.template} is left out: {one.left_out}")


def _warn_of_unused(ctx: Context, params: TrainParams, trained: Sequence[Call]) -> None:
    """Parameters that were set and that no trained candidate uses."""
    if any(not hasattr(call.load(), "fit") for call in trained):
        return
    unused = [name for name in OF_EPOCHS if getattr(params, name) != TrainParams.model_fields[name].get_default()]
    if unused:
        names = ", ".join(call.name for call in trained)
        ctx.warn(
            f"{', '.join(unused)} had no effect: {names} {'is' if len(trained) == 1 else 'are'} not trained in epochs; "
            "name a template that is: --model simple_cnn"
        )


def _measured(found: Candidate, artifact: Artifact) -> Candidate:
    """A candidate with its metrics on val, from its model's description."""
    info = json.loads((artifact.path / "model.json").read_text("utf-8"))
    row, number = info["history"][info["kept_epoch"] - 1], int(info["images"].get("val", 0))
    accuracy = row.get("val_accuracy")
    if accuracy is None and number and task_named(info.get("task")) in (MULTILABEL, NUMBER):
        return replace(found, num_val=number, val_loss=row.get("val_loss"))
    if accuracy is None or not number:
        return found
    low, high = exact(round(accuracy * number), number)
    return Candidate(
        found.template,
        found.params,
        found.estimate_s,
        num_val=number,
        val_accuracy=accuracy,
        val_low=low,
        val_high=high,
        val_loss=row.get("val_loss"),
    )


def _publish(
    ctx: Context, found: Candidate, artifact: Artifact, every: Sequence[Candidate], budget_s: float, task: str
) -> Model:
    """The chosen model's folder, with the account of the choice in ``model.json``."""
    rule = RULE if task == CLASSES else RULE_OF_LOSS
    choice = {"chosen_by": "auto", "budget_s": budget_s, "rule": rule, "candidates": [asdict(one) for one in every]}
    meta = published(ctx, artifact, choice)
    digest = hashlib.sha256(json.dumps([artifact.digest, choice], sort_keys=True).encode()).hexdigest()
    headline = f"{found.template}, {meta.pop('headline')}"
    facts = {"model": found.template, **meta.pop("facts")}
    return ctx.artifact(Model, digest=digest, headline=headline, facts=facts, **meta)


def published(ctx: Context, artifact: Artifact, more: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a variant's folder to the stage's output, with more entries in ``model.json``; returns the variant's meta."""
    for path in sorted(artifact.path.iterdir()):
        if path.name not in ("manifest.json", "contents.json"):  # the store's own
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, ctx.out_dir / path.name)
    info = json.loads((artifact.path / "model.json").read_text("utf-8")) | dict(more)
    (ctx.out_dir / "model.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return dict(artifact.meta)
