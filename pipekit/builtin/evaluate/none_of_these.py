"""How many of the evaluated images the model rejects as *none of these*, and how good it is on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share


def measure(
    scores: NDArray[np.float64],
    y_true: NDArray[np.int64],
    correct: NDArray[np.bool_],
    classes: Sequence[str],
    stated: Mapping[str, Any],
) -> dict[str, Any]:
    """The shares with their intervals.

    Args:
        scores: ``(N,)``; above 1 an image is rejected.
        stated: what ``model.json`` says of the limit.
    """
    rejected = scores > 1
    return {
        "num_rejected": int(rejected.sum()),
        "share": share(int(rejected.sum()), len(rejected)),
        "per_class": [
            {
                "class": name,
                "num_images": int(own.sum()),
                "num_rejected": int(rejected[own].sum()),
                **share(int(rejected[own].sum()), int(own.sum())),
            }
            for name, own in ((name, y_true == number) for number, name in enumerate(classes))
        ],
        "accuracy_of_kept": share(int(correct[~rejected].sum()), int((~rejected).sum())),
        "correct_of_rejected": int(correct[rejected].sum()),
        "limit": {name: stated[name] for name in STATED if name in stated},
    }


STATED = ("share", "num_images", "num_originals", "num_stored", "neighbours", "expected_low", "expected_high")
