"""Replace the class numbers of a mask, where classes are merged, dropped or numbered otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from pipekit.images.codec import encode
from pipekit.images.masks import read_mask


def with_values(path: str | os.PathLike[str], values: Mapping[int, int]) -> bytes:
    """The mask in a file as PNG, with each class number replaced by ``values[number]``; numbers that are not in it stay.

    All numbers change at once, so that two may swap.

    Raises:
        ImageError: the mask can't be read, see :func:`pipekit.images.read_mask`.
    """
    table = np.arange(256, dtype=np.uint8)
    for old, new in values.items():
        table[old] = new
    return encode(table[read_mask(path)], "png")
