"""Advice for a weak model: one rule for the report, the end of a run, and the error of `pretrained`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.contract import Context, Dataset
from pipekit.learning.evaluation import Evaluation
from pipekit.params import parse_toml

TEMPLATE = "logistic_regression"
"""A pretrained template in the box, whose weights need no download."""

LARGE_GAP = 0.1
"""Gap between training and val accuracy above which the model overfits."""
FEW_A_CLASS = 1000
"""Training images per class below which a network with random initial weights falls far behind a pretrained one, as with 700
photographs each of cats and dogs (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Case:
    """The facts that the advice depends on.

    Attributes:
        weak: the model is not clearly better than always predicting the most frequent class, or makes more than half of its
            mistakes.
        gap: the largest training accuracy minus val accuracy; None without a split ``val``.
        few: there are few training images per class.
        pretrained: the model started from weights trained on other images.
        in_one_pass: the template does not train in epochs.
    """

    weak: bool
    gap: float | None
    few: bool
    pretrained: bool
    in_one_pass: bool = False


def remedies(case: Case, command: str) -> list[str]:
    """What would help, most helpful first; empty for a model that is neither weak nor overfits."""
    steps = []
    if case.weak and case.few and not case.pretrained:
        steps.append(f"Start from a pretrained network, which needs few images: {how_to_get(command)}")
    if case.gap is not None and case.gap > LARGE_GAP:
        steps.append(
            f"The model overfits: accuracy is {100 * case.gap:.0f} points higher on the training images than on val. "
            "Use more images, stronger augmentation or more regularisation (dropout, weight_decay)."
        )
    elif case.weak and case.gap is None:
        steps.append("Check the training images and their labels, and train with a split val, which shows overfitting.")
    elif case.weak:
        longer = "train a larger model" if case.in_one_pass else "train longer or with a larger model"
        steps.append(f"Check the training images and their labels, then {longer}.")
    return steps


def is_weak(accuracy: float, baseline: float) -> bool:
    """Whether a model makes more than half of the mistakes of always predicting the most frequent class."""
    return 1 - accuracy > (1 - baseline) / 2


def how_to_get(command: str = "") -> str:
    """The command that trains with the pretrained network in the box."""
    return f"`{command or train_command()}`."


def train_command(ctx: Context | None = None, dataset: Dataset | None = None, stage: str = "") -> str:
    """``pipekit train FOLDER --model …``, or ``pipekit run`` with another template in the pipeline file's train stage.

    Args:
        stage: the train stage's name in the file; empty: the only train stage.
    """
    file = ctx.pipeline_file if ctx is not None else None
    if ctx is not None and file is not None and (stage := stage or _train_stage(file)):
        return f"pipekit run {_shown(file, ctx.project_dir)} --set stages.{stage}.model={TEMPLATE}"
    folder = source_folder(ctx, dataset) if ctx is not None and dataset is not None else None
    shown = "FOLDER" if folder is None or ctx is None else _shown(folder, ctx.project_dir)
    return f"pipekit train {shown} --model {TEMPLATE}"


def source_folder(ctx: Context, dataset: Dataset) -> Path | None:
    """The folder that the images were read from; None if the ids are not paths, or a stage wrote the images."""
    sample = next(iter(dataset), None)
    if sample is None or not sample.image.endswith(f"/{sample.id}"):
        return None
    folder = Path(sample.image.removesuffix(f"/{sample.id}"))
    # What a stage wrote shares the store with this stage's output.
    shared = Path(os.path.commonpath([folder, ctx.out_dir.absolute()])) if folder.is_absolute() else Path(os.sep)
    return folder if ctx.project_dir.absolute().is_relative_to(shared) else None


def overfitting_gap(model: Mapping[str, Any]) -> float | None:
    """Training minus val accuracy in the kept or the last epoch, whichever is larger; None if unknown.

    Often an early epoch is kept, before the gap opens; later epochs show that the model overfits.
    """
    epochs = [epoch for epoch in model.get("history") or [] if isinstance(epoch, Mapping)]
    full = [epoch for epoch in epochs if all(isinstance(epoch.get(k), (int, float)) for k in ("accuracy", "val_accuracy"))]
    if not full:
        return None
    kept = model.get("kept_epoch")
    best = max(full, key=lambda epoch: epoch["val_accuracy"])
    if isinstance(kept, int) and 1 <= kept <= len(epochs) and epochs[kept - 1] in full:
        best = epochs[kept - 1]
    return max(float(epoch["accuracy"] - epoch["val_accuracy"]) for epoch in (best, full[-1]))


def case_of(model: Mapping[str, Any], num_train: int, num_classes: int, weak: bool) -> Case:
    """The case of a model from its description, ``model.json``."""
    epochs = (model.get("training") or {}).get("epochs", 1)
    return Case(
        weak=weak,
        gap=overfitting_gap(model),
        few=num_train < FEW_A_CLASS * max(1, num_classes),
        pretrained=bool(model.get("pretrained")),
        in_one_pass=epochs > 1 and len(model.get("history") or ()) == 1,
    )


def case_of_evaluation(evaluation: Evaluation) -> Case:
    """The case of a model from its evaluation."""
    model, found, baseline = evaluation.model, evaluation.metrics["accuracy"], evaluation.metrics["baseline"]["accuracy"]
    in_index = sum(evaluation.dataset.counts.get("train", {}).values())
    num_train = (model.get("images") or {}).get("train", in_index)
    weak = found["low"] <= baseline or is_weak(found["value"], baseline)
    return case_of(model, num_train, len(evaluation.classes), weak)


def first_of_evaluation(ctx: Context, evaluation: Evaluation) -> str:
    """The first remedy for a weak model, for the end of a run; "" if the model is not weak."""
    case = case_of_evaluation(evaluation)
    return remedies(case, train_command(ctx, evaluation.dataset))[0] if case.weak else ""


def _train_stage(file: Path) -> str:
    """The name of a pipeline file's train stage; "" if there is none or several."""
    try:
        stages = parse_toml(file.read_text("utf-8")).get("stages", {})
    except (OSError, ValueError):
        return ""
    names = [name for name, table in stages.items() if isinstance(table, dict) and table.get("use", name) == "train"]
    return names[0] if len(names) == 1 else ""


def _shown(path: Path, base: Path) -> str:
    path, base = path.absolute(), base.absolute()
    return shlex.quote(str(path.relative_to(base)) if path.is_relative_to(base) and path != base else str(path))
