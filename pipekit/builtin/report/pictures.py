"""Section ``pictures``: example images with correct and wrong predictions, filtered by class, ordered by confidence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipekit.contract import Context, Params, Picture, Section, param
from pipekit.errors import ImageError
from pipekit.learning.evaluation import Evaluation


class PicturesParams(Params):
    most: int = param(240, "Maximum number of thumbnails", unit="images", ge=0, le=5000)
    thumbnail_px: int = param(160, "Longest side of a thumbnail", unit="px", ge=32, le=1024)


def section(ctx: Context, evaluation: Evaluation, params: PicturesParams) -> Section:
    chosen = choose(evaluation, params.most)
    pictures = tuple(_pictures(evaluation, chosen, params.thumbnail_px))
    left_out = len(evaluation) - len(pictures)
    words = (
        "What does the model get right and wrong? Mistakes with the highest confidence come first, then correct predictions "
        "with the lowest confidence, then the rest, one class after another in turn."
    )
    if left_out > 0:
        words += (
            f" The report keeps {len(pictures):,} of {len(evaluation):,} images, some from every kind of mistake; "
            "`predictions.csv` has the prediction for each image."
        )
    return Section("Example images", words if pictures else "", pictures=pictures)


def choose(evaluation: Evaluation, most: int) -> list[int]:
    """Positions of the most telling images: from every cell of the confusion matrix in turn, so that no cell stays empty.

    A cell of mistakes gives its most confident images first; a cell of correct predictions alternates between the least and
    the most confident. Mistakes may take two thirds.
    """
    cells: dict[tuple[int, int], list[int]] = {}
    for i in np.argsort(-evaluation.confidence, kind="stable").tolist():
        cells.setdefault((int(evaluation.y_true[i]), int(evaluation.predicted[i])), []).append(i)
    wrong = [cell for (true, predicted), cell in sorted(cells.items()) if true != predicted]
    right = [_ends(cell) for (true, predicted), cell in sorted(cells.items()) if true == predicted]
    num_right = sum(map(len, right))
    mistakes = list(_by_turns(wrong))[: max(most - num_right, most * 2 // 3)]
    fine = list(_by_turns(right))[: most - len(mistakes)]
    mistakes.sort(key=lambda i: (-evaluation.confidence[i], i))
    half = (len(fine) + 1) // 2
    unsure = sorted(fine, key=lambda i: (evaluation.confidence[i], i))[: min(half, 12)]
    return [*mistakes, *unsure, *(i for i in fine if i not in set(unsure))]


def _ends(cell: list[int]) -> list[int]:
    """The last, the first, the last but one, the second, …"""
    half = len(cell) // 2
    least, most = cell[half:][::-1], cell[:half]
    return [i for pair in zip(least, [*most, None], strict=False) for i in pair if i is not None]


def _by_turns(lists: list[list[int]]) -> Iterator[int]:
    for place in range(max(map(len, lists), default=0)):
        yield from (cell[place] for cell in lists if place < len(cell))


def _pictures(evaluation: Evaluation, chosen: list[int], thumbnail_px: int) -> Iterator[Picture]:
    from pipekit import images

    for i in chosen:
        sample = evaluation.samples[i]
        true, predicted = evaluation.classes[evaluation.y_true[i]], evaluation.classes[evaluation.predicted[i]]
        confidence = float(evaluation.confidence[i])
        try:
            thumbnail = images.thumbnail(images.read(sample.image, at_least_hw=(thumbnail_px, thumbnail_px)), thumbnail_px)
        except ImageError:
            continue
        right = bool(evaluation.correct[i])
        verdict = f"{true}, {confidence:.2f}" if right else f"{true}, predicted as {predicted}, {confidence:.2f}"
        yield Picture(
            images.encode(thumbnail, "jpg", quality=82),
            alt=f"{sample.id}: {verdict}",
            caption=f"{'✓' if right else '✗'} {verdict}\n{sample.id}",
            tags={"prediction": "correct" if right else "wrong", "true": true, "predicted": predicted},
            values={"confidence": round(confidence, 6)},
        )
