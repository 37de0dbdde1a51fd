"""The embedder `${component}`."""

import numpy as np

import pipekit
from pipekit.learning.embedders import Embed, Facts, embedder


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    power: float = pipekit.param(0.5, "Exponent of the mean colours: below 1, dark tones count more", gt=0, le=4)


@embedder(
    Facts(
        input_hw=(64, 64),
        dimensions=192,
        licence="that of this plugin: it has no weights",
        source="computed; nothing is downloaded",
        trained_on="nothing",
    )
)
def ${component}(params: ${Component}Params) -> Embed:
    """Mean colours of an 8 x 8 grid.

    Load your network here. `embed` gets (N, 64, 64, 3) uint8 RGB and returns (N, 192) float32; the row of an image must not
    depend on the other images. For weights in a file, state `weights`, `sha256` and `convert` in the facts.
    """

    def embed(images: np.ndarray) -> np.ndarray:
        cells = images.reshape(len(images), 8, 8, 8, 8, 3).mean(axis=(2, 4)) / 255
        return (cells**params.power).reshape(len(images), -1).astype(np.float32)

    return embed
