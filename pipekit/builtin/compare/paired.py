"""Paired comparison of models on the same images: the score test and its interval, adjusted for the number of comparisons."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.compare import repeated
from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.images.near_duplicates import clusters
from pipekit.learning.chance import knows_something
from pipekit.learning.significance import LEVEL, holm, paired


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


def compare_all(answers: Sequence[Answers]) -> dict[str, Any]:
    """Compare each later report with the first, on the images that both contain with the same label."""
    first = answers[0]
    repeated.check_alike([one.name for one in answers], [repeated.num_seeds(one.metrics) for one in answers])
    found = [compare_two(first, other) for other in answers[1:]]
    adjusted = holm([pair["p"] for pair in found])
    pairs = []
    for pair, p in zip(found, adjusted, strict=True):
        pair = {**pair, "p_holm": p, "num_comparisons": len(found)}
        pairs.append({**pair, "verdict": verdict(pair)})
    return {
        "models": [{"name": one.name, "accuracy": one.metrics["accuracy"]} for one in answers],
        "pairs": pairs,
        "headline": " ".join(pair["verdict"] for pair in pairs),
    }


def compare_two(first: Answers, other: Answers) -> dict[str, Any]:
    """The score test and the interval of the difference in accuracy, ``other`` minus ``first``."""
    shared = in_both(first, other)
    a = np.array([first.rows[name]["correct"] == "1" for name in shared])
    b = np.array([other.rows[name]["correct"] == "1" for name in shared])
    groups = groups_of(first, other, shared)
    seeds = repeated.num_seeds(first.metrics), repeated.num_seeds(other.metrics)
    tested = {"method": "images", **paired(a, b, groups)}
    tested["p"] = tested["p_mcnemar"]
    if min(seeds) > 1:
        tested = repeated.by_seeds(first.rows, other.rows, shared, seeds, groups)
    elif repeated.same_folds(first.rows, other.rows, shared):
        tested |= repeated.by_folds(first.rows, other.rows, shared, first.metrics, (a, b))
    return {
        **sizes_of(first, other, shared),
        "better_than_chance": {one.name: knows_something(one.metrics) for one in (first, other)},
        "groups": kind_of_groups(first, other),
        **tested,
        "changed": [
            {"id": name, "gained": bool(y)} for name, x, y in zip(shared, a.tolist(), b.tolist(), strict=True) if x != y
        ],
    }


def in_both(first: Answers, other: Answers, column: str = "true") -> list[str]:
    """The images that both reports have with the same label and the same content, sorted.

    Args:
        column: where ``predictions.csv`` has what an image is labelled with.

    Raises:
        UserError: there is none.
    """
    shared = sorted(
        name
        for name in first.rows.keys() & other.rows.keys()
        if all(first.rows[name][one] == other.rows[name][one] for one in (column, "sha256"))
    )
    if not shared:
        raise UserError(
            f"{first.name!r} and {other.name!r} have no image in common, so they can't be compared image by image",
            "Evaluate both models on the same split of the same dataset.",
        )
    return shared


def sizes_of(first: Answers, other: Answers, shared: Sequence[str]) -> dict[str, Any]:
    """Which reports are compared, on how many images, and how many only one of them has."""
    return {
        "first": first.name,
        "other": other.name,
        "num_images": len(shared),
        "num_only_first": len(first.rows) - len(shared),
        "num_only_other": len(other.rows) - len(shared),
    }


def groups_of(first: Answers, other: Answers, shared: Sequence[str]) -> NDArray[np.int64] | None:
    """The group of each image, joined where both reports have them; None if neither has."""
    known: dict[tuple[str, str], int] = {}
    pairs = []
    for place, name in enumerate(shared):
        for report in (first, other):
            group = report.rows[name].get("group")
            if group and (leader := known.setdefault((report.name, group), place)) != place:
                pairs.append((leader, place))
    return np.array(clusters(len(shared), pairs), np.int64) if pairs else None


def kind_of_groups(first: Answers, other: Answers) -> str | None:
    """What the groups are: those of a column or pattern in either report, or copies only."""
    kinds = {one.metrics.get("groups", "named" if one.metrics.get("num_groups") else None) for one in (first, other)}
    return next((kind for kind in ("named", "copies") if kind in kinds), None)


def verdict(found: dict[str, Any]) -> str:
    """``B is better than A by 1.8 points (95 % interval 0.3 to 3.2), p = 0.02.``

    Of several comparisons, only those whose p-value stays below 0.05 after Holm's adjustment are called better.
    """
    difference, p = found["difference"], found.get("p", found.get("p_mcnemar", 1.0))
    adjusted = found.get("p_holm", p)
    points = [100 * difference[name] for name in ("value", "low", "high")]
    recipe = _recipes(found)
    better, worse = (found["other"], found["first"]) if points[0] >= 0 else (found["first"], found["other"])
    size, low, high = points if points[0] >= 0 else (-points[0], -points[2], -points[1])
    number = found.get("num_comparisons", 1)
    p_value = (
        p_words(p) if number == 1 else f"{p_words(p)}, {p_words(adjusted)} after Holm's adjustment for {number} comparisons"
    )
    digits = 2 if any(bound and not round(bound, 1) for bound in (low, high)) else 1  # a bound near 0 keeps its sign
    span = f"95 % interval {low:.{digits}f} to {high:.{digits}f}"
    if adjusted < LEVEL:
        return f"{better} is better than {worse} by {size:.{digits}f} points ({span}), {p_value}{recipe}.{_doubt(found)}"
    if not found["gained"] + found["lost"] and not recipe:
        return (
            f"{found['first']} and {found['other']} are correct on exactly the same of the {found['num_images']} images; "
            f"on other images they may still differ by up to {high:.1f} points."
        )
    if not points[0]:
        return f"{found['first']} and {found['other']} have the same accuracy ({span} points), {p_value}{recipe}."
    return (
        f"{better} has {size:.{digits}f} points higher accuracy than {worse}, but the difference may be due to chance "
        f"({span}), {p_value}{recipe}.{_doubt(found)}"
    )


def _recipes(found: dict[str, Any]) -> str:
    """What was repeated, where recipes are compared and not single trainings."""
    if found.get("method") == "seeds":
        first, other = found["num_seeds"]
        number = f"{first} seeds each" if first == other else f"{first} and {other} seeds"
        return f" (recipes, {number})"
    if found.get("method") == "folds":
        return f" (recipes, {found['num_folds']} folds, corrected t-test)"
    return ""


def p_words(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def _doubt(found: dict[str, Any]) -> str:
    """Models that may know nothing: the difference then says little about either."""
    weak = [name for name, known in found.get("better_than_chance", {}).items() if not known]
    if not weak:
        return ""
    if len(weak) == 2:
        return " Neither is clearly better than always predicting the most frequent class."
    return f" {weak[0]} is not clearly better than always predicting the most frequent class."
