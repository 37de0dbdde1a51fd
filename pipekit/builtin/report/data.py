"""Section ``data``: image counts by split, the model and its parameters, library versions, the pipeline file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from pipekit.builtin.report.phrasing import count
from pipekit.contract import Context, Dataset, Params, Picture, Sample, Section, Table
from pipekit.errors import PipekitError
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal
from pipekit.passed_over import META, sentence

LIBRARIES = ("pipekit-vision", "tensorflow", "keras", "scikit-learn", "numpy", "opencv-python-headless", "albumentations")
SHOWN_FAILURES = 20
NOT_SHOWN = ("classes", "history", "params", "words", "versions", "format", "candidates", "rule", "features")
LONGEST = 400
SHEET_ROWS, SHEET_COPIES, SHEET_PX = 3, 5, 160


def section(ctx: Context, evaluation: Evaluation) -> Section:
    counts = evaluation.dataset.counts
    splits = [name for name in ("train", "val", "test") if name in counts] + sorted(set(counts) - {"train", "val", "test"})
    names = sorted({name for split in splits for name in counts[split]})
    rows = [(name, *(counts[split].get(name, 0) for split in splits)) for name in names]
    rows.append(("all", *(sum(counts[split].values()) for split in splits)))
    tables = [Table(("class", *(split or "(undecided)" for split in splits)), tuple(rows), "Images by class and split")]
    failed = {failure.id: failure.reason for failure in (*evaluation.dataset.failed(), *evaluation.failed)}
    if failed:
        caption = f"{count(len(failed), 'image')} of the dataset could not be used"
        if len(failed) > SHOWN_FAILURES:
            caption += f"; the first {SHOWN_FAILURES}"
        tables.append(Table(("image", "reason"), tuple(sorted(failed.items())[:SHOWN_FAILURES]), caption))
    tables.append(Table(("property", "value"), tuple(_model_rows(evaluation)), "Model"))
    tables.append(Table(("library", "version"), tuple(_versions()), "Versions at the time of the report"))
    words = f"Pipeline seed {ctx.seed}. Measured on the split *{literal(evaluation.split)}*."
    if others := sentence(evaluation.dataset.meta.get(META, {})):
        words += f" The import {literal(others)}."
        if evaluation.dataset.meta[META]["counts"]:
            tables.append(_passed_over(evaluation.dataset.meta[META]))
    pictures = tuple(_recipe_sheet(ctx, evaluation))
    if pictures:
        words += (
            " The sheet shows the data augmentation: a training image at the left of each row, then augmented versions of it."
        )
    html = _pipeline_text(ctx.pipeline_file)
    return Section("Data, model and versions", words, tables=tuple(tables), pictures=pictures, html=html)


def _passed_over(found: Mapping[str, Any]) -> Table:
    rows = tuple((suffix, number, ", ".join(found["examples"][suffix])) for suffix, number in found["counts"].items())
    return Table(("suffix", "files", "such as"), rows, "Files that the import passed over")


def _pipeline_text(file: Path | None) -> str:
    """The pipeline file as it was at the time of the report."""
    from markupsafe import escape

    try:
        text = file.read_text("utf-8", errors="replace") if file is not None else ""
    except OSError:
        return ""
    if not text.strip() or file is None:
        return ""
    summary = f"The pipeline file, {file.name}, as it was when this report was made"
    return f"<details><summary>{escape(summary)}</summary><pre><code>{escape(text)}</code></pre></details>"


def _recipe_sheet(ctx: Context, evaluation: Evaluation) -> Iterator[Picture]:
    """A contact sheet of a few training images, each with augmented versions."""
    training = evaluation.model.get("training")
    ops = training.get("ops", training.get("augment")) if isinstance(training, dict) else None  # augment: older models
    if not isinstance(ops, list) or not ops:
        return
    from pipekit import images
    from pipekit.recipe import preview
    from pipekit.recipe.compiled import compile_recipe

    try:
        recipe = compile_recipe(ops, registry=_Components(ctx))
        rows = []
        for sample in _one_of_each_class(evaluation.dataset, SHEET_ROWS):
            subject = preview.subject_of(sample, SHEET_PX)
            rows.append([preview.Tile(tile.image, "") for tile in preview.variants(recipe, subject, SHEET_COPIES, ctx.seed)])
        if rows:
            sheet = preview.sheet(rows)
            alt = "Training images and their augmented versions, by " + ", ".join(str(op.get("op")) for op in ops)
            yield Picture(images.encode(sheet, "jpg", quality=85), alt, "training images and their augmented versions")
    except (PipekitError, ValueError) as error:  # an op of a plugin that is gone, or an image that is no longer readable
        ctx.warn(f"the report has no sheet of augmented images: {str(error).splitlines()[0]}")


class _Components:
    """The registry for compiling the recipe: it finds and checks ops among the components that the stage may reach."""

    def __init__(self, ctx: Context) -> None:
        self.get = ctx.component

    def check_params(self, params_type: type[Params], values: Any, base_dir: Path | None = None) -> Params:
        return params_type.model_validate(values, context={"registry": self, "base_dir": base_dir})


def _one_of_each_class(dataset: Dataset, most: int) -> list[Sample]:
    found: dict[str | None, Sample] = {}
    for sample in dataset.split("train"):
        found.setdefault(sample.label, sample)
        if len(found) == most:
            break
    return list(found.values())


def _model_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    info: dict[str, Any] = {name: value for name, value in evaluation.model.items() if name not in NOT_SHOWN}
    params = evaluation.model.get("params")
    if isinstance(params, dict):
        info |= {f"params.{name}": value for name, value in params.items()}
    return [(name, _short(value)) for name, value in info.items() if value not in (None, "", [], {})]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _versions() -> list[tuple[str, str]]:
    found = [("Python", python_version())]
    for name in LIBRARIES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found
