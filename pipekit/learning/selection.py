"""The flattery of a choice: the best of several models on the same images is partly the luckiest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipekit.rng import Rng

RESAMPLES = 400


def flattery(correct: NDArray[Any], rng: Rng) -> float:
    """By how much the accuracy of the best model exceeds what the way of choosing it gives on images that didn't choose.

    The choice is repeated on bootstrap samples of the images, and each winner is measured on the images that its sample left
    out (Tsamardinos, Greasidou and Borboudakis 2018, "Bootstrapping the out-of-sample predictions").

    Args:
        correct: ``(models, images)``, at least two models; of a recipe, the share of its trainings that are correct.

    Returns:
        a difference of accuracies, at least 0; 0 if it can't be estimated.
    """
    number = correct.shape[1]
    right = correct.astype(np.float64)
    drawn = rng.multinomial(number, np.full(number, 1 / number), size=RESAMPLES).astype(np.float64)
    left_out = (drawn == 0).astype(np.float64)
    winners = (drawn @ right.T).argmax(axis=1)
    sizes = left_out.sum(axis=1)
    kept = sizes > 0
    if not kept.any():
        return 0.0
    fresh = (left_out * right[winners]).sum(axis=1)[kept] / sizes[kept]
    return max(0.0, float(right.mean(axis=1).max() - fresh.mean()))
