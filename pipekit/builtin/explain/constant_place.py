"""A constant place: maps of different images that point at one and the same place, such as a logo, a date or a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipekit.builtin.explain.maps import Map
from pipekit.builtin.explain.saliency_location import place_of
from pipekit.page.markdown import literal

FEWEST = 5
"""Maps of a class below which nothing is said: a few images agree by chance."""
CELLS = 8
"""Cells per side of the grid on which maps are compared."""
LARGEST = 0.15
"""Largest share of the image that is a place: half of the mean map's evidence must lie in it."""
IN_EACH = 0.35
"""Share of its evidence that nearly every map must have there."""
NEARLY = 0.1
"""Share of the maps that may have less."""


@dataclass(frozen=True)
class Place:
    """Where the maps of a class agree.

    Attributes:
        where: in words, such as ``upper left``.
        share: of the image.
        mean: the mean of the maps, each divided by its sum, at the size of the first.
        count: number of maps.
    """

    where: str
    share: float
    mean: Map
    count: int

    def sentence(self, name: str) -> str:
        return (
            f"The maps of {self.count} images explained as *{literal(name)}* point at the same {100 * self.share:.0f} % of the "
            f"image, at the {self.where}, whatever the image shows: look there for a logo, a date, a border or another mark "
            "that gives the class away."
        )


def constant_place(maps: Sequence[Map]) -> Place | None:
    """The place at which the maps of different images point; None if there is none, or if it is the centre.

    Subjects are often in the centre of photographs, so maps that agree on it say nothing.
    """
    import cv2

    used = [np.maximum(found, 0) for found in maps if found.max() > 0]
    if len(used) < FEWEST:
        return None
    small = np.stack([cv2.resize(found, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for found in used]).astype(np.float64)
    small /= small.sum(axis=(1, 2), keepdims=True)
    mean = small.mean(axis=0)
    order = np.argsort(-mean, axis=None, kind="stable")
    size = int(np.searchsorted(np.cumsum(mean.ravel()[order]), 0.5)) + 1
    if size > LARGEST * mean.size:
        return None
    inside = small.reshape(len(small), -1)[:, order[:size]].sum(axis=1)
    if float(np.quantile(inside, NEARLY)) < IN_EACH:
        return None
    where = place_of(mean)
    if where == "centre":
        return None
    whole = np.mean([cv2.resize(found, used[0].shape[::-1]) / found.sum() for found in used], axis=0)
    return Place(where, size / mean.size, np.asarray(whole, np.float32), len(used))
