"""Section ``abstention``: the accuracy on the answered images, if the least confident ones are left to a person."""

from __future__ import annotations

from typing import Any

from pipekit.builtin.report.phrasing import count, percent
from pipekit.contract import Context, Figure, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.plots import COLOURS, plot

FEWEST = 20
"""Images below which there is no curve: each would move it by more than five points."""


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics.get("abstention")
    if not found or len(evaluation) < FEWEST:
        return None
    words = (
        "How accurate is the model if a person checks the images that it is least sure of? The curve orders the images by "
        "the probability of the predicted class: at a coverage of 80 %, the 20 % with the lowest probability are left out. "
        f"The area under the risk-coverage curve (AURC), the mean error rate over all coverages, is **{found['aurc']:.4f}**. "
        f"Leaving images out at random gives {found['aurc_random']:.4f}, a model that knows its mistakes "
        f"{found['aurc_best']:.4f}. {_verdict(found)}"
    )
    rows = tuple(
        (
            f"{100 * row['coverage']:.0f} %",
            row["num_answered"],
            f"{row['confidence']:.4f}",
            row["accuracy"]["value"],
            row["accuracy"]["low"],
            row["accuracy"]["high"],
        )
        for row in found["rows"]
    )
    columns = ("coverage", "images answered", "probability from", "accuracy", "from", "to")
    caption = (
        "Accuracy among the answered images, with its 95 % interval. The limit was read from these images: on others, "
        "a coverage and an accuracy near these are to be expected"
    )
    return Section("Abstention", words, tables=(Table(columns, rows, caption),), figures=_figure(found))


def _verdict(found: dict[str, Any]) -> str:
    """What the first row that is clearly better than all images says."""
    whole = found["rows"][0]["accuracy"]
    if whole["value"] == 1:
        return "The model makes no mistake on these images, so there is nothing to leave out."
    better = next((row for row in found["rows"] if (row["accuracy"]["low"] or 0.0) > whole["value"]), None)
    if better is None:
        return "At no coverage in the table is the accuracy beyond doubt higher than on all images."
    return (
        f"{percent(better['accuracy']['value'], True)} of the {count(better['num_answered'], 'most confident image')} "
        f"({percent(better['coverage'])}) are right, instead of {percent(whole['value'], True)} of all."
    )


def _figure(found: dict[str, Any]) -> tuple[Figure, Figure]:
    curve, rows = found["curve"], found["rows"]
    whole = rows[0]["accuracy"]["value"]

    def draw(axes: Any) -> None:
        axes.axhline(whole, color="#8b949e", linestyle=":", linewidth=1.2, label="left out at random")
        axes.plot(curve["coverage"], curve["accuracy"], color=COLOURS[0], label="by confidence")
        ranged = [row for row in rows if row["accuracy"]["low"] is not None]
        if ranged:
            values = [row["accuracy"]["value"] for row in ranged]
            below = [max(0.0, row["accuracy"]["value"] - row["accuracy"]["low"]) for row in ranged]
            above = [max(0.0, row["accuracy"]["high"] - row["accuracy"]["value"]) for row in ranged]
            xs = [row["coverage"] for row in ranged]
            axes.errorbar(
                xs, values, [below, above], color=COLOURS[1], linestyle="none", marker="o", markersize=4, capsize=3,
                linewidth=1.1, label="with 95 % interval",
            )  # fmt: skip
        lowest = min([*curve["accuracy"], whole, *(row["accuracy"]["low"] for row in ranged)])
        axes.set(xlim=(1.03, -0.03), ylim=(max(0.0, lowest - 0.03), 1.01), xlabel="coverage: share of images answered")
        axes.set_ylabel("accuracy among answered")
        axes.legend(loc="lower right", fontsize=8)

    shown = "; ".join(f"{percent(row['coverage'])} answered: accuracy {row['accuracy']['value']:.3f}" for row in rows)
    return plot(
        "abstention",
        draw,
        alt=f"Risk-coverage curve. {shown}.",
        caption="Accuracy among the answered images. From left to right, more of the least confident images are left out.",
    )
