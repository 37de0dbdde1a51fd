"""A file of an image whose variants are made one after the other, each from as few pixels as it needs."""

from __future__ import annotations

import os

from pipekit import images
from pipekit.images.arrays import Image
from pipekit.images.choices import SizeHw


class Picture:
    """The image in a file, decoded when it is needed and only as large as needed; kept at each scale for the next variants.

    Raises:
        ImageError: the file can't be read, or is not an image.
    """

    def __init__(self, data: bytes | str | os.PathLike[str]) -> None:
        self._data = data if isinstance(data, bytes) else images.read_bytes(data)
        info = images.probe(self._data)
        self.size_hw: SizeHw = (info.height_px, info.width_px)
        self._decoded: dict[float, images.Decoded] = {}

    def at_least(self, size_hw: SizeHw) -> tuple[Image, float]:
        """Pixels of at least ``size_hw``, and their scale; independent of earlier requests."""
        scale = images.reduced_scale(self._data, self.size_hw, size_hw)
        if scale not in self._decoded:
            self._decoded[scale] = images.decode_reduced(self._data, size_hw)
        return self._decoded[scale].image, self._decoded[scale].scale
