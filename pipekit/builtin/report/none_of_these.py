"""Section ``none_of_these``: evaluated images that the model rejects as *none of these*, and how the limit was set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipekit.builtin.report.phrasing import count, percent
from pipekit.contract import Context, Picture, Section, Table
from pipekit.errors import ImageError
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal

MOST = 24
THUMBNAIL_PX = 160


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics.get("unknown")
    if not found or evaluation.unknown_scores is None:
        return None
    total = len(evaluation)
    words = [
        "Does the model notice images that show none of its classes? An image whose features are further from those of the "
        "training images than a limit is rejected as *none of these*; its class is still predicted. "
        f"Rejected: **{found['num_rejected']} of {total:,}** {literal(evaluation.split)} images, {_interval(found['share'])}. "
        "These images do belong to the classes, so each of them is a false alarm, or an unusual image.",
        _how(found["limit"]),
    ]
    if found["num_rejected"]:
        words.append(
            f"The model classifies {found['correct_of_rejected']} of {count(found['num_rejected'], 'rejected image')} "
            f"correctly. On the other images its accuracy is {_interval(found['accuracy_of_kept'])}."
        )
    rows = tuple(
        (row["class"], row["num_images"], row["num_rejected"], row["value"], row["low"], row["high"])
        for row in found["per_class"]
        if row["num_images"]
    )
    columns = ("class", "images", "rejected", "share", "from", "to")
    caption = "Rejected images of each class, with the 95 % interval of the share"
    return Section(
        "None of these",
        "\n\n".join(words),
        tables=(Table(columns, rows, caption),),
        pictures=tuple(_pictures(evaluation)),
    )


def _interval(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "unknown: there are none"
    return f"{percent(found['value'], True)} (95 % interval {percent(found['low'], True)} to {percent(found['high'], True)})"


def _how(limit: Mapping[str, Any]) -> str:
    """How the limit was set, and how well so many images determine it."""
    images = count(limit["num_images"], "training image")
    if limit["num_originals"] < limit["num_images"]:
        images += f" of {limit['num_originals']:,} originals"
    return (
        f"The limit is set from {images}, each compared with the others, to reject {percent(limit['share'])} of such images. "
        f"With so many, it may reject between {percent(limit['expected_low'], True)} and "
        f"{percent(limit['expected_high'], True)} of further ones (in 95 of 100 trainings). How many foreign images it "
        "notices, these images can't tell: try `pipekit predict` on some."
    )


def _pictures(evaluation: Evaluation) -> Iterator[Picture]:
    """The rejected images, the most unusual first."""
    from pipekit import images

    scores = evaluation.unknown_scores
    assert scores is not None
    for i in np.argsort(-scores, kind="stable")[:MOST].tolist():
        if scores[i] <= 1:
            return
        sample, true = evaluation.samples[i], evaluation.classes[evaluation.y_true[i]]
        try:
            thumbnail = images.thumbnail(images.read(sample.image, at_least_hw=(THUMBNAIL_PX, THUMBNAIL_PX)), THUMBNAIL_PX)
        except ImageError:
            continue
        said = evaluation.classes[evaluation.predicted[i]]
        verdict = f"{true}, predicted as {said}, score {scores[i]:.2f}"
        yield Picture(
            images.encode(thumbnail, "jpg", quality=82), f"{sample.id}: {verdict}", f"{verdict}\n{sample.id}", {"true": true}
        )
