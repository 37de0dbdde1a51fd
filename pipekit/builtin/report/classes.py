"""Section ``classes``: precision, recall, F1 and more for each class, and their averages."""

from __future__ import annotations

from typing import Any

from pipekit.builtin.report.phrasing import estimate
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation


def section(ctx: Context, evaluation: Evaluation) -> Section:
    metrics = evaluation.metrics
    columns = ("class", "images", "precision", "recall", "specificity", "F1", "ROC area", "TP", "FP", "FN", "TN")
    rows = tuple(
        (
            row["class"],
            row["support"],
            *(estimate(row[name]) for name in ("precision", "recall", "specificity", "f1")),
            estimate({"value": row["roc_auc"], **row.get("roc_auc_interval", {"low": None, "high": None})}),
            *(row[name] for name in ("tp", "fp", "fn", "tn")),
        )
        for row in metrics["per_class"]
    )
    averages = tuple(
        (name, *(_average(metrics, name, key) for key in ("precision", "recall", "f1")))
        for name in ("macro", "weighted", "micro")
    )
    return Section(
        "Per-class metrics",
        "How good is the model on each class? *Precision*: the share of the images predicted as the class that belong to it. "
        "*Recall*: the share of the class's images that the model finds. *F1*: the harmonic mean of the two. The ranges are "
        "95 % intervals: Clopper and Pearson's exact ones for shares and F1, the wider of Newcombe's and DeLong's for the ROC "
        "area, the delta method for averages. Where a class has too few images for an interval that holds, none is given. A "
        "dash marks a division by zero.",
        tables=(
            Table(columns, rows, "Per class"),
            Table(("average", "precision", "recall", "F1"), averages, "Averages over the classes"),
            Table(("metric", "value", "what it means"), tuple(overall(metrics)), "Over all images"),
            *_by_order(metrics),
        ),
    )


def _by_order(metrics: Any) -> list[Table]:
    """The figures of ordered classes; none for others."""
    found = metrics.get("order")
    if not found:
        return []
    number = metrics["num_images"]
    rows = [
        (
            "quadratic kappa",
            estimate(found["quadratic_kappa"]),
            "agreement beyond chance; a mistake counts by its squared distance",
        ),
        ("mean distance", estimate(found["mean_distance"]), "by how many classes predictions are wrong, on average"),
        ("within one class", estimate(found["within_one"]), "share of the images that are right or one class off"),
        ("too low, too high", f"{found['too_low']}, {found['too_high']}", "images predicted below and above their class"),
    ]
    rows += [
        (f"{distance} class{'es' if distance > 1 else ''} off", f"{count} of {number}", "")
        for distance, count in enumerate(found["by_distance"])
        if distance
    ]
    return [Table(("metric", "value", "what it means"), tuple(rows), f"In their order: {', '.join(found['classes'])}")]


def _level(perfect: Any) -> str:
    return f"; perfect calibration would show up to {perfect['high']:.3f} with this many images" if perfect else ""


def _average(metrics: Any, name: str, key: str) -> str:
    """An average over the classes with its interval. Micro averages and the weighted recall equal the accuracy."""
    found = metrics["averages"][name]
    none = {"low": None, "high": None}
    if name == "micro" or (name, key) == ("weighted", "recall"):
        bounds = {bound: metrics["accuracy"][bound] for bound in none}
    elif key == "recall":
        same = abs(found[key] - metrics["balanced_accuracy"]["value"]) < 1e-9  # unless a class is absent
        bounds = {bound: metrics["balanced_accuracy"][bound] for bound in none} if same else none
    else:
        bounds = found.get("intervals", {}).get(key, none)
    return estimate({"value": found[key], **bounds})


def overall(metrics: Any) -> list[tuple[Any, ...]]:
    return [
        ("accuracy", estimate(metrics["accuracy"]), "the share of images that the model classifies correctly"),
        (
            "balanced accuracy",
            estimate(metrics["balanced_accuracy"]),
            "the mean of the classes' recalls: each class has the same weight",
        ),
        ("macro F1", estimate(metrics["macro_f1"]), "the mean of the classes' F1"),
        *(
            (f"top-{k} accuracy", estimate(found), f"the true class is among the {k} most probable")
            for k, found in metrics["top_k"].items()
        ),
        ("Matthews correlation", metrics["matthews"], "1 is perfect, 0 no better than chance; suits classes of unequal size"),
        ("Cohen's kappa", metrics["kappa"], "agreement beyond chance: 1 is perfect, 0 is chance"),
        ("log loss", metrics["log_loss"], "the mean of -ln p(true class): lower is better, confident mistakes cost most"),
        ("Brier score", metrics["brier"], "the mean squared error of the probabilities: 0 is perfect, 2 the worst"),
        (
            "calibration error",
            metrics["calibration"]["expected_error"],
            "the mean distance between predicted probability and accuracy" + _level(metrics["calibration"].get("perfect")),
        ),
    ]
