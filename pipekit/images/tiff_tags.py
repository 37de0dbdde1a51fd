"""Tags of TIFF data, which EXIF data are too: whether they hold a position or serial numbers, and a file without such tags."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pipekit.errors import ImageError

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""The size of a value of each type."""

ORIENTATION, XMP, EXIF, GPS, INTEROPERABILITY, SUB_IFDS = 0x0112, 700, 0x8769, 0x8825, 0xA005, 330
POSITION = (2, 4, 29)
"""In the part about the position: latitude, longitude; the date of the satellites is one too."""
SERIAL = (0xA431, 0xA435, 0xC62F, 0xC65D)
"""Serial numbers of the body, the lens, the camera (DNG); the unique id of a raw file."""

KEPT = frozenset(
    (
        *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284),
        *(288, 289, 290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334),
        *(336, 338, 339, 340, 341, 342, 347, *range(512, 522), 529, 530, 531, 532, 34675),
    )
)
"""Tags that say how the pixels are stored and displayed."""

MAX_IFDS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag in a directory: where its entry and its value are."""

    tag: int
    type: int
    count: int
    at: int
    value_at: int
    size: int


class Tags:
    """The directories of TIFF data.

    Raises:
        ValueError: the header is not that of a TIFF file.
        ImageError: it is a BigTIFF file.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        if data[:2] not in (b"II", b"MM"):
            raise ValueError("no TIFF header")
        self.order = "<" if data[:2] == b"II" else ">"
        magic, self.first = struct.unpack_from(f"{self.order}HI", data, 2)
        if magic == 43:
            raise ImageError("metadata of a BigTIFF file can't be read; convert it to TIFF or PNG")
        if magic != 42:
            raise ValueError("no TIFF header")

    def entries(self, at: int) -> list[Entry]:
        """The entries of a directory; those that lie outside the data are left out."""
        if not 8 <= at <= len(self._data) - 2:
            return []
        (count,) = struct.unpack_from(f"{self.order}H", self._data, at)
        found = []
        for number in range(count):
            place = at + 2 + 12 * number
            if place + 12 > len(self._data):
                break
            tag, type, length = struct.unpack_from(f"{self.order}HHI", self._data, place)
            size = SIZES.get(type, 1) * length
            value_at = place + 8 if size <= 4 else self.number(place + 8)
            if value_at + size <= len(self._data):
                found.append(Entry(tag, type, length, place, value_at, size))
        return found

    def number(self, at: int) -> int:
        found: int = struct.unpack_from(f"{self.order}I", self._data, at)[0]
        return found

    def following(self, at: int) -> int:
        """Where the directory after the one at ``at`` begins; 0 for none."""
        (count,) = struct.unpack_from(f"{self.order}H", self._data, at)
        place = at + 2 + 12 * count
        return self.number(place) if place + 4 <= len(self._data) else 0

    def part(self, tag: int, of: int | None = None) -> list[Entry]:
        """The entries of the directory that ``tag`` points to."""
        pointer = next((entry for entry in self.entries(self.first if of is None else of) if entry.tag == tag), None)
        return [] if pointer is None or pointer.size != 4 else self.entries(self.number(pointer.value_at))

    @cached_property
    def has_position(self) -> bool:
        return any(
            entry.tag in POSITION and any(self._data[entry.value_at : entry.value_at + entry.size]) for entry in self.part(GPS)
        )

    @cached_property
    def has_serial(self) -> bool:
        found = [*self.entries(self.first), *self.part(EXIF)]
        return any(entry.tag in SERIAL and any(self._data[entry.value_at : entry.value_at + entry.size]) for entry in found)

    @cached_property
    def orientation(self) -> int:
        """1 to 8; 1 if there is none."""
        for entry in self.entries(self.first):
            if entry.tag == ORIENTATION and entry.type == 3:
                (value,) = struct.unpack_from(f"{self.order}H", self._data, entry.value_at)
                return value if 1 <= value <= 8 else 1
        return 1

    @property
    def xmp(self) -> bytes:
        found = next((entry for entry in self.entries(self.first) if entry.tag == XMP), None)
        return b"" if found is None else bytes(self._data[found.value_at : found.value_at + found.size])

    def directories(self) -> Iterator[int]:
        """Where each directory of images begins: one a page, and those inside them."""
        waiting, seen = [self.first], set[int]()
        while waiting:
            at = waiting.pop(0)
            if at in seen or not 8 <= at <= len(self._data) - 2 or len(seen) > MAX_IFDS:
                continue
            seen.add(at)
            yield at
            waiting.append(self.following(at))
            for entry in self.entries(at):
                if entry.tag == SUB_IFDS and SIZES.get(entry.type) == 4:
                    waiting += [self.number(entry.value_at + 4 * number) for number in range(entry.count)]


def without_private_tags(data: bytes) -> bytes:
    """A TIFF file with the tags of :data:`KEPT` alone: the others leave the directories, and their values are overwritten."""
    changed = bytearray(data)
    tags = Tags(data)
    for at in tags.directories():
        entries, following = tags.entries(at), tags.following(at)
        for entry in entries:
            if entry.tag not in KEPT:
                _erase(changed, tags, entry)
        kept = b"".join(data[entry.at : entry.at + 12] for entry in entries if entry.tag in KEPT)
        (count,) = struct.unpack_from(f"{tags.order}H", data, at)
        whole = struct.pack(f"{tags.order}H", len(kept) // 12) + kept + struct.pack(f"{tags.order}I", following)
        changed[at : at + 2 + 12 * count + 4] = whole.ljust(2 + 12 * count + 4, b"\0")
    return bytes(changed)


def _erase(changed: bytearray, tags: Tags, entry: Entry, depth: int = 0) -> None:
    """Overwrite the value of an entry, and those of a directory that it points to."""
    if entry.tag in (EXIF, GPS, INTEROPERABILITY) and entry.size == 4 and depth < 3:
        start = tags.number(entry.value_at)
        inner = tags.entries(start)
        for one in inner:
            _erase(changed, tags, one, depth + 1)
        if inner:
            changed[start : inner[-1].at + 12] = bytes(inner[-1].at + 12 - start)
    if entry.size > 4:
        changed[entry.value_at : entry.value_at + entry.size] = bytes(entry.size)
