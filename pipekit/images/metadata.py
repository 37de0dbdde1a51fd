"""Metadata of image files that say where, by whom and with which camera a photograph was taken: find them, and remove them.

Removing changes no pixel: the compressed data are copied as they are. What decides how the pixels are displayed stays: colour
profile, resolution, EXIF orientation.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipekit.errors import ImageError
from pipekit.images.jpeg import jpeg_orientation
from pipekit.images.tiff_tags import Tags, without_private_tags

EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset(
    (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs", b"hIST", b"sPLT", b"acTL", b"fcTL", b"fdAT")
)
WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
TIFFS = (b"II*\0", b"MM\0*")
HEAD_BYTES = 1 << 18
"""Enough of a JPEG file for its metadata, in most cases."""


@dataclass(frozen=True, slots=True)
class Private:
    """What a file says of its origin: whether it has a position (GPS), and serial numbers of a camera or lens."""

    position: bool = False
    serial: bool = False

    def __or__(self, other: Private) -> Private:
        return Private(self.position or other.position, self.serial or other.serial)


def private_metadata(data: bytes) -> Private:
    """What is in a file's EXIF and XMP data; nothing for a file that is damaged or no image.

    ``data`` may be the beginning of a JPEG file, see :func:`needs_more`.
    """
    try:
        return _found(data)
    except (ImageError, struct.error, IndexError, ValueError):
        return Private()


def needs_more(head: bytes) -> bool:
    """Whether the beginning of a file is not enough for :func:`private_metadata`."""
    if head[:3] != b"\xff\xd8\xff":
        return True
    return all(marker != 0xDA for marker, _, _ in _jpeg_segments(head))


def without_metadata(data: bytes) -> bytes:
    """The file without EXIF, XMP, IPTC, comments, previews and appended files; the same bytes if it has none.

    Raises:
        ImageError: the file is damaged, or metadata of its format can't be removed without encoding the pixels again.
    """
    try:
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg_without(data)
        if data.startswith(PNG):
            return _png_without(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_without(data)
        if data[:4] in TIFFS:
            return without_private_tags(data)
    except (struct.error, IndexError, ValueError) as error:
        raise ImageError("its metadata can't be removed: the file is damaged") from error
    if data[:2] == b"BM" or not _has_other(data):
        return data
    raise ImageError("metadata can't be removed from this format without encoding it again; convert it to JPEG, PNG or WebP")


def _exif_with(orientation: int) -> bytes:
    """TIFF data with the orientation alone; empty if pixels are stored as displayed."""
    if orientation == 1:
        return b""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _found(data: bytes) -> Private:
    found = Private()
    for kind, content in _metadata(data):
        if kind == "exif":
            tags = Tags(content)
            found |= Private(tags.has_position, tags.has_serial)
        else:
            found |= Private(b"GPSLatitude" in content, b"SerialNumber" in content)
    return found


def _metadata(data: bytes) -> Iterator[tuple[str, bytes]]:
    """``("exif", TIFF data)`` and ``("xmp", text)``."""
    if data[:3] == b"\xff\xd8\xff":
        for marker, start, end in _jpeg_segments(data):
            if marker == 0xE1 and data.startswith(EXIF, start + 4):
                yield "exif", data[start + 4 + len(EXIF) : end]
            elif marker == 0xE1:
                yield "xmp", data[start + 4 : end]
    elif data.startswith(PNG):
        for name, start, end in _png_chunks(data):
            if name == b"eXIf":
                yield "exif", data[start + 8 : end - 4]
            elif name in (b"iTXt", b"tEXt"):
                yield "xmp", data[start + 8 : end - 4]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        for name, start, end in _riff_chunks(data):
            if name == b"EXIF":
                yield "exif", data[start + 8 : end].removeprefix(EXIF)
            elif name == b"XMP ":
                yield "xmp", data[start + 8 : end]
    elif data[:4] in TIFFS:
        yield "exif", data
        yield "xmp", Tags(data).xmp
    else:
        yield from _other(data)


def _other(data: bytes) -> Iterator[tuple[str, bytes]]:
    """By Pillow, for AVIF and the rest."""
    info = _info(data)
    if exif := info.get("exif"):
        yield "exif", bytes(exif).removeprefix(EXIF)
    if xmp := info.get("xmp"):
        yield "xmp", xmp if isinstance(xmp, bytes) else str(xmp).encode()


def _has_other(data: bytes) -> bool:
    return any(_info(data).get(name) for name in ("exif", "xmp", "comment"))


def _info(data: bytes) -> dict[str, Any]:
    from pipekit.images.codec import open_with_pillow

    with open_with_pillow(data) as picture:
        return dict(picture.info)


# --- JPEG ----------------------------------------------------------------------------------------------------------------


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the end of the image; a scan's segment has its compressed data."""
    at = 2
    while at + 1 < len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xD9:
            yield marker, at, at + 2
            return
        if at + 4 > len(data):
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            end = _end_of_scan(data, end)
        if end > len(data):
            return
        yield marker, at, end
        at = end


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In compressed data, FF is followed by 00 or by a restart marker; before a marker, any number of FF may stand."""


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the next marker begins."""
    found = _MARKER.search(data, at)
    return found.start() if found else len(data)


def _jpeg_without(data: bytes) -> bytes:
    parts, ended = [data[:2]], False
    for marker, start, end in _jpeg_segments(data):
        if _stays_in_jpeg(marker, data, start):
            parts.append(data[start:end])
        ended = marker == 0xD9
    if not ended:
        raise ImageError("its metadata can't be removed: the file is truncated")
    if exif := _exif_with(jpeg_orientation(data)):
        segment = EXIF + exif
        place = 2 if len(parts) > 1 and parts[1][1] == 0xE0 else 1
        parts.insert(place, b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment)
    return b"".join(parts)


def _stays_in_jpeg(marker: int, data: bytes, start: int) -> bool:
    if marker == 0xE0:
        return data.startswith(b"JFIF\0", start + 4)
    if marker == 0xE2:
        return data.startswith(b"ICC_PROFILE\0", start + 4)
    if marker == 0xEE:
        return data.startswith(b"Adobe", start + 4)
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


# --- PNG and WebP --------------------------------------------------------------------------------------------------------


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if end > len(data):
            raise ValueError("a chunk is too long")
        yield name, at, end
        if name == b"IEND":
            return
        at = end


def _png_without(data: bytes) -> bytes:
    import zlib

    parts, orientation = [PNG], 1
    for name, start, end in _png_chunks(data):
        if name == b"eXIf":
            orientation = Tags(data[start + 8 : end - 4]).orientation
        elif name[:1].isupper() or name in PNG_KEPT:
            parts.append(data[start:end])
    if exif := _exif_with(orientation):
        chunk = b"eXIf" + exif
        parts.insert(2, struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    return b"".join(parts)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at, stop = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= stop:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            raise ValueError("a chunk is too long")
        yield data[at : at + 4], at, end
        at = end + end % 2


def _webp_without(data: bytes) -> bytes:
    parts, orientation = [], 1
    for name, start, end in _riff_chunks(data):
        if name == b"EXIF":
            orientation = Tags(data[start + 8 : end].removeprefix(EXIF)).orientation
        elif name in WEBP_KEPT:
            parts.append(bytearray(data[start:end] + b"\0" * (end % 2)))
    exif = _exif_with(orientation)
    if parts and parts[0][:4] == b"VP8X":
        parts[0][8] = parts[0][8] & 0b11110011 | (0b1000 if exif else 0)
        if exif:
            parts.append(bytearray(b"EXIF" + struct.pack("<I", len(exif)) + exif))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body
