"""Shared by all decoders: an image file's properties, the limit on its size, EXIF orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipekit.errors import ImageError
from pipekit.images.warping import Image, SizeHw

MAX_PIXELS = 178_000_000
"""Larger images are refused: they are far more often a decompression bomb than a photograph (Pillow's own limit)."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The properties of an image file. Width and height have ``orientation`` (EXIF, 1 to 8) applied."""

    width_px: int
    height_px: int
    format: str
    mode: str
    orientation: int = 1
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image, possibly decoded at ``scale`` (1, 1/2, 1/4 or 1/8) of its ``full_size_hw``."""

    image: Image
    full_size_hw: SizeHw
    scale: float = 1.0


def turn(image: Image, orientation: int) -> Image:
    """Apply the EXIF orientation; EXIF 2.32 section 4.6.4 lists the eight cases."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def limit(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"more than {MAX_PIXELS // 1_000_000} megapixels")
