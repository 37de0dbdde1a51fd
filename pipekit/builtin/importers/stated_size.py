"""Whether annotations belong to the pixels of their image: the size that they state against that of the file.

An annotation file that states an image's size was made on an image of that size. If the file has its sides swapped by an EXIF
orientation, the annotations were drawn on the stored pixels, and are turned like them; if it has another size of the same
shape, they are scaled. Anything else can't be known, and the image is listed as failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.contract import Adjusted
from pipekit.errors import ImageError

TURNED = "turned: they were drawn on the stored pixels, which an EXIF orientation turns for display"
SCALED = "scaled: the size that they state has the shape of the image and is another one"
UNSURE = "taken as drawn on the displayed image: its EXIF orientation leaves the size as it is, so the size does not tell"
UNSTATED = (
    "taken as drawn on the displayed image: no size is stated, and an EXIF orientation turns the stored pixels. If boxes miss "
    "their objects, remove the orientation from these files"
)

ROUNDING_PX = 1.0
"""Sides that differ by less than this from those of one shape are rounded."""

SWAPPING = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True)
class Frame:
    """How to bring coordinates of an annotation file onto the displayed image.

    Attributes:
        size_hw: of the displayed image, in pixels.
        drawn_hw: of what the annotations were drawn on; run lengths have this size.
        orientation: the EXIF orientation to apply to them; 1 for none.
    """

    size_hw: tuple[int, int]
    drawn_hw: tuple[int, int]
    orientation: int = 1

    @property
    def is_plain(self) -> bool:
        return self.orientation == 1 and self.size_hw == self.drawn_hw

    def points(self, values: Sequence[float]) -> list[float]:
        """Corners of polygons, x, y, x, y …, counted from the upper left corner of the first pixel."""
        if self.is_plain:
            return list(values)
        height, width = self.drawn_hw
        turned_hw = (width, height) if self.orientation in SWAPPING else (height, width)
        across, down = self.size_hw[1] / turned_hw[1], self.size_hw[0] / turned_hw[0]
        found = []
        for x, y in zip(values[::2], values[1::2], strict=True):
            x, y = _turned(x, y, width, height, self.orientation)
            found += [x * across, y * down]
        return found

    def box(self, edges: Sequence[float]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edges."""
        if self.is_plain:
            left, top, right, bottom = edges
            return left, top, right, bottom
        x1, y1, x2, y2 = self.points(edges)
        return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)) if self.orientation != 1 else (x1, y1, x2, y2)

    def keypoint(self, x: float, y: float) -> tuple[float, float]:
        """A point whose whole numbers are centres of pixels."""
        if self.is_plain:
            return x, y
        x, y = self.points([x + 0.5, y + 0.5])
        return x - 0.5, y - 0.5

    def mask(self, mask: Any) -> Any:
        """``(H, W) uint8`` of the size that was drawn on, as one of the displayed size."""
        if self.is_plain:
            return mask
        import cv2
        import numpy as np

        from pipekit.images.pixels import turn

        turned = turn(mask[..., None], self.orientation)[..., 0]
        height, width = self.size_hw
        return cv2.resize(np.ascontiguousarray(turned), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _turned(x: float, y: float, width: int, height: int, orientation: int) -> tuple[float, float]:
    """A point of the stored pixels where it is displayed, by the EXIF orientation."""
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[orientation]


def frame_of(path: Path, stated_hw: tuple[float, float] | None, identity: str) -> tuple[Frame, Adjusted | None]:
    """The frame of an image's annotations, and what is to be said of it.

    Args:
        stated_hw: the height and width that the annotation file states; None, or zeros, where it states none.

    Raises:
        ImageError: the image can't be read, or the annotations belong to other pixels.
    """
    from pipekit import images

    info = images.probe(images.read_bytes(path))
    size_hw = info.height_px, info.width_px
    if stated_hw is None or min(stated_hw) <= 0:
        return Frame(size_hw, size_hw), Adjusted(identity, UNSTATED) if info.orientation != 1 else None
    if not all(map(math.isfinite, stated_hw)):
        raise ImageError(f"its annotations are for {stated_hw[1]:g} x {stated_hw[0]:g} px, which is no size")
    stated = round(stated_hw[0]), round(stated_hw[1])
    if stated == size_hw:
        unsure = info.orientation in (2, 3, 4) or (info.orientation in SWAPPING and size_hw[0] == size_hw[1])
        return Frame(size_hw, size_hw), Adjusted(identity, UNSURE) if unsure else None
    swapped = info.orientation in SWAPPING
    if swapped and has_shape(stated, size_hw[::-1]):
        return Frame(size_hw, stated, info.orientation), Adjusted(identity, TURNED)
    if has_shape(stated, size_hw):
        return Frame(size_hw, stated), Adjusted(identity, SCALED)
    raise ImageError(f"its annotations are for {stated[1]} x {stated[0]} px, and the image has {size_hw[1]} x {size_hw[0]} px")


def has_shape(one_hw: tuple[int, int], other_hw: tuple[int, int]) -> bool:
    """Whether one size is the other one at another scale, up to the rounding of a side."""
    (one_h, one_w), (other_h, other_w) = one_hw, other_hw
    return abs(one_w * other_h - other_w * one_h) <= ROUNDING_PX * max(min(one_h, other_h), min(one_w, other_w))
