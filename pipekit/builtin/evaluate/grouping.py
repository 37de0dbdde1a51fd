"""Which evaluated images belong together: they are not independent, so intervals count groups and not images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.images.near_duplicates import clusters
from pipekit.learning.known_groups import COLUMN, COPIES, copies_of, named_group

COLUMNS = frozenset({COLUMN, COPIES})

Kind = Literal["named", "copies"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """What is known of the images' groups.

    Attributes:
        groups: ``(N,)``, the group of each image, as a number; None if every image is alone, so that nothing is known.
        kind: ``"named"`` if a column, a pattern or the clips of videos say which images belong together; ``"copies"`` if only
            copies are known, so that further images may belong together; None without groups.
    """

    groups: NDArray[np.int64] | None = None
    kind: Kind | None = None


def groups_of(
    samples: Sequence[Sample],
    origins: Sequence[int],
    column: str = "",
    pattern: str = "",
    copies: Iterable[tuple[int, int]] = (),
) -> Grouping:
    """The group of each image: those of the column, the pattern, the split or the clip, joined with copies.

    Args:
        origins: a number for the original of each image.
        column, pattern: those of the stage; without them, the groups that ``split`` was given.
        copies: pairs of near duplicates, as indices.

    Raises:
        UserError: no image has the column, or matches the pattern.
    """
    names = [_name(sample, column, pattern) for sample in samples]
    if (column or pattern) and not any(names):
        what = f"has a column {column!r}" if column else f"matches the pattern {pattern!r}"
        raise UserError(f"no evaluated image {what} to group by", f"An id is, for example, {samples[0].id!r}.")
    first: dict[tuple[str, str], int] = {}
    pairs = list(copies)
    for place, (name, origin) in enumerate(zip(names, map(str, origins), strict=True)):
        for kind, key in (("name", name), ("origin", origin), (COPIES, copies_of(samples[place]))):
            if key and (known := first.setdefault((kind, key), place)) != place:
                pairs.append((known, place))
    if not pairs:
        return Grouping()
    numbers = np.unique(clusters(len(samples), pairs), return_inverse=True)[1].astype(np.int64)
    return Grouping(numbers, "named" if any(names) else "copies")


def _name(sample: Sample, column: str, pattern: str) -> str:
    if pattern:
        match = re.search(pattern, sample.id)
        return "" if match is None else match.group(1) if match.re.groups else match.group()
    if column:
        value = sample.extra.get(column)
        return "" if value is None else str(value)
    return named_group(sample)
