"""Section ``label_errors``: suspected label errors, for a person to decide."""

from __future__ import annotations

from pipekit.builtin.report.phrasing import count
from pipekit.contract import Context, Picture, Section
from pipekit.errors import ImageError
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation

MOST = 24
THUMBNAIL_PX = 160


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    from pipekit import images

    found = evaluation.metrics["label_errors"]
    if not found or not knows_something(evaluation.metrics):
        return None  # a model no better than the baseline is no evidence against a label
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
        "Suspected label errors",
        f"Which labels may be wrong? {count(len(found), 'image belongs', 'images belong')} confidently to another class than "
        "the label says (confident learning, Northcutt et al. 2021). Either the label is wrong, or the model is; then this is "
        "one of its worst mistakes. Only you can tell, by looking at the image.",
        pictures=tuple(pictures),
    )
