"""Pictures in and out: decode, encode, resize, warp, contact sheets. The one place that knows other orders than RGB.

An image is an ``(H, W, 3) uint8`` array in RGB; a grey one is ``(H, W, 1)`` where a function says so. A file that can't be
used raises :class:`~pipekit.errors.ImageError` with a short reason, whatever library noticed it.

JPEG is read with libjpeg-turbo (simplejpeg), which can decode at 1/2, 1/4 or 1/8 of the size for a fraction of the work;
everything else with Pillow. Colour profiles are not applied.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, get_args

import cv2
import numpy as np
import simplejpeg

from pipekit import files
from pipekit.errors import ImageError, UserError
from pipekit.images.draw import contact_sheet, draw_targets, thumbnail
from pipekit.images.warping import FillMode, Image, Interpolation, Matrix, SizeHw, local_scale, resize, warp

Format: TypeAlias = Literal["jpg", "png", "webp", "bmp", "tif"]

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Decoded",
    "FillMode",
    "Format",
    "Image",
    "ImageInfo",
    "Interpolation",
    "Matrix",
    "SizeHw",
    "contact_sheet",
    "decode",
    "decode_reduced",
    "draw_targets",
    "encode",
    "local_scale",
    "probe",
    "read",
    "read_bytes",
    "read_mask",
    "reduced_scale",
    "resize",
    "thumbnail",
    "to_gray",
    "verify",
    "video_frames",
    "warp",
    "write",
    "write_bytes",
]

MAX_PIXELS = 178_000_000
"""Larger images are refused: they are far more often a decompression bomb than a photograph (Pillow's own limit)."""

SUFFIXES = files.IMAGE_SUFFIXES
"""File names that importers take for images."""

_REDUCED_MIN_PX = 64
# libjpeg-turbo has vector code for 1/2, 1/4 and 1/8; 5/8 to 7/8 take 1.3 to 1.9 times as long as the whole picture.
_JPEG_EIGHTHS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a file says about its picture. Width and height are as people see it, ``orientation`` (EXIF, 1 to 8) applied."""

    width_px: int
    height_px: int
    format: str
    mode: str
    orientation: int = 1
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that may have been decoded smaller: ``scale`` (1, 1/2, 1/4 or 1/8) times its ``full_size_hw``."""

    image: Image
    full_size_hw: SizeHw
    scale: float = 1.0


# --- reading -------------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], *, at_least_hw: SizeHw | None = None, gray: bool = False) -> Image:
    """The picture in a file; see :func:`decode`."""
    return decode(read_bytes(path), at_least_hw=at_least_hw, gray=gray)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        ImageError: it is missing, a folder, or not readable.
    """
    try:
        return files.read_bytes(path)
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except PermissionError:
        raise ImageError("permission denied") from None
    except OSError as error:
        if Path(path).is_dir():
            raise ImageError("a folder, not an image") from None
        raise ImageError(f"can't be read: {error.strerror or error}") from error


def decode(data: bytes, *, at_least_hw: SizeHw | None = None, gray: bool = False) -> Image:
    """Decode any supported format to what a person would see.

    EXIF orientation is applied, transparency lies on white, 16-bit samples are scaled to 8, CMYK becomes RGB, of an
    animation the first frame is taken.

    Args:
        at_least_hw: a JPEG may come out smaller than it is (1/2, 1/4, 1/8), but not below this height and width.
        gray: luma (ITU-R 601) instead of colour.

    Returns:
        ``(H, W, 3) uint8`` RGB, or ``(H, W, 1) uint8`` for ``gray``.

    Raises:
        ImageError: the file is empty, truncated, damaged, too large, or no image.
    """
    return decode_reduced(data, at_least_hw, gray=gray).image


def decode_reduced(data: bytes, at_least_hw: SizeHw | None, *, gray: bool = False) -> Decoded:
    """As :func:`decode`, and says at which scale: pixel ``x`` of the whole picture lies at ``(x + 0.5) * scale - 0.5``."""
    if data[:3] == b"\xff\xd8\xff":
        decoded = _decode_jpeg(data, at_least_hw, gray)
        if decoded is not None:
            return decoded
    image = _decode_with_pillow(data)
    if gray:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis].astype(np.uint8, copy=False)
    return Decoded(image, (image.shape[0], image.shape[1]))


def probe(data: bytes) -> ImageInfo:
    """Size, format, mode, orientation and number of frames from the head of a file, without decoding it.

    Raises:
        ImageError: it is no image.
    """
    if data[:3] == b"\xff\xd8\xff":
        height, width, colorspace, _ = _jpeg_header(data)
        orientation = _jpeg_orientation(data)
        mode = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colorspace, "RGB")
        if orientation > 4:
            height, width = width, height
        return ImageInfo(width, height, "JPEG", mode, orientation)
    with _open_with_pillow(data) as picture:
        try:
            orientation = int(picture.getexif().get(0x0112, 1))
            frames = int(getattr(picture, "n_frames", 1))
        except Exception:  # damaged metadata or a truncated animation: the first frame may still be good
            orientation, frames = 1, 1
        orientation = orientation if 1 <= orientation <= 8 else 1
        width, height = picture.size if orientation <= 4 else picture.size[::-1]
        mode = "I;16" if picture.format == "PNG" and data[24] == 16 else picture.mode
        return ImageInfo(width, height, picture.format or "", mode, orientation, frames)


def verify(data: bytes) -> ImageInfo:
    """Decode everything and say what it is.

    Raises:
        ImageError: also for a file whose head is good and whose end is missing.
    """
    info = probe(data)
    decode(data)
    return info


def _jpeg_header(data: bytes) -> tuple[int, int, str, str]:
    try:
        height, width, colorspace, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:  # KeyError: a header without the frame that names the colour space
        _refuse_jpeg(error, data)
    return int(height), int(width), str(colorspace), str(subsampling)


def _decode_jpeg(data: bytes, at_least_hw: SizeHw | None, gray: bool) -> Decoded | None:
    """None for what Pillow does better: CMYK and other rare colour spaces."""
    height, width, colorspace, _ = _jpeg_header(data)
    if colorspace not in ("YCbCr", "Gray", "RGB"):
        return None
    _limit(width, height)
    orientation = _jpeg_orientation(data)
    turned = orientation > 4
    eighths = 8 if at_least_hw is None else _eighths((height, width), at_least_hw[::-1] if turned else at_least_hw)
    size = {"min_height": -(-height * eighths // 8), "min_width": -(-width * eighths // 8)} if eighths < 8 else {}
    output = "GRAY" if gray and colorspace != "RGB" else "RGB"
    image = _decode_whole(data, output, size)
    if gray and output == "RGB":
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[..., np.newaxis]
    full = (width, height) if turned else (height, width)
    return Decoded(_turn(image, orientation), full, eighths / 8)


def _decode_whole(data: bytes, output: str, size: dict[str, int]) -> Image:
    """All of a JPEG. Meaningless bytes between two segments, common in files from old cameras, are passed over."""
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
    """The scale at which :func:`decode_reduced` would decode a picture of ``size_hw``, without decoding it."""
    return _eighths(size_hw, at_least_hw) / 8 if data[:3] == b"\xff\xd8\xff" else 1.0


def _eighths(size_hw: SizeHw, at_least_hw: SizeHw) -> int:
    """The smallest scale, in eighths, that libjpeg does fast and that leaves at least ``at_least_hw``."""
    (height, width), (wanted_h, wanted_w) = size_hw, at_least_hw
    if min(height, width) < _REDUCED_MIN_PX:
        return 8
    return next((n for n in _JPEG_EIGHTHS if height * n >= wanted_h * 8 and width * n >= wanted_w * 8), 8)


def _refuse_jpeg(error: Exception, data: bytes) -> NoReturn:
    text = str(error).lower()
    if "premature end" in text or b"\xff\xda" not in data:
        raise ImageError("truncated JPEG") from error
    raise ImageError(f"damaged JPEG: {str(error).removeprefix('Corrupt JPEG data: ')}") from error


def _jpeg_orientation(data: bytes) -> int:
    """The EXIF orientation, 1 where there is none; a damaged block counts as none."""
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


def _turn(image: Image, orientation: int) -> Image:
    """Undo the camera's turn, as EXIF 2.32 section 4.6.4 lists the eight cases."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _open_with_pillow(data: bytes) -> Any:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not data:
        raise ImageError("empty file (0 bytes)")
    try:
        picture = Pillow.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ImageError(_not_an_image(data)) from None
    except Pillow.DecompressionBombError:
        raise ImageError(f"more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except Exception as error:
        raise ImageError(f"damaged file: {_short(error)}") from error
    _limit(*picture.size)
    return picture


_MAGIC = {b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WEBP", b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"BM": "BMP"}


def _not_an_image(data: bytes) -> str:
    head = data[:512]
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return f"truncated or damaged {name}"
    if head[4:8] == b"ftyp":
        return f"a video or an unsupported image ({head[8:12].decode('latin-1').strip()}); convert it to JPEG or PNG"
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        text = head[: error.start].decode("utf-8") if error.start > len(head) - 4 else "\0"
    if "<svg" in text:
        return "an SVG drawing, not pixels; convert it to PNG"
    return "a text file, not an image" if all(c.isprintable() or c.isspace() for c in text) else "not an image"


def _limit(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"more than {MAX_PIXELS // 1_000_000} megapixels")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _decode_with_pillow(data: bytes) -> Image:
    with _open_with_pillow(data) as picture:
        name = picture.format or "image"
        try:
            if name == "PNG" and data[24] == 16:
                return _decode_deep_png(data, int(picture.getexif().get(0x0112, 1)))
            picture.load()
            orientation = int(picture.getexif().get(0x0112, 1))
            image = _to_rgb(picture)
        except ImageError:
            raise
        except Exception as error:
            if "truncated" in str(error).lower() or isinstance(error, EOFError):
                raise ImageError(f"truncated {name}") from error
            raise ImageError(f"damaged {name}: {_short(error)}") from error
    return _turn(image, orientation)


def _to_rgb(picture: Any) -> Image:
    mode = picture.mode
    if mode in ("F", "I"):
        raise ImageError("32-bit samples have no agreed range; convert it to 8 or 16 bits")
    if mode.startswith("I;16"):
        return np.repeat(_to_8_bits(np.asarray(picture))[..., np.newaxis], 3, axis=2)
    if "transparency" in picture.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _on_white(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def _to_8_bits(samples: Any) -> Image:
    """16-bit samples divided by 257, rounded; 8-bit ones as they are."""
    if samples.dtype == np.uint8:
        return np.asarray(samples, np.uint8)
    return np.asarray((samples.astype(np.uint32) + 128) // 257, np.uint8)


def _on_white(rgba: Image) -> Image:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _decode_deep_png(data: bytes, orientation: int) -> Image:
    """16-bit PNG through OpenCV: Pillow drops the low byte of colour ones."""
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None:
        raise ImageError("damaged PNG")
    if deep.ndim == 2:
        deep = cv2.cvtColor(deep, cv2.COLOR_GRAY2RGB)
    else:
        deep = cv2.cvtColor(deep, cv2.COLOR_BGRA2RGBA if deep.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    pixels = _to_8_bits(deep)
    return _turn(_on_white(pixels) if pixels.shape[2] == 4 else pixels, orientation)


# --- masks ---------------------------------------------------------------------------------------------------------------


def read_mask(path: str | os.PathLike[str]) -> Image:
    """A mask as stored: ``(H, W) uint8``, its values are class numbers (a palette's colours are not looked at).

    Raises:
        ImageError: it has several channels, or class numbers above 255.
    """
    with _open_with_pillow(read_bytes(path)) as picture:
        try:
            if picture.mode == "1":
                return np.asarray(picture.convert("L")) // 255
            mask = np.asarray(picture)
        except Exception as error:
            raise ImageError(f"damaged mask: {_short(error)}") from error
        orientation = int(picture.getexif().get(0x0112, 1))
    if mask.ndim == 3 and mask.shape[2] >= 3 and (mask[..., :1] == mask[..., 1:3]).all():
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ImageError(f"a mask has one channel, this one has {mask.shape[2]}")
    if mask.size and mask.max() > 255:
        raise ImageError("a mask's class numbers end at 255")
    return _turn(mask.astype(np.uint8)[..., np.newaxis], orientation)[..., 0]


def to_gray(image: Image) -> Image:
    """``(H, W, 3) uint8`` RGB to luma (ITU-R 601), ``(H, W, 1)``."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[..., np.newaxis]


def video_frames(path: str | os.PathLike[str], every: int = 1) -> Iterator[tuple[int, float, Image]]:
    """Each ``every``-th frame of a video, one at a time: its number from 0, its time in seconds, RGB.

    Raises:
        UserError: not one frame can be read.
    """
    capture = cv2.VideoCapture(os.fspath(path))
    number = 0
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        while capture.grab():
            if number % every == 0:
                read, frame = capture.retrieve()
                if not read:
                    break
                yield number, number / rate, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            number += 1
    finally:
        capture.release()
    if not number:
        raise UserError(
            f"no frame of {path} can be read", "It is empty, broken, no video, or of a kind that OpenCV can't read."
        )


# --- writing -------------------------------------------------------------------------------------------------------------


def encode(image: Image, format: str = "jpg", quality: int = 95) -> bytes:
    """The bytes of a file: the same for the same image and library versions.

    Args:
        image: ``(H, W, 3)`` RGB, ``(H, W, 1)`` or ``(H, W)`` grey.
        format: ``jpg`` (4:2:0), ``png``, ``webp``, ``bmp`` or ``tif``; ``jpeg`` and ``tiff`` mean the same.
        quality: of JPEG and WebP, 1 to 100.
    """
    name = {"jpeg": "jpg", "tiff": "tif"}.get(format.lower().lstrip("."), format.lower().lstrip("."))
    if name not in get_args(Format):
        raise UserError(f"can't write images as {format!r}", f"Formats: {', '.join(get_args(Format))}")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"expected (H, W, 3) or (H, W, 1) uint8, got {image.shape} {image.dtype}")
    gray = image.ndim == 2 or image.shape[2] == 1
    if name == "jpg":
        pixels = np.ascontiguousarray(image.reshape(*image.shape[:2], -1))
        kind = ("GRAY", "Gray") if gray else ("RGB", "420")
        return bytes(simplejpeg.encode_jpeg(pixels, quality=quality, colorspace=kind[0], colorsubsampling=kind[1]))
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if name == "webp" else []
    done, data = cv2.imencode(f".{name}", image if gray else cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise UserError(f"an image of {image.shape[1]} x {image.shape[0]} px can't be written as {name}")
    return data.tobytes()


def write(path: str | os.PathLike[str], image: Image, quality: int = 95) -> None:
    """Write an image in the format that the file's name says, whole or not at all."""
    path = Path(path)
    write_bytes(path, encode(image, path.suffix or ".jpg", quality))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file through a temporary name beside it, so that nobody ever sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
