"""Decode HEIC with pi-heif: libheif and libde265, for decoding only, under the LGPL."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

import pipekit
from pipekit import ImageError

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif")
"""Types of files, in bytes 8 to 12. AVIF has its own (``avif``), and Pillow decodes it."""


@pipekit.depends_on("pi-heif")
class Heif:
    """HEIC and HEIF files by libheif."""

    @staticmethod
    def suffixes() -> Iterable[str]:
        """The suffixes, in lower case, by which importers recognise the files."""
        return (".heic", ".heif", ".hif")

    @staticmethod
    def reads(data: bytes) -> bool:
        """Whether a file is of this format, by its first bytes."""
        return data[4:8] == b"ftyp" and data[8:12] in BRANDS and b"avif" not in data[16 : int.from_bytes(data[:4]) & 0xFF]

    @staticmethod
    def decode(data: bytes) -> NDArray[np.uint8]:
        """The first image of a file, as a viewer displays it: ``(H, W, 3) uint8`` RGB, 10 and 12 bits scaled to 8.

        libheif applies the rotation that the file states, so the EXIF orientation, which repeats it, is ignored. Transparent
        pixels are composited on white.

        Raises:
            ImageError: the file is damaged, or larger than libheif's limits.
        """
        import pi_heif

        try:
            image = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
            pixels = np.asarray(image)
        except Exception as error:
            raise ImageError(f"damaged HEIC: {' '.join(str(error).split())[:80]}") from error
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.shape[2] in (2, 4):
            pixels = _on_white(pixels)
        return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))  # a copy: libheif frees its memory


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = pixels[..., -1:].astype(np.uint16)
    return ((pixels[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
