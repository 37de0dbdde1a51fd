"""Near duplicates by features: mirrored, cropped, turned, recoloured, with a mark or a border, neighbours in a burst.

Features propose, pixels decide. Pairs of neighbours are confirmed in the order of their similarity
(:func:`pipekit.images.landmarks.align`), some at a time, until hardly one of them is a copy. So the limit follows from the
data: it is where pairs of different pictures begin to prevail. It is rounded to hundredths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Context, Dataset, Sample
from pipekit.learning.embeddings import Embedded
from pipekit.learning.neighbours import Directions, Neighbours, nearest

NEIGHBOURS = 8
FEWEST_TRIED = 100
SHARE_TRIED = 0.02
"""Pairs that are compared at a time: a share of the number of pictures, and at least :data:`FEWEST_TRIED`."""

LEAST_FOUND = 0.02
"""The search ends where fewer of the pairs that are compared are copies."""


@dataclass(frozen=True)
class Copy:
    """Two pictures, and how the second differs from the first."""

    first: str
    second: str
    words: str
    similarity: float


@dataclass(frozen=True)
class Copies:
    """What :func:`find_copies` found.

    Attributes:
        copies: by their ids.
        limit: pairs of a similarity down to this were compared; a cosine, in hundredths.
        compared: the number of pairs.
        others: the largest similarity of two pictures that are no copies, in hundredths.
    """

    copies: tuple[Copy, ...]
    limit: float
    compared: int
    others: float

    def numbered(self, numbers: Mapping[str, int]) -> Iterator[tuple[int, int]]:
        """The pairs of these pictures, by their numbers."""
        for copy in self.copies:
            if copy.first in numbers and copy.second in numbers:
                yield numbers[copy.first], numbers[copy.second]

    def facts(self) -> dict[str, Any]:
        """For ``inspect.json`` and ``metrics.json``."""
        found = {"pairs": len(self.copies), "compared": self.compared}
        return {**found, "limit": self.limit, "most_similar_others": self.others}


def find_copies(ctx: Context, dataset: Dataset, embedded: Embedded, neighbours: Neighbours | None = None) -> Copies:
    """The near duplicates of a dataset. Files with the same bytes are compared once.

    Args:
        embedded: of its images, or of some; others are left out.
        neighbours: of all rows of ``embedded``, where they are known.
    """
    if neighbours is None:
        neighbours = neighbours_of(ctx, embedded)
    known = {name: row for row, name in enumerate(embedded.ids)}
    hashes = [""] * len(known)
    for sample in dataset:
        if (row := known.get(sample.id)) is not None:
            hashes[row] = sample.sha256 or sample.id
    pairs, similarities = _pairs(neighbours, hashes)
    copies: list[Copy] = []
    others, at, limit = 0.0, 0, 1.0
    step = max(FEWEST_TRIED, int(SHARE_TRIED * len(known)))
    while at < len(pairs):
        limit = floor(100 * similarities[min(at + step, len(pairs)) - 1]) / 100
        end = int(np.searchsorted(-similarities, -limit, side="right"))
        named = [(embedded.ids[a], embedded.ids[b]) for a, b in pairs[at:end].tolist()]
        found = compare(ctx, dataset, named)
        rows = list(zip(named, similarities[at:end].tolist(), strict=True))
        copies += [Copy(*pair, found[pair], round(value, 2)) for pair, value in rows if pair in found]
        others = max([others, *(round(value, 2) for pair, value in rows if pair not in found)])
        tried, at = end - at, end
        if len(found) < LEAST_FOUND * tried:
            break
    return Copies(tuple(sorted(copies, key=lambda copy: (copy.first, copy.second))), limit, at, others)


def neighbours_of(ctx: Context, embedded: Embedded) -> Neighbours:
    """The nearest pictures of each."""
    return nearest(Directions(embedded.table), NEIGHBOURS, ctx.rng("neighbours"))


def _pairs(neighbours: Neighbours, hashes: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each pair of neighbours with different bytes once, and their similarities; most similar first."""
    count, width = neighbours.numbers.shape
    left = np.repeat(np.arange(count), width)
    right, values = neighbours.numbers.ravel(), neighbours.similarities.ravel().astype(np.float64)
    _, contents = np.unique(np.array(hashes, object), return_inverse=True) if count else (None, np.empty(0, np.int64))
    known = np.array([bool(text) for text in hashes], np.bool_)
    there = np.flatnonzero((right >= 0) & (contents[left] != contents[right]) & known[left] & known[right])
    pairs = np.sort(np.stack([left[there], right[there]], 1), axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    values = np.round(values[there][first], 3)
    order = np.argsort(-values, kind="stable")
    return pairs[order], values[order]


def compare(ctx: Context, dataset: Dataset, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """How the second picture of each pair of copies differs from the first; without those that are no copies."""
    from pipekit.images.landmarks import find_landmarks, read_landmarks

    wanted = {name for pair in pairs for name in pair}
    samples: list[Sample] = [sample for sample in dataset if sample.id in wanted]
    rows = ctx.map(find_landmarks, samples, label="near duplicates", name="find_landmarks", problems=True)
    known = {row["id"]: row["landmarks"] for row in rows if "problem" not in row}

    def words_of(pair: tuple[str, str]) -> str:
        from pipekit.images.differences import in_words
        from pipekit.images.landmarks import align

        first, second = (read_landmarks(known.get(name, "")) for name in pair)
        if first is None or second is None:
            return ""
        found = align(first, second)
        return in_words(first, second, found) if found is not None else ""

    with ThreadPoolExecutor(ctx.workers) as pool:
        return {pair: words for pair, words in zip(pairs, pool.map(words_of, pairs), strict=True) if words}
