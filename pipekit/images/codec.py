"""Decode and encode images. The only module that handles channel orders other than RGB.

An image is an ``(H, W, 3) uint8`` array in RGB, or ``(H, W, 1)`` in grey where a function says so. An unusable file raises
:class:`~pipekit.errors.ImageError` with a short reason, whichever library detected it.

JPEG is decoded with libjpeg-turbo (simplejpeg), which can decode at 1/2, 1/4 or 1/8 of the size for a fraction of the work;
everything else with Pillow, except small PNG files of the plainest kind. Colour profiles are not applied.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from shlex import quote
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
import simplejpeg

from pipekit import files
from pipekit.errors import ImageError, UserError
from pipekit.images.jpeg import decode_jpeg, jpeg_header, jpeg_orientation
from pipekit.images.pixels import Decoded, ImageInfo, limit, too_large, turn
from pipekit.images.plain_png import decode_plain_png, plain_png
from pipekit.images.quiet import essential_png, quiet_pillow
from pipekit.images.value_range import why_not, why_unopened
from pipekit.images.warping import Image, SizeHw

Format: TypeAlias = Literal["jpg", "png", "webp", "bmp", "tif"]
_FORMATS = get_args(Format)


SUFFIXES = files.IMAGE_SUFFIXES
"""File suffixes of images that are always decoded; ``pipekit.files.image_suffixes`` has those of this installation."""


# --- reading -------------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], *, at_least_hw: SizeHw | None = None, gray: bool = False) -> Image:
    """The image in a file; see :func:`decode`."""
    return decode(read_bytes(path), at_least_hw=at_least_hw, gray=gray)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        ImageError: the file is missing, a folder, or not readable.
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
    """Decode any supported format to what a viewer displays.

    EXIF orientation is applied, transparent pixels are composited on white, 16-bit samples are scaled to 8, CMYK becomes RGB,
    and the first frame of an animation is used.

    Args:
        at_least_hw: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but not below this height and width.
        gray: luma (ITU-R 601) instead of colour.

    Returns:
        ``(H, W, 3) uint8`` RGB, or ``(H, W, 1) uint8`` for ``gray``.

    Raises:
        ImageError: the file is empty, truncated, damaged, too large, or not an image.

    >>> import numpy as np
    >>> from pipekit import images
    >>> image = np.full((480, 640, 3), 200, np.uint8)
    >>> images.decode(images.encode(image, "jpg"), at_least_hw=(100, 100)).shape
    (120, 160, 3)
    >>> images.decode(b"this is no image")
    Traceback (most recent call last):
    pipekit.errors.ImageError: a text file, not an image
    """
    return decode_reduced(data, at_least_hw, gray=gray).image


def decode_reduced(data: bytes, at_least_hw: SizeHw | None, *, gray: bool = False) -> Decoded:
    """As :func:`decode`, and return the scale: pixel ``x`` of the full image lies at ``(x + 0.5) * scale - 0.5``."""
    if data[:3] == b"\xff\xd8\xff":
        decoded = decode_jpeg(data, at_least_hw, gray)
        if decoded is not None:
            return decoded
    codec = files.codec_for(data)
    if codec is not None:
        image = decode_with(codec, data)
    elif (plain := decode_plain_png(data)) is not None:
        image = plain
    else:
        image = _decode_with_pillow(data)
    if gray:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis].astype(np.uint8, copy=False)
    return Decoded(image, (image.shape[0], image.shape[1]))


def probe(data: bytes) -> ImageInfo:
    """Size, format, mode, orientation and number of frames from a file's header, without decoding it.

    Raises:
        ImageError: it is not an image.

    >>> import numpy as np
    >>> from pipekit import images
    >>> images.probe(images.encode(np.zeros((48, 64, 3), np.uint8), "png"))
    ImageInfo(width_px=64, height_px=48, format='PNG', mode='RGB', orientation=1, frames=1)
    """
    if data[:3] == b"\xff\xd8\xff":
        height, width, colorspace, _ = jpeg_header(data)
        limit(width, height)
        orientation = jpeg_orientation(data)
        mode = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colorspace, "RGB")
        if orientation > 4:
            height, width = width, height
        return ImageInfo(width, height, "JPEG", mode, orientation)
    if (codec := files.codec_for(data)) is not None:
        height, width = decode_with(codec, data).shape[:2]
        return ImageInfo(width, height, str(getattr(codec, "__name__", "")).rpartition(".")[2], "RGB", 1)
    if (plain := plain_png(data)) is not None:
        return plain
    with quiet_pillow(), open_with_pillow(data) as picture:
        try:
            orientation = int(picture.getexif().get(0x0112, 1))
            frames = int(getattr(picture, "n_frames", 1))
        except Exception:  # damaged metadata or a truncated animation: the first frame may still be good
            orientation, frames = 1, 1
        orientation = orientation if 1 <= orientation <= 8 else 1
        width, height = picture.size if orientation <= 4 else picture.size[::-1]
        mode = "I;16" if picture.format == "PNG" and data[24] == 16 else picture.mode
        return ImageInfo(width, height, picture.format or "", mode, orientation, frames)


def is_image(path: Path) -> bool:
    """Whether a file starts with the signature of an image format."""
    try:
        probe(path.read_bytes())
    except (ImageError, OSError):
        return False
    return True


def verify(data: bytes) -> ImageInfo:
    """Decode the whole file and return its properties.

    Raises:
        ImageError: also for a truncated file with an intact header.
    """
    info = probe(data)
    decode(data)
    return info


def open_with_pillow(data: bytes) -> Any:
    from PIL import Image as Pillow
    from PIL import ImageFile, UnidentifiedImageError

    if not data:
        raise ImageError("empty file (0 bytes)")
    try:
        with quiet_pillow():
            picture = Pillow.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ImageError(_not_an_image(data)) from None
    except Pillow.DecompressionBombError:
        raise ImageError(too_large()) from None
    except Exception as error:
        raise ImageError(f"damaged file: {short_reason(error)}") from error
    if isinstance(picture, ImageFile.StubImageFile):  # known by its signature alone, as HDF5 is
        raise ImageError(f"a file of the format {picture.format}, which holds data and is no image")
    limit(*picture.size)
    return picture


_MAGIC = {b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WEBP", b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"BM": "BMP"}


def _not_an_image(data: bytes) -> str:
    head = data[:512]
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            if name == "TIFF" and (reason := why_unopened(data)):
                return reason
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


def short_reason(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _decode_with_pillow(data: bytes) -> Image:
    with quiet_pillow(), open_with_pillow(data) as picture:
        name = picture.format or "image"
        try:
            if name == "PNG" and data[24] == 16:
                return _decode_deep_png(data, int(picture.getexif().get(0x0112, 1)))
            if name == "TIFF" and (reason := why_not(data)):
                raise ImageError(reason)
            picture.load()
            orientation = int(picture.getexif().get(0x0112, 1))
            image = _to_rgb(picture)
        except ImageError:
            raise
        except Exception as error:
            if "truncated" in str(error).lower() or isinstance(error, EOFError):
                raise ImageError(f"truncated {name}") from error
            raise ImageError(f"damaged {name}: {short_reason(error)}") from error
    return turn(image, orientation)


def decode_with(codec: Any, data: bytes) -> Image:
    """``(H, W, 3) uint8`` RGB by the codec of a plugin.

    It may also return grey values, ``(H, W)`` or ``(H, W, 1)``, or pixels whose last channel is alpha, ``(H, W, 2)`` or
    ``(H, W, 4)``: those are composited on white.

    Raises:
        ImageError: the codec raises, or returns no image.
    """
    try:
        image = np.asarray(codec.decode(data))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"its codec can't decode it: {short_reason(error)}") from error
    shape = image.shape
    if image.dtype != np.uint8 or not image.size or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        raise ImageError(f"its codec returned {shape} {image.dtype}, expected (H, W, 3) uint8")
    limit(shape[1], shape[0])
    if shape[2:] in ((2,), (4,)):
        image = _on_white(image)
    image = image.reshape(*shape[:2], -1)
    return np.asarray(image if image.shape[2] == 3 else np.repeat(image, 3, axis=2))


def _to_rgb(picture: Any) -> Image:
    mode = picture.mode
    if mode == "I" and picture.format == "PPM":  # Pillow has scaled the samples to 0 to 65,535
        return np.repeat(_to_8_bits(np.asarray(picture))[..., np.newaxis], 3, axis=2)
    if mode in ("F", "I"):
        raise ImageError("32-bit samples have no agreed range; state it in the import: value_range = [black, white]")
    if mode.startswith("I;16"):
        return np.repeat(_to_8_bits(np.asarray(picture))[..., np.newaxis], 3, axis=2)
    if "transparency" in picture.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return _on_white(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def _to_8_bits(samples: Any) -> Image:
    """16-bit samples divided by 257 and rounded; 8-bit samples unchanged."""
    if samples.dtype == np.uint8:
        return np.asarray(samples, np.uint8)
    return np.asarray((samples.astype(np.uint32) + 128) // 257, np.uint8)


def _on_white(pixels: Image) -> Image:
    """Composite pixels on white by their last channel, which is alpha."""
    alpha = pixels[..., -1:].astype(np.uint16)
    return ((pixels[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _decode_deep_png(data: bytes, orientation: int) -> Image:
    """16-bit PNG through OpenCV: Pillow drops the low byte of colour samples."""
    deep = cv2.imdecode(np.frombuffer(essential_png(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None:
        raise ImageError("damaged PNG")
    if deep.ndim == 2:
        deep = cv2.cvtColor(deep, cv2.COLOR_GRAY2RGB)
    else:
        deep = cv2.cvtColor(deep, cv2.COLOR_BGRA2RGBA if deep.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    pixels = _to_8_bits(deep)
    return turn(_on_white(pixels) if pixels.shape[2] == 4 else pixels, orientation)


# --- masks ---------------------------------------------------------------------------------------------------------------


def to_gray(image: Image) -> Image:
    """``(H, W, 3) uint8`` RGB to luma (ITU-R 601), ``(H, W, 1)``.

    >>> import numpy as np
    >>> from pipekit import images
    >>> images.to_gray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)).tolist()
    [[[76], [150]]]
    """
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[..., np.newaxis]


# --- writing -------------------------------------------------------------------------------------------------------------


def encode(image: Image, format: str = "jpg", quality: int = 95) -> bytes:
    """Encode an image; the same image and library versions give the same bytes.

    Args:
        image: ``(H, W, 3)`` RGB, ``(H, W, 1)`` or ``(H, W)`` grey.
        format: ``jpg`` (4:2:0), ``png``, ``webp``, ``bmp`` or ``tif``; ``jpeg`` and ``tiff`` are synonyms.
        quality: of JPEG and WebP, 1 to 100.

    >>> import numpy as np
    >>> from pipekit import images
    >>> image = np.full((48, 64, 3), 200, np.uint8)
    >>> images.encode(image, "png")[1:4]
    b'PNG'
    >>> bool((images.decode(images.encode(image, "png")) == image).all())
    True
    """
    name = {"jpeg": "jpg", "tiff": "tif"}.get(format.lower().lstrip("."), format.lower().lstrip("."))
    if name not in _FORMATS:
        raise UserError(f"can't write images as {format!r}", f"Formats: {', '.join(_FORMATS)}")
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
    """Write an image atomically, in the format of the file's suffix."""
    path = Path(path)
    write_bytes(path, encode(image, path.suffix or ".jpg", quality))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file through a temporary name beside it, so that nobody ever reads half of it.

    Raises:
        UserError: there is no such folder.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except FileNotFoundError:
        hint = f"Make it: mkdir -p {quote(str(path.parent))}"
        raise UserError(f"there is no folder {path.parent}, for {path.name}", hint) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
