"""Masks: images whose values are class numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import ImageError
from pipekit.images.codec import open_with_pillow, read_bytes, short_reason
from pipekit.images.pixels import turn
from pipekit.images.warping import Image

IGNORE = 255
"""The value that usually says: this pixel counts for no class."""

MAX_COLOURS = 8
"""Maximum number of colours that an error lists."""


def read_mask(path: str | os.PathLike[str], colours: Sequence[str] = ()) -> Image:
    """A mask as stored: ``(H, W) uint8`` of class numbers (a palette's colours are ignored).

    Args:
        colours: of a colour-coded mask, in the order of the class numbers: ``#000000``, ``#800000``.

    Raises:
        ImageError: it is colour-coded and has other colours, is transparent, or has class numbers above 255.
    """
    with open_with_pillow(read_bytes(path)) as picture:
        try:
            if picture.mode == "1":
                return np.asarray(picture.convert("L")) // 255
            mask = _numbers(np.asarray(picture.convert("RGB")), colours) if colours else np.asarray(picture)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"damaged mask: {short_reason(error)}") from error
        orientation = int(picture.getexif().get(0x0112, 1))
    if mask.ndim == 3 and mask.shape[2] == 2 and (mask[..., 1] == 255).all():
        mask = mask[..., 0]
    if mask.ndim == 3 and mask.shape[2] >= 3 and (mask[..., :1] == mask[..., 1:3]).all():
        mask = mask[..., 0]
    if mask.ndim == 3 and mask.shape[2] >= 3 and len(np.unique(_packed(mask))) <= 256:
        raise ImageError(
            f"a colour-coded mask with {_listed(mask[..., :3])}; state them in the order of the class numbers: colours = "
            '["#000000", …]'
        )
    if mask.ndim != 2:
        raise ImageError(f"a mask has one channel, this one has {mask.shape[2]}")
    if mask.size and mask.max() > 255:
        raise ImageError("a mask's class numbers must not exceed 255")
    return turn(mask.astype(np.uint8)[..., np.newaxis], orientation)[..., 0]


def fill_of(mask: Image | None) -> int:
    """The class number for areas that a mask gains: 255 ("ignore") if it has 255 besides classes, else 0.

    A mask of 0 and 255 alone has two classes, and 255 is one of them.

    >>> [fill_of(np.array([values], np.uint8)) for values in ([0, 1, 255], [0, 255], [0, 1])]
    [255, 0, 0]
    """
    if mask is None or not (mask == IGNORE).any():
        return 0
    return IGNORE if ((mask > 0) & (mask < IGNORE)).any() else 0


def parse_colour(text: str) -> int:
    """``#800000`` as a number. Raises ValueError."""
    if len(text) != 7 or not text.startswith("#"):
        raise ValueError(f"{text!r} is no colour; expected six hexadecimal digits: #800000")
    return int(text[1:], 16)


def _packed(rgb: Image) -> NDArray[np.uint32]:
    wide = rgb.astype(np.uint32)
    return ((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]).astype(np.uint32)


def _numbers(rgb: Image, colours: Sequence[str]) -> Image:
    """The class numbers of a colour-coded mask: positions in ``colours``."""
    packed = _packed(rgb)
    numbers = np.full(packed.shape, -1, np.int16)
    for number, colour in enumerate(colours):
        numbers[packed == parse_colour(colour)] = number
    if (numbers < 0).any():
        raise ImageError(f"the mask has {_listed(rgb[numbers < 0][np.newaxis])}, which colours does not name")
    return numbers.astype(np.uint8)


def _listed(rgb: Image) -> str:
    """``3 colours: #000000, #008000, #800000``"""
    found = np.unique(_packed(rgb))
    shown = ", ".join(f"#{int(colour):06x}" for colour in found[:MAX_COLOURS])
    return f"{len(found):,} colour{'s' if len(found) > 1 else ''}: {shown}{' …' if len(found) > MAX_COLOURS else ''}"
