"""The stage ``average``: trainings of one recipe with different seeds as one report, with mean and spread of each figure."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.contract import Context, Params, Report, Section, Table, param, stage
from pipekit.errors import UserError
from pipekit.files import PlainTable, plain_rows
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

FIGURES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
"""The figures that have an interval in each report."""

PLAIN = {"matthews": "Matthews correlation", "log_loss": "log loss", "brier": "Brier score"}


class AverageParams(Params):
    seeds: tuple[int, ...] = param((), "The seeds of the reports, in their order; empty: 1, 2, 3 …")


@supports(
    CLASSES,
    why=dict.fromkeys(
        (MULTILABEL, NUMBER),
        "it averages accuracies of single classes over seeds. `compare` compares single trainings of this task",
    ),
)
@stage(libraries=("scipy",))
def average(ctx: Context, reports: tuple[Report, ...], params: AverageParams) -> Report:
    """The mean of each figure over several reports on the same images, its standard deviation, and an interval.

    The interval is for further images and further seeds. ``compare`` takes the result as a recipe.

    Raises:
        UserError: there are fewer than two reports, or they are not on the same images.
    """
    from pipekit.page import render

    if len(reports) < 2:
        raise UserError(f"a mean over seeds needs at least two reports, got {len(reports)}", "For example: --seeds 5")
    seeds = params.seeds or tuple(range(1, len(reports) + 1))
    if len(seeds) != len(reports):
        raise UserError(f"there are {len(reports)} reports and {len(seeds)} seeds", "Name a seed for each report, or none.")
    read = [json.loads((report.path / "metrics.json").read_text("utf-8")) for report in reports]
    if any(one.get("task") == "reconstruction" or one.get("seeds") for one in read):
        raise UserError("only reports of single classifiers are averaged", "Leave the others out.")
    rows = [_rows(report.path) for report in reports]
    if any([(row["id"], row["true"], row["sha256"]) for row in of] != _images(rows[0]) for of in rows[1:]):
        raise UserError("the reports are not on the same images", "Evaluate all trainings on one split of one dataset.")
    metrics = averaged(read, seeds)
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    predictions = predictions_csv(rows)
    (ctx.out_dir / "metrics.json").write_text(text, "utf-8", errors="backslashreplace")
    (ctx.out_dir / "predictions.csv").write_text(predictions, "utf-8", errors="surrogateescape", newline="")
    about = reports[0].path / "about.json"
    (ctx.out_dir / "about.json").write_bytes(about.read_bytes())
    headline = headline_of(metrics)
    lead = f"How good is the recipe? {headline[0].upper()}{headline[1:]}."
    page = render("Model evaluation over seeds", list(_sections(metrics, rows)), lead=lead)
    (ctx.out_dir / "report.html").write_text(page, "utf-8", errors="replace")
    found = metrics["accuracy"]
    facts = {
        "seeds": str(len(seeds)),
        "images": str(metrics["num_images"]),
        "accuracy": f"{found['value']:.3f}",
        "sd": f"{found['sd']:.3f}",
        "interval": f"{found['low']:.3f} to {found['high']:.3f}",
    }
    without = predictions_csv(rows, paths=False)
    digest = hashlib.sha256((text + without).encode("utf-8", "surrogatepass")).hexdigest()
    return ctx.artifact(Report, digest=digest, facts=facts, headline=headline)


def headline_of(metrics: Mapping[str, Any]) -> str:
    """``mean test accuracy 0.912 (sd 0.008 over 5 seeds, 95 % interval 0.890 to 0.934), 400 images``"""
    found, number = metrics["accuracy"], len(metrics["seeds"]["rows"])
    return (
        f"mean {metrics['split']} accuracy {found['value']:.3f} (sd {found['sd']:.3f} over {number} seeds, 95 % interval "
        f"{found['low']:.3f} to {found['high']:.3f}), {metrics['num_images']} images"
    )


def averaged(read: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    from statistics import fmean

    first = read[0]
    return {
        **{name: first[name] for name in ("split", "num_images", "num_groups", "classes", "baseline")},
        **{name: _mean([one[name] for one in read]) for name in FIGURES},
        **{name: None if None in (values := [one[name] for one in read]) else fmean(values) for name in PLAIN},
        "calibration": {"expected_error": fmean(one["calibration"]["expected_error"] for one in read)},
        "per_class": [
            {
                "class": row["class"],
                "support": row["support"],
                "recall": _mean([one["per_class"][place]["recall"] for one in read]),
            }
            for place, row in enumerate(first["per_class"])
        ],
        "seeds": {
            "rows": [
                {"seed": seed, **{name: one[name] for name in FIGURES}, **{name: one[name] for name in PLAIN}}
                for seed, one in zip(seeds, read, strict=True)
            ]
        },
    }


def _mean(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of estimates; without an interval where a seed has none."""
    from pipekit.learning.recipes import interval_of_mean

    values = [one["value"] for one in found]
    if any(value is None for value in values):
        return {"value": None, "sd": None, "low": None, "high": None}
    if any(one.get("low") is None for one in found):
        return {**interval_of_mean(values, values, values), "low": None, "high": None}
    return interval_of_mean(values, [one["low"] for one in found], [one["high"] for one in found])


def predictions_csv(rows: Sequence[Sequence[Mapping[str, str]]], paths: bool = True) -> str:
    """One row for each image: the class that most trainings predict, and which of them are right.

    ``correct`` is 1 if more than half of the trainings are right.
    """
    text = io.StringIO(newline="")
    writer = PlainTable(text)
    grouped = "group" in rows[0][0]
    last = [*(["group"] if grouped else []), *(["image"] if paths else [])]
    seeds = [f"correct_{number}" for number in range(1, len(rows) + 1)]
    writer.writerow(["id", "true", "predicted", "correct", *seeds, "sha256", *last])
    for of_image in zip(*rows, strict=True):
        first = of_image[0]
        right = [row["correct"] for row in of_image]
        said = [row["predicted"] for row in of_image]
        most = max(sorted(set(said)), key=said.count)
        correct = int(2 * right.count("1") > len(right))
        writer.writerow([first["id"], first["true"], most, correct, *right, first["sha256"], *(first[name] for name in last)])
    return text.getvalue()


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        return list(plain_rows(csv.DictReader(file)))


def _images(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["id"], row["true"], row["sha256"]) for row in rows]


def _sections(metrics: Mapping[str, Any], rows: Sequence[Sequence[Mapping[str, str]]]) -> Iterator[tuple[str, Section]]:
    yield "summary", Section("Summary", _words(metrics, rows), tables=(_table(metrics), _by_seed(metrics)))
    classes = tuple((row["class"], row["support"], *_cells(row["recall"])) for row in metrics["per_class"])
    columns = ("class", "images", "mean recall", "sd", "95 % interval")
    yield "classes", Section("Per-class metrics", "How good is the recipe on each class?", tables=(Table(columns, classes),))


def _words(metrics: Mapping[str, Any], rows: Sequence[Sequence[Mapping[str, str]]]) -> str:
    found, number = metrics["accuracy"], len(rows)
    differing = sum(len({row["predicted"] for row in of_image}) > 1 for of_image in zip(*rows, strict=True))
    same = (
        f"The {number} trainings predict the same for every image: the seed changes nothing that this recipe does. Other "
        "training images would; cross-validation (`--folds 5`) shows how much."
        if not differing
        else f"The {number} trainings differ on {differing:,} of {metrics['num_images']:,} images."
    )
    return (
        f"The same recipe was trained with {number} seeds on the same images. Its mean accuracy is **{found['value']:.3f}**, "
        f"with a standard deviation of {found['sd']:.3f} between seeds. The 95 % interval, **{found['low']:.3f} to "
        f"{found['high']:.3f}**, is for the mean accuracy of the recipe on further images of the same kind: it allows for "
        f"other images and for other seeds. {same}"
    )


def _table(metrics: Mapping[str, Any]) -> Table:
    rows = [(word, *_cells(metrics[name])) for name, word in FIGURES.items()]
    return Table(("metric", "mean", "sd", "95 % interval"), tuple(rows), "Over all seeds")


def _cells(found: Mapping[str, Any]) -> tuple[str, ...]:
    if found["value"] is None:
        return ("–", "–", "–")
    span = "–" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}"
    return (f"{found['value']:.3f}", f"{found['sd']:.3f}", span)


def _by_seed(metrics: Mapping[str, Any]) -> Table:
    rows = tuple(
        (row["seed"], *(row[name]["value"] for name in FIGURES), *(row[name] for name in PLAIN))
        for row in metrics["seeds"]["rows"]
    )
    return Table(("seed", *FIGURES.values(), *PLAIN.values()), rows, "Each seed")
