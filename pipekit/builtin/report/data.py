"""Section ``data``: what was measured with what: counts, splits, the model and its parameters, versions."""

from __future__ import annotations

import json
from importlib import metadata
from platform import python_version
from typing import Any

from pipekit.builtin.report.words import count
from pipekit.contract import Context, Section, Table
from pipekit.evaluation import Evaluation
from pipekit.page.markdown import literal

LIBRARIES = ("pipekit-vision", "tensorflow", "keras", "scikit-learn", "numpy", "opencv-python-headless", "albumentations")
SHOWN_FAILURES = 20
NOT_SHOWN = ("classes", "history", "params", "words", "versions", "format")
LONGEST = 400


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
    tables.append(Table(("of the model", "value"), tuple(_model_rows(evaluation)), "Model"))
    tables.append(Table(("library", "version"), tuple(_versions()), "Versions at the time of the report"))
    words = f"Pipeline seed {ctx.seed}. Measured on the split *{literal(evaluation.split)}*."
    return Section("What it was made from", words, tables=tuple(tables))


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
