"""A pipekit plugin: the op `speckle`, the multiplicative noise of radar, ultrasound and laser light."""

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


@pipekit.hookimpl
def register_ops(register):
    register("speckle", speckle)
