"""Decode HEIC with pi-heif: libheif and libde265, for decoding only, under the LGPL."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

import pipekit

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
        """The first image of a file, as a viewer displays it: ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4) uint8``, 10 and 12 bits
        scaled to 8.

        libheif applies the rotation that the file states, so the EXIF orientation, which repeats it, is ignored.

        Raises:
            Exception: the file is damaged, or larger than libheif's limits.
        """
        import pi_heif

        return np.array(pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True))  # a copy: libheif frees its memory
