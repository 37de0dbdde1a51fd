"""Masks: images whose values are class numbers."""

from __future__ import annotations

import os

import numpy as np

from pipekit.errors import ImageError
from pipekit.images.codec import open_with_pillow, read_bytes, short_reason
from pipekit.images.pixels import turn
from pipekit.images.warping import Image


def read_mask(path: str | os.PathLike[str]) -> Image:
    """A mask as stored: ``(H, W) uint8`` of class numbers (a palette's colours are ignored).

    Raises:
        ImageError: it has several channels, or class numbers above 255.
    """
    with open_with_pillow(read_bytes(path)) as picture:
        try:
            if picture.mode == "1":
                return np.asarray(picture.convert("L")) // 255
            mask = np.asarray(picture)
        except Exception as error:
            raise ImageError(f"damaged mask: {short_reason(error)}") from error
        orientation = int(picture.getexif().get(0x0112, 1))
    if mask.ndim == 3 and mask.shape[2] >= 3 and (mask[..., :1] == mask[..., 1:3]).all():
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ImageError(f"a mask has one channel, this one has {mask.shape[2]}")
    if mask.size and mask.max() > 255:
        raise ImageError("a mask's class numbers must not exceed 255")
    return turn(mask.astype(np.uint8)[..., np.newaxis], orientation)[..., 0]
