"""Section ``label_errors``: images whose label looks wrong, for a person to decide."""

from __future__ import annotations

from pipekit.builtin.report.phrasing import clearly_better, count
from pipekit.contract import Context, Picture, Section
from pipekit.errors import ImageError
from pipekit.learning.evaluation import Evaluation

MOST = 24
THUMBNAIL_PX = 160


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    from pipekit import images

    found = evaluation.metrics["label_errors"]
    if not found or not clearly_better(evaluation.metrics):
        return None  # a model that guesses can't doubt a label
    by_id = {sample.id: sample for sample in evaluation.samples}
    pictures = []
    for row in found[:MOST]:
        try:
            pixels = images.read(by_id[row["id"]].image, at_least_hw=(THUMBNAIL_PX, THUMBNAIL_PX))
        except ImageError:
            continue
        label, other = f"{row['label']} ({row['p_label']:.2f})", f"{row['suggested']} ({row['p_suggested']:.2f})"
        pictures.append(
            Picture(
                images.encode(images.thumbnail(pixels, THUMBNAIL_PX), "jpg", quality=82),
                alt=f"{row['id']}: labelled {row['label']}, looks like {row['suggested']}",
                caption=f"labelled {label}, looks like {other}\n{row['id']}",
                tags={"label": row["label"], "looks like": row["suggested"]},
            )
        )
    return Section(
        "Labels that may be wrong",
        f"{count(len(found), 'image belongs', 'images belong')} confidently to another class than the label says (confident "
        "learning, Northcutt et al. 2021). Either the label is wrong, or the model is, and then this is its worst mistake: "
        "only a person who looks can tell.",
        pictures=tuple(pictures),
    )
