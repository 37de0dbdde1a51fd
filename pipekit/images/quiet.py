"""What image libraries print about a file: kept from the terminal, for an unusable file raises ``ImageError`` with its reason.

``warnings.catch_warnings`` restores the filters of the whole process, so it is wrong in threads, and images are decoded in
threads. Here one filter is in the list while anyone decodes; nothing else of the process's warnings changes.
"""

from __future__ import annotations

import contextlib
import logging
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

from pipekit.errors import ImageError

_FILTER: Any = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

_lock = threading.Lock()
_num_decoding = 0

# Pillow also logs; without a handler, Python prints such messages. An application's own handlers still get them.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Ignore Pillow's warnings in this block, in any number of threads at once."""
    global _num_decoding
    with _lock:
        _num_decoding += 1
        if not warnings.filters or warnings.filters[0] is not _FILTER:  # somebody has put one of theirs before it
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with _lock:
            _num_decoding -= 1
            while not _num_decoding and _FILTER in warnings.filters:
                warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]


_ESSENTIAL = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def essential_png(data: bytes) -> bytes:
    """A PNG without the chunks that don't change its pixels: libpng prints about damaged ones, and about damage in the others.

    Raises:
        ImageError: the file ends early, or a checksum is wrong.
    """
    parts, place = [data[:8]], 8
    while place < len(data):
        length = struct.unpack_from(">I", data.ljust(place + 4, b"\0"), place)[0]
        chunk = data[place : place + length + 12]
        if len(chunk) < length + 12:
            raise ImageError("truncated PNG")
        kind = chunk[4:8]
        if kind in _ESSENTIAL:
            if zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
                raise ImageError("damaged PNG: a checksum is wrong")
            parts.append(chunk)
        if kind == b"IEND":
            return b"".join(parts)
        place += length + 12
    raise ImageError("truncated PNG")
