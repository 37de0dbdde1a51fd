"""Bodies that a server must refuse: each with the status that it is answered with. The benchmark sends them too."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from pipekit import images


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG file of a few bytes that claims to have as many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def files() -> Mapping[str, tuple[bytes, int]]:
    """name -> the body and its status."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    jpeg, png = images.encode(pixels, "jpg"), images.encode(pixels, "png")
    huge = bytearray(jpeg)
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    text = base64.b64encode(jpeg).decode()
    return {
        "empty": (b"", 400),
        "zeros": (bytes(1000), 415),
        "gif": (b"GIF89a" + bytes(100), 415),
        "bmp": (images.encode(pixels, "bmp"), 415),
        "html": (b"<html><script>alert(1)</script></html>", 415),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", 415),
        "multipart": (b"--b\r\nContent-Disposition: form-data\r\n\r\n" + jpeg, 415),
        "truncated jpeg": (jpeg[: len(jpeg) // 2], 422),
        "truncated png": (png[: len(png) // 2], 422),
        "jpeg of three bytes": (b"\xff\xd8\xff", 422),
        "jpeg and noise": (b"\xff\xd8\xff" + pixels.tobytes(), 422),
        "webp and noise": (b"RIFF\x00\x10\x00\x00WEBP" + pixels.tobytes(), 422),
        "png bomb": (bomb(), 422),
        "png of 64 million pixels": (bomb(8000, 8000), 422),
        "jpeg bomb": (bytes(huge), 422),
        "json": (b'{"instances": [', 400),
        "json of another form": (b'{"inputs": [1]}', 400),
        "no list": (b'{"instances": 5}', 400),
        "no instances": (b'{"instances": []}', 400),
        "numbers": (b'{"instances": [[0.1, 0.2]]}', 400),
        "no base64": (b'{"instances": [{"b64": "%%%"}]}', 400),
        "a number as base64": (b'{"instances": [{"b64": 7}]}', 400),
        "letters beyond ASCII": ('{"instances": [{"b64": "äöü"}]}'.encode(), 400),
        "base64 of no image": (b'{"instances": [{"b64": "AAAA"}]}', 422),
        "one of two": (json.dumps({"instances": [{"b64": text}, {"b64": text[: len(text) // 8 * 4]}]}).encode(), 422),
        "too many": (json.dumps({"instances": [{"b64": "AAAA"}] * 65}).encode(), 413),
        "deep": (b'{"instances": ' + b"[" * 100_000, 400),
        "long number": (b'{"instances": ' + b"9" * 10_000 + b"}", 400),
    }
