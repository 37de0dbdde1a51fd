"""Shared by all decoders: an image file's properties, the limit on its size, EXIF orientation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


_raised = threading.local()


@contextmanager
def raised_limit(max_pixels: int) -> Iterator[None]:
    """Decode images of up to ``max_pixels`` in this thread: for a stage that was asked to read large ones."""
    import PIL.Image

    PIL.Image.MAX_IMAGE_PIXELS = None  # every image that is opened here comes by :func:`limit`, which knows the raised one
    before = getattr(_raised, "pixels", None)
    _raised.pixels = max_pixels
    try:
        yield
    finally:
        _raised.pixels = before


def limit(width: int, height: int) -> None:
    """Refuse an image that is too large.

    Raises:
        ImageError: with a way to read it nevertheless.
    """
    most = getattr(_raised, "pixels", None) or MAX_PIXELS
    if width * height > most:
        raise ImageError(too_large(most))


def too_large(most: int = MAX_PIXELS) -> str:
    """What is said of an image with more pixels than that."""
    if most > MAX_PIXELS:
        return f"more than {most // 1_000_000} megapixels, the limit of tile (max_megapixels)"
    return f'more than {most // 1_000_000} megapixels; import it with verify = "none" and cut it with the stage tile'
