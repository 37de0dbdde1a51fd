"""MixUp, CutMix and Mosaic: batch-level data augmentation that mixes images and their targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.rng import Rng

Mixed = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def mixup(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng, alpha: float) -> Mixed:
    """MixUp (Zhang et al. 2018): blend each image with another of its batch, ``l * a + (1 - l) * b``, l ~ Beta(alpha, alpha).

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
    """CutMix (Yun et al. 2019): replace a rectangle of each image by that of another image of its batch.

    The rectangle has the image's proportions and the share ``1 - l`` of its area, l ~ Beta(alpha, alpha). Its centre is
    uniform. Targets are blended by the rectangle's area within the border, as in the paper.
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


def mosaic(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng) -> Mixed:
    """Mosaic (Bochkovskiy et al. 2020): each image with three others of its batch, in four fields around a random point.

    The point is drawn once for the batch, in the middle half of both sides. YOLOv4 crops the four images and their boxes. A
    class label has no location, so here each image is resized whole into its field, and targets are blended by area.
    """
    height, width = images.shape[1:3]
    y = _within(rng, height)
    x = _within(rng, width)
    first = images.astype(np.float32)
    mixed = np.empty_like(first)
    new_targets = np.zeros(targets.shape, np.float32)
    new_weights = np.zeros(weights.shape, np.float32)
    order = np.arange(len(images))
    for number, (top, left, bottom, right) in enumerate(
        ((0, 0, y, x), (0, x, y, width), (y, 0, height, x), (y, x, height, width))
    ):
        if bottom <= top or right <= left:
            continue
        chosen = order if number == 0 else rng.permutation(len(images))
        share = np.float32((bottom - top) * (right - left) / (height * width))
        new_targets += targets[chosen] * share
        new_weights += weights[chosen] * share
        for target, source in enumerate(chosen):
            field = cv2.resize(first[source], (right - left, bottom - top), interpolation=cv2.INTER_AREA)
            mixed[target, top:bottom, left:right] = field.reshape(bottom - top, right - left, -1)
    return mixed, new_targets, new_weights


def _within(rng: Rng, side: int) -> int:
    """A whole number in the middle half of 0 to ``side``."""
    return int(rng.integers(side // 4, side - side // 4, endpoint=True))


def mixer(mixup_alpha: float, cutmix_alpha: float, mosaic_part: float = 0.0) -> Callable[..., Mixed] | None:
    """The function that a feed calls for each batch; None without mixing.

    The share ``mosaic_part`` of the batches become mosaics; the others use MixUp or CutMix, with equal chance if both are on.
    """
    blends = [(function, alpha) for function, alpha in ((mixup, mixup_alpha), (cutmix, cutmix_alpha)) if alpha > 0]
    if not blends and not mosaic_part:
        return None

    def mix(images: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float32], rng: Rng) -> Mixed:
        if mosaic_part and rng.random() < mosaic_part:
            return mosaic(images, targets, weights, rng)
        if not blends:
            return images.astype(np.float32), targets.astype(np.float32), weights
        function, alpha = blends[int(rng.integers(len(blends)))]
        return function(images, targets, weights, rng, alpha)

    return mix
