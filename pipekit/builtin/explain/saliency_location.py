"""Describe in words where an attribution map is strong, as alternative text and as a reading aid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain.maps import Map

PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)
GRID = 16
"""Cells per side of the grid that a map is reduced to: scattered single pixels are no location."""
SPREAD = 0.3
"""If half of a map needs more than this share of the image, the map points nowhere. A uniform map needs a half."""


def where(found: Map) -> str:
    """``"half of it lies in 8 % of the image, most at the upper left"``; counts only evidence for the class."""
    import cv2

    height, width = (min(GRID, side) for side in found.shape)
    weight = cv2.resize(np.maximum(found, 0), (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    total = weight.sum()
    if not total > 0:
        return "no evidence for it"
    running = np.cumsum(np.sort(weight, axis=None)[::-1])
    share = (int(np.searchsorted(running, total / 2)) + 1) / weight.size
    if share > SPREAD:
        return "spread over the image"
    place = place_of(weight)
    percent = "under 1" if share < 0.01 else f"{100 * share:.0f}"
    return f"half of it lies in {percent} % of the image, most {'in' if place == 'centre' else 'at'} the {place}"


def place_of(weight: NDArray[np.float64]) -> str:
    """The ninth of the image that has most of the weight, in words: ``upper left``."""
    rows = [part.sum(axis=0) for part in np.array_split(weight, 3, axis=0)]
    cells = np.array([[part.sum() for part in np.array_split(row, 3)] for row in rows])
    y, x = np.unravel_index(int(cells.argmax()), cells.shape)
    return PLACES[y][x]
