"""Write a training run's outputs: the model, its description, the history, the learning curves, and a verdict in words."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from math import inf, sqrt
from typing import Any

import numpy as np

from pipekit.builtin.train.compiling import OF_TASKS, Labels, base_rate
from pipekit.builtin.train.curves import draw, draw_range_test
from pipekit.builtin.train.loop import Row, State
from pipekit.builtin.train.none_of_these import Found
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.range_test import RangeTest, found_words
from pipekit.contract import Context, Dataset, Failure, Model
from pipekit.files import PlainTable
from pipekit.learning import advice
from pipekit.learning.keras_file import save_keras
from pipekit.learning.known_groups import known_groups
from pipekit.learning.outputs import SAID
from pipekit.learning.plain_models import has_mixed_precision, plain_model
from pipekit.learning.predictor import RESIZE_METHOD
from pipekit.learning.temperature import KEY
from pipekit.learning.trained_on import write_trained_on
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, OF_MODELS

FIT_WORDS = {
    "stretch": "to the input size, proportions not kept",
    "crop": "proportions kept: the largest centred part with the proportions of the input, to the input size",
    "pad": "proportions kept: the whole image inside the input size, centred, with black around it",
}
LIBRARIES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "pipekit-vision")


@dataclass(frozen=True)
class Result:
    """The results of a training run, without the weights."""

    params: TrainParams
    labels: Labels
    shape_hwc: tuple[int, int, int]
    state: State
    monitor: str
    batch_size: int
    seed: int
    counts: Mapping[str, int]
    failures: tuple[Failure, ...]
    dataset: Dataset
    pretrained: bool
    pretrained_on: Mapping[str, Any] | None = None
    unknown: Found | None = None
    calibration: Mapping[str, Any] | None = None
    """What :func:`pipekit.learning.temperature.fitted` returned; None for an autoencoder."""
    on_val: Mapping[str, Any] = field(default_factory=dict)
    """What :func:`pipekit.builtin.train.tasks.fit_on_val` returned; empty for classes."""
    features: Mapping[str, Any] | None = None
    """What :func:`pipekit.learning.linear_head.write_head` returned."""

    @property
    def kept(self) -> int:
        """The epoch whose weights are kept in the model, counted from 0."""
        return self.state.best_epoch if self.params.keep == "best" else len(self.state.history) - 1


def write(ctx: Context, model: Any, result: Result) -> Model:
    """Write the outputs to ``ctx.out_dir``. The digest covers the weights and the description, not the zip file."""
    save_keras(_published(ctx, model), ctx.out_dir / "model.keras")
    words = verdict(result)
    weights = _weights_digest(model)
    if result.unknown is not None:
        result.unknown[0].save(ctx.out_dir)
    info = describe(model, result, words, weights)
    (ctx.out_dir / "model.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", "utf-8")
    write_trained_on(ctx.out_dir, result.dataset.split("train"))
    _write_history(ctx, result)
    draw(ctx.out_dir, result.state.history, result.kept, words[0] if words else "")
    if result.state.range_test:
        _write_range_test(ctx, result)
    if result.failures:
        _write_failures(ctx, result.failures)
    identity = [lasting(info), weights, *([result.unknown[0].digest()] if result.unknown else [])]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return ctx.artifact(
        Model,
        digest=digest,
        **({} if result.dataset.task == CLASSES else {"task": result.dataset.task}),
        facts=facts(result),
        headline=headline(result),
        words=words,
        advice=_advice(ctx, result, info),
    )


def _published(ctx: Context, model: Any) -> Any:
    """The model as it is published; unchanged, with a warning, if it can't be rebuilt, so that no training is lost."""
    if not model.compiled and not has_mixed_precision(model):
        return model
    try:
        return plain_model(model)
    except (TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        ctx.warn(
            f"model.keras is written as it was trained, with its optimizer and precision: Keras can't rebuild it ({reason}); "
            "register the template's own layers with keras.saving.register_keras_serializable"
        )
        return model


def describe(model: Any, result: Result, words: list[str], weights: str) -> dict[str, Any]:
    """The content of ``model.json``: what prediction needs, and how the model was trained."""
    call = result.params.model
    mode = result.labels.mode
    task = mode if mode in (MULTILABEL, NUMBER) else CLASSES
    reconstructs = mode == "input"
    return {
        "format": 3 if task != CLASSES else 1 if result.params.fit == "stretch" else 2,
        "task": "reconstruction" if reconstructs else OF_MODELS[task],
        "classes": list(result.labels.classes),
        **_of_task(result, task),
        "input_shape_hwc": list(result.shape_hwc),
        "preprocessing": {
            "colours": "RGB" if result.shape_hwc[2] == 3 else "grey (ITU-R 601 luma)",
            "fit": result.params.fit,
            "resize": FIT_WORDS[result.params.fit],
            "resize_method": RESIZE_METHOD,
            "values": "0..255 as they are; the model scales them itself",
        },
        "outputs": "pixels 0..255" if reconstructs else SAID[task],
        "template": call.name,
        "params": call.params.model_dump(mode="json"),
        "training": {**result.params.model_dump(mode="json"), "batch_size": result.batch_size},
        "label_mode": result.labels.mode,
        "pretrained": result.pretrained,
        **({"pretrained_on": dict(result.pretrained_on)} if result.pretrained_on else {}),
        **({"unknown": result.unknown[1]} if result.unknown else {}),
        **({KEY: dict(result.calibration)} if result.calibration is not None else {}),
        **({"features": dict(result.features)} if result.features else {}),
        "parameters": int(model.count_params()),
        "images": dict(result.counts),
        **_val_baseline(result),
        "seed": result.seed,
        "found_learning_rate": result.state.found_rate,
        **({"range_test": _range_test(result)} if result.state.range_test else {}),
        "monitor": result.monitor,
        "kept_epoch": result.kept + 1,
        "stopped_early": result.state.stopped_early,
        "history": [{"epoch": number, **row} for number, row in enumerate(result.state.history, 1)],
        "words": words,
        "weights_sha256": weights,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _of_task(result: Result, task: str) -> dict[str, Any]:
    """Entries for ordered classes, several labels or a number."""
    if task == CLASSES:
        return {"order": list(result.dataset.order)} if result.dataset.order else {}
    found = dict(result.on_val)
    if task == NUMBER:
        found["value"] = {**found.get("value", {}), "unit": result.dataset.value.unit}
    return found


def _val_baseline(result: Result) -> dict[str, float]:
    """The accuracy of always predicting val's most frequent class, which a model should beat; the number of val's groups."""
    if result.dataset.task != CLASSES:
        return {}
    counts = {name: n for name, n in result.dataset.counts.get("val", {}).items() if name in result.labels.classes}
    groups = known_groups(list(result.dataset.split("val")))
    grouped = {} if groups is None else {"val_groups": int(groups.max()) + 1}
    return {"val_most_frequent": max(counts.values()) / sum(counts.values()), **grouped} if sum(counts.values()) else {}


def verdict(result: Result) -> list[str]:
    """The result in plain sentences: the kept epoch, whether the model overfits, what to try."""
    history, kept = result.state.history, result.kept
    row, last = history[kept], len(history) - 1
    words = []
    score = "accuracy" if "accuracy" in row else "loss"
    if f"val_{score}" in row:
        words.append(
            _gap(
                row,
                score,
                kept,
                result.counts["val"],
                bool(result.params.ops or result.params.mixes),
            )
        )
    later = history[last]
    if later["loss"] < row["loss"] and later.get("val_loss", 0.0) > 1.2 * row.get("val_loss", inf):
        words.append(
            f"After epoch {kept + 1} the validation loss rises from {row['val_loss']:.3f} to {later['val_loss']:.3f} in epoch "
            f"{last + 1}, while the training loss falls to {later['loss']:.3f}: the model starts to overfit. "
            "Augmentation, dropout or more images help."
        )
    elif result.params.keep == "best" and kept == last and last and not _overfits(row, result.counts["val"]):
        words.append("The last epoch was the best one: more epochs may improve the model further.")
    if result.state.stopped_early:
        words.append(f"Stopped after epoch {last + 1}: {result.params.patience} epochs without a better {result.monitor}.")
    if result.state.range_test and result.state.found_rate is not None:
        words.append(found_words(RangeTest(result.state.range_test).is_clear, result.state.found_rate))
    return words


def _overfits(row: Row, num_val: int) -> bool:
    """Whether training accuracy exceeds val accuracy by more than chance explains: more epochs would widen the gap."""
    if "accuracy" not in row or "val_accuracy" not in row:
        return False
    return row["accuracy"] - row["val_accuracy"] > min(_chance(row["val_accuracy"], num_val), advice.LARGE_GAP)


def _chance(accuracy: float, num_images: int) -> float:
    """Half-width of the 95 % interval of an accuracy measured on ``num_images`` images."""
    return 1.96 * sqrt(max(accuracy * (1 - accuracy), 0.25 / num_images) / num_images)


def _gap(row: Row, score: str, kept: int, num_val: int, augmented: bool) -> str:
    ours, theirs = row[score], row[f"val_{score}"]
    begin = (
        f"In the kept epoch ({kept + 1}), {score} is {ours:.3f} on the training images "
        f"and {theirs:.3f} on the {num_val} validation images"
    )
    if score == "loss":
        return f"{begin}."
    gap = ours - theirs
    chance = _chance(theirs, num_val)
    if gap > chance:
        return (
            f"{begin}: a gap of {gap:.3f}, more than the {chance:.3f} that chance explains with so many images. "
            "The model overfits: it is better on its training images than on new ones."
        )
    if gap < -chance:
        reason = (
            "augmentation makes the training images harder" if augmented else "dropout is on only in training, or val is easier"
        )
        return f"{begin}: better on new images than on the training images ({reason}). There is no sign of overfitting."
    return f"{begin}: a difference that chance explains ({chance:.3f} with so many images). There is no sign of overfitting."


def facts(result: Result) -> dict[str, str]:
    """What a run's table shows."""
    kept = result.state.history[result.kept]
    facts = {"epochs": f"{len(result.state.history)} (kept {result.kept + 1})"}
    own = OF_TASKS.get(result.labels.mode, ("accuracy",))
    for name in (f"val_{own[0]}", "val_loss") if "val_loss" in kept else (own[0], "loss"):
        if name in kept:
            facts[name.replace("_", " ")] = f"{kept[name]:.3f}"
    if result.failures:
        facts["images left out"] = str(len(result.failures))
    return facts


def _advice(ctx: Context, result: Result, info: Mapping[str, Any]) -> str:
    """The first remedy if the kept epoch is weak on val; "" if it is not, or there is no val accuracy."""
    kept = result.state.history[result.kept]
    counts = result.dataset.counts.get("val", {})
    if "val_accuracy" not in kept or not sum(counts.values()):
        return ""
    weak = advice.is_weak(kept["val_accuracy"], max(counts.values()) / sum(counts.values()))
    case = advice.case_of(info, result.counts["train"], len(result.labels.classes), weak)
    return advice.remedies(case, advice.train_command(ctx, result.dataset, ctx.stage))[0] if weak else ""


def headline(result: Result) -> str:
    """``validation accuracy 0.917 in epoch 12 of 20``"""
    kept = result.state.history[result.kept]
    own = OF_TASKS.get(result.labels.mode, ("accuracy",))[0]
    name = next(name for name in (f"val_{own}", own, "val_loss", "loss") if name in kept)
    where = "validation" if name.startswith("val_") else "training"
    return f"{where} {name.removeprefix('val_')} {kept[name]:.3f} in epoch {result.kept + 1} of {len(result.state.history)}"


def _weights_digest(model: Any) -> str:
    digest = hashlib.sha256()
    for variable in model.weights:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def lasting(info: dict[str, Any]) -> dict[str, Any]:
    """The part of the description that identifies a model, without the words and the libraries' versions."""
    names = ("classes", "input_shape_hwc", "template", "params", "history", "kept_epoch", KEY, "order", "thresholds", "value")
    kept = {name: info[name] for name in names if name in info}
    fit = info["preprocessing"]["fit"]
    return kept if fit == "stretch" else {**kept, "fit": fit}


def _write_history(ctx: Context, result: Result) -> None:
    names = list(dict.fromkeys(name for row in result.state.history for name in row))
    with (ctx.out_dir / "history.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["epoch", *names, "seconds"])
        for number, (row, seconds) in enumerate(zip(result.state.history, result.state.seconds, strict=True), 1):
            table.writerow([number, *(repr(row[name]) if name in row else "" for name in names), seconds])


def _range_test(result: Result) -> dict[str, Any]:
    """The range test as the report draws it: each rate, the loss of its batch, the moving average."""
    test = RangeTest(result.state.range_test)
    rates, means = zip(*test.tried, strict=True)
    return {"clear": test.is_clear, "rates": rates, "losses": test.losses, "means": means}


def _write_range_test(ctx: Context, result: Result) -> None:
    """Write ``learning_rate.csv`` and draw it."""
    test, rate = RangeTest(result.state.range_test), result.state.found_rate or base_rate(result.params)
    with (ctx.out_dir / "learning_rate.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["learning_rate", "loss", "moving_average"])
        table.writerows(
            (repr(tried), repr(loss), repr(mean)) for (tried, mean), loss in zip(test.tried, test.losses, strict=True)
        )
    draw_range_test(ctx.out_dir, test.tried, test.losses, rate, found_words(test.is_clear, rate))


def _write_failures(ctx: Context, failures: tuple[Failure, ...]) -> None:
    failures = tuple(sorted(failures, key=lambda failure: failure.id))  # threads find them in any order
    with (ctx.out_dir / "left_out.csv").open("w", encoding="utf-8", newline="") as file:
        table = PlainTable(file)
        table.writerow(["id", "reason", "image"])
        table.writerows((failure.id, failure.reason, failure.image) for failure in failures)
    shown = "; ".join(f"{failure.id}: {failure.reason}" for failure in failures[:3])
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    ctx.warn(f"{len(failures)} images can't be read and are omitted from training ({shown}{more}); left_out.csv lists all")
