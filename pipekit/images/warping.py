"""Resize and warp images: geometry only, independent of the order of channels.

Pixel centres lie at whole numbers: the image covers -0.5 to width - 0.5. A matrix maps source to target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.images.arrays import Affine, Homography, affine_of
from pipekit.images.arrays import Image as Image
from pipekit.images.arrays import Matrix as Matrix
from pipekit.images.choices import FillMode as FillMode
from pipekit.images.choices import Interpolation as Interpolation
from pipekit.images.choices import SizeHw as SizeHw

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_BORDER = {
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}

FOUR_CHANNELS_UP_TO = 4
"""OpenCV 5 warps four channels faster than three, with the same bytes. Adding the fourth takes time too: it pays off if the
source has at most this many times the pixels of the result."""
FRAME_UP_TO = 4
"""OpenCV handles each pixel separately if a warp reaches beyond the source. A frame around the source avoids that, and saves a
third of an average warp's time; it pays off if both have at most this many times the pixels of the result."""


def resize(image: Image, size_hw: SizeHw, interpolation: Interpolation | None = None) -> Image:
    """Resize to ``size_hw``: by default with area means for shrinking and linear interpolation for enlarging.

    >>> import numpy as np
    >>> from pipekit import images
    >>> images.resize(np.array([[10, 20, 30, 40], [10, 20, 30, 40]], np.uint8), (1, 2)).tolist()
    [[15, 35]]
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(size_hw):
        return image
    chosen = interpolation or ("area" if size_hw[0] < height and size_hw[1] < width else "linear")
    resized = cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=_INTERPOLATION[chosen])
    return _uint8(resized, (*size_hw, *image.shape[2:]))


def warp(
    image: Image,
    matrix: Homography,
    size_hw: SizeHw,
    *,
    interpolation: Interpolation = "linear",
    fill_mode: FillMode = "constant",
    fill_value: int | Sequence[int] = 0,
) -> Image:
    """Warp an image with a homography.

    Args:
        image: ``(H, W)`` or ``(H, W, C) uint8``.
        matrix: ``(3, 3)`` or an affine map, from source to target pixels; pixel centres lie at whole numbers.
        size_hw: of the result.
        interpolation: ``area`` averages where the matrix shrinks by two or more, and is linear elsewhere.
        fill_mode: how to fill pixels outside the source: with its edge (``nearest``), ``fill_value`` (``constant``), its
            mirror image with the edge doubled (``reflect``), or the image repeated (``wrap``).

    >>> import numpy as np
    >>> from pipekit import images
    >>> row = np.array([[10, 20, 30, 40]], np.uint8)
    >>> to_the_right = np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    >>> images.warp(row, to_the_right, (1, 4)).tolist()
    [[0, 10, 20, 30]]
    >>> images.warp(row, to_the_right, (1, 4), fill_mode="nearest").tolist()
    [[10, 10, 20, 30]]
    """
    matrix = affine_of(matrix) or matrix
    if interpolation == "area":
        image, matrix = _average_first(image, matrix)
        interpolation = "linear"
    value = tuple(fill_value) if isinstance(fill_value, Sequence) else (fill_value,) * 4
    flags, border, size_wh = _INTERPOLATION[interpolation], _BORDER[fill_mode], (size_hw[1], size_hw[0])
    shape = (*size_hw, *image.shape[2:])
    frame = None
    if type(matrix) is Affine and interpolation == "linear":
        image, matrix, frame = _needed(image, matrix, size_hw, fill_mode)
    four = image.shape[2:] == (3,) and image.shape[0] * image.shape[1] <= FOUR_CHANNELS_UP_TO * size_hw[0] * size_hw[1]
    if four:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8)
    if frame is not None:
        image = np.asarray(cv2.copyMakeBorder(image, *frame, border), np.uint8)
    if type(matrix) is Affine:
        moved = cv2.warpAffine(image, np.asarray(matrix)[:2], size_wh, flags=flags, borderMode=border, borderValue=value)
    else:
        moved = cv2.warpPerspective(image, np.asarray(matrix), size_wh, flags=flags, borderMode=border, borderValue=value)
    return _uint8(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB) if four else moved, shape)


def warp_mask(
    mask: Image, matrix: Homography, size_hw: SizeHw, *, fill_mode: FillMode = "constant", fill_value: int = 0
) -> Image:
    """Warp a mask with the homography of its image.

    Values are class numbers, so each pixel takes the value of the nearest one, and ``constant`` fills with ``fill_value``.

    Args:
        mask: ``(H, W) uint8``.
        matrix: ``(3, 3)`` or an affine map, from source to target pixels.
        size_hw: of the result.
        fill_mode: as in :func:`warp`.
    """
    return warp(mask, matrix, size_hw, interpolation="nearest", fill_mode=fill_mode, fill_value=fill_value)


def _needed(
    image: Image, matrix: Affine, size_hw: SizeHw, fill_mode: FillMode
) -> tuple[Image, Affine, tuple[int, int, int, int] | None]:
    """The part of an image that an affine warp reads, the matrix from there, and the frame to put around it first.

    The frame holds what the fill mode puts beyond the image's edges (top, bottom, left, right in pixels); None for no frame.
    """
    height, width = image.shape[:2]
    a, b, c, d, e, f = matrix.values
    det = matrix.determinant
    if fill_mode == "constant" or not abs(det) > 1e-12:
        return image, matrix, None
    right, down = size_hw[1] - 1, size_hw[0] - 1
    # the corners of the result, relative to the first one; one pixel more for rounding, and one for interpolation
    over_x, over_y, down_x, down_y = e / det * right, -d / det * right, -b / det * down, a / det * down
    x, y = (b * f - c * e) / det, (c * d - a * f) / det
    x0, x1 = math.floor(x + min(0, over_x) + min(0, down_x)) - 1, math.ceil(x + max(0, over_x) + max(0, down_x)) + 2
    y0, y1 = math.floor(y + min(0, over_y) + min(0, down_y)) - 1, math.ceil(y + max(0, over_y) + max(0, down_y)) + 2
    if fill_mode == "nearest":
        left, top = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
        part = image[top : max(min(y1, height), top + 1), left : max(min(x1, width), left + 1)]
    else:  # the pixels that fill the frame may lie far from the edge
        left, top, part = 0, 0, image
    height, width = part.shape[:2]
    x0, y0, x1, y1 = min(x0, left), min(y0, top), max(x1, left + width), max(y1, top + height)
    if (x1 - x0) * (y1 - y0) > FRAME_UP_TO * size_hw[0] * size_hw[1]:
        return image, matrix, None
    frame = (top - y0, y1 - top - height, left - x0, x1 - left - width)
    moved = Affine(a, b, c + a * x0 + b * y0, d, e, f + d * x0 + e * y0)
    return part, moved, frame if any(frame) else None


def _average_first(image: Image, matrix: Homography) -> tuple[Image, Homography]:
    """Average neighbouring pixels before a warp that shrinks by more than two, which would skip some of them.

    A box filter rather than a reduced image: on 300 x 450 px it takes 0.1 ms; an area resize by other than 2 x 2 takes 0.7.
    """
    height, width = image.shape[:2]
    scale_x, scale_y = local_scale(matrix, ((width - 1) / 2, (height - 1) / 2))
    factor_x = min(max(1, int(1 / max(scale_x, 1e-6))), width)
    factor_y = min(max(1, int(1 / max(scale_y, 1e-6))), height)
    if factor_x == 1 and factor_y == 1:
        return image, matrix
    averaged = cv2.blur(image, (factor_x, factor_y), borderType=cv2.BORDER_REPLICATE)
    # The mean of an even number of pixels lies half way between two of them.
    x, y = (-0.5 if factor % 2 == 0 else 0.0 for factor in (factor_x, factor_y))
    return _uint8(averaged, image.shape), matrix @ Affine(1, 0, x, 0, 1, y)


def local_scale(matrix: Homography, point_xy: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """How much a homography stretches a source pixel's width and height at a point (the norms of its Jacobian's columns).

    >>> import numpy as np
    >>> from pipekit import images
    >>> images.local_scale(np.diag([2.0, 0.5, 1.0]), (10, 10))
    (2.0, 0.5)
    """
    affine = affine_of(matrix)
    if affine is not None:
        a, b, _, c, d, _ = affine.values
        return math.hypot(a, c), math.hypot(b, d)
    x, y = float(point_xy[0]), float(point_xy[1])
    u, v, w = (float(value) for value in matrix @ (x, y, 1.0))
    w = w if abs(w) > 1e-9 else 1e-9
    jacobian = (matrix[:2, :2] - np.outer((u / w, v / w), matrix[2, :2])) / w
    return float(np.hypot(*jacobian[:, 0])), float(np.hypot(*jacobian[:, 1]))


def _uint8(array: NDArray[Any], shape: tuple[int, ...]) -> Image:
    """OpenCV's result with its last axis restored (it drops a single channel) and with a precise type."""
    return array.reshape(shape).astype(np.uint8, copy=False)
