"""LBP: local binary patterns, the texture around each pixel.

T. Ojala, M. Pietikäinen and T. Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns", IEEE Transactions on Pattern Analysis and Machine Intelligence 24(7), 2002.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only


class LbpParams(DetectorParams):
    max_megapixels: float = param(
        4.0, "Larger images are reduced to this size for detection; points stay in pixels of the full image", unit="MP", gt=0
    )
    neighbours: int = param(8, "Number of points on the circle around each pixel", ge=4, le=24)
    radius_px: float = param(1.0, "Radius of that circle", unit="px", ge=1, le=50)
    cell_px: int = param(32, "Side of the cells in which patterns are counted", unit="px", ge=4, le=4096)


@gray_only
@depends_on("opencv-python-headless")
def lbp(image: NDArray[np.uint8], params: LbpParams) -> Features:
    """One feature per cell of a grid: its histogram of rotation-invariant uniform patterns.

    The response of a cell is the fraction of its pixels on an edge or a corner (neither flat, nor a spot, nor noise).
    The response map holds the pattern of each pixel, 0 .. neighbours + 1, numbered as in scikit-image's
    ``local_binary_pattern(method="uniform")``.
    """

    def detect(gray: Gray) -> Features:
        patterns = uniform_patterns(gray, params.neighbours, params.radius_px)
        cell, bins = params.cell_px, params.neighbours + 2
        rows, columns = max(1, gray.shape[0] // cell), max(1, gray.shape[1] // cell)
        cell_h, cell_w = min(cell, gray.shape[0]), min(cell, gray.shape[1])
        used = patterns[: rows * cell_h, : columns * cell_w]
        number = (np.arange(rows * cell_h) // cell_h)[:, None] * columns + (np.arange(columns * cell_w) // cell_w)[None, :]
        counts = np.bincount((number * bins + used).ravel(), minlength=rows * columns * bins).reshape(-1, bins)
        shares = (counts / (cell_h * cell_w)).astype(np.float32)
        ys, xs = np.mgrid[:rows, :columns]
        x, y = xs.ravel() * cell_w + (cell_w - 1) / 2, ys.ravel() * cell_h + (cell_h - 1) / 2
        edges = shares[:, 1 : params.neighbours].sum(axis=1)
        return Features(
            np.column_stack([x, y, edges]).astype(np.float32),
            scale_px=np.full(len(shares), math.sqrt(cell_h * cell_w), np.float32),
            descriptors=shares,
            response_map=patterns.astype(np.float32),
            dense=True,
        )

    return detect_within(image, params, detect)


def uniform_patterns(gray: Gray, neighbours: int, radius_px: float) -> NDArray[np.int32]:
    """``(H, W)``: the number of neighbours at least as bright as the pixel if they form one run; else neighbours + 1."""
    values = gray.astype(np.float32)
    signs = np.stack([_at(values, radius_px, 2 * math.pi * number / neighbours) >= values for number in range(neighbours)])
    changes = (signs != np.roll(signs, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, signs.sum(axis=0), neighbours + 1).astype(np.int32)


def _at(values: Float, radius_px: float, angle: float) -> NDArray[np.float64]:
    """The image sampled ``radius_px`` away in one direction: bilinear, 0 outside the image.

    Offsets are rounded to five digits, so that a neighbour that lies on a pixel is that pixel.
    """
    dx, dy = round(radius_px * math.cos(angle), 5), round(-radius_px * math.sin(angle), 5)
    x, y = math.floor(dx), math.floor(dy)
    fx, fy = dx - x, dy - y
    pad = math.ceil(radius_px) + 1
    padded = cv2.copyMakeBorder(values, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0.0)
    height, width = values.shape

    def shifted(row: int, column: int) -> NDArray[np.float64]:
        part = padded[pad + y + row : pad + y + row + height, pad + x + column : pad + x + column + width]
        return np.asarray(part, np.float64)

    top = (1 - fx) * shifted(0, 0) + fx * shifted(0, 1)
    bottom = (1 - fx) * shifted(1, 0) + fx * shifted(1, 1)
    return (1 - fy) * top + fy * bottom
