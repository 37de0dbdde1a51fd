"""Section ``slices``: the accuracy by kind of image, to find where the model is weaker than on average."""

from __future__ import annotations

from pipekit.builtin.report.phrasing import estimate
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    rows = [row for row in evaluation.metrics["slices"] if row["count"]]
    if not rows:
        return None
    overall = evaluation.metrics["accuracy"]["value"]
    weak = [row for row in rows if row["accuracy"]["high"] < overall]
    listed = "; ".join(f"{literal(row['by'])} {literal(row['slice'])}: {row['accuracy']['value']:.3f}" for row in weak)
    words = (
        f"Clearly weaker than the average of {overall:.3f}: {listed}."
        if weak
        else "No slice stands out: the average lies in, or below, every slice's 95 % interval."
    )
    words += " Brightness is the mean grey value (0 to 255); sharpness the variance of the Laplacian."
    return Section(
        "Slices",
        f"On which kinds of image is the model weaker? {words}",
        tables=(
            Table(
                ("by", "slice", "images", "accuracy (95 % interval)"),
                tuple((row["by"], row["slice"], row["count"], estimate(row["accuracy"])) for row in rows),
            ),
        ),
    )
