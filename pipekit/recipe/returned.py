"""What ops return, checked where it enters a recipe: an error names the op and its plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipekit.errors import PluginError
from pipekit.images.arrays import Affine, Homography, Image, affine_of
from pipekit.images.choices import SizeHw
from pipekit.recipe.homography import View, determinant

if TYPE_CHECKING:
    from pipekit.recipe.compiled import Op


SMALLEST = 1e-12
"""A matrix with a smaller determinant can't be inverted."""


def checked_pixels(op: Op, changed: Any, image: Image) -> Image:
    """What a pixel op made of an image.

    Raises:
        PluginError: it is no image of that shape.
    """
    if not isinstance(changed, np.ndarray) or changed.shape != image.shape or changed.dtype != np.uint8:
        raise wrong(op, f"{image.shape} uint8, like its image", changed)
    return changed


def checked_view(op: Op, changed: Any) -> View:
    """What an op made of a view.

    Raises:
        PluginError: it is no view, or one without a usable image or mask.
    """
    if not isinstance(changed, View):
        raise wrong(op, "a View", changed)
    image, mask = changed.image, changed.mask
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise wrong(op, "a View with an (H, W, 3) uint8 image", image)
    if mask is not None and (not isinstance(mask, np.ndarray) or mask.shape[:2] != image.shape[:2]):
        raise wrong(op, f"a View with a mask of {image.shape[:2]}, like its image", mask)
    return changed


def checked_homography(op: Op, found: Any, size_hw: SizeHw) -> tuple[Homography, SizeHw]:
    """The homography that a geometric op returned, and the size of the image after it.

    Raises:
        PluginError: it is no invertible matrix, or no size.
    """
    homography, new_hw = found if isinstance(found, tuple) and len(found) == 2 else (found, size_hw)
    if type(homography) is Affine and new_hw is size_hw and abs(homography.determinant) > SMALLEST:
        return homography, size_hw
    try:
        matrix = np.asarray(homography, np.float64)
        height, width = (int(side) for side in new_hw)
    except (TypeError, ValueError):
        raise wrong(op, "a (3, 3) matrix, or one with a new size (height, width)", found) from None
    if matrix.shape != (3, 3) or not abs(determinant(matrix)) > SMALLEST:  # comparisons with NaN are false
        raise wrong(op, "an invertible (3, 3) matrix", matrix.tolist())
    if min(height, width) < 1:
        raise wrong(op, "a size of at least 1 x 1 px", tuple(new_hw))
    return affine_of(matrix) or matrix / (matrix[2, 2] or 1), (height, width)


def checked_choice(op: Op, chosen: Any, parts: Sequence[Op]) -> list[int]:
    """The positions of the ops that a choosing op returned.

    Raises:
        PluginError: one is no position.
    """
    places = list(chosen) if isinstance(chosen, (Sequence, np.ndarray)) and not isinstance(chosen, (str, bytes)) else None
    if places is None or not all(isinstance(one, (int, np.integer)) and -len(parts) <= one < len(parts) for one in places):
        raise wrong(op, f"positions in its {len(parts)} ops", chosen)
    return [int(one) for one in places]


def wrong(op: Op, expected: str, got: Any) -> PluginError:
    plugin = f" of plugin {op.plugin!r}" if op.plugin else ""
    return PluginError(f"op {op.name!r}{plugin} must return {expected}; it returned {_what(got)}")


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return repr(value) if isinstance(value, (int, float, list, tuple)) and len(repr(value)) < 80 else type(value).__name__
