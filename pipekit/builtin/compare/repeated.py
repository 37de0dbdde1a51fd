"""Compare recipes: sets of trainings with several seeds, or cross-validations with the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError
from pipekit.learning.recipes import compare_folds, compare_seeds

Rows = Mapping[str, Mapping[str, str]]


def num_seeds(metrics: Mapping[str, Any]) -> int:
    """The number of trainings that a report is about; 1 for most."""
    return len((metrics.get("seeds") or {}).get("rows", ())) or 1


def check_alike(names: Sequence[str], seeds: Sequence[int]) -> None:
    """A recipe can't be compared with a single training.

    Raises:
        UserError: one report is about several seeds, and another about one.
    """
    if len(set(map(bool, (number > 1 for number in seeds)))) < 2:
        return
    single = next(name for name, number in zip(names, seeds, strict=True) if number == 1)
    several = next(name for name, number in zip(names, seeds, strict=True) if number > 1)
    raise UserError(
        f"{several!r} is a recipe that was trained with several seeds, and {single!r} is a single training",
        "Train both with the same number of seeds: pipekit train FOLDER --seeds 5",
    )


def by_seeds(
    first: Rows, other: Rows, shared: Sequence[str], numbers: tuple[int, int], groups: NDArray[np.int64] | None
) -> dict[str, Any]:
    """The comparison of two sets of trainings; ``gained`` and ``lost`` count the images by the majority of the trainings."""
    tables = [_correct(rows, shared, number) for rows, number in zip((first, other), numbers, strict=True)]
    most = [table.mean(axis=0) > 0.5 for table in tables]
    return {
        "method": "seeds",
        "num_seeds": list(numbers),
        **compare_seeds(tables[0], tables[1], groups),
        "gained": int((most[1] & ~most[0]).sum()),
        "lost": int((most[0] & ~most[1]).sum()),
    }


def _correct(rows: Rows, shared: Sequence[str], number: int) -> NDArray[np.bool_]:
    return np.array([[rows[name][f"correct_{seed}"] == "1" for name in shared] for seed in range(1, number + 1)], np.bool_)


def same_folds(first: Rows, other: Rows, shared: Sequence[str]) -> bool:
    """Whether both reports are of a cross-validation, with all shared images in the same folds."""
    return all(rows[name].get("fold") for rows in (first, other) for name in shared) and all(
        first[name]["fold"] == other[name]["fold"] for name in shared
    )


def by_folds(
    first: Rows, other: Rows, shared: Sequence[str], metrics: Mapping[str, Any], right: tuple[NDArray[np.bool_], ...]
) -> dict[str, Any]:
    """The comparison of two cross-validations; what :func:`pipekit.learning.significance.paired` would say is replaced."""
    folds = np.array([int(first[name]["fold"]) for name in shared], np.int64)
    numbers = np.unique(folds)
    gains = [float(right[1][folds == fold].mean() - right[0][folds == fold].mean()) for fold in numbers]
    rows = metrics["folds"]["rows"]
    learned = [row["learned_from"] for row in rows if row.get("learned_from")]
    ratio = np.mean([row["num_images"] for row in rows]) / np.mean(learned) if learned else 1 / max(1, len(rows) - 2)
    return {"method": "folds", "num_folds": len(numbers), **compare_folds(gains, float(ratio))}
