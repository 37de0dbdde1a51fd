"""How a grey picture looks, in numbers: brightness, contrast, sharpness, a grey lower end."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray


def reduced(gray: NDArray[np.uint8], side_px: int) -> tuple[NDArray[np.uint8], float]:
    """A picture brought to a shorter side of ``side_px``, never enlarged; and how much that blurred it (a variance, in px2).

    First the mean of whole blocks of pixels; what is left is a factor below 2. For that a linear interpolation takes a seventh
    of the time of OpenCV's means over parts of pixels.
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
"""The variance of linear interpolation as a blur, over all places between two pixels: the mean of p * (1 - p)."""

_BLUR_PX2 = 0.25
"""The variance to which every picture is blurred before its sharpness is measured; a mean over 1.7 pixels has as much."""

_LEVELS = np.arange(256, dtype=np.float64)


def measures(gray: NDArray[np.uint8], blurred_px2: float) -> dict[str, float]:
    """The measures of one grey picture that are numbers; :func:`measure.measure` says what they are.

    Args:
        gray, blurred_px2: ``(H, W) uint8`` and what was done to it, from :func:`reduced`.
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
    }


def _sharpness(gray: NDArray[np.uint8], blurred_px2: float) -> float:
    """The energy of what a blur of 1 px takes away, over that of what a blur of 2 px takes away then.

    Before that the picture is blurred as far as any other: by reducing it and by a filter together, the same share of a pixel.
    So the sharpness of large and small pictures can be compared. The second blur looks at every other pixel of every other
    row: after the first there is nothing finer.
    """
    beside = (_BLUR_PX2 - blurred_px2) / 2
    kernel = np.array([beside, 1 - 2 * beside, beside], np.float32)
    pixels = cv2.sepFilter2D(gray, cv2.CV_32F, kernel, kernel)
    fine = cv2.GaussianBlur(pixels, (5, 5), 1)
    finest = cv2.norm(pixels, fine, cv2.NORM_L2SQR) / gray.size
    sparse = np.ascontiguousarray(fine[::2, ::2])
    coarse = cv2.GaussianBlur(sparse, (5, 5), 0.866)  # of half the pixels; together a blur of 2 px
    next_octave = cv2.norm(sparse, coarse, cv2.NORM_L2SQR) / sparse.size
    return round(finest / (next_octave + 0.01), 5)


def _cut_off(gray: NDArray[np.uint8]) -> float:
    """The share of rows at the lower end that are plain medium grey, which is what a decoder puts where data is missing (the
    middle of each channel); 0 where the rest of the picture is plain too."""
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
