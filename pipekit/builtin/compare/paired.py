"""Paired comparison of two models on the same images: McNemar's test, and the difference with its interval."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.learning.significance import paired

if TYPE_CHECKING:
    from pipekit.rng import Rng

LEVEL = 0.05


@dataclass(frozen=True)
class Answers:
    """A report as read from its files. ``rows`` are the rows of ``predictions.csv`` by sample id."""

    name: str
    metrics: dict[str, Any]
    rows: dict[str, dict[str, str]]
    about: dict[str, Any] = field(default_factory=dict)


def read_answers(name: str, folder: Path) -> Answers:
    """Read a report's metrics and predictions and, if present, the model's description (``about.json``)."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        if metrics.get("task") == "reconstruction":
            raise UserError(f"the report {name!r} is of an autoencoder; only classifiers are compared", "Leave it out.")
        with (folder / "predictions.csv").open(encoding="utf-8", newline="", errors="surrogateescape") as file:
            rows = {row["id"]: row for row in plain_rows(csv.DictReader(file))}
        about = json.loads((folder / "about.json").read_text("utf-8")) if (folder / "about.json").exists() else {}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the report {name!r} in {folder} can't be read: {error}", "Run its pipeline again.") from error
    return Answers(name, metrics, rows, about)


def compare_all(answers: Sequence[Answers], rng: Callable[..., Rng], resamples: int) -> dict[str, Any]:
    """Compare each later report with the first, on the images that both contain with the same label."""
    first = answers[0]
    pairs = [compare_two(first, other, rng("compare", other.name), resamples) for other in answers[1:]]
    return {
        "models": [{"name": one.name, "accuracy": one.metrics["accuracy"]} for one in answers],
        "pairs": pairs,
        "headline": " ".join(pair["verdict"] for pair in pairs),
    }


def compare_two(first: Answers, other: Answers, rng: Rng, resamples: int) -> dict[str, Any]:
    """McNemar's exact test and the bootstrap interval of the difference in accuracy, ``other`` minus ``first``."""
    shared = sorted(
        name
        for name in first.rows.keys() & other.rows.keys()
        if all(first.rows[name][column] == other.rows[name][column] for column in ("true", "sha256"))
    )
    if not shared:
        raise UserError(
            f"{first.name!r} and {other.name!r} have no image in common, so they can't be compared image by image",
            "Evaluate both models on the same split of the same dataset.",
        )
    a = np.array([first.rows[name]["correct"] == "1" for name in shared])
    b = np.array([other.rows[name]["correct"] == "1" for name in shared])
    found = {
        "first": first.name,
        "other": other.name,
        "num_images": len(shared),
        "num_only_first": len(first.rows) - len(shared),
        "num_only_other": len(other.rows) - len(shared),
        **paired(a, b, rng, resamples),
        "changed": [
            {"id": name, "gained": bool(y)} for name, x, y in zip(shared, a.tolist(), b.tolist(), strict=True) if x != y
        ],
    }
    return {**found, "verdict": verdict(found)}


def verdict(found: dict[str, Any]) -> str:
    """``B is better than A by 1.8 points (95 % interval 0.3 to 3.2), p = 0.02.``"""
    difference, p = found["difference"], found["p_mcnemar"]
    points = [100 * difference[name] for name in ("value", "low", "high")]
    better, worse = (found["other"], found["first"]) if points[0] >= 0 else (found["first"], found["other"])
    size, low, high = points if points[0] >= 0 else (-points[0], -points[2], -points[1])
    p_value = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    span = f"95 % interval {low:.1f} to {high:.1f}"
    if p < LEVEL:
        return f"{better} is better than {worse} by {size:.1f} points ({span}), {p_value}."
    if not found["gained"] + found["lost"]:
        return (
            f"{found['first']} and {found['other']} are correct on exactly the same of the {found['num_images']} images; "
            f"on other images they may still differ by up to {high:.1f} points."
        )
    if found["gained"] == found["lost"]:
        return f"{found['first']} and {found['other']} have the same accuracy ({span} points), {p_value}."
    return (
        f"{better} has {size:.1f} points higher accuracy than {worse}, but the difference may be due to chance ({span}), "
        f"{p_value}."
    )
