"""The lists of classes of several datasets as one: a class is known by its name, and the first dataset decides its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

CATEGORIES = "categories"
"""In the ``meta`` of a dataset whose source lists its classes: ``{"masks": [{"name": ..., "number": ...}], "boxes": ...}``."""

Entry: TypeAlias = Mapping[str, Any]
Lists: TypeAlias = Mapping[str, Sequence[Entry]]

MASKS = "masks"
HIGHEST = 254
"""Highest number that a class of masks is given; 255 often means "ignore"."""


def lists_of(meta: Mapping[str, Any]) -> Lists:
    """A dataset's lists of classes; empty if its source has none."""
    found: Lists = meta.get(CATEGORIES, {})
    return found


def joined_lists(lists: Sequence[Lists]) -> dict[str, list[dict[str, Any]]]:
    """One list of each kind, in the order of the datasets.

    A number that another class has already is replaced: in masks by the lowest free one, since every class needs one there;
    elsewhere the class has none then.

    >>> joined_lists([{"boxes": [{"name": "cat", "number": 1}]}, {"boxes": [{"name": "dog", "number": 1}, {"name": "cat"}]}])
    {'boxes': [{'name': 'cat', 'number': 1}, {'name': 'dog'}]}
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in lists:
        for of, entries in one.items():
            known = found.setdefault(of, {})
            listed = {entry.get("number") for other in lists for entry in other.get(of, ())}
            for entry in entries:
                if entry["name"] not in known:
                    taken = {other.get("number") for other in known.values()} - {None}
                    known[entry["name"]] = _numbered(entry, taken, listed | taken, of == MASKS)
    return {of: list(known.values()) for of, known in found.items() if known}


def _numbered(entry: Entry, taken: set[Any], listed: set[Any], needs_number: bool) -> dict[str, Any]:
    values = dict(entry)
    if values.get("number") in taken:
        del values["number"]
        free = next((number for number in range(1, HIGHEST + 1) if number not in listed), None)
        if needs_number and free is not None:
            values["number"] = free
    return values


def new_mask_values(lists: Sequence[Lists], joined: Lists) -> list[dict[int, int]]:
    """For each dataset, the numbers in its masks that differ from those of the joined list."""
    numbers = {entry["name"]: entry.get("number") for entry in joined.get(MASKS, ())}
    found = []
    for one in lists:
        pairs = ((entry.get("number"), numbers[entry["name"]]) for entry in one.get(MASKS, ()))
        found.append({int(old): int(new) for old, new in pairs if old is not None and new is not None and old != new})
    return found
