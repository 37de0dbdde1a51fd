"""Ops on neighbouring or random pixels: blur, sharpness, noise, JPEG artefacts, holes."""

from __future__ import annotations

import numpy as np

from pipekit import images
from pipekit.builtin.ops.colour import as_image
from pipekit.builtin.ops.geometric import Range, uniform
from pipekit.contract import Params, param
from pipekit.images import Image
from pipekit.rng import Rng


class BlurParams(Params):
    sigma_px: Range = param((0.3, 1.5), "Smallest and largest standard deviation", unit="px", neutral=0)


def blur(image: Image, params: BlurParams, rng: Rng) -> Image:
    """Gaussian blur with a random standard deviation."""
    import cv2

    sigma = uniform(rng, "sigma_px", *params.sigma_px)
    return as_image(cv2.GaussianBlur(image, (0, 0), sigma), image) if sigma > 0.05 else image


class MotionBlurParams(Params):
    length_px: Range = param((3.0, 9.0), "Shortest and longest path", unit="px", neutral=1)


def motion_blur(image: Image, params: MotionBlurParams, rng: Rng) -> Image:
    """Motion blur: along a line of random length and direction, as from a moving camera."""
    import cv2

    length = uniform(rng, "length_px", *params.length_px)
    angle = uniform(rng, "angle_deg", 0.0, 180.0)
    size = 2 * int(np.ceil(length / 2)) + 1
    # Drawn with sixteenths of a pixel, so that every length and direction gives its own line.
    kernel = np.zeros((size, size), np.uint8)
    half = length / 2 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    ends = [tuple(int(v) for v in np.rint((size // 2 + sign * half) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (255,), 1, cv2.LINE_AA, 4)
    weights = kernel.astype(np.float32)
    return as_image(cv2.filter2D(image, -1, weights / weights.sum(), borderType=cv2.BORDER_REPLICATE), image)


class SharpenParams(Params):
    amount: Range = param((0.2, 1.0), "Smallest and largest amount of detail to add; below 0 softens", neutral=0)
    sigma_px: float = param(1.0, "Standard deviation of the blur that defines detail", unit="px", gt=0, le=20)


def sharpen(image: Image, params: SharpenParams, rng: Rng) -> Image:
    """Unsharp masking: add a random amount of the difference to a blurred image."""
    import cv2

    amount = uniform(rng, "amount", *params.amount)
    soft = cv2.GaussianBlur(image, (0, 0), params.sigma_px)
    return as_image(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), image)


class NoiseParams(Params):
    sigma: Range = param((2.0, 15.0), "Smallest and largest standard deviation", unit="levels", neutral=0)
    grey: bool = param(False, "Add the same noise to all channels")


def noise(image: Image, params: NoiseParams, rng: Rng) -> Image:
    """Add Gaussian noise of random strength, independent for each pixel and channel."""
    sigma = uniform(rng, "sigma", *params.sigma)
    shape = (*image.shape[:2], 1) if params.grey else image.shape
    drawn = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return np.clip(np.rint(image + drawn), 0, 255).astype(np.uint8)


class SaltPepperParams(Params):
    amount: Range = param((0.005, 0.03), "Smallest and largest fraction of pixels to replace", neutral=0)


def salt_pepper(image: Image, params: SaltPepperParams, rng: Rng) -> Image:
    """Salt-and-pepper noise: set a random fraction of the pixels to black or white, half each."""
    amount = uniform(rng, "amount", *params.amount)
    drawn = rng.random(image.shape[:2], dtype=np.float32)
    changed = image.copy()
    changed[drawn < amount / 2] = 0
    changed[drawn > 1 - amount / 2] = 255
    return changed


class JpegParams(Params):
    quality: Range = param((30.0, 80.0), "Lowest and highest JPEG quality, 1 to 100", neutral=100)


def jpeg(image: Image, params: JpegParams, rng: Rng) -> Image:
    """Compress as JPEG with a random quality and decode again."""
    quality = round(float(rng.uniform(*params.quality)))
    data = images.encode(image, "jpg", rng.note("quality", min(100, max(1, quality))))
    return as_image(images.decode(data, gray=image.ndim == 2 or image.shape[2] == 1), image)


class PixelateParams(Params):
    scale: Range = param((0.25, 0.75), "Smallest and largest factor, above 0 and up to 1", neutral=1)


def pixelate(image: Image, params: PixelateParams, rng: Rng) -> Image:
    """Reduce the image by a random factor and enlarge it again: it loses detail."""
    scale = min(1.0, max(0.01, uniform(rng, "scale", *params.scale)))
    height, width = image.shape[:2]
    small = images.resize(image, (max(1, round(height * scale)), max(1, round(width * scale))), "area")
    return images.resize(small, (height, width), "linear")


class CutoutParams(Params):
    holes: int = param(1, "Number of holes", ge=1, le=1000)
    size: Range = param((0.1, 0.3), "Smallest and largest side of a hole, as a fraction of the shorter side", neutral=0)
    fill_value: int | None = param(None, "Grey level of the holes; by default random for each hole", ge=0, le=255)


def cutout(image: Image, params: CutoutParams, rng: Rng) -> Image:
    """Cutout (DeVries and Taylor 2017): cover random squares. Mask and boxes stay: what is hidden is still there."""
    changed, (height, width) = image.copy(), image.shape[:2]
    places = []
    for _ in range(params.holes):
        side = max(1, round(float(rng.uniform(*params.size)) * min(height, width)))
        x, y = int(rng.integers(width)) - side // 2, int(rng.integers(height)) - side // 2
        level = int(rng.integers(256)) if params.fill_value is None else params.fill_value
        changed[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = level
        places.append([x, y, side])
    rng.note("holes_xy_side_px", places)
    return changed
