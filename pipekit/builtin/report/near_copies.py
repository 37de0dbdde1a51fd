"""Section ``near_copies``: near duplicates between the training images and the evaluated split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.builtin.report.pairs import side_by_side
from pipekit.builtin.report.phrasing import count, estimate
from pipekit.contract import Context, Picture, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal

MOST = 12


def _method(found: Mapping[str, Any]) -> str:
    return "perceptual hash and miniature" + (", and by the features of a pretrained network" if "features" in found else "")


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics["near_copies"]
    if found is None:
        return None
    title = f"Near duplicates between training and {evaluation.split}"
    if not found["count"]:
        return Section(
            title,
            f"None found: no {evaluation.split} image has a near duplicate in the train split (by {_method(found)}), or "
            "another copy of its original.",
        )
    pairs = found["pairs"]
    has_words = any("how" in pair for pair in pairs)
    by_id = {sample.id: sample for sample in evaluation.samples}
    wanted = {pair["train_id"] for pair in pairs[:MOST]}
    train = {sample.id: sample for sample in evaluation.dataset.split("train") if sample.id in wanted}
    pictures = []
    for pair in pairs[:MOST]:
        one, other = by_id[pair["id"]], train.get(pair["train_id"])
        data = side_by_side([one.image, other.image]) if other else None
        if data is not None:
            caption = f"{one.id}\n{pair['train_id']}" + (f"\n{pair['how']}" if "how" in pair else "")
            pictures.append(Picture(data, alt=f"{one.id} beside its duplicate {pair['train_id']}", caption=caption))
    return Section(
        title,
        f"Has the model seen these images in training? {count(found['count'], 'image has', 'images have')} a near duplicate or "
        "another copy of the same original in the train split. Accuracy on all images: "
        f"{estimate(evaluation.metrics['accuracy'])}; without these: {estimate(found['accuracy_without'])}. "
        f"Left: the {literal(evaluation.split)} image. Right: the training image.",
        pictures=tuple(pictures),
        tables=(
            Table(
                ("image", "near duplicate or copy in train", *(("how they differ",) if has_words else ())),
                tuple((pair["id"], pair["train_id"], *((pair.get("how", ""),) if has_words else ())) for pair in pairs[:100]),
                "All pairs" if len(pairs) <= 100 else f"The first 100 of {len(pairs)} pairs; the rest are in metrics.json",
            ),
        ),
    )
