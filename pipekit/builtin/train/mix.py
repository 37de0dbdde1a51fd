"""MixUp and CutMix: batches of blended images with blended targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.rng import Rng

Mixed = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def mixup(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng, alpha: float) -> Mixed:
    """MixUp (Zhang et al. 2018): each image with another one of its batch, ``l * a + (1 - l) * b``, l ~ Beta(alpha, alpha).

    One ``l`` is drawn for the whole batch, as in the authors' implementation; targets and weights are blended likewise.
    """
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    first = images.astype(np.float32)
    return (
        first * share + first[other] * (1 - share),
        (targets * share + targets[other] * (1 - share)).astype(np.float32),
        (weights * share + weights[other] * (1 - share)).astype(np.float32),
    )


def cutmix(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng, alpha: float) -> Mixed:
    """CutMix (Yun et al. 2019): a rectangle of each image is taken from another one of its batch.

    The rectangle has the image's proportions and the share ``1 - l`` of its area, l ~ Beta(alpha, alpha); its centre is
    uniform, and the targets are blended by the share that is left after it is cut off at the border, as in the paper.
    """
    height, width = images.shape[1:3]
    side = np.sqrt(1.0 - rng.beta(alpha, alpha))
    centre_y, centre_x = int(rng.integers(height)), int(rng.integers(width))
    half_y, half_x = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(0, centre_y - half_y), min(height, centre_y + half_y)
    left, right = max(0, centre_x - half_x), min(width, centre_x + half_x)
    other = rng.permutation(len(images))
    mixed = images.astype(np.float32)
    mixed[:, top:bottom, left:right] = images[other, top:bottom, left:right]
    share = np.float32(1 - (bottom - top) * (right - left) / (height * width))
    return (
        mixed,
        (targets * share + targets[other] * (1 - share)).astype(np.float32),
        (weights * share + weights[other] * (1 - share)).astype(np.float32),
    )


def mixer(mixup_alpha: float, cutmix_alpha: float) -> Callable[..., Mixed] | None:
    """What a feed calls for each batch; with both, a coin decides for each batch. None where both are 0."""
    chosen = [(function, alpha) for function, alpha in ((mixup, mixup_alpha), (cutmix, cutmix_alpha)) if alpha > 0]
    if not chosen:
        return None

    def mix(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng) -> Mixed:
        function, alpha = chosen[int(rng.integers(len(chosen)))]
        return function(images, targets, weights, rng, alpha)

    return mix
