"""Which evaluated images belong together: they are not independent, so intervals count groups and not images."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.images.near_duplicates import clusters

COLUMN = "split_group"
"""The column in which ``split`` leaves the group of each image, as a number."""


def groups_of(
    samples: Sequence[Sample], origins: Sequence[int], column: str = "", pattern: str = ""
) -> NDArray[np.int64] | None:
    """The group of each image: those of the column, the pattern or the split, joined with copies of one original.

    Args:
        origins: a number for the original of each image.
        column, pattern: those of the stage; without them, the groups that ``split`` was given.

    Returns:
        ``(N,)``, numbers; None if every image is alone, so that nothing is known of groups.

    Raises:
        UserError: no image has the column, or matches the pattern.
    """
    names = [_name(sample, column, pattern) for sample in samples]
    if (column or pattern) and not any(names):
        what = f"has a column {column!r}" if column else f"matches the pattern {pattern!r}"
        raise UserError(f"no evaluated image {what} to group by", f"An id is, for example, {samples[0].id!r}.")
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for place, keys in enumerate(zip(names, map(str, origins), strict=True)):
        for kind, key in zip(("name", "origin"), keys, strict=True):
            if key and (known := first.setdefault((kind, key), place)) != place:
                pairs.append((known, place))
    return np.unique(clusters(len(samples), pairs), return_inverse=True)[1].astype(np.int64) if pairs else None


def _name(sample: Sample, column: str, pattern: str) -> str:
    if pattern:
        match = re.search(pattern, sample.id)
        return "" if match is None else match.group(1) if match.re.groups else match.group()
    value = sample.extra.get(column or COLUMN)
    return "" if value is None else str(value)
