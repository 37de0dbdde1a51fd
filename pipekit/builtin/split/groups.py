"""Groups that must stay in one split: copies of one original, near duplicates, images of one patient, video or product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipekit.contract import Context, Sample
from pipekit.errors import UserError


@dataclass(frozen=True, slots=True)
class Item:
    """A sample, reduced to what the split needs.

    Attributes:
        key: the content's hash, or the id if there is none (``hashed`` is False then); the random order depends on it.
        group: its group by column or pattern; "" for none.
        given: the split that it came with.
    """

    id: str
    key: str
    label: str
    given: str
    group: str
    hashed: bool = True

    @property
    def sha256(self) -> str:
        return self.key if self.hashed else ""


def items_of(samples: Iterable[Sample], column: str, pattern: str) -> list[Item]:
    """One item per sample, in the order of ids.

    Raises:
        UserError: no sample has the column, or matches the pattern.
    """
    compiled = re.compile(pattern) if pattern else None
    items = []
    columns: set[str] = set()
    for sample in samples:
        group = ""
        if column:
            value = sample.extra.get(column)
            columns.update(sample.extra)
            group = "" if value is None else f"column:{value}"
        elif compiled and (match := compiled.search(sample.id)):
            group = f"pattern:{match.group(1) if compiled.groups else match.group()}"
        label = "" if sample.label is None else sample.label
        items.append(Item(sample.id, sample.sha256 or sample.id, label, sample.split, group, bool(sample.sha256)))
    if items and (column or pattern) and not any(item.group for item in items):
        if column:
            known = ", ".join(sorted(columns)) or "none"
            raise UserError(f"no image has a column {column!r} to group by", f"The images' columns are: {known}.")
        raise UserError(f"the group pattern {pattern!r} matches no id, such as {items[0].id!r}")
    return items


def label_conflicts(items: Iterable[Item]) -> list[tuple[Item, Item]]:
    """(the first image of a content, another one with the same content and another label)."""
    first: dict[str, Item] = {}
    pairs = ((first.setdefault(item.key, item), item) for item in items if item.hashed and item.label)
    return [(one, other) for one, other in pairs if one.label != other.label]


def roots_of(
    ctx: Context, items: Sequence[Item], samples: Iterable[Sample], duplicates: str, distance_bits: int, origins: Sequence[int]
) -> list[int]:
    """For each item, the index of the first item that it must stay with.

    Args:
        origins: for each item, the index of the first copy of the same original.
    """
    from pipekit.images.measuring import measure_image
    from pipekit.images.near_duplicates import clusters, near_pairs

    pairs = [(origin, number) for number, origin in enumerate(origins) if origin != number]
    first: dict[str, int] = {}
    for number, item in enumerate(items):
        names = [item.group] if duplicates == "off" else [item.group, f"content:{item.key}"]
        pairs += [(first.setdefault(name, number), number) for name in names if name]
    if duplicates == "near":
        known = {item.id: number for number, item in enumerate(items)}
        numbers, fingerprints = [], []
        for row in ctx.map(measure_image, samples, label="near duplicates", problems=True):
            if "print" in row and row["id"] in known:
                numbers.append(known[row["id"]])
                fingerprints.append(row["print"])
        pairs += [(numbers[a], numbers[b]) for a, b in near_pairs(fingerprints, distance_bits).tolist()]
    return clusters(len(items), pairs)
