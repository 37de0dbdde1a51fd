"""Say in words how a copy of a picture differs from it: mirrored, cropped, turned, brighter, with a cast, a border, a mark."""

from __future__ import annotations

from collections.abc import Iterator
from math import atan2, degrees, exp, log, sqrt
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.images.landmarks import Alignment, Landmarks, flipped, laid_upon

Matrix: TypeAlias = NDArray[np.float64]

LEAST_TURN_DEG = 2.0
LEAST_CROP = 0.93
"""Shares of the frame: a larger common part is not called a crop."""

LEAST_FACTOR = 1.1
PLAIN = 12.0
"""Largest standard deviation of a border, in levels."""

_DARKEST, _BRIGHTEST = 24, 232
"""Levels between which brightness is compared: beyond them, values may be cut off."""


def in_words(first: Landmarks, second: Landmarks, found: Alignment) -> str:
    """How the second picture differs from the first, as a phrase: "mirrored, brighter by a factor of 1.3"."""
    second = flipped(second) if found.mirrored else second
    words = [*_moved(first, second, found.matrix), *_coloured(first, second, found)]
    words = ["mirrored", *words] if found.mirrored else words
    return ", ".join(words) if words else "resized or saved again"


def _moved(first: Landmarks, second: Landmarks, matrix: Matrix) -> Iterator[str]:
    angle = degrees(atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))
    turned = abs(angle) >= LEAST_TURN_DEG
    if turned:
        yield f"turned by about {abs(angle):.0f} degrees"
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    of_first, of_second = _covered(first, second, matrix), _covered(second, first, inverse)
    least = min(of_first, of_second)
    share = f"{5 * round(20 * sqrt(least)):.0f} % of the width and height"
    if max(of_first, of_second) >= 0.97 and least < LEAST_CROP:
        if of_second < of_first:
            yield "with a border" if _has_border(first, second, inverse) else f"the first is cropped to about {share}"
        else:
            yield "without the border of the first" if _has_border(second, first, matrix) else f"cropped to about {share}"
    elif least < (0.75 if turned else LEAST_CROP):
        yield f"another view: about {5 * round(20 * least):.0f} % of the area is common"
    elif not turned and least < 0.985:
        yield "a slightly shifted view"


def _covered(first: Landmarks, second: Landmarks, matrix: Matrix) -> float:
    """The share of the first picture that the second one covers."""
    height, width = first.size_hw
    there = cv2.warpAffine(np.ones(second.size_hw, np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return float(there.mean())


def _has_border(inner: Landmarks, outer: Landmarks, matrix: Matrix) -> bool:
    """Whether what the outer picture has around the inner one is plain.

    Args:
        matrix: from the inner to the outer one.
    """
    _, inside = laid_upon(outer, inner, matrix)
    outside = outer.view[cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0]
    return len(outside) > 50 and float(outside.reshape(len(outside), -1).std(0).mean()) < PLAIN


def _coloured(first: Landmarks, second: Landmarks, found: Alignment) -> Iterator[str]:
    other, both = laid_upon(first, second, found.matrix)
    both = cv2.erode(both.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0  # without the seam
    before, after = (cv2.GaussianBlur(view, (0, 0), 1.5)[both].astype(np.float64) for view in (first.view, other))
    between = ((before > _DARKEST) & (before < _BRIGHTEST) & (after > _DARKEST) & (after < _BRIGHTEST)).all(1)
    if between.sum() < 50:
        return
    gains = np.median(after[between] / before[between], axis=0)
    gain = exp(float(np.log(gains).mean()))
    was, now = (float(_saturation(values[between])) for values in (before, after))
    if now < 0.02 < 0.05 < was:
        yield "in grey"
    elif was < 0.02 < 0.05 < now:
        yield "in colour, the other in grey"
    elif gains.max() / gains.min() > LEAST_FACTOR:
        names = ("red", "green", "blue")
        yield f"with a colour cast (more {names[int(gains.argmax())]}, less {names[int(gains.argmin())]})"
    if abs(log(gain)) > log(LEAST_FACTOR):
        yield f"{'brighter' if gain > 1 else 'darker'} by a factor of {max(gain, 1 / gain):.1f}"
    gone = np.abs(before * gains - after).max(1) > 60
    saturated = (before * gains > 250).any(1)
    share = float((gone & ~saturated).mean())
    if 0.004 < share < 0.3 and found.agreement < 0.99:
        yield "partly covered, by a watermark or a text"


def _saturation(values: NDArray[Any]) -> float:
    """The mean difference of the largest and the smallest channel, 0..1."""
    return float((values.max(1) - values.min(1)).mean() / 255)
