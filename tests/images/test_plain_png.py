"""Small, plain PNG files are read as Pillow reads them, and every other file is left to Pillow."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from pipekit import images
from pipekit.errors import ImageError
from pipekit.images import codec
from pipekit.images.plain_png import SMALL_PNG_BYTES, decode_plain_png, plain_png


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    """Noise on a slope, so that encoders use all filters."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] * rng.integers(1, 5, channels)
    noise = rng.integers(0, 1 + 40 * (seed % 3), (height, width, channels))
    return ((slope + noise) % 256).astype(np.uint8)


def by_pillow(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels if pixels.ndim == 3 and pixels.shape[2] > 1 else pixels.reshape(pixels.shape[:2])).save(
        file, "PNG", **options
    )
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def before_pixels(data: bytes, more: bytes) -> bytes:
    place = data.index(b"IDAT") - 4
    return data[:place] + more + data[place:]


def read(data: bytes) -> Any:
    """What is known of a file: its properties and pixels, in colour and in grey, or why not."""
    found: list[Any] = []
    for ask in (images.probe, images.decode, lambda data: images.decode(data, gray=True)):
        try:
            made = ask(data)
            found.append(made.tolist() if isinstance(made, np.ndarray) else made)
        except ImageError as error:
            found.append(str(error))
    return found


def read_by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(codec, "plain_png", lambda data: None)
        patched.setattr(codec, "decode_plain_png", lambda data: None)
        return read(data)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (9, 1), (32, 32), (57, 91)])
def test_plain_files_are_read_as_pillow_reads_them(
    size_hw: tuple[int, int], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        pixels = picture(*size_hw, channels, seed)
        files = [by_pillow(pixels), by_pillow(pixels, optimize=True, dpi=(96, 96)), images.encode(pixels, "png")]
        files += [bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_STRATEGY, at])[1]) for at in range(5)]
        for data in files:
            assert plain_png(data) is not None
            assert decode_plain_png(data) is not None
            assert read(data) == read_by_pillow(data, monkeypatch)


def with_alpha() -> bytes:
    return by_pillow(picture(8, 8, 4))


def with_palette() -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture(8, 8)).convert("P").save(file, "PNG")
    return file.getvalue()


def with_16_bits() -> bytes:
    return bytes(cv2.imencode(".png", picture(8, 8).astype(np.uint16) * 257)[1])


def with_bits() -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(picture(8, 8)).convert("1").save(file, "PNG")
    return file.getvalue()


def turned() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return by_pillow(picture(8, 12), exif=exif)


def with_text() -> bytes:
    info = PngInfo()
    info.add_text("Comment", "a cat")
    return by_pillow(picture(8, 8), pnginfo=info)


def with_a_colour_that_is_transparent() -> bytes:
    return before_pixels(by_pillow(picture(8, 8)), chunk(b"tRNS", struct.pack(">HHH", 0, 0, 0)))


def with_a_second_header() -> bytes:
    data = by_pillow(picture(8, 8))
    return before_pixels(data, data[8:33])


@pytest.mark.parametrize(
    "make",
    [
        with_alpha,
        with_palette,
        with_16_bits,
        with_bits,
        turned,
        with_text,
        with_a_colour_that_is_transparent,
        with_a_second_header,
    ],
)
def test_other_files_are_left_to_pillow(make: Callable[[], bytes]) -> None:
    assert plain_png(make()) is None
    assert decode_plain_png(make()) is None


def test_what_a_jpeg_in_disguise_or_nothing_is_pillow_says() -> None:
    for data in (b"", b"\x89PNG", images.encode(picture(8, 8), "jpg"), by_pillow(picture(8, 8))[:40]):
        assert plain_png(data) is None


def test_only_small_files_are_read_here() -> None:
    height = 64
    width = (SMALL_PNG_BYTES // height - 1) // 3
    assert plain_png(by_pillow(picture(height, width))) is not None  # just below the limit
    assert plain_png(by_pillow(picture(height, width + 1))) is None  # just above it


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_are_read_as_pillow_reads_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in turn, and each length: a file is plain only if nothing of it is damaged."""
    pixels = picture(5, 6, seed=seed)
    data = by_pillow(pixels)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1 + 37 * seed
        assert plain_png(bytes(broken)) is None
        assert plain_png(data[:place]) is None
        if place % 7 == seed:
            assert read(bytes(broken)) == read_by_pillow(bytes(broken), monkeypatch)
            assert read(data[:place]) == read_by_pillow(data[:place], monkeypatch)
    for more in (b"\0", b"more", data):
        assert read(data + more) == read_by_pillow(data + more, monkeypatch)


def test_too_few_or_damaged_samples_behind_right_checksums_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = by_pillow(picture(5, 6))
    begin, end = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    raw = zlib.decompress(data[begin:end])
    packed = zlib.compress(raw)
    for wrong in (zlib.compress(raw[:-1]), packed[:-6], packed[:-1] + bytes([packed[-1] ^ 1]), b"", zlib.compress(raw + b"\0")):
        broken = data[: begin - 8] + chunk(b"IDAT", wrong) + data[end + 4 :]
        assert plain_png(broken) is None
        assert read(broken) == read_by_pillow(broken, monkeypatch)
    several = data[: begin - 8] + chunk(b"IDAT", packed[:9]) + chunk(b"IDAT", packed[9:]) + data[end + 4 :]
    assert plain_png(several) is not None
    assert read(several) == read_by_pillow(several, monkeypatch)


def test_a_file_that_was_just_asked_for_is_not_taken_for_another() -> None:
    one, other = by_pillow(picture(5, 6)), by_pillow(picture(7, 4))
    for data, size in ((one, (6, 5)), (other, (4, 7)), (one, (6, 5))):
        info = plain_png(data)
        assert info is not None
        assert (info.width_px, info.height_px) == size


def test_samples_that_claim_more_than_the_header_are_not_decompressed() -> None:
    header = struct.pack(">II5B", 4, 4, 8, 2, 0, 0, 0)
    for content in (zlib.compress(bytes(50_000_000), 9), zlib.compress(bytes(52)) + b"behind"):
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
        tracemalloc.start()
        try:
            assert plain_png(data) is None, "it is left to Pillow"
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
