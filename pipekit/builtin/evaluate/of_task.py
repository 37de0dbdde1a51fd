"""Evaluate a model of several labels or of a number: what both need. The figures are in :mod:`.several` and :mod:`.numbers`."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import folds_of_tasks
from pipekit.builtin.evaluate.grouping import groups_of
from pipekit.builtin.evaluate.outputs import write_page
from pipekit.contract import Context, Dataset, Failure, Picture, Report, Sample, Section
from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable
from pipekit.learning.answers import Answer, Answers
from pipekit.learning.cross_validation import OUT_OF_FOLD, HeldOut, fold_of
from pipekit.learning.known_groups import known_groups
from pipekit.learning.linear_head import read_head
from pipekit.learning.predictor import load_predictor, read_model_info
from pipekit.tasks import MULTILABEL, TASKS, stated

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

DECIMALS = 6
"""Decimals of probabilities and numbers in ``predictions.csv``, from which all figures are computed."""

MOST_RESAMPLES = 500
"""Each resample sorts the images for each label."""


@dataclass(frozen=True)
class Answered:
    """The evaluated images with their predictions.

    Attributes:
        rows: ``(N, C) float64``: probabilities of labels, or the number in one column.
        groups: of the images, from ``split``; None if each is alone.
        info: ``model.json``.
    """

    samples: tuple[Sample, ...]
    rows: NDArray[np.float64]
    groups: NDArray[np.int64] | None
    failed: tuple[Failure, ...]
    info: Mapping[str, Any]
    dataset: Dataset
    split: str
    folds: NDArray[np.int64] | None = None
    """The fold of each image, where its prediction is that of a model of a cross-validation."""

    def of_folds(self, name: str, otherwise: Any) -> list[Any]:
        """For each image, what the model that predicted it fitted on its own val images, as ``model.json`` has it."""
        if self.folds is None:
            return [otherwise] * len(self)
        rows = {row["fold"]: row.get(name) for row in self.info["cross_validation"]["folds"]}
        return [rows.get(fold, otherwise) for fold in self.folds.tolist()]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.info["classes"])

    def __len__(self) -> int:
        return len(self.samples)


def evaluate_task(ctx: Context, model: Path, task: str, dataset: Dataset, params: EvaluateParams) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``predictions.csv`` of a model of several labels, or of a number.

    Raises:
        UserError: the dataset has another task than the model, or the split has no labelled images.
    """
    if dataset.task != task:
        raise UserError(
            f"the model predicts {TASKS[task]}, and the dataset has {TASKS[dataset.task]}",
            "Evaluate it on a dataset of the same task.",
        )
    if params.sections:
        ctx.warn(f"sections had no effect: they are for classes, and the evaluation of {TASKS[task]} has its own")
    found = _answered(ctx, model, task, dataset, params)
    if task == MULTILABEL:
        from pipekit.builtin.evaluate import several as module
    else:
        from pipekit.builtin.evaluate import numbers as module  # type: ignore[no-redef]
    metrics = module.measure(ctx, found, params)
    if found.folds is not None:
        metrics["folds"] = folds_of_tasks.measure(found)
    for doubt in metrics.get("doubts", ()):
        ctx.warn(doubt)
    return _write(ctx, found, metrics, params, module)


def _answered(ctx: Context, model: Path, task: str, dataset: Dataset, params: EvaluateParams) -> Answered:
    held = HeldOut.read(model) if params.split == OUT_OF_FOLD else None
    dataset = dataset if held is None else held.view(dataset)
    every = list(dataset.split(params.split))
    samples = [sample for sample in every if stated(sample) is not None]
    if not samples:
        splits = ", ".join(f"{name or '(undecided)'} {count}" for name, count in dataset.meta["splits"].items())
        raise UserError(f"there is no labelled image in the split {params.split!r} (images: {splits})", "Choose another split.")
    info = read_model_info(model, [task])
    if unknown := sorted({*dataset.classes} - {*info["classes"]}) if task == MULTILABEL else []:
        raise UserError(f"the dataset has labels that the model does not know: {', '.join(unknown[:5])}")
    kept, rows, failed = [], [], []
    for sample, row in _predicted(ctx, model, task, dataset, samples, params) if held is None else held.of_samples(samples):
        if isinstance(row, ImageError):
            failed.append(Failure(sample.id, row.message, sample.image))
        else:
            kept.append(sample)
            rows.append(np.round(row.astype(np.float64), DECIMALS))
    ctx.tolerate(failed, len(samples))
    if not kept:
        raise UserError(f"none of the {len(samples)} images of the split {params.split!r} can be read")
    table = np.array(rows, np.float64)
    groups = known_groups(kept)
    if params.group_column or params.group_pattern:
        groups = groups_of(kept, range(len(kept)), params.group_column, params.group_pattern).groups
    folds = None if held is None else np.array([fold_of(sample) for sample in kept], np.int64)
    return Answered(tuple(kept), table, groups, tuple(failed), info, dataset, params.split, folds)


def _predicted(
    ctx: Context, model: Path, task: str, dataset: Dataset, samples: list[Sample], params: EvaluateParams
) -> Iterator[Answer]:
    head = read_head(model, read_model_info(model, [task]), ctx.component)
    predictor = load_predictor(model, ctx.component, lazy=head is not None, tasks=[task])
    return Answers(ctx, predictor, head, dataset, samples, params.batch_size).of(samples, "predict")


def resamples_of(params: EvaluateParams) -> int:
    return min(params.resamples, MOST_RESAMPLES)


def common(found: Answered) -> dict[str, Any]:
    """Entries that both tasks have."""
    return {
        "split": found.split,
        "num_images": len(found),
        "num_failed": len(found.failed),
        "num_groups": None if found.groups is None else int(found.groups.max()) + 1,
    }


def table_of(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    writer = PlainTable(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def last_columns(found: Answered, paths: bool) -> tuple[list[str], list[list[Any]]]:
    """The last columns of ``predictions.csv``: the hash of the image, its group if ``split`` knew any, its fold, its path."""
    head = [
        "sha256",
        *(["group"] if found.groups is not None else []),
        *(["fold"] if found.folds is not None else []),
        *(["image"] if paths else []),
    ]
    rows: list[list[Any]] = []
    for at, sample in enumerate(found.samples):
        group = [int(some[at]) for some in (found.groups, found.folds) if some is not None]
        rows.append([sample.sha256, *group, *([sample.image] if paths else [])])
    return head, rows


def gallery(found: Answered, order: Sequence[int], captions: Sequence[str], params: EvaluateParams) -> Iterator[Picture]:
    """Thumbnails of images, in an order, each with its caption."""
    from pipekit import images

    for place, caption in zip(order[: params.pictures], captions, strict=False):
        sample = found.samples[place]
        pixels = images.thumbnail(images.read(sample.image), params.thumbnail_px)
        yield Picture(
            images.encode(pixels, "jpg", quality=85), alt=f"{sample.id}: {caption}", caption=f"{caption}\n{sample.id}"
        )


def _write(ctx: Context, found: Answered, metrics: dict[str, Any], params: EvaluateParams, module: Any) -> Report:
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (ctx.out_dir / "metrics.json").write_text(text, "utf-8", errors="backslashreplace")
    table = module.predictions(found, metrics, paths=False)  # the location of an image is in no digest
    file = ctx.out_dir / "predictions.csv"
    file.write_text(module.predictions(found, metrics, paths=True), "utf-8", errors="surrogateescape", newline="")
    about = {"split": found.split, "seed": ctx.seed, "model": found.info}
    (ctx.out_dir / "about.json").write_text(json.dumps(about, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    sections: list[tuple[str, Section]] = list(module.sections(found, metrics, params))
    if "folds" in metrics:
        sections.insert(1, ("folds", folds_of_tasks.section(metrics["folds"])))
    curves = ctx.component("report_section", "training").load()(ctx, _About(found.info))
    if curves is not None:
        sections.append(("training", curves))
    said = module.headline(metrics)
    write_page(ctx.out_dir, "Model evaluation", sections, f"{said[0].upper()}{said[1:]}.", "the prediction for each image")
    digest = hashlib.sha256((text + table).encode("utf-8", "surrogatepass")).hexdigest()
    return ctx.artifact(Report, digest=digest, facts=module.facts(metrics), headline=said, task=found.dataset.task)


@dataclass(frozen=True)
class _About:
    """What the report's section about the training reads."""

    model: Any


def short_words(found: Mapping[str, Any]) -> str:
    """``0.91 (0.88 to 0.94)``, for tables whose words say that the interval is one of 95 %."""
    if found["value"] is None:
        return "not defined"
    return f"{found['value']:.2f}" + ("" if found["low"] is None else f" ({found['low']:.2f} to {found['high']:.2f})")


def estimate_words(found: Mapping[str, Any], decimals: int = 3) -> str:
    """``0.912 (95 % interval 0.880 to 0.941)``"""
    if found["value"] is None:
        return "not defined"
    interval = "" if found["low"] is None else f" (95 % interval {found['low']:.{decimals}f} to {found['high']:.{decimals}f})"
    return f"{found['value']:.{decimals}f}{interval}"
