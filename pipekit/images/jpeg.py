"""JPEG with libjpeg-turbo (simplejpeg): headers, EXIF orientation, decoding at 1/2, 1/4 or 1/8 of the size."""

from __future__ import annotations

import struct
from typing import NoReturn

import cv2
import numpy as np
import simplejpeg

from pipekit.errors import ImageError
from pipekit.images.pixels import Decoded, limit, turn
from pipekit.images.warping import Image, SizeHw

_REDUCED_MIN_PX = 64


# libjpeg-turbo has vector code for 1/2, 1/4 and 1/8; 5/8 to 7/8 take 1.3 to 1.9 times as long as the full image.
_JPEG_EIGHTHS = (1, 2, 4)


def jpeg_header(data: bytes) -> tuple[int, int, str, str]:
    try:
        height, width, colorspace, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:  # KeyError: a header without the frame that names the colour space
        _refuse_jpeg(error, data)
    return int(height), int(width), str(colorspace), str(subsampling)


def decode_jpeg(data: bytes, at_least_hw: SizeHw | None, gray: bool) -> Decoded | None:
    """None for colour spaces that Pillow handles better: CMYK and other rare ones."""
    height, width, colorspace, _ = jpeg_header(data)
    if colorspace not in ("YCbCr", "Gray", "RGB"):
        return None
    limit(width, height)
    orientation = jpeg_orientation(data)
    turned = orientation > 4
    eighths = 8 if at_least_hw is None else _eighths((height, width), at_least_hw[::-1] if turned else at_least_hw)
    size = {"min_height": -(-height * eighths // 8), "min_width": -(-width * eighths // 8)} if eighths < 8 else {}
    output = "GRAY" if gray and colorspace != "RGB" else "RGB"
    image = _decode_whole(data, output, size)
    if gray and output == "RGB":
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[..., np.newaxis]
    full = (width, height) if turned else (height, width)
    return Decoded(turn(image, orientation), full, eighths / 8)


def _decode_whole(data: bytes, output: str, size: dict[str, int]) -> Image:
    """Decode a JPEG completely. Stray bytes between two segments, common in files from old cameras, are skipped."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, output, **size), np.uint8)
    except ValueError as error:
        if "extraneous bytes" not in str(error) and "APP14" not in str(error):
            _refuse_jpeg(error, data)
        if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):  # no end after the last scan
            raise ImageError("truncated JPEG") from error
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, output, strict=False, **size), np.uint8)
    except ValueError as error:
        _refuse_jpeg(error, data)


def reduced_scale(data: bytes, size_hw: SizeHw, at_least_hw: SizeHw) -> float:
    """The scale at which :func:`decode_reduced` would decode an image of ``size_hw``, without decoding it.

    >>> import numpy as np
    >>> from pipekit import images
    >>> data = images.encode(np.zeros((480, 640, 3), np.uint8), "jpg")
    >>> images.reduced_scale(data, (480, 640), (100, 100))
    0.25
    """
    return _eighths(size_hw, at_least_hw) / 8 if data[:3] == b"\xff\xd8\xff" else 1.0


def _eighths(size_hw: SizeHw, at_least_hw: SizeHw) -> int:
    """The smallest scale, in eighths, that libjpeg decodes fast and that gives at least ``at_least_hw``."""
    (height, width), (wanted_h, wanted_w) = size_hw, at_least_hw
    if min(height, width) < _REDUCED_MIN_PX:
        return 8
    return next((n for n in _JPEG_EIGHTHS if height * n >= wanted_h * 8 and width * n >= wanted_w * 8), 8)


def _refuse_jpeg(error: Exception, data: bytes) -> NoReturn:
    text = str(error).lower()
    if "premature end" in text or b"\xff\xda" not in data:
        raise ImageError("truncated JPEG") from error
    raise ImageError(f"damaged JPEG: {str(error).removeprefix('Corrupt JPEG data: ')}") from error


def jpeg_orientation(data: bytes) -> int:
    """The EXIF orientation; 1 if it is missing or damaged."""
    place = 2
    try:
        while data[place] == 0xFF:
            marker = data[place + 1]
            if marker == 0xDA:
                break
            length = struct.unpack_from(">H", data, place + 2)[0]
            if marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\x00\x00":
                return _tiff_orientation(data[place + 10 : place + 2 + length])
            place += 2 + length
    except (struct.error, IndexError):
        pass
    return 1


def _tiff_orientation(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    first = struct.unpack_from(f"{order}I", block, 4)[0]
    for entry in range(struct.unpack_from(f"{order}H", block, first)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", block, first + 2 + 12 * entry)
        if tag == 0x0112 and kind == 3:
            value = int(struct.unpack_from(f"{order}H", block, first + 10 + 12 * entry)[0])
            return value if 1 <= value <= 8 else 1
    return 1
