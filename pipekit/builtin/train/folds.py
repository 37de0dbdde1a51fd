"""Cross-validation: a model for each fold, its predictions for the images of that fold, and the model of all images.

Each training is a variant of the stage, so it is stored under its own key: a stopped run continues with the next fold.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from math import floor
from statistics import median
from typing import Any

import numpy as np

from pipekit.builtin.train import folds_of_tasks, record
from pipekit.builtin.train.choose import RULE, RULE_OF_LOSS, choose, published, variant_params
from pipekit.builtin.train.classes import needs_classes
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.stage import learn
from pipekit.contract import Call, Context, Dataset, Model
from pipekit.errors import UserError
from pipekit.learning import templates
from pipekit.learning.answers import Answers
from pipekit.learning.candidates import Candidate
from pipekit.learning.cross_validation import OUT_OF_FOLD, HeldOut, fold_of, folds_of
from pipekit.learning.linear_head import read_head
from pipekit.learning.predictor import keras_predictor, read_model_info
from pipekit.learning.significance import exact
from pipekit.tasks import CLASSES, stated

POOLED = f"{RULE}; the accuracies are those of the val images of all folds"

POOLED_LOSS = f"{RULE_OF_LOSS}; the losses are those of the val images of all folds"

BATCH = 32
"""Images that are predicted at once."""


def cross_validate(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train a model for each fold and one of all images; publish the latter, with the predictions out of fold.

    Raises:
        UserError: the dataset has no folds, a class has fewer images than there are folds, or the model is no classifier.
    """
    if not needs_classes(params.model.load(), params):
        raise UserError("cross-validation measures predictions, and this model is an autoencoder", "Train it without folds.")
    folds = folds_of(dataset)
    (_check_sizes if dataset.task == CLASSES else folds_of_tasks.check_sizes)(ctx, dataset, folds)
    if num_test := _labelled_in(dataset, "test"):
        ctx.event("note", message=f"{num_test:,} test images stay out of the folds: no model learns from them")
    infos: list[Mapping[str, Any]] = []
    parts: list[HeldOut] = []
    for fold in folds:
        ctx.event("note", message=f"fold {fold} of {len(folds)}")
        made = ctx.variant(_with_budget(params, len(folds)).model_copy(update={"fold": fold}))
        infos.append(read_model_info(made.path, [dataset.task]))
        parts.append(HeldOut.read(made.path))
    held = HeldOut.joined(parts)
    ctx.event("note", message="the model of all images")
    call, choice = _chosen(params, infos)
    final = ctx.variant(_final(params, call, infos, dataset))
    held.write(ctx.out_dir)
    if dataset.task == CLASSES:
        rows = list(_rows(dataset, held, folds, infos))
        hits, total = sum(row["correct"] for row in rows), sum(row["images"] for row in rows)
        name, figure, own = "accuracy", hits / max(1, total), {}
    else:
        rows = folds_of_tasks.rows(dataset, held, folds, infos)
        name, figure = folds_of_tasks.figure(dataset, held)
        own = folds_of_tasks.fitted_on_folds(dataset, held, read_model_info(final.path, [dataset.task]), params)
    more = {**choice, **own, "cross_validation": {"folds": rows, "val": "the next fold"}}
    meta = published(ctx, final, more)
    identity = [final.digest, more, held.plain()]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    facts = {"model": call.name, "folds": str(len(folds)), f"out of fold {name}": f"{figure:.3f}"}
    return ctx.artifact(
        Model,
        digest=digest,
        headline=f"{call.name}, trained on all images; {name} {figure:.3f} out of fold, in {len(folds)} folds",
        facts=facts | {name: value for name, value in meta.pop("facts").items() if name == "epochs"},
        **{name: value for name, value in meta.items() if name != "headline"},
    )


def _check_sizes(ctx: Context, dataset: Dataset, folds: Sequence[int]) -> None:
    """Each class needs an image in each fold, if it has one for each; groups that are too few are a warning."""
    there: dict[str, Counter[int]] = {}
    for sample in dataset:
        if sample.label is not None and fold_of(sample):
            there.setdefault(sample.label, Counter())[fold_of(sample)] += 1
    fewest = min(there, key=lambda name: (there[name].total(), name))
    if there[fewest].total() < len(folds):
        raise UserError(
            f"{len(folds)} folds are more than the images of the class {fewest!r}, which has {there[fewest].total()}",
            f"Ask for at most {there[fewest].total()} folds, add images of it, or leave the class out."
            if there[fewest].total() >= 3
            else "Add images of it, or leave the class out.",
        )
    absent = [name for name in sorted(there) if len(there[name]) < len(folds)]
    if absent:
        listed = ", ".join(f"{name!r} (in {len(there[name])})" for name in absent[:5])
        ctx.warn(f"not all of the {len(folds)} folds have images of {listed}: its images belong together in few groups")


def _with_budget(params: TrainParams, number: int) -> TrainParams:
    """The budget of ``auto`` is for all folds together."""
    call = params.model
    if "budget" not in type(call.params).model_fields or not templates.candidates_of(call.load(), call.params):
        return params
    share = call.load().budget_s(call.params) / number
    return params.model_copy(update={"model": replace(call, params=call.params.model_copy(update={"budget": f"{share:.3f}s"}))})


def train_fold(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train the model of one fold, and write its predictions for the images that it did not learn from, without the model.

    Args:
        dataset: as :func:`pipekit.learning.cross_validation.leaving_out` returns it.
    """
    model, result = learn(ctx, dataset, params, head_alone=True)
    info = record.describe(model, result, [], "")
    if result.unknown is not None:
        result.unknown[0].save(ctx.out_dir)
    text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
    (ctx.out_dir / "model.json").write_text(text, "utf-8")
    head = read_head(ctx.out_dir, info, ctx.component)
    held_out = [sample for sample in dataset.split(OUT_OF_FOLD) if stated(sample) is not None]
    answers = Answers(ctx, keras_predictor(model, ctx.out_dir, info), head, dataset, held_out, BATCH)
    held = HeldOut.of(answers.of(held_out, "predict the fold"))
    held.write(ctx.out_dir)
    identity = [record.lasting(info), held.plain()]
    return ctx.artifact(
        Model,
        digest=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        headline=record.headline(result),
        facts=record.facts(result),
    )


def _chosen(params: TrainParams, infos: Sequence[Mapping[str, Any]]) -> tuple[Call, dict[str, Any]]:
    """The template of the model of all images, and for ``auto`` the account of the choice.

    ``auto`` chooses by the accuracy on the val images of all folds, among the templates that every fold tried.
    """
    template = params.model.load()
    calls = templates.candidates_of(template, params.model.params)
    if not calls:
        return params.model, {}
    listed = [[Candidate(**one) for one in info["candidates"]] for info in infos]
    pooled = [_pooled([of_fold[place] for of_fold in listed]) for place in range(len(calls))]
    tried = [place for place, one in enumerate(pooled) if not one.left_out]
    if not tried:  # the folds tried different ones
        names = Counter(str(info["template"]) for info in infos)
        tried = [max(range(len(calls)), key=lambda place: names[calls[place].name])]
    place = tried[choose([pooled[number] for number in tried])]
    account = [asdict(one) for one in pooled]
    budget_s = template.budget_s(params.model.params)
    rule = POOLED_LOSS if tried and all(pooled[at].val_accuracy is None for at in tried) else POOLED
    return calls[place], {"chosen_by": "auto", "budget_s": budget_s, "rule": rule, "candidates": account}


def _pooled(found: Sequence[Candidate]) -> Candidate:
    """One candidate over all folds; left out if it was in one of them."""
    first = next((one for one in found if one.left_out), found[0])
    number = sum(one.num_val for one in found)
    loss = sum((one.val_loss or 0.0) * one.num_val for one in found) / number if number else None
    if first.left_out:
        return first
    if any(one.val_accuracy is None for one in found):
        return replace(first, num_val=number, val_loss=None if any(one.val_loss is None for one in found) else loss)
    hits = sum(round((one.val_accuracy or 0.0) * one.num_val) for one in found)
    low, high = exact(hits, number)
    return Candidate(first.template, first.params, first.estimate_s, "", number, hits / number, low, high, loss)


def _final(params: TrainParams, call: Call, infos: Sequence[Mapping[str, Any]], dataset: Dataset) -> TrainParams:
    """The parameters that train on all images: without val, for as many epochs as the folds kept in the middle."""
    plain = params.model_copy(update={"cross_validate": False})
    plain = plain if call is params.model else variant_params(plain, call, _smaller_hw(call, infos))
    if _labelled_in(dataset, "val") or plain.keep == "last":
        return plain
    changes: dict[str, Any] = {"keep": "last", "patience": None}
    if not hasattr(call.load(), "fit"):
        kept = [int(info["kept_epoch"]) for info in infos if info["template"] == call.name]
        changes["epochs"] = max(round(median(kept)) if kept else params.epochs, floor(params.warmup_epochs) + 1)
    return plain.model_copy(update=changes)


def _labelled_in(dataset: Dataset, split: str) -> int:
    if dataset.task == CLASSES:
        return sum(dataset.counts.get(split, {}).values())
    return sum(stated(sample) is not None for sample in dataset.split(split))


def _smaller_hw(call: Call, infos: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """The template's usual size, if a fold took it for want of budget: the model of all images is like those of the folds."""
    usual = templates.input_hw_of(call.load(), call.params)
    if templates.finer_hw_of(call.load(), call.params) is None:
        return None
    sizes = [tuple(info["input_shape_hwc"][:2]) for info in infos if info["template"] == call.name]
    return usual if usual in sizes else None


def _rows(
    dataset: Dataset, held: HeldOut, folds: Sequence[int], infos: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What came of each fold: images, correct predictions, and what its model was."""
    labels = {sample.id: str(sample.label) for sample in dataset}
    truth = np.array([labels[name] for name in held.ids], np.str_)
    used = np.array([not problem for problem in held.problems], np.bool_)
    for fold, info in zip(folds, infos, strict=True):
        classes = np.array(info["classes"], np.str_)
        mine = used & (held.folds == fold)
        said = classes[held.rows[mine, : len(classes)].argmax(axis=1)]
        yield {
            "fold": fold,
            "images": int(mine.sum()),
            "correct": int((said == truth[mine]).sum()),
            "template": info["template"],
            "kept_epoch": info["kept_epoch"],
            "learned_from": int(info["images"]["train"]),
            "val": int(info["images"].get("val", 0)),
        }
