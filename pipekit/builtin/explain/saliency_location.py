"""A map in words: for those who do not see it, and for those who wonder what to see in it."""

from __future__ import annotations

import numpy as np

from pipekit.builtin.explain.maps import Map

PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)
GRID = 16
"""A map is looked at on so coarse a grid: single loud pixels all over it are no place."""
SPREAD = 0.3
"""Share of the picture that half of a map needs, from which on it points nowhere. An even map needs a half."""


def where(found: Map) -> str:
    """``"half of it lies in 8 % of the picture, most at the upper left"``; only what speaks for the class is counted."""
    import cv2

    height, width = (min(GRID, side) for side in found.shape)
    weight = cv2.resize(np.maximum(found, 0), (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    total = weight.sum()
    if not total > 0:
        return "nothing speaks for it"
    running = np.cumsum(np.sort(weight, axis=None)[::-1])
    share = (int(np.searchsorted(running, total / 2)) + 1) / weight.size
    if share > SPREAD:
        return "spread over the picture"
    rows = [part.sum(axis=0) for part in np.array_split(weight, 3, axis=0)]
    cells = np.array([[part.sum() for part in np.array_split(row, 3)] for row in rows])
    y, x = np.unravel_index(int(cells.argmax()), cells.shape)
    place = PLACES[y][x]
    percent = "under 1" if share < 0.01 else f"{100 * share:.0f}"
    return f"half of it lies in {percent} % of the picture, most {'in' if place == 'centre' else 'at'} the {place}"
