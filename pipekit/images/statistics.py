"""Statistics of a grey image: brightness, contrast, sharpness, plain grey rows at the lower end."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray


def reduced(gray: NDArray[np.uint8], side_px: int) -> tuple[NDArray[np.uint8], float]:
    """Reduce an image to a shorter side of ``side_px`` (never enlarge it); also return the blur of that (a variance, in px2).

    Whole blocks of pixels are averaged first; a factor below 2 remains. For this rest, linear interpolation takes a seventh of
    the time of OpenCV's area means.
    """
    height, width = gray.shape
    blocks = min(height, width) // side_px
    if blocks > 1:
        whole = gray[: height // blocks * blocks, : width // blocks * blocks]
        gray = np.asarray(cv2.resize(whole, (width // blocks, height // blocks), interpolation=cv2.INTER_AREA), np.uint8)
        height, width = gray.shape
    scale, blurred_px2 = min(height, width) / side_px, 0.0
    if scale > 1:
        size = max(1, 2 * round(width / scale / 2)), max(1, 2 * round(height / scale / 2))
        gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        blurred_px2 = _LINEAR_PX2 / (scale * scale)
    return np.ascontiguousarray(gray), blurred_px2


_LINEAR_PX2 = 1 / 6
"""The blur of linear interpolation as a variance: the mean of p * (1 - p) over all positions between two pixels."""

_BLUR_PX2 = 0.25
"""Every image is blurred to this variance before its sharpness is measured; a mean over 1.7 pixels has the same."""

_LEVELS = np.arange(256, dtype=np.float64)


def measures(gray: NDArray[np.uint8], blurred_px2: float) -> dict[str, float]:
    """The numeric measures of a grey image; :func:`pipekit.images.measuring.measure_image` explains them.

    Args:
        gray, blurred_px2: ``(H, W) uint8`` and its blur so far, from :func:`reduced`.
    """
    counts = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    upto = counts.cumsum()
    some = counts[counts > 0]
    mean = float(counts @ _LEVELS) / gray.size
    variance = float(counts @ (_LEVELS * _LEVELS)) / gray.size - mean * mean
    return {
        "dark_level": float(upto.searchsorted(0.01 * gray.size)),
        "bright_level": float(upto.searchsorted(0.99 * gray.size)),
        "contrast": round(math.sqrt(max(0.0, variance)), 3),
        "entropy_bits": round(math.log2(gray.size) - float(some @ np.log2(some)) / gray.size, 4) + 0.0,
        "sharpness": _sharpness(gray, blurred_px2),
        "cut_off": round(_cut_off(gray), 3),
        "border_level": float(_border_level(gray)),
    }


def _sharpness(gray: NDArray[np.uint8], blurred_px2: float) -> float:
    """The energy that a blur of 1 px removes, divided by the energy that a blur of 2 px removes next.

    The image is first blurred to the same variance as all others, by the reduction and a filter together, so that the
    sharpness of large and small images is comparable. The second blur reads every second pixel of every second row: after the
    first one, no finer detail is left.
    """
    beside = (_BLUR_PX2 - blurred_px2) / 2
    kernel = np.array([beside, 1 - 2 * beside, beside], np.float32)
    pixels = cv2.sepFilter2D(gray, cv2.CV_32F, kernel, kernel)
    fine = cv2.GaussianBlur(pixels, (5, 5), 1)
    finest = cv2.norm(pixels, fine, cv2.NORM_L2SQR) / gray.size
    sparse = np.ascontiguousarray(fine[::2, ::2])
    coarse = cv2.GaussianBlur(sparse, (5, 5), 0.866)  # on half the pixels; in total a blur of 2 px
    next_octave = cv2.norm(sparse, coarse, cv2.NORM_L2SQR) / sparse.size
    return round(finest / (next_octave + 0.01), 5)


BORDER_SPREAD = 16
"""Levels within which the outermost pixels of a plain border lie; the noise of a JPEG beside an edge is of this size."""


def _border_level(gray: NDArray[np.uint8]) -> int:
    """The level of a plain border, the outermost pixels on all sides; -1 if they are not plain."""
    ring = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    low, high = int(ring.min()), int(ring.max())
    return (low + high) // 2 if high - low <= BORDER_SPREAD else -1


def _cut_off(gray: NDArray[np.uint8]) -> float:
    """The share of rows at the lower end that are plain medium grey, the value that a decoder fills in for missing data (the
    middle of each channel); 0 if the rest of the image is plain too."""
    last = int(gray[-1, -1])
    if not 118 <= last <= 138:
        return 0.0
    if np.abs(gray[-1].astype(np.int16) - last).max() > 1:
        return 0.0
    plain = (np.abs(gray.astype(np.int16) - last) <= 1).all(axis=1)
    rest = np.flatnonzero(~plain)
    if not len(rest) or gray[: rest[-1] + 1].std() < 5:
        return 0.0
    return float(len(gray) - 1 - rest[-1]) / len(gray)
