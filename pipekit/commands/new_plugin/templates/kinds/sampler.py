"""The sampler `${component}`."""

import numpy as np

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    evenness: float = pipekit.param(1.0, "1: all classes are shown equally often; 0: as often as they are there", ge=0, le=1)


def ${component}(targets: np.ndarray, epoch: int, params: ${Component}Params, rng: pipekit.Rng) -> np.ndarray:
    """Show images of rare classes more often.

    `targets` has the class number of each image (or its labels, in a row). Return as many positions as there are images: which images the
    epoch shows, in their order. Draw from `rng` alone.
    """
    _, classes = np.unique(targets, axis=0, return_inverse=True)
    classes = classes.reshape(-1)
    weights = np.bincount(classes)[classes] ** -params.evenness
    return rng.choice(len(targets), len(targets), p=weights / weights.sum())
