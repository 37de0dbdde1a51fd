"""Section ``near_copies``: near duplicates between the training images and the evaluated split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.builtin.report.pairs import side_by_side
from pipekit.builtin.report.phrasing import estimate
from pipekit.contract import Context, Picture, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal

MOST = 12


def _method(found: Mapping[str, Any]) -> str:
    return "perceptual hash and miniature" + (", and by the features of a pretrained network" if "features" in found else "")


def _reach(found: Mapping[str, Any]) -> str:
    """Which copies the search sees."""
    if "features" in found:
        return "The search finds images that were saved again, resized, recoloured, mirrored, cropped or turned."
    return (
        "The search finds images that were saved again, resized, recompressed, turned grey, mirrored or made brighter. It "
        "can't see crops, or neighbouring frames of a video; `embeddings` of an `embed` stage find those."
    )


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics["near_copies"]
    if found is None:
        return None
    folds, where = evaluation.learned_from != "train", evaluation.learned_from
    title = "Near duplicates across folds" if folds else f"Near duplicates between training and {evaluation.split}"
    if not found["count"]:
        return Section(
            title,
            f"None found: no {evaluation.split} image has a near duplicate in {where} (by {_method(found)}), or "
            f"another copy of its original. {_reach(found)} It can't see other views of one scene, patient or object: a "
            "`split` with a group column or pattern keeps those apart.",
        )
    pairs = found["pairs"]
    has_words = any("how" in pair for pair in pairs)
    by_id = {sample.id: sample for sample in evaluation.samples}
    wanted = {pair["train_id"] for pair in pairs[:MOST]}
    others = evaluation.samples if folds else evaluation.dataset.split("train")
    train = {sample.id: sample for sample in others if sample.id in wanted}
    pictures = []
    for pair in pairs[:MOST]:
        one, other = by_id[pair["id"]], train.get(pair["train_id"])
        data = side_by_side([one.image, other.image]) if other else None
        if data is not None:
            caption = f"{one.id}\n{pair['train_id']}" + (f"\n{pair['how']}" if "how" in pair else "")
            pictures.append(Picture(data, alt=f"{one.id} beside its duplicate {pair['train_id']}", caption=caption))
    return Section(
        title,
        f"Has the model seen these images in training? {found['count']:,} of {len(evaluation):,} "
        f"{literal(evaluation.split)} images have a copy in {where}: a near duplicate, or another copy of the same original. "
        "The search can't see other views of one scene, patient or object. Accuracy on all images: "
        f"{estimate(evaluation.metrics['accuracy'])}; without these: {estimate(found['accuracy_without'])}. "
        f"Left: the {literal(evaluation.split)} image. Right: {'its copy' if folds else 'the training image'}.",
        pictures=tuple(pictures),
        tables=(
            Table(
                ("image", f"near duplicate or copy in {where}", *(("how they differ",) if has_words else ())),
                tuple((pair["id"], pair["train_id"], *((pair.get("how", ""),) if has_words else ())) for pair in pairs[:100]),
                "All pairs" if len(pairs) <= 100 else f"The first 100 of {len(pairs)} pairs; the rest are in metrics.json",
            ),
        ),
    )
