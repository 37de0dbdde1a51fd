"""The result of each fold of a cross-validation, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share_of
from pipekit.contract import Sample
from pipekit.learning.cross_validation import fold_of


def measure(
    samples: Sequence[Sample], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None, model: Mapping[str, Any]
) -> dict[str, Any]:
    """``{"number", "sd", "rows"}``: the number of folds, the standard deviation of their accuracies, and a row for each.

    A row has ``fold``, ``num_images``, ``accuracy`` with its interval, and the ``template``, the ``kept_epoch`` and the number
    of images that the fold's model ``learned_from``.

    Args:
        model: ``model.json`` of the model of all images.
    """
    numbers = np.array([fold_of(sample) for sample in samples], np.int64)
    trained = {row["fold"]: row for row in (model.get("cross_validation") or {}).get("folds", ())}
    rows = []
    for fold in np.unique(numbers).tolist():
        mine = numbers == fold
        about = trained.get(fold, {})
        rows.append(
            {
                "fold": fold,
                "num_images": int(mine.sum()),
                "accuracy": share_of(correct[mine], None if groups is None else groups[mine]),
                **{name: about.get(name) for name in ("template", "kept_epoch", "learned_from", "val")},
            }
        )
    accuracies = [row["accuracy"]["value"] for row in rows]
    return {"number": len(rows), "sd": float(np.std(accuracies, ddof=1)) if len(rows) > 1 else None, "rows": rows}
