"""Draw features: dots that are visible at any size and with colour blindness, response maps, lines between matches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.images.draw import COLOURS
from pipekit.images.warping import Image, resize
from pipekit.keypoints.detection import Features

VERMILLION = COLOURS[5]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

# Cividis at nine even steps (Nuñez, Anderton and Renslow, PLoS ONE 13(7), 2018): it appears the same with and without colour
# blindness, and its brightness alone separates low from high.
_CIVIDIS = np.array(
    [
        (0, 34, 78),
        (30, 58, 111),
        (67, 78, 108),
        (95, 99, 110),
        (124, 123, 120),
        (155, 148, 119),
        (188, 174, 108),
        (223, 202, 87),
        (254, 232, 56),
    ],
    np.float64,
)
_SUBPIXEL_BITS = 4

MOST_LINES = 40
MOST_CIRCLES = 60
"""Maximum number of circles for scales, the strongest features: more would hide the image and each other."""


def fitted(image: Image, tile_px: int) -> tuple[Image, float]:
    """The image as RGB with its longer side resized to ``tile_px`` (enlarged by whole factors only), and the factor."""
    image = (
        np.repeat(image.reshape(*image.shape[:2], -1)[:, :, :1], 3, axis=2) if image.ndim == 2 or image.shape[2] == 1 else image
    )
    height, width = image.shape[:2]
    factor: float = tile_px // max(height, width)
    if factor < 1:
        factor = tile_px / max(height, width)
        return resize(image, (max(1, round(height * factor)), max(1, round(width * factor))), "area"), factor
    return resize(image, (round(height * factor), round(width * factor)), "nearest"), factor


def draw_features(image: Image, features: Features, tile_px: int = 640) -> Image:
    """The image at ``tile_px`` with a dot for each point: vermillion, ringed in white and black.

    Features with a scale get a circle of that size, those with an angle also a line along it; outlines are drawn.
    """
    canvas, _ = fitted(image, tile_px)
    canvas = np.ascontiguousarray(canvas).copy()
    height, width = image.shape[:2]
    shown = features.scaled(canvas.shape[1] / width, canvas.shape[0] / height)
    radius = max(3, round(max(canvas.shape[:2]) / 160))
    for outline in shown.outlines:
        line = _fixed(outline)
        cv2.polylines(canvas, [line], True, BLACK, radius, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.polylines(canvas, [line], True, COLOURS[1], max(1, radius - 2), cv2.LINE_AA, _SUBPIXEL_BITS)
    if shown.scale_px is not None and not shown.dense and not shown.outlines:
        for number in range(min(len(shown), MOST_CIRCLES)):
            angle = None if shown.angle_deg is None else float(shown.angle_deg[number])
            _draw_scale(canvas, shown.points[number, :2], float(shown.scale_px[number]) / 2, angle)
    if not shown.dense:
        # Black rings first, then each dot with its white ring, the strongest last: close dots stay distinguishable.
        places = _fixed(shown.points[::-1, :2]).tolist()
        for place in places:
            cv2.circle(canvas, place, (radius + 2) << _SUBPIXEL_BITS, BLACK, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        for place in places:
            for size, colour in ((radius + 1, WHITE), (radius, VERMILLION)):
                cv2.circle(canvas, place, size << _SUBPIXEL_BITS, colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas


def _draw_scale(canvas: Image, centre: NDArray[np.float32], radius: float, angle_deg: float | None) -> None:
    place = _fixed(centre[None])[0].tolist()
    end = None
    if angle_deg is not None and angle_deg >= 0:
        turn = np.deg2rad(angle_deg)
        end = _fixed((centre + radius * np.array([np.cos(turn), np.sin(turn)], np.float32))[None])[0].tolist()
    for colour, thick in ((BLACK, 2), (COLOURS[1], 1)):
        cv2.circle(canvas, place, max(1, round(radius * 2**_SUBPIXEL_BITS)), colour, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
        if end is not None:
            cv2.line(canvas, place, end, colour, thick, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed(xy: NDArray[np.float32]) -> NDArray[np.int32]:
    """Coordinates in OpenCV's fixed-point form, so that dots lie at subpixel positions."""
    return np.asarray(np.rint(np.asarray(xy, np.float64) * 2**_SUBPIXEL_BITS), np.int32)


def draw_map(response: NDArray[np.float32], size_hw: tuple[int, int], root: bool = True) -> Image:
    """A response map in the colours of cividis: dark for 0, yellow for the strongest.

    Args:
        size_hw: of the drawing.
        root: draw the fourth root, so that corners a hundred times weaker than the strongest stay visible. Values below 0 are
            drawn as 0, values above the 99.9th percentile as that percentile.
    """
    values = np.maximum(response, 0)
    shrink = max(1, round(values.shape[0] / size_hw[0]))
    if shrink > 1:  # the largest value of each block, so that no peak disappears
        values = np.asarray(cv2.dilate(values, np.ones((shrink, shrink), np.uint8)), np.float32)
    values = np.asarray(cv2.resize(values, size_hw[::-1], interpolation=cv2.INTER_NEAREST), np.float32)
    top = float(np.percentile(values, 99.9)) or float(values.max())
    share = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    return colours_of(share**0.25 if root else share)


def colours_of(share: NDArray[np.floating]) -> Image:
    """Map values in 0..1 to colours of cividis, ``(..., 3) uint8``."""
    steps = np.linspace(0, 1, len(_CIVIDIS))
    table = np.stack([np.interp(np.linspace(0, 1, 256), steps, _CIVIDIS[:, channel]) for channel in range(3)], axis=1)
    return np.asarray(np.rint(table), np.uint8)[np.asarray(np.rint(share * 255), np.uint8)]


def draw_matches(
    first: Image,
    second: Image,
    first_xy: NDArray[np.float32],
    second_xy: NDArray[np.float32],
    inlier: NDArray[np.bool_],
    tile_px: int = 640,
) -> Image:
    """Two images side by side with matched points joined: inliers of the homography in blue, other matches in orange.

    The best matches come first; lines are drawn for the first :data:`MOST_LINES` of each colour only.
    """
    (left, _), (right, _) = fitted(first, tile_px), fitted(second, tile_px)
    gap = max(6, tile_px // 40)
    canvas = np.full((max(left.shape[0], right.shape[0]), left.shape[1] + gap + right.shape[1], 3), 255, np.uint8)
    canvas[: left.shape[0], : left.shape[1]] = left
    canvas[: right.shape[0], left.shape[1] + gap :] = right

    def places(xy: NDArray[np.float32], image: Image, shown: Image, offset: int) -> NDArray[np.int32]:
        factor = np.array([shown.shape[1] / image.shape[1], shown.shape[0] / image.shape[0]])
        return _fixed((xy + 0.5) * factor - 0.5 + (offset, 0))

    starts = places(first_xy, first, left, 0)
    ends = places(second_xy, second, right, left.shape[1] + gap)
    for good, colour in ((False, COLOURS[0]), (True, COLOURS[4])):
        rows = np.flatnonzero(inlier == good)
        for thick, ink in ((3, WHITE), (1, colour)):
            for row in rows[:MOST_LINES]:
                cv2.line(canvas, starts[row].tolist(), ends[row].tolist(), ink, thick, cv2.LINE_AA, _SUBPIXEL_BITS)
        for size, ink in ((5, WHITE), (4, colour)):
            for place in (*starts[rows], *ends[rows]):
                cv2.circle(canvas, place.tolist(), size << _SUBPIXEL_BITS, ink, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas
