"""Fit an image into a size of another aspect ratio: stretched, cropped at the longer sides, or padded with black."""

from __future__ import annotations

import numpy as np

from pipekit.images.choices import Fit as Fit
from pipekit.images.choices import SizeHw
from pipekit.images.warping import Image, resize


def fitted(image: Image, size_hw: SizeHw, fit: Fit = "stretch") -> Image:
    """Bring an image to ``size_hw``.

    ``stretch`` changes its proportions; ``crop`` keeps the largest centred part that has the proportions of ``size_hw``;
    ``pad`` makes the whole image fit inside, centred, with black around it.

    Args:
        image: ``(H, W, C) uint8``.

    >>> import numpy as np
    >>> from pipekit import images
    >>> wide = np.array([[10, 20, 30, 40]], np.uint8)[..., None]
    >>> images.fitted(wide, (1, 2), "stretch")[..., 0].tolist()
    [[10, 40]]
    >>> images.fitted(wide, (1, 2), "crop")[..., 0].tolist()
    [[20, 30]]
    >>> images.fitted(wide, (3, 4), "pad")[..., 0].tolist()
    [[0, 0, 0, 0], [10, 20, 30, 40], [0, 0, 0, 0]]
    """
    if fit == "pad":
        return padded(resize(image, largest_hw(_size(image), size_hw)), size_hw)
    return resize(cropped(image, size_hw) if fit == "crop" else image, size_hw)


def cropped(image: Image, size_hw: SizeHw) -> Image:
    """The largest centred part that has the proportions of ``size_hw``, as a view."""
    height, width = largest_hw(size_hw, _size(image))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def padded(image: Image, size_hw: SizeHw) -> Image:
    """An image in the centre of a black one of at least its size."""
    if _size(image) == tuple(size_hw):
        return image
    made = np.zeros((*size_hw, *image.shape[2:]), np.uint8)
    top, left = (size_hw[0] - image.shape[0]) // 2, (size_hw[1] - image.shape[1]) // 2
    made[top : top + image.shape[0], left : left + image.shape[1]] = image
    return made


def largest_hw(of_hw: SizeHw, within_hw: SizeHw) -> SizeHw:
    """The largest size with the proportions of ``of_hw`` that fits within another, rounded half up, at least one pixel.

    >>> largest_hw((300, 400), (100, 100))
    (75, 100)
    """
    (height, width), (most_h, most_w) = of_hw, within_hw
    return (
        min(most_h, max(1, (2 * height * most_w + width) // (2 * width))),
        min(most_w, max(1, (2 * width * most_h + height) // (2 * height))),
    )


def smallest_hw(of_hw: SizeHw, around_hw: SizeHw) -> SizeHw:
    """The smallest size with the proportions of ``of_hw`` that another fits into.

    >>> smallest_hw((100, 100), (300, 400))
    (400, 400)
    """
    (height, width), (least_h, least_w) = of_hw, around_hw
    return (
        max(least_h, (2 * height * least_w + width) // (2 * width)),
        max(least_w, (2 * width * least_h + height) // (2 * height)),
    )


def _size(image: Image) -> SizeHw:
    return image.shape[0], image.shape[1]
