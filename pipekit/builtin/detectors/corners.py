"""Corners by the structure tensor: Harris, Shi and Tomasi.

C. Harris and M. Stephens, "A combined corner and edge detector", Alvey Vision Conference 1988.
J. Shi and C. Tomasi, "Good features to track", CVPR 1994.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.detector import Features, gray_only, peaks


class _CornerParams(DetectorParams):
    block_size_px: int = param(2, "Side of the window over which the gradients are summed", unit="px", ge=1, le=255)
    nms_radius_px: int = param(
        1, "Non-maximum suppression: a corner is the largest response within this", unit="px", ge=1, le=500
    )
    sub_pixel: bool = param(False, "Refine each corner to a fraction of a pixel by the gradients around it")
    sub_pixel_radius_px: int = param(5, "Half the side of the window for the refinement", unit="px", ge=1, le=50)


class HarrisParams(_CornerParams):
    aperture_px: Literal[1, 3, 5, 7] = param(3, "Size of the Sobel kernel", unit="px")
    k: float = param(0.04, "Weight of the squared trace: larger means fewer, sharper corners", ge=0, lt=0.25)
    threshold: float = param(0.01, "Smallest response, as a share of the largest one in the image", ge=0, lt=1)
    window: Literal["box", "gaussian"] = param("box", "How the gradients are summed: OpenCV's box, or scikit-image's Gaussian")
    sigma_px: float = param(1.0, "Standard deviation of the Gaussian window", unit="px", gt=0, le=100)


class ShiTomasiParams(_CornerParams):
    block_size_px: int = param(3, "Side of the window over which the gradients are summed", unit="px", ge=1, le=255)
    aperture_px: Literal[1, 3, 5, 7] = param(3, "Size of the Sobel kernel", unit="px")
    quality_level: float = param(0.01, "Smallest response, as a share of the largest one in the image", ge=0, lt=1)


@gray_only
@depends_on("opencv-python-headless")
def harris(image: NDArray[np.uint8], params: HarrisParams) -> Features:
    """Corners where ``det(M) - k trace(M)^2`` is large, M being the structure tensor.

    With ``window = "box"`` the response is that of ``cv2.cornerHarris`` on grey values in 0..1; with ``"gaussian"`` that of
    ``skimage.feature.corner_harris(sigma=sigma_px)`` away from the border.
    """

    def detect(gray: Gray) -> Features:
        if params.window == "box":  # OpenCV brings uint8 to 0..1 by itself
            response = cv2.cornerHarris(gray, params.block_size_px, params.aperture_px, params.k)
        else:
            unit = gray.astype(np.float32) / np.float32(255)
            response = gaussian_harris(unit, params.sigma_px, params.aperture_px, params.k)
        return _corners(gray, np.asarray(response, np.float32), params.threshold, params)

    return detect_within(image, params, detect)


@gray_only
@depends_on("opencv-python-headless")
def shi_tomasi(image: NDArray[np.uint8], params: ShiTomasiParams) -> Features:
    """Corners where the smaller eigenvalue of the structure tensor is large, as in ``cv2.goodFeaturesToTrack``."""

    def detect(gray: Gray) -> Features:
        response = cv2.cornerMinEigenVal(gray, params.block_size_px, ksize=params.aperture_px)
        return _corners(gray, np.asarray(response, np.float32), params.quality_level, params)

    return detect_within(image, params, detect)


def gaussian_harris(unit: Float, sigma_px: float, aperture_px: int, k: float) -> Float:
    """The Harris response with gradients weighted by a Gaussian that is cut off at four standard deviations."""
    size = 2 * int(4 * sigma_px + 0.5) + 1
    dx = cv2.Sobel(unit, cv2.CV_32F, 1, 0, ksize=aperture_px)
    dy = cv2.Sobel(unit, cv2.CV_32F, 0, 1, ksize=aperture_px)
    xx, yy, xy = (cv2.GaussianBlur(product, (size, size), sigma_px) for product in (dx * dx, dy * dy, dx * dy))
    return np.asarray(xx * yy - xy * xy - np.float32(k) * (xx + yy) ** 2, np.float32)


def _corners(gray: Gray, response: Float, share: float, params: _CornerParams) -> Features:
    points = peaks(response, share * float(response.max()), params.nms_radius_px)[: params.max_points]
    if params.sub_pixel and len(points):
        points = _refined(gray, points, params.sub_pixel_radius_px)
    return Features(points, response_map=response)


def _refined(gray: Gray, points: Float, radius_px: int) -> Float:
    """Each corner moved to where the gradients around it are at right angles to the way there; a far jump is undone."""
    height, width = gray.shape
    radius_px = min(radius_px, (min(height, width) - 5) // 2)
    if radius_px < 1:
        return points
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 0.001)
    start = np.ascontiguousarray(points[:, None, :2])
    moved = cv2.cornerSubPix(gray, start.copy(), (radius_px, radius_px), (-1, -1), stop)[:, 0]
    moved = np.clip(moved, 0, (width - 1, height - 1)).astype(np.float32)
    kept = np.abs(moved - points[:, :2]).max(axis=1) <= radius_px
    return np.column_stack([np.where(kept[:, None], moved, points[:, :2]), points[:, 2]]).astype(np.float32)
