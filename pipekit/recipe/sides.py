"""Left and right of keypoints: the name that each takes in a mirrored image, and where nothing tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipekit.artifacts import LONGEST_NUMBER, Category, Sample
from pipekit.columnar import Column, makes_columns
from pipekit.params import Params, param
from pipekit.recipe.compiled import CompiledRecipe, Op, walk
from pipekit.recipe.homography import class_of, swap_sides
from pipekit.rng import rng_for

DRAWS = 16
"""Number of draws of each op that show whether it may mirror."""

SIZE_HW = 256, 320
"""Size of the image on which ops are drawn if the recipe names none."""


def counterparts_of(categories: Sequence[Category]) -> dict[str, dict[str, str]]:
    """The mirror tables of all classes whose source gives one, by names; empty without any.

    A keypoint that belongs to no box gets the name on which all classes agree.

    >>> counterparts_of([Category("owl", keypoints=("0", "1", "beak"), mirror=(1, 0, 2))])["owl"]
    {'0': '1', '1': '0', 'beak': 'beak'}
    """
    tables = {
        entry.name: {name: entry.keypoints[other] for name, other in zip(entry.keypoints, entry.mirror, strict=True)}
        for entry in categories
        if entry.mirror and sorted(entry.mirror) == list(range(len(entry.keypoints)))
    }
    if not tables:
        return {}
    found: dict[str, set[str]] = {}
    for entry in categories:
        for name in entry.keypoints:
            found.setdefault(name, set()).add(tables.get(entry.name, {}).get(name, swap_sides(name)))
    return {"": {name: others.pop() for name, others in found.items() if len(others) == 1}, **tables}


class NumberedParams(Params):
    """Which keypoints :func:`numbered_columns` reads."""

    splits: tuple[str, ...] = param((), "The splits to read; images without a split count as train")
    counterparts: dict[str, dict[str, str]] = param({}, "The mirror tables, as counterparts_of returns them")


@makes_columns(version=1)
def numbered_columns(samples: Sequence[Sample], params: NumberedParams) -> dict[str, Column]:
    """For each sample, the highest number that names a keypoint that is in no mirror table; -1 if there is none."""
    return {"highest": np.array([_highest(sample, params) for sample in samples], np.int64)}


def _highest(sample: Sample, params: NumberedParams) -> int:
    boxes, points = sample.targets.boxes, sample.targets.keypoints
    if not points or (sample.split or "train") not in params.splits:
        return -1
    tables = params.counterparts
    unknown = (p.label for p in points if is_number(p.label) and p.label not in tables.get(class_of(p, boxes), {}))
    return max(map(int, unknown), default=-1)


def is_number(name: str) -> bool:
    """Whether a keypoint's name is its position: ``"0"``, ``"16"``."""
    return name.isdecimal() and name.isascii() and len(name) <= LONGEST_NUMBER


def may_mirror(recipe: CompiledRecipe) -> bool:
    """Whether an op of a recipe may swap left and right: each is drawn several times on a black image."""
    return any(_mirrors(recipe, op) for op in walk(recipe.ops) if op.kind in ("geometric", "view") and op.p > 0)


def _mirrors(recipe: CompiledRecipe, op: Op) -> bool:
    alone = replace(recipe, ops=(replace(op, p=1.0),))
    black = np.zeros((*(recipe.size_hw or SIZE_HW), 3), np.uint8)
    try:
        return any(alone.apply(black, rng_for(0, "may mirror", draw)).mirrored for draw in range(DRAWS))
    except Exception:  # a crop larger than the black image, an op that needs targets: the real images report what is wrong
        return False
