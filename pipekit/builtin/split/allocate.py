"""Assign units to splits: plain numbers in, plain numbers out.

A unit is a set of images that must stay together: one image, or a group. Units that already have a place keep it; the others
go to the splits that lack their classes.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import SplitUnit

Unit = SplitUnit


def position(seed: int, key: str) -> float:
    """A number in [0, 1) that depends only on the seed and the key."""
    data = hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(data[:6], "big") / 2**48


def positions_of(seed: int, keys: Iterable[str], count: int) -> NDArray[np.float64]:
    """:func:`position` of each of so many keys."""
    return np.fromiter((position(seed, key) for key in keys), np.float64, count)


@dataclass(frozen=True, eq=False)
class Singles:
    """Free units of one image and one class each, as arrays: a large dataset has hardly any others.

    Attributes:
        positions: ``(N,) float64``, see :func:`position`.
        classes: ``(N,) int64``, the class of each, as an index into ``names``.
    """

    positions: NDArray[np.float64]
    classes: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.positions)

    def by_class(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Each class with its units in the order of their positions; classes in the order of their names."""
        order = np.lexsort((self.positions, self.classes))
        borders = np.append(0, np.cumsum(np.bincount(self.classes, minlength=len(self.names)))).tolist()
        slices = sorted(zip(self.names, pairwise(borders), strict=True))
        return ((label, order[begin:end]) for label, (begin, end) in slices if end > begin)


def by_hash(positions: NDArray[np.float64], fractions: Mapping[str, float]) -> NDArray[np.int64]:
    """Assign each unit from its own position alone; the fractions hold in expectation.

    The last name has the lowest positions, so that with train, val, test the test set does not change when the fraction of
    val changes.

    Returns:
        the index of each unit's name.
    """
    borders = np.cumsum(list(fractions.values())[::-1])
    last = next(number for number, share in enumerate(fractions.values()) if share > 0)
    places = len(borders) - 1 - np.searchsorted(borders, positions, side="right")
    return np.where(places < 0, last, places)


def stratified(
    units: Sequence[Unit], fractions: Mapping[str, float], seed: int, singles: Singles
) -> tuple[list[str], NDArray[np.int64]]:
    """Assign each unit, so that ``fractions`` hold within every class.

    Units that already have a place keep it. Units of several images are assigned first, the largest first, each to the split
    that lacks its classes most; then single images, class by class. With single images and no earlier places, every class ends
    less than one image from its ideal in every split; among all such assignments, one that keeps the totals near theirs is
    chosen.

    Args:
        units: those with a place, and free ones of several images.
        fractions: positive, summing to 1; the first is the split that a class needs most (train).
        singles: the free ones of one image.

    Returns:
        the names of the places of the units, and those of the singles as indices into the fractions.
    """
    deal = _Deal(units, fractions)
    places = [unit.place for unit in units]
    free = [number for number, unit in enumerate(units) if not unit.place]
    order = {number: position(seed, units[number].key) for number in free}
    members = dict(singles.by_class())
    for label, some in members.items():
        deal.sizes[label] += len(some)
    for number in sorted(free, key=lambda n: (-units[n].size, order[n])):
        places[number] = deal.shortest(units[number])
        deal.put(units[number], places[number])
    found = np.zeros(len(singles), np.int64)
    for label in sorted(deal.sizes):
        some = members.get(label, found[:0])
        found[some] = deal.dealt(label, len(some))
        deal.settle(label)
    return places, found


class _Deal:
    """The actual and the ideal number of images of each class in each split."""

    def __init__(self, units: Iterable[Unit], fractions: Mapping[str, float]) -> None:
        self.fractions = dict(fractions)
        self.names = list(fractions)
        self.sizes: Counter[str] = Counter()
        self.have: dict[str, Counter[str]] = defaultdict(Counter)
        self.carry = dict.fromkeys(self.names, 0.0)
        for unit in units:
            for label, count in unit.classes:
                self.sizes[label] += count
            if unit.place:
                self.put(unit, unit.place)

    def put(self, unit: Unit, name: str) -> None:
        for label, count in unit.classes:
            self.have[label][name] += count

    def dealt(self, label: str, count: int) -> NDArray[np.int8]:
        """The places of new single images of a class, in the order in which they get them, as indices into the names."""
        wanted = self.targets(label, count)
        numbers = {name: number for number, name in enumerate(self.names)}
        found = np.zeros(count, np.int8)
        for at in range(count):
            name = max(wanted, key=wanted.__getitem__)
            wanted[name] -= 1
            found[at] = numbers[name]
        self.have[label].update(dict(zip(self.names, np.bincount(found, minlength=len(self.names)).tolist(), strict=True)))
        return found

    def settle(self, label: str) -> None:
        """Record a finished class: the next classes make up for what rounding took from a split."""
        for name in self.names:
            self.carry[name] += self.missing(label, name)

    def missing(self, label: str, name: str) -> float:
        return self.sizes[label] * self.fractions[name] - self.have[label][name]

    def shortest(self, unit: Unit) -> str:
        """The split that brings the unit's classes nearest to their ideals: the least sum of squares."""

        def gain(name: str) -> float:
            return sum(n * (2 * self.missing(label, name) - n) for label, n in unit.classes)

        return max(self.names, key=gain)

    def targets(self, label: str, num_new: int) -> Counter[str]:
        """How many of ``num_new`` single images of a class each split gets.

        Controlled rounding: every split gets at least the whole part of its ideal. The remaining images go, one per split, to
        the splits with the largest deficit over all classes. If earlier images have overfilled a split, the others share the
        images in proportion to their deficits.
        """
        ideal = {name: self.sizes[label] * self.fractions[name] for name in self.names}
        new = Counter({name: max(0, floor(ideal[name] + 1e-9) - self.have[label][name]) for name in self.names})
        spare = num_new - new.total()
        if spare < 0:
            new = Counter()
            for _ in range(num_new):
                new[max(self.names, key=lambda name: self.missing(label, name) - new[name])] += 1
            return new
        rounded_up = [
            name
            for name in self.names
            if ideal[name] - floor(ideal[name] + 1e-9) > 1e-9 and self.have[label][name] <= floor(ideal[name] + 1e-9)
        ]
        first = self.names[0]

        def need(name: str) -> tuple[bool, float, float]:
            without = name == first and not self.have[label][name] and not new[name]
            return without, self.carry[name] + self.missing(label, name) - new[name], self.fractions[name]

        for name in sorted(rounded_up, key=need, reverse=True)[:spare]:
            new[name] += 1
        return new
