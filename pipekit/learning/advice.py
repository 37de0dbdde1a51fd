"""Advice for a weak model: one rule for the report, the end of a run, and the error of `pretrained`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.contract import Context, Dataset
from pipekit.files.urls import is_copy, shown
from pipekit.learning.evaluation import Evaluation
from pipekit.params import parse_toml

TEMPLATE = "logistic_regression"
"""A pretrained template in the box, whose weights need no download."""

LARGE_GAP = 0.1
"""Gap between training and val accuracy above which the model overfits."""
FEW_A_CLASS = 1000
"""Training images per class below which a network with random initial weights falls far behind a pretrained one, as with 700
photographs each of cats and dogs (docs/benchmarks.md)."""

UNEVEN = 5
"""Factor between the classes with the most and the fewest training images from which on they are called imbalanced."""
TUNABLE_A_CLASS, FEWEST_VAL, MANY_ERRORS = 100, 50, 0.05
"""Fine-tuning may pay from so many training images a class on, if val has so many images and so many of them are wrong."""


@dataclass(frozen=True)
class Case:
    """The facts that the advice depends on.

    Attributes:
        weak: the model is not clearly better than always predicting the most frequent class, or makes more than half of its
            mistakes.
        gap: the largest training accuracy minus val accuracy; None without a split ``val``.
        few: there are few training images per class.
        pretrained: the model started from weights trained on other images, or `auto` tried one that did and chose another.
        in_one_pass: the template does not train in epochs.
    """

    weak: bool
    gap: float | None
    few: bool
    pretrained: bool
    in_one_pass: bool = False
    uneven: str = ""
    """The classes with the most and the fewest training images, if one has five times as many and none has a weight."""
    frozen_errors: float | None = None
    """The share of mistakes on val, if the network is frozen and val says that fine-tuning may pay."""


@dataclass(frozen=True)
class Commands:
    """The commands that follow the advice: with the pretrained network in the box, class weights, fine-tuning."""

    pretrained: str
    weighted: str = ""
    tuned: str = ""


def remedies(case: Case, commands: Commands | str) -> list[str]:
    """What would help, most helpful first; empty for a model that is neither weak nor overfits, on even classes."""
    commands = Commands(commands) if isinstance(commands, str) else commands
    command = commands.pretrained
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
    if case.uneven:
        steps.append(
            f"The classes are imbalanced ({case.uneven}): give rare classes more weight"
            + (f", `{commands.weighted}`." if commands.weighted else " with class_weights = 'balanced'.")
        )
    if case.frozen_errors is not None and commands.tuned:
        steps.append(
            f"The network is frozen, and {100 * case.frozen_errors:.0f} % of the val images are wrong: with as many training "
            f"images, fine-tuning a pretrained network may pay. `{commands.tuned}` (downloads its weights once)."
        )
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
    return _command(ctx, dataset, stage, {"model": TEMPLATE})


def commands_for(ctx: Context, dataset: Dataset, model: Mapping[str, Any], stage: str = "") -> Commands:
    """The commands for a model that was trained on a dataset; ``model`` is its ``model.json``."""
    template = "auto" if model.get("chosen_by") == "auto" else str(model.get("template") or TEMPLATE)
    tuned = {"model.template": "pretrained", "model.fine_tune": "-1", "epochs": "20"}
    return Commands(
        train_command(ctx, dataset, stage),
        _command(ctx, dataset, stage, {"model": template, "class_weights": "balanced"}, keep=("model",)),
        _command(ctx, dataset, stage, tuned),
    )


def _command(
    ctx: Context | None, dataset: Dataset | None, stage: str, changes: Mapping[str, str], keep: tuple[str, ...] = ()
) -> str:
    """The command that trains with other parameters; a pipeline file has those of ``keep`` already."""
    file = ctx.pipeline_file if ctx is not None else None
    if ctx is not None and file is not None and (stage := stage or _train_stage(file)):
        there = {name: value for name, value in _in_file(changes).items() if name not in keep}
        sets = " ".join(f"--set stages.{stage}.{name}={value}" for name, value in there.items())
        return f"pipekit run {_shown(file, ctx.project_dir)} {sets}"
    folder = source_folder(ctx, dataset) if ctx is not None and dataset is not None else None
    place = "FOLDER" if folder is None or ctx is None else _shown(folder, ctx.project_dir)
    plain = {"model" if name == "model.template" else name: value for name, value in changes.items()}
    return f"pipekit train {place} " + " ".join(
        f"--set {name}={value}" if "." in name else f"--{name.replace('_', '-')} {value}" for name, value in plain.items()
    )


def _in_file(changes: Mapping[str, str]) -> dict[str, str]:
    """The same, with a template and its parameters as one table: they replace those of the file."""
    table = {name.removeprefix("model."): value for name, value in changes.items() if name.startswith("model.")}
    others = {name: value for name, value in changes.items() if not name.startswith("model.")}
    if not table:
        return others
    inside = ", ".join(f"{name} = {json.dumps(value) if value[:1].isalpha() else value}" for name, value in table.items())
    return {"model": shlex.quote(f"{{ {inside} }}"), **others}


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


def case_of(
    model: Mapping[str, Any], num_train: int, num_classes: int, weak: bool, counts: Mapping[str, int] | None = None
) -> Case:
    """The case of a model from its description, ``model.json``.

    Args:
        counts: training images of each class.
    """
    epochs = (model.get("training") or {}).get("epochs", 1)
    return Case(
        weak=weak,
        gap=overfitting_gap(model),
        few=num_train < FEW_A_CLASS * max(1, num_classes),
        pretrained=bool(model.get("pretrained")) or _has_tried_pretrained(model),
        in_one_pass=epochs > 1 and len(model.get("history") or ()) == 1,
        uneven=_uneven(model, counts or {}),
        frozen_errors=_frozen_errors(model, num_train / max(1, num_classes)),
    )


def _has_tried_pretrained(model: Mapping[str, Any]) -> bool:
    """Whether `auto` measured :data:`TEMPLATE` on val and chose another: to train it again would help nobody."""
    return any(one["template"] == TEMPLATE and not one["left_out"] for one in model.get("candidates") or ())


def _uneven(model: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    there = {name: count for name, count in counts.items() if count}
    if not there or (model.get("training") or {}).get("class_weights", "none") != "none":
        return ""
    most, least = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
    return f"{there[most]:,} training images of {most!r}, {there[least]:,} of {least!r}" if _is_uneven(there) else ""


def _is_uneven(counts: Mapping[str, int]) -> bool:
    return max(counts.values()) >= UNEVEN * min(counts.values())


def _frozen_errors(model: Mapping[str, Any], images_a_class: float) -> float | None:
    """The share of mistakes on val where fine-tuning may pay: more than a few, and enough images to learn from."""
    history, num_val = model.get("history") or [], int((model.get("images") or {}).get("val", 0))
    found = history[-1].get("val_accuracy") if history and isinstance(history[-1], Mapping) else None
    if not model.get("features") or found is None or num_val < FEWEST_VAL or images_a_class < TUNABLE_A_CLASS:
        return None
    return 1 - float(found) if 1 - float(found) >= MANY_ERRORS else None


def case_of_evaluation(evaluation: Evaluation) -> Case:
    """The case of a model from its evaluation."""
    model, found, baseline = evaluation.model, evaluation.metrics["accuracy"], evaluation.metrics["baseline"]["accuracy"]
    in_index = sum(evaluation.dataset.counts.get("train", {}).values())
    num_train = (model.get("images") or {}).get("train", in_index)
    weak = found["low"] <= baseline or is_weak(found["value"], baseline)
    return case_of(model, num_train, len(evaluation.classes), weak, evaluation.dataset.counts.get("train", {}))


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
    if is_copy(path):
        return shlex.quote(shown(path))
    path, base = path.absolute(), base.absolute()
    return shlex.quote(str(path.relative_to(base)) if path.is_relative_to(base) and path != base else str(path))
