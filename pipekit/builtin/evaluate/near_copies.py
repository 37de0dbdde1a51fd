"""Near duplicates between the evaluated split and the train split: the model may remember them instead of generalising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share_of
from pipekit.images import near_duplicates


def find(
    ids: Sequence[str],
    own: Mapping[str, str],
    train: Mapping[str, str],
    correct: NDArray[np.bool_],
    same_origin: Mapping[str, str] | None = None,
    belonging: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Near duplicates of the evaluated images in the train split, other copies of their originals, and the accuracy without.

    Args:
        ids: ids of the evaluated images.
        own: their fingerprints (:func:`pipekit.images.near_duplicates.fingerprint`), by id.
        train: fingerprints of the train split, by id.
        correct: ``(N,)``, True for a correct prediction, in the order of ``ids``.
        same_origin: evaluated image -> an image of the train split that was made from the same original.
        belonging: ``(N,)``, the group of each evaluated image, for the interval; None for independent images.

    Returns:
        ``{"count", "accuracy_without": {value, low, high}, "pairs": [{"id", "train_id"}]}``: one pair for each image with a
        near duplicate or another copy.
    """
    measured, known = [name for name in ids if name in own], sorted(train)
    fingerprints = [own[name] for name in measured] + [train[name] for name in known]
    pairs = near_duplicates.near_pairs(fingerprints)
    groups = near_duplicates.clusters(len(fingerprints), pairs)
    direct = {int(a): int(b) for a, b in pairs[::-1] if a < len(measured) <= b}
    first_in_group: dict[int, int] = {}
    for place in range(len(measured), len(fingerprints)):
        first_in_group.setdefault(groups[place], place)
    copies = {
        name: known[direct.get(place, first_in_group[groups[place]]) - len(measured)]
        for place, name in enumerate(measured)
        if groups[place] in first_in_group
    }
    copies = {name: same_origin[name] for name in ids if name in same_origin} | copies if same_origin else copies
    keep = np.array([name not in copies for name in ids], np.bool_)
    return {
        "count": len(copies),
        "accuracy_without": share_of(correct[keep], None if belonging is None else belonging[keep]),
        "pairs": [{"id": name, "train_id": copies[name]} for name in sorted(copies)],
    }
