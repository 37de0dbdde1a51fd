"""Results of the verbs as HTML, which a notebook shows: counts, metrics, verdicts, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.engine.matrix import MatrixOutcome
from pipekit.engine.outcome import Outcome, shown_name
from pipekit.page import notebook

if TYPE_CHECKING:
    from pipekit.commands.augment import Augmented
    from pipekit.commands.check_augmentation import AugmentationCheck
    from pipekit.commands.compare import Comparison
    from pipekit.commands.evaluate import Evaluated
    from pipekit.commands.explain import Explanation
    from pipekit.commands.inspect import Inspected
    from pipekit.commands.run import Forecasts
    from pipekit.commands.similar import Similar
    from pipekit.commands.split import Split
    from pipekit.commands.working import Made

FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "ece": "calibration error",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
}
"""Figures of ``metrics.json`` that are shown where they are there, each a number or one with an interval."""

MOST_CLASSES = 15
"""A larger confusion matrix is left to the report."""

SHOWN_PICTURES = 6


# --- runs -------------------------------------------------------------------------------------------------------------------


class ShownOutcome(Brief, Outcome):
    """An outcome that shows itself in a notebook."""

    def _repr_html_(self) -> str:
        return of_outcome(self)


class ShownMatrix(Brief, MatrixOutcome):
    """All combinations of a matrix, as a table in a notebook."""

    def _repr_html_(self) -> str:
        return of_matrix(self)


def shown(outcome: Outcome) -> Outcome:
    """The same outcome, which shows itself."""
    return ShownOutcome(**{field.name: getattr(outcome, field.name) for field in fields(outcome)})


def shown_matrix(outcome: MatrixOutcome) -> MatrixOutcome:
    return ShownMatrix(**{field.name: getattr(outcome, field.name) for field in fields(outcome)})


def of_outcome(outcome: Outcome) -> str:
    rows = [
        (
            stage.name,
            "from the cache" if stage.cached else f"{stage.seconds:.1f} s",
            ", ".join(f"{name} {value}" for name, value in stage.facts.items()),
        )
        for stage in outcome.stages
    ]
    warnings = [f"{stage.name}: {warning}" for stage in outcome.stages for warning in stage.warnings]
    return notebook.whole(
        notebook.sentence(outcome.headline) if outcome.headline else "",
        notebook.table(["stage", "", "facts"], rows),
        notebook.warnings(warnings),
        notebook.note(f"runs/{outcome.run_dir.name}: report, model, images"),
        title=f"{outcome.name}: {outcome.status}, {outcome.seconds:.1f} s",
    )


def of_matrix(outcome: MatrixOutcome) -> str:
    names = list(dict.fromkeys(name for row in outcome.combinations for name in row.values))
    rows = [
        (row.run, *(str(row.values.get(name, "")) for name in names), row.score, row.error or row.headline)
        for row in outcome.combinations
    ]
    best = f"best by {outcome.select}: {outcome.best.run}" if outcome.best else "no combination has a score"
    return notebook.whole(notebook.table(["run", *names, "score", ""], rows), notebook.warnings(outcome.warnings), title=best)


class Runs(Brief, tuple[Mapping[str, Any], ...]):
    """Records of runs, as a table in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [
            (
                shown_name(run["name"], [stage["use"] for stage in run.get("stages", ())]),
                str(run["started"])[:16].replace("T", " "),
                run["status"],
                run["seconds"],
                run["headline"],
            )
            for run in self
        ]
        return notebook.whole(
            notebook.table(["run", "started", "status", "seconds", "result"], rows),
            title=f"{len(self):,} run{'' if len(self) == 1 else 's'}",
        )


class RunRecord(Brief, dict[str, Any]):
    """The record of a run, as a table of its stages in a notebook."""

    def _repr_html_(self) -> str:
        rows = [
            (
                stage["name"],
                "from the cache" if stage["cached"] else f"{stage['seconds']:.1f} s",
                ", ".join(f"{name} {value}" for name, value in stage["facts"].items()),
                stage.get("why", ""),
            )
            for stage in self["stages"]
        ]
        return notebook.whole(
            notebook.sentence(self["headline"]) if self["headline"] else "",
            notebook.table(["stage", "", "facts", "why it ran"], rows),
            title=f"{self['name']}: {self['status']}, {self['seconds']:.1f} s",
        )


def of_forecasts(found: Forecasts) -> str:
    rows = [(step.stage, step.use, step.state, step.reason) for step in found.steps]
    more = notebook.note(f"{found.num_combinations} combinations of [matrix]") if found.num_combinations else ""
    return notebook.whole(notebook.table(["stage", "use", "state", "why"], rows), more)


# --- datasets ---------------------------------------------------------------------------------------------------------------


def of_inspected(found: Inspected) -> str:
    lines = [
        (line["severity"], line["check"], line["findings"], line["images"], line.get("message", ""))
        for line in found.found["summary"]
    ]
    unusable = found.found.get("num_unusable", 0)
    return notebook.whole(
        notebook.table(["severity", "check", "findings", "images", ""], lines)
        if lines
        else notebook.sentence("No check found anything."),
        notebook.counts_table(found.found["counts"]),
        notebook.facts({"unusable files": unusable or "", "failing": ", ".join(found.failing)}),
        notebook.warnings(found.warnings),
        title=f"{found.found['num_images']:,} images inspected",
    )


def of_split(found: Split) -> str:
    return notebook.whole(
        notebook.counts_table(found.counts),
        notebook.facts({"split file": "" if found.file is None else found.file.name}),
        notebook.warnings([warning for stage in found.outcome.stages for warning in stage.warnings]),
        title=f"{sum(sum(of.values()) for of in found.counts.values()):,} images split",
    )


def of_augmented(found: Augmented) -> str:
    from pipekit.commands.dataset import sheet_html

    copies = (sample for sample in found.dataset if "augmented" in sample.extra)
    return notebook.whole(
        notebook.counts_table(found.dataset.counts),
        notebook.facts({"folder": found.path.name, "format": found.layout}),
        notebook.warnings(found.warnings),
        sheet_html(copies),
        title=f"{len(found.dataset):,} images, copies included",
    )


# --- models -----------------------------------------------------------------------------------------------------------------


def of_evaluated(found: Evaluated) -> str:
    metrics = found.metrics
    rows = [row for name, words in FIGURES.items() if (row := _figure(words, metrics.get(name)))]
    return notebook.whole(
        notebook.sentence(found.headline),
        notebook.table(["", "value", "95 % interval"], rows),
        _confusion(metrics.get("classes"), metrics.get("confusion_matrix")),
        notebook.warnings(found.warnings),
        title="Evaluation",
    )


def _figure(words: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, Mapping) and isinstance(value.get("value"), (int, float)):
        low, high = value.get("low"), value.get("high")
        interval = f"{low:.3f} to {high:.3f}" if isinstance(low, float) and isinstance(high, float) else ""
        return words, float(value["value"]), interval
    return (words, float(value), "") if isinstance(value, (int, float)) else ()


def _confusion(classes: Any, matrix: Any) -> str:
    """True classes (rows) and predicted ones (columns)."""
    if not isinstance(classes, Sequence) or not isinstance(matrix, Sequence) or not 0 < len(classes) <= MOST_CLASSES:
        return ""
    rows = [(name, *numbers) for name, numbers in zip(classes, matrix, strict=False)]
    return notebook.table(["true \\ predicted", *classes], rows)


def of_comparison(found: Comparison) -> str:
    pairs = [
        (pair.get("name", name), pair.get("p"))
        for name, pair in zip(found.names[1:], found.data.get("pairs", ()), strict=False)
    ]
    return notebook.whole(
        *(notebook.sentence(verdict) for verdict in found.verdicts),
        notebook.table(["compared with " + found.names[0], "p"], pairs) if pairs else "",
        title=" and ".join(found.names),
    )


def of_explanation(found: Explanation) -> str:
    maps = sorted(found.folder.rglob("*.jpg"))  # the filters and a maximised class are PNG files
    files = [*maps, *sorted(found.folder.rglob("*.png"))][:SHOWN_PICTURES]
    pictures = [(notebook.file_picture(file, file.stem, 320), file.stem.replace("_", " ")) for file in files]
    return notebook.whole(notebook.gallery(pictures), notebook.warnings(found.warnings), title="Explanation")


def of_similar(found: Similar) -> str:
    rows = [(row["query"], row["rank"], row["id"], row["label"], row["similarity"]) for row in found.rows]
    head = ["image", "rank", "nearest", "class", "similarity"]
    return notebook.whole(notebook.file_picture(found.picture, "the nearest images"), notebook.table(head, rows))


def of_check(found: AugmentationCheck) -> str:
    names = list(
        dict.fromkeys(name for row in found.rows for name in row if name in ("op", "strength", "accuracy", "drop", "verdict"))
    )
    rows = [[row.get(name, "") for name in names] for row in found.rows]
    return notebook.whole(notebook.table(names, rows), title="Accuracy after each op alone")


def of_made(found: Made) -> str:
    warnings = [warning for stage in found.outcome.stages for warning in stage.warnings]
    return notebook.whole(notebook.file_picture(found.picture, Path(found.picture).stem), notebook.warnings(warnings))
