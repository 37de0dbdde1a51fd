"""Assign units to splits: plain numbers in, plain numbers out.

A unit is a set of images that must stay together: one image, or a group. Units that already have a place keep it; the others
go to the splits that lack their classes.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import floor

from pipekit.contract import SplitUnit

Unit = SplitUnit


def position(seed: int, key: str) -> float:
    """A number in [0, 1) that depends only on the seed and the key."""
    data = hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(data[:6], "big") / 2**48


def by_hash(units: Iterable[Unit], fractions: Mapping[str, float], seed: int) -> list[str]:
    """Assign each unit from its own key alone; the fractions hold in expectation.

    The last name has the lowest positions, so that with train, val, test the test set does not change when the fraction of
    val changes.
    """
    borders: list[tuple[float, str]] = []
    total = 0.0
    for name in reversed(list(fractions)):
        total += fractions[name]
        borders.append((total, name))
    last = next(name for name, share in fractions.items() if share > 0)
    return [unit.place or next((name for border, name in borders if position(seed, unit.key) < border), last) for unit in units]


def stratified(units: Sequence[Unit], fractions: Mapping[str, float], seed: int) -> list[str]:
    """Assign each unit, so that ``fractions`` hold within every class.

    Units that already have a place keep it. Units of several images are assigned first, the largest first, each to the split
    that lacks its classes most; then single images, class by class. With single images and no earlier places, every class ends
    less than one image from its ideal in every split; among all such assignments, one that keeps the totals near theirs is
    chosen.

    Args:
        fractions: positive, summing to 1; the first is the split that a class needs most (train).
    """
    deal = _Deal(units, fractions)
    places = [unit.place for unit in units]
    free = [number for number, unit in enumerate(units) if not unit.place]
    order = {number: position(seed, units[number].key) for number in free}
    large = sorted((n for n in free if units[n].size > 1), key=lambda n: (-units[n].size, order[n]))
    for number in large:
        places[number] = deal.shortest(units[number])
        deal.put(units[number], places[number])
    singles: dict[str, list[int]] = defaultdict(list)
    for number in free:
        if units[number].size == 1:
            singles[units[number].classes[0][0]].append(number)
    for label in sorted(deal.sizes):
        members = sorted(singles[label], key=order.__getitem__)
        wanted = deal.targets(label, len(members))
        for number in members:
            name = max(wanted, key=wanted.__getitem__)
            wanted[name] -= 1
            places[number] = name
            deal.put(units[number], name)
        deal.settle(label)
    return places


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
