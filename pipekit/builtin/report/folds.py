"""Section ``folds``: cross-validation. The accuracy of each fold, and what the interval of all of them means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.builtin.report.phrasing import count, estimate, points
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    found = evaluation.metrics.get("folds")
    if not found:
        return None
    columns = ("fold", "images", "accuracy (95 % interval)", "template", "kept epoch", "training images", "val images")
    rows = tuple(_row(row) for row in found["rows"])
    num_test = sum(evaluation.dataset.counts.get("test", {}).values())
    words = [
        f"How were all images measured? The {len(evaluation):,} images were divided into {count(found['number'], 'fold')}; "
        "images that belong together lie in one. A model was trained for each fold and predicts its images: the next fold was "
        "its val split, and it learned from the others. So each image is predicted by a model that learned neither from it nor "
        "from its group.",
        "What does the interval at the top mean? It holds for such models on further images of the same kind: those that "
        f"learned from about {_learned(found):,} images each. It counts images (or their groups), not folds, and the models "
        "share most of their training images, so it does not cover how much other training images would change them. The "
        f"accuracies of the folds have a standard deviation of {_sd(found)}.",
        "Which model is kept? None of these: `model.keras` was trained on all images by the same recipe, without a val split, "
        "and has not been measured itself. It learned from more images than each of them, so it is usually a little better.",
    ]
    if num_test:
        words.append(
            f"{count(num_test, 'test image')} stayed out of the folds and of the training. `pipekit evaluate` with the split "
            "test measures the kept model on them."
        )
    return Section("Cross-validation", "\n\n".join(words), tables=(Table(columns, rows, "Each fold"),))


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    about = (row[name] for name in ("template", "kept_epoch", "learned_from", "val"))
    return (row["fold"], row["num_images"], estimate(row["accuracy"]), *("–" if value is None else value for value in about))


def _learned(found: Mapping[str, Any]) -> int:
    numbers = [row["learned_from"] or 0 for row in found["rows"]]
    return round(sum(numbers) / len(numbers))


def _sd(found: Mapping[str, Any]) -> str:
    return "–" if found["sd"] is None else points(found["sd"])
