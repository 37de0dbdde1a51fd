"""The detector `${component}`."""

import numpy as np

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    count: int = pipekit.param(50, "Maximum number of points", unit="points", ge=1, le=100_000)


def ${component}(image: np.ndarray, params: ${Component}Params) -> np.ndarray:
    """The pixels with the strongest brightness gradient.

    `image` is (H, W, 3) uint8 RGB. The result is (N, 3) float32: x_px, y_px, response, strongest first. You may return an
    (H, W) float32 response map instead.
    """
    grey = image.mean(axis=2)
    change_y, change_x = np.gradient(grey)
    response = np.hypot(change_x, change_y)
    best = np.argsort(-response, axis=None, kind="stable")[: params.count]
    y, x = np.unravel_index(best, response.shape)
    points = np.stack([x, y, response[y, x]], axis=1).astype(np.float32)
    return points[points[:, 2] > 0]
