"""Split conformal prediction intervals of numbers: V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World"
(2005); J. Lei et al., "Distribution-free predictive inference for regression" (2018), algorithm 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
"""Share of new images whose number lies in the interval."""


def half_width(true: NDArray[np.float64], predicted: NDArray[np.float64], level: float = LEVEL) -> dict[str, Any] | None:
    """Half of the width of an interval around a prediction, from held-out images; None if they are too few for the level.

    Of ``n`` absolute errors, the ``ceil((n + 1) level)``-th smallest. If a new image is drawn as the held-out ones were, its
    number lies within that of the prediction with a probability of at least ``level``, whatever the model.

    >>> half_width(np.arange(9.0), np.zeros(9))
    {'level': 0.9, 'half_width': 8.0, 'images': 9}
    >>> half_width(np.arange(8.0), np.zeros(8)) is None
    True
    """
    errors = np.sort(np.abs(true - predicted))
    place = int(np.ceil((len(errors) + 1) * level - 1e-9))
    if not 0 < place <= len(errors):
        return None
    return {"level": level, "half_width": float(errors[place - 1]), "images": len(errors)}
