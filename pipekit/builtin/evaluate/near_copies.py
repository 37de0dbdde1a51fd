"""Near duplicates between the evaluated split and the train split: the model may remember them instead of generalising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share_of
from pipekit.images import near_duplicates
from pipekit.images.near_duplicates import near_pairs_since
from pipekit.images.symmetric_copies import symmetric_pairs_since

if TYPE_CHECKING:
    from pipekit.learning.near_copies import Copies


def find(
    ids: Sequence[str],
    own: Mapping[str, str],
    train: Mapping[str, str],
    correct: NDArray[np.bool_],
    same_origin: Mapping[str, str] | None = None,
    belonging: NDArray[np.int64] | None = None,
    by_features: Copies | None = None,
) -> dict[str, Any]:
    """Near duplicates of the evaluated images in the train split, other copies of their originals, and the accuracy without.

    Args:
        ids: ids of the evaluated images.
        own: their fingerprints (:func:`pipekit.images.near_duplicates.fingerprint`), by id.
        train: fingerprints of the train split, by id.
        correct: ``(N,)``, True for a correct prediction, in the order of ``ids``.
        same_origin: evaluated image -> an image of the train split that was made from the same original.
        belonging: ``(N,)``, the group of each evaluated image, for the interval; None for independent images.
        by_features: further near duplicates, of any images.

    Returns:
        ``{"count", "accuracy_without": {value, low, high}, "pairs": [{"id", "train_id"}]}``: one pair for each image with a
        near duplicate or another copy; with ``how`` they differ, where they were found by features, and their ``features``.
    """
    measured, known = [name for name in ids if name in own], sorted(train)
    fingerprints = [own[name] for name in measured] + [train[name] for name in known]
    pairs = _pairs([*measured, *known], fingerprints, by_features)
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
    return _counted(ids, copies, correct, belonging, by_features)


def across_folds(
    ids: Sequence[str],
    prints: Mapping[str, str],
    folds: NDArray[np.int64],
    origins: Sequence[int],
    correct: NDArray[np.bool_],
    belonging: NDArray[np.int64] | None = None,
    by_features: Copies | None = None,
) -> dict[str, Any]:
    """As :func:`find` for predictions out of fold: images that have a copy in another fold, which their model learned from.

    Args:
        folds, origins: of each of ``ids``: its fold, and the place of an image that was made from the same original.
    """
    known = [place for place, name in enumerate(ids) if name in prints]
    names = [ids[place] for place in known]
    found = [(known[a], known[b]) for a, b in _pairs(names, [prints[name] for name in names], by_features).tolist()]
    groups = near_duplicates.clusters(len(ids), [*found, *enumerate(origins)])
    inside: dict[int, dict[int, int]] = {}
    for place, group in enumerate(groups):
        inside.setdefault(int(group), {}).setdefault(int(folds[place]), place)
    copies = {
        name: ids[min(other for fold, other in inside[int(groups[place])].items() if fold != folds[place])]
        for place, name in enumerate(ids)
        if len(inside[int(groups[place])]) > 1
    }
    return _counted(ids, copies, correct, belonging, by_features)


def _pairs(names: Sequence[str], fingerprints: Sequence[str], by_features: Copies | None) -> NDArray[np.int64]:
    """The near duplicates, as places in ``names``."""
    prints = near_duplicates.unpacked(near_duplicates.packed(fingerprints))
    pairs = np.concatenate(
        [search(prints, near_duplicates.MAX_DISTANCE_BITS, None)[0] for search in (near_pairs_since, symmetric_pairs_since)]
    )
    if by_features is None:
        return pairs
    more = [sorted(pair) for pair in by_features.numbered({name: place for place, name in enumerate(names)})]
    return np.concatenate([pairs, np.array(more, np.int64).reshape(-1, 2)])


def _counted(
    ids: Sequence[str],
    copies: Mapping[str, str],
    correct: NDArray[np.bool_],
    belonging: NDArray[np.int64] | None,
    by_features: Copies | None,
) -> dict[str, Any]:
    """The number of images with a copy, the accuracy without them, and the pairs."""
    keep = np.array([name not in copies for name in ids], np.bool_)
    how = {frozenset((copy.first, copy.second)): copy.words for copy in by_features.copies} if by_features is not None else {}
    found = [{"id": name, "train_id": copies[name]} for name in sorted(copies)]
    found = [pair | ({"how": how[key]} if (key := frozenset(pair.values())) in how else {}) for pair in found]
    return {
        "count": len(copies),
        "accuracy_without": share_of(correct[keep], None if belonging is None else belonging[keep]),
        "pairs": found,
    } | ({"features": by_features.facts()} if by_features is not None else {})
