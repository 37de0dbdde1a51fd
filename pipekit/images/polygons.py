"""Outlines of objects as polygons, and clipping them to the image. Like a box's edges, corners lie between pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
"""``(N, 2) float64``: corners x, y in order; the last one connects to the first."""

FINER = 4
"""A mask is enlarged by this factor before its contour is traced, which locates it to an eighth of a pixel."""

STRAIGHT_PX = 0.3
"""Largest distance of a traced contour from the steps between pixels."""


def polygons_of(outline: Sequence[Sequence[float]]) -> list[Polygon]:
    """``((x, y, x, y, …), …)`` as arrays."""
    return [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in outline]


def plain(polygons: Sequence[Polygon]) -> tuple[tuple[float, ...], ...]:
    """Arrays as lists of numbers, rounded to a hundredth of a pixel."""
    return tuple(tuple(np.round(polygon, 2).ravel().tolist()) for polygon in polygons)


def area(polygons: Sequence[Polygon]) -> float:
    """The enclosed area in square pixels (the shoelace formula); polygons are assumed not to overlap."""
    total = 0.0
    for polygon in polygons:
        x, y = polygon[:, 0], polygon[:, 1]
        total += abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    return total


def clipped(polygon: Polygon, low: float, high_xy: Sequence[float]) -> Polygon:
    """Clip a polygon to the rectangle from ``low`` to ``high_xy``: Sutherland and Hodgman (1974).

    If clipping splits a polygon, its parts stay connected along the edge.
    """
    if len(polygon) and (polygon >= low).all() and (polygon <= np.asarray(high_xy)).all():
        return polygon
    for axis in (0, 1):
        for sign, limit in ((1.0, low), (-1.0, high_xy[axis])):
            if not len(polygon):
                return polygon
            distance = sign * (polygon[:, axis] - limit)
            following, next_distance = np.roll(polygon, -1, axis=0), np.roll(distance, -1)
            crosses = (distance >= 0) != (next_distance >= 0)
            share = np.where(crosses, distance / np.where(crosses, distance - next_distance, 1.0), 0.0)
            cut = polygon + share[:, np.newaxis] * (following - polygon)
            both = np.stack([polygon, cut], axis=1).reshape(-1, 2)
            polygon = both[np.stack([distance >= 0, crosses], axis=1).ravel()]
    return polygon


def joined(polygons: Sequence[Polygon]) -> Polygon:
    """Join several polygons to one by lines there and back between the nearest corners, which add no area."""
    whole, *others = polygons
    for other in others:
        distances = ((whole[:, np.newaxis] - other[np.newaxis]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(distances.argmin()), distances.shape)
        around = np.roll(other, -int(there), axis=0)
        whole = np.concatenate([whole[: here + 1], around, around[:1], whole[here:]])
    return whole


def drawn(polygons: Iterable[Polygon], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """``(H, W) uint8``: 1 inside. Corners lie between pixels: (0, 0) is the upper left corner of the first pixel."""
    import cv2

    mask = np.zeros(size_hw, np.uint8)
    limit = 8 * max(size_hw)
    for polygon in polygons:
        fixed = np.round((np.clip(polygon, -limit, limit) - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], (1,), shift=4)
    return mask


def traced(mask: NDArray[np.uint8]) -> list[Polygon]:
    """Polygons around the non-zero pixels of an ``(H, W) uint8`` mask; a hole is connected to the contour around it."""
    import cv2

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    part = np.pad((mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0).astype(np.uint8), 1)
    fine = part.repeat(FINER, axis=0).repeat(FINER, axis=1)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found: dict[int, list[Polygon]] = {}
    for number, (contour, place) in enumerate(zip(contours, tree[0], strict=True)):
        corners = cv2.approxPolyDP(contour, STRAIGHT_PX * FINER, True).reshape(-1, 2)
        if len(corners) >= 3:
            polygon = (corners + 0.5) / FINER - 1 + (columns[0], rows[0])
            found.setdefault(number if place[3] < 0 else int(place[3]), []).append(polygon)
    return [joined(polygons) for polygons in found.values()]
