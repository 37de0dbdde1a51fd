"""Small PNG files of the plainest kind, read without Pillow: it takes longer to open them than to decode them.

Plain is a file of 8-bit grey or RGB samples, not interlaced, whose chunks are whole and change nothing but these samples. Every
other file, a damaged one included, is left to Pillow: what is found wrong, and how pixels come about, stays in one place.
"""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from pipekit.images.pixels import ImageInfo
from pipekit.images.warping import Image

SMALL_PNG_BYTES = 1 << 18
"""Maximum size of the samples of files that are read here. Of larger ones, decompressing takes longer than all else."""

_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_CHUNK = struct.Struct(">I4s")
_NUMBER = struct.Struct(">I")
_HEADER = struct.Struct(">II5B")
_MODES = {0: ("L", 1), 2: ("RGB", 3)}
_HARMLESS = {b"pHYs", b"tIME"}


def plain_png(data: bytes) -> ImageInfo | None:
    """The properties of a small, plain PNG whose checksums are right; None for every other file."""
    global _last
    known = _last
    if known is not None and known[0] is data:
        return known[1]
    found = _examined(data)
    if found is not None:
        _last = data, found
    return found


_last: tuple[bytes, ImageInfo] | None = None
"""The last plain file: its header is asked for, then its pixels."""


def _examined(data: bytes) -> ImageInfo | None:
    if not data.startswith(_BEGIN) or len(data) < 57:  # the smallest has three chunks
        return None
    width, height, depth, colour, method, filtering, interlaced = _HEADER.unpack_from(data, 16)
    mode, channels = _MODES.get(colour, ("", 0))
    if depth != 8 or not mode or method or filtering or interlaced or not width or not height:
        return None
    size_bytes = height * (width * channels + 1)
    if size_bytes > SMALL_PNG_BYTES:
        return None
    pieces = _pieces(data)
    if pieces is None:
        return None
    stream = zlib.decompressobj()
    try:  # with a limit: a few kilobytes may claim gigabytes
        samples = stream.decompress(pieces[0] if len(pieces) == 1 else b"".join(pieces), size_bytes + 1)
    except zlib.error:
        return None
    is_whole = stream.eof and not stream.unused_data and len(samples) == size_bytes
    return ImageInfo(width, height, "PNG", mode, 1) if is_whole else None


def _pieces(data: bytes) -> list[bytes] | None:
    """The compressed samples; None if the file has another chunk that means something, or a damaged one."""
    pieces, place, end = [], 8, len(data)
    while place + 12 <= end:
        length, kind = _CHUNK.unpack_from(data, place)
        after = place + 12 + length
        if after > end or zlib.crc32(data[place + 4 : after - 4]) != _NUMBER.unpack_from(data, after - 4)[0]:
            return None
        if kind == b"IDAT":
            pieces.append(data[place + 8 : after - 4])
        elif kind == b"IEND":
            return pieces if pieces and not length and after == end else None
        elif kind not in _HARMLESS and (kind != b"IHDR" or place != 8):
            return None
        place = after
    return None


def decode_plain_png(data: bytes) -> Image | None:
    """``(H, W, 3) uint8`` RGB of a small, plain PNG; None for every other file."""
    info = plain_png(data)
    if info is None:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape != (info.height_px, info.width_px, 3) or pixels.dtype != np.uint8:
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
