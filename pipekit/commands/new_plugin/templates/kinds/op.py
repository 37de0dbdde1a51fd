"""The op `${component}`."""

import numpy as np

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    amount: float = pipekit.param(0.2, "Largest relative change of the brightness, up or down", ge=0, le=1)


def ${component}(image: np.ndarray, params: ${Component}Params, rng: pipekit.Rng) -> np.ndarray:
    """Make the image brighter or darker by a random factor.

    `image` is (H, W, 3) uint8 RGB and must not be changed; the result has the same shape and dtype. A geometric op takes
    `size_hw` instead of `image` and returns a 3 x 3 matrix: masks, boxes and keypoints are transformed with the image.
    """
    share = rng.note("share", rng.uniform(1 - params.amount, 1 + params.amount))
    return np.clip(image * share, 0, 255).astype(np.uint8)
