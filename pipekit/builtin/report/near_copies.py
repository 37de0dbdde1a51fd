"""Section ``near_copies``: measured images that the model may have seen in training."""

from __future__ import annotations

from pipekit.builtin.report.pairs import side_by_side
from pipekit.builtin.report.phrasing import count, estimate
from pipekit.contract import Context, Picture, Section, Table
from pipekit.learning.evaluation import Evaluation

MOST = 12


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics["near_copies"]
    if found is None:
        return None
    if not found["count"]:
        return Section(
            "Copies in the training images",
            f"None found: no {evaluation.split} image has a near copy in the train split (by perceptual hash and miniature).",
        )
    pairs = found["pairs"]
    by_id = {sample.id: sample for sample in evaluation.samples}
    wanted = {pair["train_id"] for pair in pairs[:MOST]}
    train = {sample.id: sample for sample in evaluation.dataset.split("train") if sample.id in wanted}
    pictures = []
    for pair in pairs[:MOST]:
        one, other = by_id[pair["id"]], train.get(pair["train_id"])
        data = side_by_side([one.image, other.image]) if other else None
        if data is not None:
            caption = f"{one.id}\n{pair['train_id']}"
            pictures.append(Picture(data, alt=f"{one.id} beside its near copy {pair['train_id']}", caption=caption))
    return Section(
        "Copies in the training images",
        f"{count(found['count'], 'image has', 'images have')} a near copy in the train split. Accuracy of all images: "
        f"{estimate(evaluation.metrics['accuracy'])}; without these: {estimate(found['accuracy_without'])}. "
        "Left the measured image, right the one that the model was trained on.",
        pictures=tuple(pictures),
        tables=(
            Table(
                ("image", "near copy in train"),
                tuple((pair["id"], pair["train_id"]) for pair in pairs[:100]),
                "All pairs" if len(pairs) <= 100 else f"The first 100 of {len(pairs)} pairs; the rest is in metrics.json",
            ),
        ),
    )
