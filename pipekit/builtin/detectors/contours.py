"""Contours: the outlines of regions that are brighter or darker than their surroundings.

S. Suzuki and K. Abe, "Topological structural analysis of digitized binary images by border following", Computer Vision,
Graphics and Image Processing 30(1), 1985.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only


class ContoursParams(DetectorParams):
    method: Literal["otsu", "canny"] = param("otsu", "Trace the regions that Otsu's threshold separates, or Canny's edges")
    blur_sigma_px: float = param(1.0, "Standard deviation of the Gaussian blur before it; 0 for none", unit="px", ge=0, le=100)
    low: int = param(50, "Canny's lower threshold: gradients above it continue an edge", ge=0, le=10_000)
    high: int = param(150, "Canny's upper threshold: gradients above it start an edge", ge=0, le=10_000)
    min_length_px: float = param(20.0, "Drop shorter outlines", unit="px", ge=0)


@gray_only
@depends_on("opencv-python-headless")
def contours(image: NDArray[np.uint8], params: ContoursParams) -> Features:
    """One feature per outline: its centre, its length in pixels as the response, the diameter of a disc of equal area."""

    def detect(gray: Gray) -> Features:
        smooth = cv2.GaussianBlur(gray, (0, 0), params.blur_sigma_px) if params.blur_sigma_px else gray
        if params.method == "otsu":
            _, binary = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        else:
            binary = cv2.Canny(smooth, params.low, params.high)
        shapes, _ = cv2.findContours(np.asarray(binary, np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        outlines = [np.asarray(shape, np.float32).reshape(-1, 2) for shape in shapes]
        return _as_features([outline for outline in outlines if cv2.arcLength(outline, True) >= params.min_length_px])

    return detect_within(image, params, detect)


def _as_features(outlines: list[Float]) -> Features:
    rows = np.array(
        [(*outline.mean(axis=0), cv2.arcLength(outline, True), cv2.contourArea(outline)) for outline in outlines], np.float32
    ).reshape(-1, 4)
    return Features(
        np.ascontiguousarray(rows[:, :3]),
        scale_px=(2 * np.sqrt(rows[:, 3] / np.pi)).astype(np.float32),
        outlines=tuple(outlines),
    )
