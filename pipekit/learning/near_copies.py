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
from os import SEEK_END
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

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
    right, values = neighbours.numbers.ravel(), neighbours.similarities.ravel()
    numbers: dict[str, int] = {"": 0}
    contents = np.array([numbers.setdefault(text, len(numbers)) for text in hashes], np.int64)
    there = np.flatnonzero((right >= 0) & (contents[left] != contents[right]) & (contents[left] > 0) & (contents[right] > 0))
    left, right = left[there], right[there]
    codes, first = np.unique(np.minimum(left, right) * count + np.maximum(left, right), return_index=True)
    rounded = values[there[first]].astype(np.float64).round(3)
    order = np.argsort(-rounded, kind="stable")
    return np.stack(np.divmod(codes[order], max(1, count)), 1), rounded[order]


class _Texts:
    """Texts by name, in a file: the landmarks of a picture are about 50 kB."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._lock = file, Lock()
        self._places: dict[str, tuple[int, int]] = {}

    def __setitem__(self, name: str, text: str) -> None:
        data = text.encode("ascii")
        self._places[name] = self._file.seek(0, SEEK_END), len(data)
        self._file.write(data)

    def __getitem__(self, name: str) -> str:
        """The text of that name; "" for an unknown one. Several threads may ask."""
        begin, size = self._places.get(name, (0, 0))
        with self._lock:
            self._file.seek(begin)
            return self._file.read(size).decode("ascii")


def compare(ctx: Context, dataset: Dataset, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """How the second picture of each pair of copies differs from the first; without those that are no copies."""
    from pipekit.images.landmarks import find_landmarks

    wanted = {name for pair in pairs for name in pair}
    samples: list[Sample] = [sample for sample in dataset if sample.id in wanted]
    with TemporaryFile(dir=ctx.work_dir) as file, ThreadPoolExecutor(ctx.workers) as pool:
        known = _Texts(file)
        for row in ctx.map(find_landmarks, samples, label="near duplicates", name="find_landmarks", problems=True):
            if "problem" not in row:
                known[row["id"]] = row["landmarks"]
        words = pool.map(lambda pair: _words_of(known[pair[0]], known[pair[1]]), pairs)
        return {pair: said for pair, said in zip(pairs, words, strict=True) if said}


def _words_of(landmarks: str, others: str) -> str:
    """How the second of two pictures differs from the first, by their landmarks; "" if it is no copy."""
    from pipekit.images.differences import in_words
    from pipekit.images.landmarks import align, read_landmarks

    first, second = read_landmarks(landmarks), read_landmarks(others)
    if first is None or second is None:
        return ""
    found = align(first, second)
    return "" if found is None else in_words(first, second, found)
