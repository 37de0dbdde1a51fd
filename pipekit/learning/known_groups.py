"""Groups that images carry in their columns: those that ``split`` was given, copies of one image, frames of one clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample
from pipekit.images.near_duplicates import clusters

COLUMN = "split_group"
"""The column in which ``split`` leaves the group of each image, as a number."""

COPIES = "split_copies"
"""The column in which ``split`` numbers images that are copies of one another."""


def named_group(sample: Sample) -> str:
    """The group that ``split`` was given, or the clip of a frame; "" for none."""
    return _text(sample, COLUMN) or (_text(sample, "clip") if "frame" in sample.extra else "")


def copies_of(sample: Sample) -> str:
    """The number of the copies that an image belongs to; "" for none."""
    return _text(sample, COPIES)


def known_groups(samples: Sequence[Sample]) -> NDArray[np.int64] | None:
    """The group of each image, as a number; None if every image is alone, so that nothing is known.

    >>> known_groups([Sample("a", "", extra={"split_group": 7}), Sample("b", ""), Sample("c", "", extra={"split_group": 7})])
    array([0, 1, 0])
    """
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for place, sample in enumerate(samples):
        for key in ((COLUMN, named_group(sample)), (COPIES, copies_of(sample))):
            if key[1] and (known := first.setdefault(key, place)) != place:
                pairs.append((known, place))
    if not pairs:
        return None
    return np.unique(clusters(len(samples), pairs), return_inverse=True)[1].astype(np.int64)


def _text(sample: Sample, column: str) -> str:
    value = sample.extra.get(column)
    return "" if value is None else str(value)
