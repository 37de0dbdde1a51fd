"""Near duplicates and symmetric copies among a dataset's images, for stages: only images that are new are compared with all.

A stage keeps notes of what it has compared. A stage that asks for the same images in the same process, as ``inspect`` does
after ``split``, is given what was found.
"""

from __future__ import annotations

import hashlib

from pipekit.contract import Context
from pipekit.images.near_duplicates import Indices, Prints, near_pairs_since
from pipekit.images.symmetric_copies import symmetric_pairs_since

SEARCHES = {"near duplicates": near_pairs_since, "symmetric copies and hashes": symmetric_pairs_since}
"""The searches, by the names of a stage's notes."""

KEPT_IMAGES = 200_000
"""Number of images up to which what was found is kept in memory: 10 MB."""

_last: dict[str, tuple[bytes, Indices, bytes]] = {}
"""For each search: what was asked for last, the pairs, and the notes."""


def recalled_pairs(ctx: Context, prints: Prints, max_distance_bits: int) -> tuple[Indices, Indices]:
    """The pairs of :func:`near_pairs_since` and of :func:`symmetric_pairs_since`, with the notes of the stage."""
    asked = hashlib.sha256(prints.names.tobytes() + bytes([max_distance_bits])).digest()
    found = []
    for name, search in SEARCHES.items():
        last = _last.get(name)
        if last is not None and last[0] == asked:
            pairs, notes = last[1:]
            ctx.remember(name, notes)
        else:
            before = ctx.recall(name)
            pairs, notes = search(prints, max_distance_bits, before)
            if notes != before:
                ctx.remember(name, notes)
            if len(prints) <= KEPT_IMAGES:
                _last[name] = asked, pairs, notes
        found.append(pairs)
    return found[0], found[1]
