"""Read images of any size band by band: rows from top to bottom.

TIFF files are read strip by strip, or one row of tiles at a time, in memory that does not grow with the image: each band
becomes a small TIFF file, which the usual decoder reads. So are PNG files of 8 bits (:mod:`~pipekit.images.png_bands`). The
codecs of all other formats decode an image whole.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Iterator, Mapping

from pipekit.errors import ImageError
from pipekit.images import png_bands
from pipekit.images.codec import decode, probe
from pipekit.images.metadata import TIFFS
from pipekit.images.pixels import ImageInfo, raised_limit
from pipekit.images.tiff_tags import SIZES, Tags
from pipekit.images.warping import Image

ANY = 1 << 40
"""More pixels than any file has."""

WIDTH, LENGTH, OFFSETS, COUNTS, ROWS_PER_STRIP = 256, 257, 273, 279, 278
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
PLANAR, SUB_IFDS = 284, 330
BITS, COMPRESSION, SAMPLES = 258, 259, 277

ROWS = 256
"""Height of a band of a file that is one strip of uncompressed pixels."""

MAX_BANDS = 100_000

_LOCK = threading.Lock()
"""One image is decoded whole at a time: several at once would need several times the memory."""


def size_of(data: bytes) -> ImageInfo:
    """As :func:`pipekit.images.probe`, for images of any size.

    Raises:
        ImageError: it is not an image.
    """
    with raised_limit(ANY):
        return probe(data)


def bands(data: bytes, max_pixels: int) -> Iterator[Image]:
    """The rows of an image from top to bottom, as ``(h, W, 3) uint8`` RGB bands.

    Args:
        max_pixels: largest image that is decoded whole, if its file can't be read by bands.

    Raises:
        ImageError: the file is damaged, or has more pixels than ``max_pixels``.
    """
    found = _tiff_bands(data) if data[:4] in TIFFS else None
    if (png := png_bands.parsed(data)) is not None:
        for file, rows_above in png_bands.bands_of(data, png):
            with raised_limit(max_pixels):
                image = decode(file)
            yield image[rows_above:]
        return
    if found is None:
        with _LOCK, raised_limit(max_pixels):
            image = decode(data)
        yield image
        return
    for band in found:
        with raised_limit(max_pixels):
            image = decode(band)
        yield image


def _tiff_bands(data: bytes) -> Iterable[bytes] | None:
    """Small TIFF files, one for each band, made when they are taken; None if the file can't be cut."""
    try:
        tags = Tags(data)
        values = {entry.tag: _values(tags, data, entry.tag) for entry in tags.entries(tags.first) if entry.type in (3, 4)}
        if tags.orientation != 1 or values.get(PLANAR, [1]) != [1] or not values.get(WIDTH) or not values.get(LENGTH):
            return None
        return _cut(data, tags, values)
    except (struct.error, IndexError, ValueError, ImageError):
        return None


def _cut(data: bytes, tags: Tags, values: Mapping[int, list[int]]) -> Iterable[bytes] | None:
    width, height = values[WIDTH][0], values[LENGTH][0]
    tiled = TILE_OFFSETS in values
    rows = values[TILE_LENGTH][0] if tiled else values.get(ROWS_PER_STRIP, [height])[0]
    across = -(-width // values[TILE_WIDTH][0]) if tiled else 1
    offsets, counts = values[TILE_OFFSETS if tiled else OFFSETS], values[TILE_COUNTS if tiled else COUNTS]
    if not tiled and len(offsets) == 1 and values.get(COMPRESSION, [1]) == [1]:
        row_bytes = (width * values.get(BITS, [1])[0] * values.get(SAMPLES, [1])[0] + 7) // 8
        rows = ROWS
        tops = range(0, height, rows)
        offsets, counts = (
            [offsets[0] + row_bytes * top for top in tops],
            [row_bytes * min(rows, height - top) for top in tops],
        )
    num_bands = -(-height // max(1, rows))
    if not 2 <= num_bands <= MAX_BANDS or len(offsets) != num_bands * across or len(counts) != len(offsets):
        return None
    return _Bands(data, tags, (height, rows, across), offsets, counts, tiled)


class _Bands:
    """An iterable of small TIFF files."""

    def __init__(
        self, data: bytes, tags: Tags, size: tuple[int, int, int], offsets: list[int], counts: list[int], tiled: bool
    ) -> None:
        self._data, self._tags, self._size, self._offsets, self._counts, self._tiled = data, tags, size, offsets, counts, tiled

    def __iter__(self) -> Iterator[bytes]:
        height, rows, across = self._size
        for number, top in enumerate(range(0, height, rows)):
            part = slice(number * across, (number + 1) * across)
            pieces = [self._data[at : at + size] for at, size in zip(self._offsets[part], self._counts[part], strict=True)]
            yield self._file(pieces, min(rows, height - top))

    def _file(self, pieces: list[bytes], rows: int) -> bytes:
        """A TIFF file of these strips or tiles, with the tags of the whole one."""
        tags, data, order = self._tags, self._data, self._tags.order
        entries: dict[int, tuple[int, int, bytes]] = {}
        for entry in tags.entries(tags.first):
            if entry.tag != SUB_IFDS:
                entries[entry.tag] = entry.type, entry.count, data[entry.value_at : entry.value_at + entry.size]
        entries[LENGTH] = 4, 1, struct.pack(f"{order}I", rows)
        if not self._tiled:
            entries[ROWS_PER_STRIP] = 4, 1, struct.pack(f"{order}I", rows)
        where, sizes = (TILE_OFFSETS, TILE_COUNTS) if self._tiled else (OFFSETS, COUNTS)
        many = f"{order}{len(pieces)}I"
        entries[sizes] = 4, len(pieces), struct.pack(many, *map(len, pieces))
        entries[where] = 4, len(pieces), bytes(4 * len(pieces))
        values_at = 8 + 2 + 12 * len(entries) + 4
        pixels_at = values_at + sum(len(value) + len(value) % 2 for _, _, value in entries.values() if len(value) > 4)
        starts = [pixels_at + sum(map(len, pieces[:number])) for number in range(len(pieces))]
        entries[where] = 4, len(pieces), struct.pack(many, *starts)
        table, values = bytearray(), bytearray()
        for tag in sorted(entries):
            type, count, value = entries[tag]
            table += struct.pack(f"{order}HHI", tag, type, count)
            if len(value) <= 4:
                table += value.ljust(4, b"\0")
            else:
                table += struct.pack(f"{order}I", values_at + len(values))
                values += value + b"\0" * (len(value) % 2)
        head = data[:2] + struct.pack(f"{order}HIH", 42, 8, len(entries))
        return b"".join([head, table, bytes(4), values, *pieces])


def _values(tags: Tags, data: bytes, tag: int) -> list[int]:
    """The numbers of an entry of the first directory."""
    entry = next(entry for entry in tags.entries(tags.first) if entry.tag == tag)
    kind = "H" if SIZES[entry.type] == 2 else "I"
    return list(struct.unpack_from(f"{tags.order}{entry.count}{kind}", data, entry.value_at))
