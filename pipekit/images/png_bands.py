"""Cut a PNG file into small PNG files of some rows each, in memory that does not grow with the image.

The compressed stream is unpacked piece by piece. The first row of a band may be stored as the difference to the row above it
(https://www.w3.org/TR/png-3/#9Filters), so each band but the first begins with that row, and is to be cut off.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pipekit.errors import ImageError
from pipekit.images.quiet import quiet_pillow

SIGNATURE = b"\x89PNG\r\n\x1a\n"

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the colour type: grey, RGB, palette, grey and alpha, RGB and alpha."""

KEPT = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT")
"""Chunks that the pixels depend on."""

BAND_BYTES = 16 << 20
"""Size of a band's unpacked rows, about."""

ROWS, MOST_BANDS = 256, 100_000


@dataclass(frozen=True)
class PngFile:
    """What bands are made of: the header's fields, the chunks to keep, and where the compressed pixels lie."""

    width: int
    height: int
    colour_type: int
    kept: bytes
    pixels: tuple[tuple[int, int], ...]

    @property
    def row_bytes(self) -> int:
        return self.width * CHANNELS[self.colour_type]

    @property
    def rows(self) -> int:
        """The size of a band."""
        return max(1, min(ROWS, BAND_BYTES // self.row_bytes))


def parsed(data: bytes) -> PngFile | None:
    """The parts of a PNG file; None if it can't be cut: interlaced, animated, turned by EXIF, or not of 8 bits."""
    if data[:8] != SIGNATURE or len(data) < 33:
        return None
    width, height, bits, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if bits != 8 or interlaced or colour_type not in CHANNELS or not width or not height:
        return None
    kept, pixels, at = bytearray(), [], 8
    while at + 12 <= len(data):
        (size,), name = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        if name == b"IDAT":
            pixels.append((at + 8, size))
        elif name in (b"acTL", b"eXIf"):
            return None
        elif name in KEPT:
            kept += data[at : at + 12 + size]
        at += 12 + size
    found = PngFile(width, height, colour_type, bytes(kept), tuple(pixels))
    small = found.row_bytes <= BAND_BYTES and -(-height // found.rows) <= MOST_BANDS
    return found if pixels and small else None


def bands_of(data: bytes, png: PngFile) -> Iterator[tuple[bytes, int]]:
    """(a PNG file, how many rows at its top belong to the band before) from top to bottom.

    Raises:
        ImageError: the file is damaged.
    """
    above, left = b"", png.height
    unpacked = _unpacked(data, png)
    while left:
        rows = min(png.rows, left)
        body = b"".join(next(unpacked, b"") for _ in range(rows))
        if len(body) != rows * (1 + png.row_bytes):
            raise ImageError("truncated PNG")
        file = _file(png, (b"\0" + above if above else b"") + body, rows + bool(above))
        yield file, int(bool(above))
        left -= rows
        above = _last_row(file, png.width, rows + bool(above)) if left else b""


def _unpacked(data: bytes, png: PngFile) -> Iterator[bytes]:
    """The stored rows, each with its filter before it. Raises ImageError."""
    stream, size, row = zlib.decompressobj(), 1 + png.row_bytes, bytearray()
    for at, length in png.pixels:
        packed = data[at : at + length]
        if zlib.crc32(data[at - 4 : at + length]) != int.from_bytes(data[at + length : at + length + 4], "big"):
            raise ImageError("damaged PNG: a checksum is wrong")
        while packed:
            try:
                row += stream.decompress(packed, size - len(row))
            except zlib.error as error:
                raise ImageError(f"damaged PNG: {error}") from error
            packed = stream.unconsumed_tail
            if len(row) == size:
                yield bytes(row)
                row.clear()


def _file(png: PngFile, body: bytes, rows: int) -> bytes:
    head = struct.pack(">IIBBBBB", png.width, rows, 8, png.colour_type, 0, 0, 0)
    chunks = [_chunk(b"IHDR", head), png.kept, _chunk(b"IDAT", zlib.compress(body, 0)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _last_row(file: bytes, width: int, rows: int) -> bytes:
    """The samples of the last row, as they are before any filter."""
    import PIL.Image

    with quiet_pillow(), PIL.Image.open(io.BytesIO(file)) as picture:
        try:
            return picture.crop((0, rows - 1, width, rows)).tobytes()
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"damaged PNG: {error}") from error
