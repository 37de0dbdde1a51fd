"""Fit the temperature of a trained model on val, by which `predict` and the exporters calibrate its probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipekit.builtin.train.feed import Feed
from pipekit.learning.temperature import fitted


def fit_on(model: Any, validation: Feed | None) -> dict[str, Any]:
    """The entry ``calibration`` of ``model.json``.

    Args:
        model: the classifier with the kept weights; it takes the feed's batches.
        validation: the images of val, neither augmented nor shuffled.
    """
    rows, numbers = [np.zeros((0, int(model.output_shape[-1])), np.float32)], [np.zeros(0, np.int64)]
    for batch, targets, _ in validation.epoch(0) if validation is not None else ():
        # A call, not `predict`: that would trace one more graph, which takes longer than a small val.
        rows.append(np.asarray(model(batch.astype(np.float32), training=False), np.float32))
        numbers.append(np.asarray(targets.argmax(axis=1) if targets.ndim > 1 else targets, np.int64))
    return fitted(np.concatenate(rows), np.concatenate(numbers))
