"""Images as a person has them in a notebook (arrays, PIL images, files), checked and turned into ``(H, W, 3) uint8`` RGB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from pipekit.errors import ImageError, UserError

if TYPE_CHECKING:
    from pipekit.images import Image

EXPECTED = "an image is an array (height, width, 3) of uint8, RGB in 0..255, a PIL image, or the path of a file"


def as_rgb(image: Any) -> Image:
    """One image as an array.

    Args:
        image: ``(H, W, 3) uint8`` RGB, a PIL image (turned as its EXIF orientation says), or the path of a file.

    Returns:
        ``(H, W, 3) uint8`` RGB; the given array itself where it is one.

    Raises:
        UserError: a float or grey image, one with alpha or with the channels first, a batch, or no image at all. The hint
            converts it.
        ImageError: the file can't be read.
    """
    import numpy as np

    if isinstance(image, (str, os.PathLike)):
        from pipekit import images

        try:
            return images.read(image)
        except ImageError as error:
            raise ImageError(f"{os.fspath(image)}: {error.message}", error.hint) from None
    if is_pil(image):
        return _of_pil(image)
    array = image if isinstance(image, np.ndarray) else _as_array(image)
    _check_shape(array)
    _check_dtype(array)
    return array


def as_batch(images: Any) -> Iterator[Image]:
    """The images of an array ``(N, H, W, 3) uint8``, or the one of ``(H, W, 3)``."""
    import numpy as np

    array = images if isinstance(images, np.ndarray) else _as_array(images)
    if array.ndim == 4:
        yield from (as_rgb(one) for one in array)
    else:
        yield as_rgb(array)


def is_pil(image: Any) -> bool:
    """Whether it is an image of Pillow, which is loaded then; so this loads nothing."""
    import sys

    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _of_pil(image: Any) -> Image:
    import numpy as np
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image) or image
    if turned.mode in ("I", "F") or turned.mode.startswith("I;16"):
        raise UserError(
            f"a PIL image of mode {turned.mode} has more than 8 bits per value, so what is white is unknown",
            "Give the path of its file, which pipekit scales to 0..255, or convert it to an array of uint8 yourself.",
        )
    return np.array(turned.convert("RGB"))


def _as_array(image: Any) -> Any:
    """A tensor or nested list as an array."""
    import numpy as np

    if not (hasattr(image, "__array__") or isinstance(image, (list, tuple))):
        raise UserError(f"expected an image, got {type(image).__name__}", f"{EXPECTED[0].upper()}{EXPECTED[1:]}.")
    try:
        return np.asarray(image)
    except (ValueError, TypeError) as error:
        raise UserError(f"expected an image, got {type(image).__name__}: {error}", EXPECTED) from error


def _check_shape(array: Any) -> None:
    shape = array.shape
    if array.ndim == 4:
        _refuse(f"a batch of shape {shape}", "Give one image at a time: [f(image) for image in batch].")
    if array.ndim == 2 or (array.ndim == 3 and shape[2] == 1):
        _refuse(f"a grey image of shape {shape}", "np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) converts it.")
    if array.ndim == 3 and shape[2] == 4:
        _refuse(f"an image with alpha, of shape {shape}", "image[..., :3] leaves the alpha channel out.")
    if array.ndim == 3 and shape[0] in (1, 3) and shape[2] != 3:
        _refuse(f"an array of shape {shape}, with the channels first", "image.transpose(1, 2, 0) puts them last.")
    if array.ndim != 3 or shape[2] != 3:
        _refuse(f"an array of shape {shape}", f"{EXPECTED[0].upper()}{EXPECTED[1:]}.")
    if not array.size:
        _refuse(f"an empty image of shape {shape}", "Height and width must be at least 1.")


def _check_dtype(array: Any) -> None:
    import numpy as np

    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.number) or array.dtype.kind == "c":
        _refuse(f"values of {array.dtype}", f"{EXPECTED[0].upper()}{EXPECTED[1:]}.")
    low, high = float(array.min()), float(array.max())
    spans = f"values of {array.dtype} from {low:.4g} to {high:.4g}"
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        _refuse(spans, "(image * 255).round().astype('uint8') converts 0..1.")
    if low >= 0 and high <= 255:
        _refuse(spans, "image.round().astype('uint8') converts values in 0..255.")
    _refuse(spans, "Scale the values to 0..255 and convert them: image.round().clip(0, 255).astype('uint8').")


def _refuse(what: str, hint: str) -> NoReturn:
    raise UserError(f"expected an image (height, width, 3) of uint8 in 0..255, got {what}", hint)
