"""Section ``slices``: the accuracy by kind of image, to find where the model is weaker than on average."""

from __future__ import annotations

from pipekit.builtin.report.phrasing import count, estimate
from pipekit.contract import Context, Section, Table
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    rows = [row for row in evaluation.metrics["slices"] if row["count"]]
    if not rows:
        return None
    overall = evaluation.metrics["accuracy"]["value"]
    tested = sum(row["p_holm"] is not None for row in rows)
    weak = [row for row in rows if row["weaker"]]
    listed = "; ".join(f"{literal(row['by'])} {literal(row['slice'])}: {row['accuracy']['value']:.3f}" for row in weak)
    words = (
        "Without a verdict: the model is not clearly better than always predicting the most frequent class, so that a slice's "
        "accuracy says which classes it has."
        if not knows_something(evaluation.metrics)
        else f"Weaker than the other images, with an average of {overall:.3f} over all: {listed}."
        if weak
        else "No slice is weaker beyond chance."
    )
    words += (
        f" {count(tested, 'slice was', 'slices were')} tested (Fisher's exact test against the other images, with Holm's "
        "adjustment for their number); a slice of fewer than 20 images is not, whatever its accuracy."
    )
    words += " Brightness is the mean grey value (0 to 255); sharpness the variance of the Laplacian."
    return Section(
        "Slices",
        f"On which kinds of image is the model weaker? {words}",
        tables=(
            Table(
                ("by", "slice", "images", "accuracy (95 % interval)", "p (Holm)"),
                tuple((row["by"], row["slice"], row["count"], estimate(row["accuracy"]), row["p_holm"]) for row in rows),
            ),
        ),
    )
