"""Images of more than 8 bits: their samples as stored, and their range scaled to 0 to 255."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample, SampleContext
from pipekit.errors import ImageError
from pipekit.params import Params, param

NARROW = 16_384
"""A 16-bit image whose largest value is smaller holds fewer bits: 12 bits end at 4,095, 14 bits at 16,383."""

NEARLY_BLACK = 8192
"""Below this largest value, an eighth of the range, an image is nearly black."""

DEEP_SUFFIXES = (".png", ".tif", ".tiff")

_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 258, 262, 277, 338, 339
_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Photometric interpretation -> the channels that it needs: grey, RGB, palette, CMYK, YCbCr, CIELab."""


class RangeParams(Params):
    value_range: tuple[float, float] = param((0.0, 65535.0), "The values that become black and white")


def read_deep(data: bytes) -> NDArray[Any] | None:
    """The samples of a PNG or TIFF of more than 8 bits, as stored: ``(H, W)`` or ``(H, W, 3)`` RGB, with the EXIF orientation
    applied; None for any other file, and for one that can't be decoded.
    """
    from pipekit.images.codec import open_with_pillow
    from pipekit.images.pixels import turn
    from pipekit.images.quiet import essential_png, quiet_pillow

    is_png = data[:8] == b"\x89PNG\r\n\x1a\n"
    if (is_png and data[24:25] != b"\x10") or not (is_png or data[:4] in (b"II*\0", b"MM\0*")):
        return None
    try:
        with quiet_pillow(), open_with_pillow(data) as picture:
            orientation = int(picture.getexif().get(0x0112, 1))
            if not is_png and (picture.mode in ("F", "I") or picture.mode.startswith("I;16")):
                return turn(cast(Any, np.asarray(picture)), orientation)
            if not is_png and (picture.mode != "RGB" or tiff_tags(data).get(_BITS, (8,))[0] <= 8):
                return None
    except (ImageError, OSError, ValueError, SyntaxError):
        return None
    encoded = np.frombuffer(essential_png(data) if is_png else data, np.uint8)
    import cv2  # an import without such images needs none of its 22 MB

    found: Any = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype == np.uint8:
        return None
    if found.ndim == 3:
        found = cv2.cvtColor(found[..., :3], cv2.COLOR_BGR2RGB)
    return turn(cast(Any, found), orientation)


def scaled(samples: NDArray[Any], value_range: tuple[float, float]) -> NDArray[np.uint8]:
    """Scale a range of values to 0 to 255; what lies outside becomes 0 or 255.

    >>> scaled(np.array([[0, 2048, 4095, 9000]], np.uint16), (0, 4095)).tolist()
    [[0, 128, 255, 255]]
    """
    low, high = value_range
    if not np.isfinite(samples).all():
        raise ImageError("has samples that are no number (NaN or infinite)")
    share = np.clip((samples.astype(np.float64) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(share * 255), np.uint8)


def rescale(sample: Sample, params: RangeParams, ctx: SampleContext) -> Iterator[Sample]:
    """Write an image of more than 8 bits as an 8-bit PNG, in which ``value_range`` is black to white; any other stays."""
    from pipekit import images

    data = images.read_bytes(sample.image) if sample.image.lower().endswith(DEEP_SUFFIXES) else b""
    samples = read_deep(data)
    if samples is None:
        yield sample
        return
    path = ctx.write(f"{sample.id}.png", images.encode(scaled(samples, params.value_range), "png"))
    yield replace(sample, image=path, sha256="")


def why_not(data: bytes) -> str:
    """Why a TIFF can't be displayed without a choice: its channels, or its kind of number; "" if it can be."""
    tags = tiff_tags(data)
    bits, channels = tags.get(_BITS, (1,))[0], tags.get(_SAMPLES, (1,))[0]
    kind = _KINDS.get(tags.get(_FORMAT, (1,))[0], "unknown")
    if channels not in (1, 2, 3, 4):
        return f"a TIFF of {channels} channels of {bits} bits; expected 1, 3 or 4: convert it, choosing three of them"
    if bits > 32 or kind == "complex":
        return f"{kind} {bits}-bit samples can't be read: convert them to real numbers of at most 32 bits"
    if bits > 16 or kind != "unsigned":
        return f"{kind} {bits}-bit samples have no agreed range; state it in the import: value_range = [black, white]"
    return ""


def why_unopened(data: bytes) -> str:
    """Why Pillow does not open a TIFF whose tags can be read; "" if they don't tell."""
    tags = tiff_tags(data)
    bits, channels = tags.get(_BITS, (1,))[0], tags.get(_SAMPLES, (1,))[0]
    if not (reason := why_not(data)) and tags.get(_PHOTOMETRIC, (2,))[0] in (0, 1) and channels > 1:
        return f"a TIFF of {channels} channels of {bits} bits that are not said to be colours: convert it to RGB"
    return reason


def unread_channels(data: bytes) -> tuple[int, int]:
    """(channels of a TIFF, those of them that are read: colours and transparency); (0, 0) for any other file."""
    tags = tiff_tags(data)
    if _PHOTOMETRIC not in tags:
        return 0, 0
    channels, alpha = tags.get(_SAMPLES, (1,))[0], sum(kind in (1, 2) for kind in tags.get(_EXTRA, ())[:1])
    return channels, min(channels, _COLOURS.get(tags[_PHOTOMETRIC][0], channels) + alpha)


def tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The tags of the first image of a TIFF whose values are short whole numbers; {} if it is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4], "")
    found: dict[int, tuple[int, ...]] = {}
    if not order:
        return found
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for number in range(count):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * number)
            if kind != 3 or not 0 < length <= 64:
                continue
            start = at + 10 + 12 * number
            if length > 2:
                (start,) = struct.unpack_from(f"{order}I", data, start)
            found[tag] = struct.unpack_from(f"{order}{length}H", data, start)
    except struct.error:
        return found
    return found
