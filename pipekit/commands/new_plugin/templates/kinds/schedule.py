"""The learning rate schedule `${component}`."""

import math

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    cycles: int = pipekit.param(2, "Number of waves", ge=1, le=100)
    floor: float = pipekit.param(0.01, "Lowest factor", ge=0, le=1)


def ${component}(share: float, params: ${Component}Params) -> float:
    """Cosine waves, each from the peak to a floor (Loshchilov and Hutter 2017).

    `share` is the share of the steps after the warm-up that are done, from 0 to 1; the result is the factor on the learning rate.
    """
    place = share * params.cycles % 1
    return params.floor + (1 - params.floor) * 0.5 * (1 + math.cos(math.pi * place))
