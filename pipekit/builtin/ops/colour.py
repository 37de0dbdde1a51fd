"""Ops on pixel values: brightness, contrast, gamma, hue, equalisation.

Brightness, channel shift and rescale have the meaning of Keras' ``ImageDataGenerator``, on ``uint8`` and rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from pipekit.builtin.ops.geometric import Range, uniform
from pipekit.contract import Params, param
from pipekit.images import Image
from pipekit.rng import Rng

LEVELS: NDArray[np.float64] = np.arange(256, dtype=np.float64)


def look_up(image: Image, levels: NDArray[Any]) -> Image:
    """The image with each value replaced by ``levels[value]``, rounded and clipped to 0..255."""
    import cv2

    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return as_image(cv2.LUT(image, table), image)


def as_image(pixels: Any, like: Image) -> Image:
    """OpenCV's result in the shape of the input (it drops a single channel)."""
    return np.asarray(pixels, np.uint8).reshape(like.shape)


def is_colour(image: Image) -> bool:
    return image.ndim == 3 and image.shape[2] == 3


def luma(image: Image) -> Image:
    """``(H, W) uint8``, ITU-R 601."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) if is_colour(image) else image.reshape(image.shape[:2])


# --- Keras' ---------------------------------------------------------------------------------------------------------------


class BrightnessParams(Params):
    range: Range = param((0.7, 1.3), "Smallest and largest factor; 1 leaves the image as it is", neutral=1)

    @model_validator(mode="after")
    def _not_negative(self) -> BrightnessParams:
        if self.range[0] < 0:
            raise ValueError(f"range: a factor can't be below 0, got {self.range[0]}")
        return self


def brightness(image: Image, params: BrightnessParams, rng: Rng) -> Image:
    """Multiply all values by a random factor. Keras' brightness_range."""
    return look_up(image, LEVELS * uniform(rng, "factor", *params.range))


class ChannelShiftParams(Params):
    limit: float = param(20.0, "Largest amount to add or subtract", unit="levels", gt=0, le=255, neutral=0)


def channel_shift(image: Image, params: ChannelShiftParams, rng: Rng) -> Image:
    """Add one random amount to all channels, clipped to the image's own range. Keras' channel_shift_range."""
    amount = uniform(rng, "amount", -params.limit, params.limit)
    return look_up(image, np.clip(LEVELS + amount, float(image.min()), float(image.max())))


class RescaleParams(Params):
    factor: float = param(..., "Factor on every value", ge=0, neutral=1)


def rescale(image: Image, params: RescaleParams, rng: Rng) -> Image:
    """Multiply all values by a fixed factor, clipped at 255. Keras' rescale; models here take 0..255 and need no 1/255."""
    return look_up(image, LEVELS * params.factor)


# --- further ones ---------------------------------------------------------------------------------------------------------


class ColourJitterParams(Params):
    limit: float = param(20.0, "Largest amount to add to or subtract from each channel", unit="levels", gt=0, le=255, neutral=0)


def colour_jitter(image: Image, params: ColourJitterParams, rng: Rng) -> Image:
    """Add an independent random amount to each channel: a colour cast."""
    import cv2

    channels = image.reshape(*image.shape[:2], -1)
    amounts = rng.uniform(-params.limit, params.limit, (channels.shape[2],)).tolist()
    rng.note("amounts", [round(amount, 2) for amount in amounts])
    tables = np.clip(np.rint(LEVELS[:, np.newaxis] + np.array(amounts)), 0, 255).astype(np.uint8)
    return as_image(np.stack([cv2.LUT(channels[..., c], tables[:, c]) for c in range(len(amounts))], axis=2), image)


class ContrastParams(Params):
    range: Range = param((0.7, 1.3), "Smallest and largest factor; 1 leaves the image as it is, 0 makes it grey", neutral=1)


def contrast(image: Image, params: ContrastParams, rng: Rng) -> Image:
    """Scale the contrast: all values about the image's mean luma by a random factor."""
    factor, mean = uniform(rng, "factor", *params.range), float(luma(image).mean())
    return look_up(image, mean + (LEVELS - mean) * factor)


class GammaParams(Params):
    range: Range = param((0.7, 1.4), "Smallest and largest exponent; below 1 lightens, above 1 darkens", neutral=1)

    @model_validator(mode="after")
    def _positive(self) -> GammaParams:
        if self.range[0] <= 0:
            raise ValueError(f"range: an exponent must be above 0, got {self.range[0]}")
        return self


def gamma(image: Image, params: GammaParams, rng: Rng) -> Image:
    """Raise all values, as fractions of 255, to a random power."""
    return look_up(image, 255 * (LEVELS / 255) ** uniform(rng, "exponent", *params.range))


class HueSaturationParams(Params):
    hue_deg: float = param(10.0, "Largest hue rotation in either direction", unit="deg", ge=0, le=180, neutral=0)
    saturation: Range = param((0.7, 1.3), "Smallest and largest factor of the saturation", neutral=1)
    value: Range = param((1.0, 1.0), "Smallest and largest factor of the value", neutral=1)


def hue_saturation(image: Image, params: HueSaturationParams, rng: Rng) -> Image:
    """Rotate the hue and scale saturation and value by random amounts, in HSV. Grey images have no hue and don't change."""
    import cv2

    turn = uniform(rng, "hue_deg", -params.hue_deg, params.hue_deg)
    saturation = uniform(rng, "saturation", *params.saturation)
    value = uniform(rng, "value", *params.value)
    if not is_colour(image):
        return look_up(image, LEVELS * value)
    # The full range of 256 hues: OpenCV's usual 180 would lose 2 degrees at each rotation.
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hue = (LEVELS + turn * 256 / 360) % 256
    tables = np.stack([hue % 256, LEVELS * saturation, LEVELS * value], axis=1)
    tables[:, 0] = np.rint(tables[:, 0]) % 256
    rounded = np.clip(np.rint(tables), 0, 255).astype(np.uint8)
    moved = np.stack([cv2.LUT(hsv[..., c], rounded[:, c]).reshape(image.shape[:2]) for c in range(3)], axis=2)
    return as_image(cv2.cvtColor(moved, cv2.COLOR_HSV2RGB_FULL), image)


class GreyscaleParams(Params):
    """No parameters."""


def greyscale(image: Image, params: GreyscaleParams, rng: Rng) -> Image:
    """Convert to greyscale, with three equal channels."""
    return np.repeat(luma(image)[..., np.newaxis], 3, axis=2) if is_colour(image) else image


class ClaheParams(Params):
    clip: Range = param((1.0, 4.0), "Smallest and largest limit of the contrast")
    tiles: int = param(8, "Number of tiles across and down", ge=1, le=64)


def clahe(image: Image, params: ClaheParams, rng: Rng) -> Image:
    """Contrast-limited adaptive histogram equalisation (CLAHE, Zuiderveld 1994), on the lightness of CIE Lab."""
    import cv2

    even = cv2.createCLAHE(uniform(rng, "clip", *params.clip), (params.tiles, params.tiles))
    if not is_colour(image):
        return as_image(even.apply(luma(image)), image)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = even.apply(np.ascontiguousarray(lab[..., 0]))
    return as_image(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), image)


class NoColourParams(Params):
    """No parameters."""


def equalize(image: Image, params: NoColourParams, rng: Rng) -> Image:
    """Histogram equalisation: spread each channel's values evenly."""
    import cv2

    channels = image.reshape(*image.shape[:2], -1)
    return as_image(np.stack([cv2.equalizeHist(channels[..., c]) for c in range(channels.shape[2])], axis=2), image)


def autocontrast(image: Image, params: NoColourParams, rng: Rng) -> Image:
    """Stretch each channel so that its darkest value becomes 0 and its lightest 255."""
    channels = image.reshape(*image.shape[:2], -1)
    stretched = []
    for c in range(channels.shape[2]):
        low, high = float(channels[..., c].min()), float(channels[..., c].max())
        levels = (LEVELS - low) * 255 / (high - low) if high > low else LEVELS
        stretched.append(look_up(np.ascontiguousarray(channels[..., c]), levels))
    return as_image(np.stack(stretched, axis=2), image)


def invert(image: Image, params: NoColourParams, rng: Rng) -> Image:
    """Invert all values: 255 minus the value."""
    import cv2

    return as_image(cv2.bitwise_not(image), image)


class PosterizeParams(Params):
    bits: int = param(4, "Bits kept of each value", unit="bits", ge=1, le=7, neutral=8)


def posterize(image: Image, params: PosterizeParams, rng: Rng) -> Image:
    """Keep only the highest bits of each value."""
    return image & np.uint8(256 - (1 << (8 - params.bits)))


class SolarizeParams(Params):
    threshold: Range = param((64.0, 255.0), "Smallest and largest threshold", unit="levels", neutral=256)


def solarize(image: Image, params: SolarizeParams, rng: Rng) -> Image:
    """Invert the values above a random threshold."""
    threshold = uniform(rng, "threshold", *params.threshold)
    return look_up(image, np.where(threshold <= LEVELS, 255 - LEVELS, LEVELS))
