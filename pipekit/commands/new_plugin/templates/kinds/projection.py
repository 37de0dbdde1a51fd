"""The projection `${component}`."""

import numpy as np

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    spread: float = pipekit.param(1.0, "Exponent of the distances from the middle: below 1, the middle gets more room", gt=0, le=4)


def ${component}(table: np.ndarray, params: ${Component}Params, rng: pipekit.Rng) -> np.ndarray:
    """The two features that differ most between the images.

    Make points of features here. `table` is (N, D) float32, a row of length 1 for each image; return (N, 2). Draw from `rng` alone.
    The map scales both axes to its own size.
    """
    order = np.argsort(-table.var(axis=0), kind="stable")[:2]
    points = np.zeros((len(table), 2), np.float32)
    points[:, : len(order)] = table[:, order]
    points -= points.mean(axis=0)
    return np.sign(points) * np.abs(points) ** params.spread
