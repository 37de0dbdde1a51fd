"""The random numbers of augmented copies: the stage draws them, previews show them, and a replay draws them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipekit.rng import Rng

STAGE = "augment"
FUNCTION = "make_copies"
"""The name under which the stage maps its function. Another one would change every pixel of every copy."""


def copy_rng(seed: int, sample_id: str, copy: int) -> Rng:
    """The generator from which a recipe draws the ``copy``-th copy (from 1 on) of a sample."""
    from pipekit.rng import rng_for

    return rng_for(seed, STAGE, FUNCTION, sample_id, copy)
