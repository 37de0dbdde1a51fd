"""The random numbers of augmented copies: the stage draws them, previews show them, and a replay draws them again."""

from __future__ import annotations

from pipekit.rng import Rng, rng_for

STAGE = "augment"
FUNCTION = "make_copies"
"""The name under which the stage maps its function. Another one would change every pixel of every copy."""


def copy_rng(seed: int, sample_id: str, copy: int) -> Rng:
    """The generator from which a recipe draws the ``copy``-th copy (from 1 on) of a sample."""
    return rng_for(seed, STAGE, FUNCTION, sample_id, copy)
