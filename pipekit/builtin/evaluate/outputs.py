"""Write an evaluation's outputs: metrics.json, predictions.csv, the figures, report.html."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipekit.builtin.evaluate.top import top_of
from pipekit.contract import Context, Section
from pipekit.files import PlainTable
from pipekit.findings import problem_of_section
from pipekit.learning.cross_validation import fold_of
from pipekit.learning.evaluation import Evaluation

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams
    from pipekit.page import Top

STANDARD_SECTIONS = (
    "summary",
    "folds",
    "next_steps",
    "confusion",
    "pictures",
    "explain",
    "label_errors",
    "near_copies",
    "image_map",
    "classes",
    "probabilities",
    "decision",
    "abstention",
    "none_of_these",
    "curves",
    "slices",
    "candidates",
    "training",
    "data",
)
"""The built-in report sections in reading order, pictures first; plugins' sections come before the folded ones."""

FOLDED = STANDARD_SECTIONS[STANDARD_SECTIONS.index("classes") :]
"""Sections that are closed until the reader opens them."""


def headline(evaluation: Evaluation) -> str:
    """``test accuracy 0.958 (95 % interval 0.883 to 0.991), 72 images``"""
    found, alike = evaluation.metrics["accuracy"], evaluation.metrics.get("name_groups")
    return (
        f"{evaluation.split} accuracy {found['value']:.3f} (95 % interval {found['low']:.3f} to {found['high']:.3f}), "
        f"{len(evaluation)} image{'s' if len(evaluation) != 1 else ''}{_in_folds(evaluation.metrics)}"
        + ("; too high if their names mean groups, which lie in train too" if alike and alike["in_train"] else "")
    )


def _in_folds(metrics: Mapping[str, Any]) -> str:
    return f" in {metrics['folds']['number']} folds" if metrics.get("folds") else ""


def facts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The few metrics that a run's table shows."""
    found = metrics["accuracy"]
    shown = {
        "images": str(metrics["num_images"]),
        "accuracy": f"{found['value']:.3f}",
        "interval": f"{found['low']:.3f} to {found['high']:.3f}",
        "macro F1": f"{metrics['macro_f1']['value']:.3f}",
        "baseline": f"{metrics['baseline']['accuracy']:.3f}",
    }
    if metrics.get("folds"):
        shown["folds"] = str(metrics["folds"]["number"])
    if metrics["baseline_model"]:
        shown[metrics["baseline_model"]["name"]] = f"{metrics['baseline_model']['accuracy_first']:.3f}"
    if metrics["near_copies"] and metrics["near_copies"]["count"]:
        shown["copies in train"] = f"{metrics['near_copies']['count']} of {metrics['num_images']}"
    if metrics.get("label_conflicts") and metrics["label_conflicts"]["count"]:
        shown["label conflicts"] = str(metrics["label_conflicts"]["count"])
    return shown


def write_outputs(ctx: Context, evaluation: Evaluation, params: EvaluateParams) -> str:
    """Write everything into ``ctx.out_dir``, and return the digest of the metrics and the predictions, without paths."""
    metrics = json.dumps(evaluation.metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (ctx.out_dir / "metrics.json").write_text(metrics, "utf-8", errors="backslashreplace")
    (ctx.out_dir / "predictions.csv").write_text(predictions_csv(evaluation), "utf-8", errors="surrogateescape", newline="")
    write_parquet(ctx.out_dir, evaluation)
    about = {"split": evaluation.split, "seed": ctx.seed, "model": evaluation.model}
    (ctx.out_dir / "about.json").write_text(json.dumps(about, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    sections = list(build_sections(ctx, evaluation, params))
    write_page(
        ctx.out_dir, "Model evaluation", sections, _lead(evaluation), "the prediction for each image", top_of(ctx, evaluation)
    )
    return hashlib.sha256((metrics + predictions_csv(evaluation, paths=False)).encode("utf-8", "surrogatepass")).hexdigest()


def _lead(evaluation: Evaluation) -> str:
    said = headline(evaluation)
    name = evaluation.metrics["baseline"]["class"]
    sure = "" if evaluation.metrics["num_groups"] is not None else " The interval holds if these images are independent."
    return f"{said[0].upper()}{said[1:]}.{sure} The baseline always predicts the most frequent class, {name}."


def write_page(
    folder: Path, title: str, sections: Sequence[tuple[str, Section]], lead: str, of_each: str, top: Top | None = None
) -> None:
    """Write ``report.html``, and the figures as files of their own. ``of_each`` says what ``predictions.csv`` has."""
    from pipekit.page import render

    figures = folder / "figures"
    for _, section in sections:
        for figure in section.figures:
            figures.mkdir(exist_ok=True)
            suffix = "svg" if figure.media_type == "image/svg+xml" else "png"
            (figures / f"{figure.name}.{suffix}").write_bytes(figure.data)
    footer = f"Made by pipekit. All metrics are in metrics.json, {of_each} in predictions.csv."
    page = render(title, sections, lead=lead, footer=footer, top=top, folded=FOLDED)
    (folder / "report.html").write_text(page, "utf-8", errors="replace")


def build_sections(ctx: Context, evaluation: Evaluation, params: EvaluateParams) -> Iterator[tuple[str, Section]]:
    """Each section with content. A plugin's section that fails is omitted with a warning, so that no metrics are lost."""
    added = {call.name: call for call in params.sections}
    names = [*STANDARD_SECTIONS[: -len(FOLDED)], *added, *FOLDED]
    for name in ctx.track(list(dict.fromkeys(names)), label="write the report", unit="sections"):
        component = ctx.component("report_section", name)
        values: dict[str, Any] = {}
        if name == "pictures":
            values = {"most": params.pictures, "thumbnail_px": params.thumbnail_px}
        elif name == "explain":
            values = {"most": params.explain}
        elif name == "image_map":
            values = {"projection": params.projection}
        own = name in STANDARD_SECTIONS
        try:
            given = added[name].params if name in added and not own else component.params_type()(**values)
            section = _call(component.load(), ctx, evaluation, given)
            reason = "" if own else problem_of_section(section)
        except Exception as error:
            if own:
                raise
            section, reason = None, f"{type(error).__name__}: {error}"
        if reason:
            ctx.warn(f"the report section {name!r} failed and is omitted: {reason} (plugin {component.plugin!r})")
        elif section is not None and (
            section.markdown or section.figures or section.tables or section.pictures or section.html
        ):
            yield name, section


def _call(section: Any, ctx: Context, evaluation: Evaluation, params: Any) -> Section | None:
    """Call a section with or without ``params``, as its signature requires."""
    if "params" in inspect.signature(section).parameters:
        return section(ctx, evaluation, params)  # type: ignore[no-any-return]
    return section(ctx, evaluation)  # type: ignore[no-any-return]


def write_parquet(folder: Path, evaluation: Evaluation) -> None:
    """Write ``predictions.parquet``, the typed columns of ``predictions.csv``, if pyarrow is installed."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        return
    import pyarrow as pa
    from pyarrow import parquet

    def text(value: str) -> str:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    scores = evaluation.unknown_scores
    columns: dict[str, Any] = {
        "id": [text(sample.id) for sample in evaluation.samples],
        "true": [text(evaluation.classes[i]) for i in evaluation.y_true],
        "predicted": [text(evaluation.classes[i]) for i in evaluation.predicted],
        "correct": evaluation.correct,
        "confidence": evaluation.confidence,
        **({} if evaluation.groups is None else {"group": evaluation.groups}),
        **({"fold": [fold_of(sample) for sample in evaluation.samples]} if evaluation.metrics.get("folds") else {}),
        **{f"p:{text(name)}": evaluation.probabilities[:, i] for i, name in enumerate(evaluation.classes)},
        **({} if scores is None else {"unknown": scores > 1, "unknown_score": scores}),
        "sha256": [sample.sha256 for sample in evaluation.samples],
        "image": [text(sample.image) for sample in evaluation.samples],
    }
    parquet.write_table(pa.table(columns), folder / "predictions.parquet")


def predictions_csv(evaluation: Evaluation, paths: bool = True) -> str:
    """One row for each image: true class, predicted class, all probabilities, and the path of the file."""
    text = io.StringIO(newline="")
    writer = PlainTable(text)
    scores = evaluation.unknown_scores
    columns = [*(f"p:{name}" for name in evaluation.classes), *(() if scores is None else ("unknown", "unknown_score"))]
    folds = bool(evaluation.metrics.get("folds"))
    last = [
        *(["group"] if evaluation.groups is not None else []),
        *(["fold"] if folds else []),
        *(["image"] if paths else []),
    ]
    writer.writerow(["id", "true", "predicted", "correct", "confidence", *columns, "sha256", *last])
    for i, sample in enumerate(evaluation.samples):
        row = [
            sample.id,
            evaluation.classes[evaluation.y_true[i]],
            evaluation.classes[evaluation.predicted[i]],
            int(evaluation.correct[i]),
            *(f"{p:.6f}" for p in (evaluation.confidence[i], *np.atleast_1d(evaluation.probabilities[i]))),
            *(() if scores is None else (int(scores[i] > 1), f"{scores[i]:.6f}")),
            sample.sha256,
            *((int(evaluation.groups[i]),) if evaluation.groups is not None else ()),
            *((fold_of(sample),) if folds else ()),
        ]
        writer.writerow([*row, sample.image] if paths else row)
    return text.getvalue()
