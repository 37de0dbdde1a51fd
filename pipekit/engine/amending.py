"""An import's dataset, made from that of its last run and the files that changed since: only the parts concerned are read.

Beside its index an import keeps ``cuts.json``: how the hashed ids divide its samples into parts, the rows of samples that
failed, and a note of what else the samples depend on. A changed dataset has the parts that an import from nothing would make.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipekit.contract import Sample
from pipekit.engine.shards import MAX_BITS, cut
from pipekit.store.locations import Row
from pipekit.store.parts import Part, read_index, rows_of, write_part
from pipekit.store.rows import decode, encode
from pipekit.store.wholeness import guard

CUTS = "cuts.json"

FORMAT = 1

MAX_ROWS = 50_000
"""Maximum number of rows of the parts that a change concerns: they are in memory. Beyond it everything is imported anew."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The samples whose hashed ids begin with the same bits.

    Attributes:
        part: those that can be used; None if there are none.
        lost: the rows of those that failed.
    """

    prefix: int
    bits: int
    part: Part | None
    lost: tuple[Row, ...] = ()

    @property
    def first(self) -> int:
        """The smallest hash that may be in it."""
        return self.prefix << (MAX_BITS - self.bits)

    def __len__(self) -> int:
        return (0 if self.part is None else len(self.part)) + len(self.lost)

    def rows(self, root: Path) -> list[Row]:
        return [*([] if self.part is None else rows_of(root, self.part)), *self.lost]


@dataclass
class Cuts:
    """The cuts of an import.

    Attributes:
        note: what its samples depend on besides the names and bytes of files.
        checked_by: identifies the function that found the samples usable; "" if none did.
        unread: the rows of samples whose files could not be read, without a hash.
    """

    note: str
    checked_by: str = ""
    all: list[Cut] = field(default_factory=list)
    unread: list[Row] = field(default_factory=list)

    def without(self, failed: Mapping[str, Row], parts: Mapping[str, Part]) -> None:
        """Take out samples that failed.

        Args:
            failed: their rows, by id.
            parts: the parts without them, by the place of the part that had them.
        """
        lost: dict[int, list[Row]] = {}
        firsts = [one.first for one in self.all]
        for name in sorted(failed):
            lost.setdefault(bisect_right(firsts, id_hash(name)) - 1, []).append(failed[name])
        for number, rows in lost.items():
            one = self.all[number]
            part = one.part and parts[one.part.place]
            self.all[number] = Cut(one.prefix, one.bits, part if part and len(part) else None, (*one.lost, *rows))

    def write(self, folder: Path) -> None:
        """Keep the cuts beside the index."""
        plain = [[one.prefix, one.bits, one.part.place if one.part else "", one.lost] for one in self.all]
        unread = sorted(self.unread, key=lambda row: str(row["id"]))
        found = {"format": FORMAT, "note": self.note, "by": self.checked_by, "cuts": plain, "unread": unread}
        (folder / CUTS).write_bytes(encode(found) + b"\n")


def read_cuts(folder: Path) -> Cuts | None:
    """The cuts of an artifact; None if it has none, or those of another version."""
    path = folder / CUTS
    try:
        data = path.read_bytes()
    except OSError:
        return None
    guard.check(os.fspath(path), data)
    plain = decode(data)
    if plain["format"] != FORMAT:
        return None
    parts = {part.place: part for part in read_index(folder)}
    cuts = [Cut(prefix, bits, parts[place] if place else None, tuple(lost)) for prefix, bits, place, lost in plain["cuts"]]
    return Cuts(plain["note"], plain["by"], cuts, plain["unread"])


@dataclass(frozen=True)
class Amended:
    """Samples of an import's last run with what has changed since, as parts of an index.

    Attributes:
        good: the places of parts in which nothing has changed: whatever function checked them need not do so again.
        samples: reads them.
    """

    cuts: Cuts
    good: frozenset[str]
    samples: Callable[[Sequence[Part]], Iterator[Sample]]

    def __iter__(self) -> Iterator[Sample]:
        return self.samples(self.parts)

    @property
    def parts(self) -> list[Part]:
        return [one.part for one in self.cuts.all if one.part is not None]

    @property
    def num_samples(self) -> int:
        """The number of samples, those included that can't be read."""
        return sum(map(len, self.cuts.all)) + len(self.cuts.unread)


def amend(
    root: Path, before: Cuts, shard_size: int, news: Mapping[str, Row | None], unread: Iterable[Row] = ()
) -> tuple[Cuts, frozenset[str]] | None:
    """Apply changes to an import; returns its cuts, and the places of parts in which nothing has changed.

    Args:
        news: the packed row of each sample that is new or may have changed, by id; None for an id that is gone.
        unread: the rows of samples that can't be read now.

    Returns:
        None if so much has changed that everything is better imported anew, or if nothing is left.
    """
    cuts = sorted(before.all, key=lambda one: one.first)
    firsts = [one.first for one in cuts]
    changed: dict[int, dict[str, Row]] = {}  # the rows of the cuts that change, by their number
    between: dict[str, Row] = {}  # new rows whose hashes lie in no cut
    touched = {number for number, one in enumerate(cuts) if one.lost}
    places = {name: _place(cuts, firsts, id_hash(name)) for name in news}
    touched.update(number for number in places.values() if number is not None)
    if sum(len(cuts[number]) for number in touched) + len(news) > MAX_ROWS:
        return None
    for number in sorted(touched):
        changed[number] = {row["id"]: row for row in cuts[number].rows(root)}
    for name, row in news.items():
        at = places[name]
        rows = between if at is None else changed[at]
        if row is None:
            rows.pop(name, None)
        else:
            rows[name] = row
    counts = [len(changed[number]) if number in changed else len(one) for number, one in enumerate(cuts)]
    found = _Tree(cuts, firsts, counts, sorted(map(id_hash, between)))
    hashes = sorted({*(cuts[number].first for number in changed), *map(id_hash, news)})
    tops = dict.fromkeys(found.top(value, shard_size) for value in hashes)
    kept, made = {*range(len(cuts))}, []
    for prefix, bits in tops:
        numbers = found.below(prefix, bits)
        kept.difference_update(numbers)
        rows = {name: row for name, row in between.items() if id_hash(name) >> (MAX_BITS - bits) == prefix}
        for number in numbers:
            rows |= changed[number] if number in changed else {row["id"]: row for row in cuts[number].rows(root)}
        made += _cuts(root, rows.values(), shard_size, (prefix, bits))
    every = sorted([*(cuts[number] for number in kept), *made], key=lambda one: one.first)
    if not any(map(len, every)):
        return None
    good = frozenset(part.place for number in kept if (part := cuts[number].part) is not None)
    return Cuts(before.note, before.checked_by, every, list(unread)), good


def _cuts(root: Path, rows: Iterable[Row], shard_size: int, top: tuple[int, int]) -> list[Cut]:
    """The rows below a prefix as new parts."""
    pairs = sorted(((hashed(row["id"]), row) for row in rows), key=lambda pair: pair[0])
    return [Cut(prefix, bits, write_part(root, some)) for prefix, bits, some in cut(iter(pairs), shard_size, top)]


def _place(cuts: Sequence[Cut], firsts: Sequence[int], value: int) -> int | None:
    """The number of the cut that has a hash; None if the hash lies between cuts."""
    number = bisect_right(firsts, value) - 1
    return number if number >= 0 and value >> (MAX_BITS - cuts[number].bits) == cuts[number].prefix else None


class _Tree:
    """The numbers of samples below each prefix.

    Args:
        counts: the number of samples of each cut.
        between: the hashes of samples in no cut, sorted.
    """

    def __init__(self, cuts: Sequence[Cut], firsts: Sequence[int], counts: Sequence[int], between: Sequence[int]) -> None:
        self._cuts, self._firsts, self._between = cuts, firsts, between
        self._sums = [0, *accumulate(counts)]

    def below(self, prefix: int, bits: int) -> range:
        """The numbers of the cuts below a prefix."""
        first = prefix << (MAX_BITS - bits)
        return range(bisect_left(self._firsts, first), bisect_left(self._firsts, first + (1 << (MAX_BITS - bits))))

    def top(self, value: int, shard_size: int) -> tuple[int, int]:
        """The shortest prefix of a hash whose samples are one part; or the cut that has it, and must be divided."""
        for bits in range(MAX_BITS):
            prefix = value >> (MAX_BITS - bits)
            numbers, first = self.below(prefix, bits), prefix << (MAX_BITS - bits)
            others = bisect_left(self._between, first + (1 << (MAX_BITS - bits))) - bisect_left(self._between, first)
            if self._sums[numbers.stop] - self._sums[numbers.start] + others <= shard_size:
                return prefix, bits
            if len(numbers) == 1 and self._cuts[numbers.start].bits == bits:
                return prefix, bits
        return value, MAX_BITS


def hashed(name: str) -> str:
    """What places a sample among the shards."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def id_hash(name: str) -> int:
    """The first 64 bits of :func:`hashed`."""
    return int(hashed(name)[: MAX_BITS // 4], 16)


# --- whether the last run can be amended ---------------------------------------------------------------------------------


def content_before(before: Mapping[str, Any] | None, now: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    """The digests of the folder that a parameter names, as in the keys of the last run and of this one.

    Args:
        before, now: the parts of the keys.

    Returns:
        None if anything else differs.
    """
    if before is None or not isinstance(before.get("params"), Mapping):
        return None
    old, new = before["params"].get(name), now["params"].get(name)
    if not isinstance(old, Mapping) or not isinstance(new, Mapping) or {*old} != {"content"} or {*new} != {"content"}:
        return None
    others = [json.dumps({**parts, "params": {**parts["params"], name: None}}, sort_keys=True) for parts in (before, now)]
    return (str(old["content"]), str(new["content"])) if others[0] == others[1] else None
