"""The maps of a class together: their mean, and where it is strong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipekit.builtin.explain.maps import Map
from pipekit.builtin.explain.saliency_location import where
from pipekit.contract import Table
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER


def mean_map(maps: Sequence[Map]) -> Map | None:
    """The mean of maps, each divided by its sum, at the size of the first; None if none shows evidence for the class."""
    import cv2

    used = [np.maximum(found, 0) for found in maps if found.max() > 0]
    if not used:
        return None
    parts = [cv2.resize(found, used[0].shape[::-1]).astype(np.float64) / found.sum() for found in used]
    return np.asarray(np.mean(parts, axis=0), np.float32)


HEADS = {CLASSES: ("class", "Summary by class"), MULTILABEL: ("label", "Summary by label"), NUMBER: ("number", "Mean map")}


def class_table(classes: Sequence[str], made: Mapping[int, Sequence[Map]], task: str = CLASSES) -> Table:
    """For each explained class or label, or the number: how many maps it has, and where their mean is strong."""
    rows = []
    for target, maps in sorted(made.items()):
        mean = mean_map(maps)
        rows.append((classes[target], len(maps), "no evidence for it" if mean is None else where(mean)))
    head, caption = HEADS[task]
    return Table((head, "maps", "evidence in the mean map"), tuple(rows), caption)
