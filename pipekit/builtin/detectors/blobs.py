"""Blobs: extrema of the scale-normalised Laplacian of Gaussian.

T. Lindeberg, "Feature detection with automatic scale selection", International Journal of Computer Vision 30(2), 1998.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only


class BlobParams(DetectorParams):
    max_megapixels: float = param(
        4.0, "Larger images are reduced to this size for detection; points stay in pixels of the full image", unit="MP", gt=0
    )
    min_sigma_px: float = param(2.0, "Smallest blob; its radius is 1.41 times this", unit="px", ge=0.5, le=500)
    max_sigma_px: float = param(20.0, "Largest blob; its radius is 1.41 times this", unit="px", ge=0.5, le=500)
    num_sigma: int = param(8, "Number of sizes between the two, evenly spaced on a logarithmic scale", ge=1, le=50)
    threshold: float = param(0.1, "Smallest response; a full black and white disc has about 0.5", ge=0, le=1)
    overlap: float = param(
        0.5, "Largest overlap of two blobs, as a fraction of the smaller one; with more, the weaker one is dropped", ge=0, le=1
    )
    polarity: Literal["both", "bright", "dark"] = param("both", "Detect bright blobs, dark ones, or both")

    @model_validator(mode="after")
    def _order(self) -> BlobParams:
        if self.min_sigma_px > self.max_sigma_px:
            raise ValueError(f"min_sigma_px ({self.min_sigma_px:g}) must not exceed max_sigma_px ({self.max_sigma_px:g})")
        return self


@gray_only
@depends_on("opencv-python-headless")
def blobs(image: NDArray[np.uint8], params: BlobParams) -> Features:
    """Discs that are brighter or darker than their surroundings; ``scale_px`` is the diameter.

    The response is ``sigma^2 |Laplacian of Gaussian|`` of grey values in 0..1, as in ``skimage.feature.blob_log``.
    """

    def detect(gray: Gray) -> Features:
        unit = gray.astype(np.float32) / np.float32(255)
        sigmas = np.geomspace(params.min_sigma_px, params.max_sigma_px, params.num_sigma)
        if params.num_sigma == 1:
            sigmas = sigmas[:1]
        stack = np.stack([laplacian_of_gaussian(unit, float(sigma), params.polarity) for sigma in sigmas])
        found = _extrema(stack, sigmas, params.threshold)
        kept = _without_overlap(found, params.overlap, params.max_points)
        points, diameters = found[kept, :3], 2 * math.sqrt(2) * found[kept, 3]
        return Features(points, scale_px=diameters.astype(np.float32), response_map=stack.max(axis=0))

    return detect_within(image, params, detect)


def laplacian_of_gaussian(unit: Float, sigma_px: float, polarity: str = "both") -> Float:
    """``sigma^2`` times the Laplacian of Gaussian: its absolute value, or only its bright (negative) or dark side."""
    size = 2 * int(4 * sigma_px + 0.5) + 1
    smooth = cv2.GaussianBlur(unit, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT)
    laplacian = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REFLECT) * np.float32(sigma_px**2)
    signed = {"both": np.abs(laplacian), "bright": -laplacian, "dark": laplacian}[polarity]
    return np.asarray(signed, np.float32)


def _extrema(stack: Float, sigmas: NDArray[np.float64], threshold: float) -> Float:
    """``(N, 4)`` x, y, response, sigma of the maxima over space and scale, strongest first."""
    neighbours = np.stack([np.asarray(cv2.dilate(layer, np.ones((3, 3), np.uint8)), np.float32) for layer in stack])
    around = neighbours.copy()
    around[1:] = np.maximum(around[1:], neighbours[:-1])
    around[:-1] = np.maximum(around[:-1], neighbours[1:])
    layers, ys, xs = np.nonzero((stack >= around) & (stack > threshold))
    found = np.column_stack([xs, ys, stack[layers, ys, xs], sigmas[layers]]).astype(np.float32)
    return found[np.lexsort((xs, ys, -found[:, 2]))]


def _without_overlap(found: Float, overlap: float, at_most: int) -> NDArray[np.intp]:
    """Indices, strongest first, of blobs that share at most this fraction of their area with a stronger one."""
    kept: list[int] = []
    xy, radii = found[:, :2].astype(np.float64), found[:, 3].astype(np.float64) * math.sqrt(2)
    for number in range(len(found)):
        if kept:
            distance = np.hypot(*(xy[kept] - xy[number]).T)
            if (_shared_area(distance, radii[kept], float(radii[number])) > overlap).any():
                continue
        kept.append(number)
        if len(kept) == at_most:
            break
    return np.array(kept, np.intp)


def _shared_area(distance: NDArray[np.float64], first: NDArray[np.float64], second: float) -> NDArray[np.float64]:
    """The intersection of two discs, as a fraction of the smaller one's area."""
    small = np.minimum(first, second)
    inside = distance <= np.abs(first - second)
    apart = distance >= first + second
    d = np.where(inside | apart, first + second, distance)  # any distance for which the formula is defined
    a = first**2 * np.arccos(np.clip((d**2 + first**2 - second**2) / (2 * d * first), -1, 1))
    b = second**2 * np.arccos(np.clip((d**2 + second**2 - first**2) / (2 * d * second), -1, 1))
    c = 0.5 * np.sqrt(
        np.clip((-d + first + second) * (d + second - first) * (d - second + first) * (d + first + second), 0, None)
    )
    return np.where(apart, 0.0, np.where(inside, 1.0, (a + b - c) / (np.pi * small**2)))
