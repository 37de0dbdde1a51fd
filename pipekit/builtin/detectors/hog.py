"""HOG: a histogram of gradient directions for each cell of a grid. Source: :mod:`pipekit.keypoints.hog`."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only
from pipekit.keypoints.hog import cells


class HogParams(DetectorParams):
    max_megapixels: float = param(
        4.0, "Larger images are reduced to this size for detection; points stay in pixels of the full image", unit="MP", gt=0
    )
    cell_px: int = param(16, "Side of a cell", unit="px", ge=2, le=512)
    orientations: int = param(9, "Number of bins between 0 and 180 degrees", ge=2, le=36)


@gray_only
@depends_on("opencv-python-headless")
def hog(image: NDArray[np.uint8], params: HogParams) -> Features:
    """One feature per cell: its centre, gradient magnitude, main edge direction and histogram.

    The response map is the usual HOG visualisation: in each cell, strokes along the edges, as bright as their fraction.
    """

    def detect(gray: Gray) -> Features:
        histograms = cells(gray, params.cell_px, params.orientations)
        rows, columns, bins = histograms.shape
        ys, xs = np.mgrid[:rows, :columns] * params.cell_px + (params.cell_px - 1) / 2
        flat = histograms.reshape(-1, bins)
        # An edge is orthogonal to its gradient; a bin stands for its centre.
        angle = np.mod((flat.argmax(axis=1) + 0.5) * 180 / bins + 90, 180)
        return Features(
            np.column_stack([xs.ravel(), ys.ravel(), flat.sum(axis=1)]).astype(np.float32),
            scale_px=np.full(len(flat), params.cell_px, np.float32),
            angle_deg=angle.astype(np.float32),
            descriptors=flat,
            response_map=_strokes(histograms, params.cell_px, (gray.shape[0], gray.shape[1])),
            dense=True,
        )

    return detect_within(image, params, detect, smallest_px=params.cell_px)


def _strokes(histograms: Float, cell_px: int, size_hw: tuple[int, int]) -> Float:
    """Draw each cell's histogram as a star of strokes; one star per angle is drawn once and reused for all cells."""
    rows, columns, bins = histograms.shape
    canvas = np.zeros(size_hw, np.float32)
    grid = canvas[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px)
    half, shift = (cell_px - 1) / 2, 4
    for number in range(bins):
        angle = math.radians((number + 0.5) * 180 / bins + 90)
        dx, dy = half * 0.95 * math.cos(angle), half * 0.95 * math.sin(angle)
        stamp = np.zeros((cell_px, cell_px), np.uint8)
        ends = [tuple(round(v * 2**shift) for v in (half + s * dx, half + s * dy)) for s in (-1, 1)]
        cv2.line(stamp, ends[0], ends[1], 255, max(1, cell_px // 12), cv2.LINE_AA, shift)
        star = stamp.astype(np.float32) / 255
        np.maximum(grid, star[None, :, None, :] * histograms[:, None, :, None, number], out=grid)
    return canvas
