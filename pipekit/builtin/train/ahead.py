"""What a training will take, said before a long one: time and memory, estimated from the model's layers."""

from __future__ import annotations

from typing import Any

from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context
from pipekit.learning.model_summary import summarize_model
from pipekit.learning.templates import Work, duration, gradient_descent_s

LONG_S = 60.0
"""Estimated seconds from which on a training is announced."""


def tell(ctx: Context, model: Any, params: TrainParams, work: Work, batch_size: int) -> None:
    """Announce a training that will take more than a minute."""
    try:
        found = summarize_model(model)
    except (AttributeError, TypeError, ValueError):  # an unusual network is trained all the same
        return
    seconds = gradient_descent_s(work, found.multiply_adds)
    if seconds < LONG_S:
        return
    most = "at most " if params.patience is not None else ""
    words = f"{params.epochs:,} epochs of {work.train:,} images: {most}about {duration(seconds)} on two cores"
    memory = f"at least {found.training_bytes(batch_size) / 1e9:.1f} GB of memory"
    ctx.event("note", message=f"{words}, and {memory} (estimated)")
