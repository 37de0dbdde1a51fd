"""Outlines: areas, cutting at the edge, joining and tracing, against rasters and pycocotools."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.images.polygons import area, clipped, joined, plain, polygons_of, traced


def filled(polygons: list[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    """``(H, W) bool`` by pycocotools."""
    from pycocotools import mask

    runs = mask.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *size_hw)
    return np.asarray(mask.decode(mask.merge(runs)), bool)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def test_plain_numbers_and_arrays() -> None:
    (polygon,) = polygons_of(((0, 0, 4, 0, 4.126, 3),))
    assert polygon.tolist() == [[0, 0], [4, 0], [4.126, 3]]
    assert plain([polygon]) == ((0, 0, 4, 0, 4.13, 3),)


def test_areas() -> None:
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    ell = np.array([(0, 0), (4, 0), (4, 1), (1, 1), (1, 4), (0, 4)], float)
    assert (area([square]), area([ell]), area([ell[::-1], square + 9]), area([])) == (16, 7, 23, 0)


@settings(max_examples=60, deadline=None)
@given(
    corners=st.lists(st.tuples(st.floats(-30, 90), st.floats(-30, 90)), min_size=3, max_size=9),
)
def test_cutting_leaves_what_lies_inside(corners: list[tuple[float, float]]) -> None:
    centre = np.mean(corners, axis=0)
    star = np.array(sorted(corners, key=lambda corner: np.arctan2(corner[1] - centre[1], corner[0] - centre[0])))
    cut = clipped(star, 0.0, (60.0, 40.0))
    if not len(cut):
        return
    assert cut.min() >= -1e-9
    assert (cut.max(axis=0) <= np.array([60, 40]) + 1e-9).all()
    moved = np.round((star + 100 - 0.5) * 16).astype(np.int32)
    whole = cv2.fillPoly(np.zeros((300, 300), np.uint8), [moved], (1,), shift=4)[100:140, 100:160]
    assert abs(area([cut]) - whole.sum()) <= 0.05 * whole.sum() + 110, "to within the pixels at the edge"


def test_parts_are_joined_without_area() -> None:
    parts = [np.array([(x, 5), (x + 9, 5), (x + 9, 20), (x, 20)], float) for x in (2, 20, 40)]
    one = joined(parts)
    assert area([one]) == pytest.approx(area(parts))
    assert overlap(filled([one], (30, 60)), filled(parts, (30, 60))) > 0.95


@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
def test_traced_masks_are_filled_again(hole: bool, parts: int) -> None:
    mask = np.zeros((80, 120), np.uint8)
    for at in range(parts):
        cv2.ellipse(mask, (30 + 60 * at, 40), (25, 35), 20, 0, 360, 7, -1)
        if hole:
            cv2.circle(mask, (30 + 60 * at, 38), 9, 0, -1)
    polygons = traced(mask)
    assert len(polygons) == parts
    assert overlap(filled(polygons, mask.shape), mask > 0) > 0.97
    assert area(polygons) == pytest.approx((mask > 0).sum(), rel=0.05)


def test_traced_at_the_edge_and_of_nothing() -> None:
    mask = np.zeros((9, 12), np.uint8)
    assert traced(mask) == []
    mask[:4, 6:] = 1
    (polygon,) = traced(mask)
    assert np.abs(polygon.min(axis=0) - (6, 0)).max() <= 0.2
    assert np.abs(polygon.max(axis=0) - (12, 4)).max() <= 0.2


def test_an_edge_is_an_eighth_of_a_pixel_inside_its_pixels() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[5:15, 8:18] = 1
    (polygon,) = traced(mask)
    assert {tuple(corner) for corner in polygon.tolist()} == {
        (x, y) for x in (8 + 1 / 8, 18 - 1 / 8) for y in (5 + 1 / 8, 15 - 1 / 8)
    }


def test_the_steps_of_a_slanting_edge_stay() -> None:
    """Steps of one pixel at 45 degrees are 0.35 px from the line through them: more than the 0.3 that may be straightened."""
    rows, columns = np.mgrid[:60, :60]
    (polygon,) = traced(((rows < columns) & (columns < 50) & (rows > 5)).astype(np.uint8))
    assert len(polygon) == pytest.approx(2 * 44, abs=4)
