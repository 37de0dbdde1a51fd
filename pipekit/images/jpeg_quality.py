"""The quality setting that a JPEG file was saved with, from its quantisation table."""

from __future__ import annotations

from typing import Final

STANDARD: Final = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""The luminance table of ITU-T T.81, annex K.1, which libjpeg scales by the quality."""

SUM = sum(STANDARD)

SOI, SOS, DQT = b"\xff\xd8", 0xDA, 0xDB
STANDALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""


def jpeg_quality(data: bytes) -> int:
    """The quality, 1 to 100, of libjpeg's scale; 0 for other files and for those without a table.

    Programs with tables of their own get the quality whose table has the same sum.

    >>> jpeg_quality(b"no picture")
    0
    """
    total = _sum_of_table(data)
    if not total:
        return 0
    scale = 100 * total / SUM
    quality = 5000 / scale if scale >= 100 else (200 - scale) / 2
    return max(1, min(100, round(quality)))


def _sum_of_table(data: bytes) -> int:
    """The sum of the luminance table's 64 steps; 0 if there is none before the scan."""
    if not data.startswith(SOI):
        return 0
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == SOS:
            return 0
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == DQT:
            body = data[place + 4 : place + 2 + length]
            width = 2 if body and body[0] >> 4 else 1
            steps = body[1 : 1 + 64 * width]
            if len(steps) < 64 * width:
                return 0
            return sum(steps) if width == 1 else 256 * sum(steps[::2]) + sum(steps[1::2])
        place += 2 + max(2, length)
    return 0
