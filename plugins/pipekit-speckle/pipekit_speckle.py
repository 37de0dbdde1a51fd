"""A pipekit plugin: the op `speckle`, the multiplicative noise of radar, ultrasound and laser light, and a page for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pipekit

if TYPE_CHECKING:
    import numpy as np

PIPEKIT_API = 1


class SpeckleParams(pipekit.Params):
    """Parameters of speckle."""

    amount: float = pipekit.param(0.2, "Standard deviation of the factor applied to each pixel", ge=0, le=1)


def speckle(image: np.ndarray, params: SpeckleParams, rng: pipekit.Rng) -> np.ndarray:
    """Multiply every pixel (all channels alike) by a normal random number with mean 1."""
    factor = rng.normal(1, params.amount, (*image.shape[:2], 1))
    return (image * factor).round().clip(0, 255).astype("uint8")


class StrengthsParams(pipekit.Params):
    """Parameters of the page."""

    strongest: float = pipekit.param(0.4, "Standard deviation in the last picture", ge=0.01, le=1)
    pictures: int = pipekit.param(6, "Number of pictures", ge=2, le=12)


def strengths(studio: pipekit.StudioContext, params: StrengthsParams) -> pipekit.Section:
    """An image with noise of growing strength."""
    image = pipekit.images.thumbnail(pipekit.images.read(studio.sample.image), 224)
    shown = []
    for number in range(params.pictures):
        amount = params.strongest * number / (params.pictures - 1)
        noisy = speckle(image, SpeckleParams(amount=amount), pipekit.rng_for(0, "page"))
        shown.append(pipekit.Picture(pipekit.images.encode(noisy, "png"), f"amount {amount:.2f}", f"amount = {amount:.2f}"))
    return pipekit.Section(studio.sample.id, "From which amount on can't you tell the class?", pictures=tuple(shown))


@pipekit.hookimpl
def register_ops(register):
    register("speckle", speckle)


@pipekit.hookimpl
def register_pages(register):
    register("speckle", strengths, summary="How much noise an image of yours bears")
