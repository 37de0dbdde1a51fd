"""Section ``image_map``: the images in two dimensions by their features, with what the model made of them."""

from __future__ import annotations

from typing import Annotated

from pipekit.contract import Call, Context, Params, Section, Uses, param
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.projection import FEWEST, MOST, caption_of, project, sample_of


class ImageMapParams(Params):
    projection: Annotated[Call, Uses("projection")] = param(
        "tsne", "How points are made of the features: its name, or a table with its parameters"
    )


def section(ctx: Context, evaluation: Evaluation, params: ImageMapParams) -> Section | None:
    """None without features: they are given by the slot ``embeddings`` of ``evaluate``."""
    from pipekit.page.image_map import image_map, sprite

    embedded = evaluation.embedded
    if embedded is None or len(embedded) < FEWEST:
        return None
    numbers = {name: at for at, name in enumerate(embedded.ids)}
    measured = [sample for sample in evaluation.samples if sample.id in numbers]
    first = [measured[at] for at in sample_of([sample.id for sample in measured], MOST).tolist()]
    known = {sample.id for sample in measured}
    others = [sample for sample in evaluation.dataset if sample.id in numbers and sample.id not in known]
    room = min(MOST - len(first), len(others))
    samples = [*first, *(others[at] for at in sample_of([sample.id for sample in others], room).tolist())]
    if len(samples) < FEWEST:
        return None
    points = project(embedded.table[[numbers[sample.id] for sample in samples]], params.projection)
    findings = _findings(evaluation)
    place = {sample.id: number for number, sample in enumerate(evaluation.samples)}
    facts = {
        "class": [sample.label or "" for sample in samples],
        "answer": [_answer(evaluation, place.get(sample.id)) for sample in samples],
        "predicted": [_predicted(evaluation, place.get(sample.id)) for sample in samples],
        "split": [sample.split for sample in samples],
        "finding": [findings.get(sample.id, "") for sample in samples],
    }
    pictures = sprite([sample.image for sample in samples], ctx.workers)
    label = f"Map of {len(samples):,} images by their features."
    html = image_map(points, [sample.id for sample in samples], facts, pictures, label)
    return Section("Map", caption_of(len(samples), len(measured) + len(others), params.projection), html=html)


def _answer(evaluation: Evaluation, number: int | None) -> str:
    if number is None:
        return "not measured"
    return "right" if evaluation.correct[number] else "wrong"


def _predicted(evaluation: Evaluation, number: int | None) -> str:
    return "" if number is None else evaluation.classes[evaluation.predicted[number]]


def _findings(evaluation: Evaluation) -> dict[str, str]:
    """What the report says of single images."""
    copies = (evaluation.metrics.get("near_copies") or {}).get("pairs", ())
    found = {pair["id"]: "near duplicate in train" for pair in copies}
    return found | {row["id"]: "suspected label error" for row in evaluation.metrics.get("label_errors") or ()}
