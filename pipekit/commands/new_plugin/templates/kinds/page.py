"""The page `${component}` of the studio."""

import numpy as np

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}: the studio makes a control of each."""

    threshold: int = pipekit.param(40, "Least difference between two neighbouring pixels of an edge", ge=1, le=255)


def ${component}(studio: pipekit.StudioContext, params: ${Component}Params) -> pipekit.Section:
    """The edges of the chosen image.

    It is called again at each change, in a process of the studio; an exception becomes a message on the page.
    """
    grey = pipekit.images.read(studio.sample.image).mean(axis=2)
    steps = np.zeros(grey.shape)
    steps[:, 1:] = np.abs(np.diff(grey, axis=1))
    steps[1:] = np.maximum(steps[1:], np.abs(np.diff(grey, axis=0)))
    edges = steps >= params.threshold
    drawn = np.where(edges[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    picture = pipekit.Picture(pipekit.images.encode(drawn, "png"), f"Edges of {studio.sample.id}")
    return pipekit.Section("Edges", f"{edges.mean():.1%} of the pixels are edges.", pictures=(picture,))
