"""Near duplicates of the evaluated images: in the train split, where the model may remember them, and among one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share_of
from pipekit.images import near_duplicates
from pipekit.images.near_duplicates import near_pairs_since
from pipekit.images.symmetric_copies import symmetric_pairs_since

if TYPE_CHECKING:
    from pipekit.learning.near_copies import Copies


@dataclass(frozen=True, eq=False)
class Clusters:
    """Near duplicates among the evaluated images and those of the train split.

    Attributes:
        evaluated, train: the ids of those with a fingerprint; the numbers of the images of train come after the others.
        of: for each image, the smallest number in its cluster.
        pairs: ``(M, 2)``, the numbers of near duplicates.
        by_features: those of them that were found by features.
    """

    evaluated: Sequence[str]
    train: Sequence[str]
    of: Sequence[int]
    pairs: NDArray[np.int64]
    by_features: Copies | None = None

    def among(self, ids: Sequence[str]) -> list[tuple[int, int]]:
        """Pairs of evaluated images in one cluster, as places in ``ids``: the first of each cluster with the others."""
        places, first, found = {name: place for place, name in enumerate(ids)}, dict[int, int](), list[tuple[int, int]]()
        for number, name in enumerate(self.evaluated):
            if name in places and (known := first.setdefault(self.of[number], places[name])) != places[name]:
                found.append((known, places[name]))
        return found


def search(ids: Sequence[str], own: Mapping[str, str], train: Mapping[str, str], by_features: Copies | None = None) -> Clusters:
    """Find the near duplicates.

    Args:
        ids: ids of the evaluated images.
        own: their fingerprints (:func:`pipekit.images.near_duplicates.fingerprint`), by id.
        train: fingerprints of the train split, by id.
        by_features: further near duplicates, of any images.
    """
    measured, known = [name for name in ids if name in own], sorted(train)
    fingerprints = [own[name] for name in measured] + [train[name] for name in known]
    prints = near_duplicates.unpacked(near_duplicates.packed(fingerprints))
    searches = (near_pairs_since, symmetric_pairs_since)
    pairs = np.concatenate([one(prints, near_duplicates.MAX_DISTANCE_BITS, None)[0] for one in searches])
    if by_features is not None:
        places = {name: place for place, name in enumerate([*measured, *known])}
        more = [sorted(pair) for pair in by_features.numbered(places)]
        pairs = np.concatenate([pairs, np.array(more, np.int64).reshape(-1, 2)])
    return Clusters(measured, known, near_duplicates.clusters(len(fingerprints), pairs), pairs, by_features)


def find(
    ids: Sequence[str],
    clusters: Clusters,
    correct: NDArray[np.bool_],
    same_origin: Mapping[str, str] | None = None,
    belonging: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Near duplicates of the evaluated images in the train split, other copies of their originals, and the accuracy without.

    Args:
        ids: ids of the evaluated images.
        clusters: the near duplicates.
        correct: ``(N,)``, True for a correct prediction, in the order of ``ids``.
        same_origin: evaluated image -> an image of the train split that was made from the same original.
        belonging: ``(N,)``, the group of each evaluated image, for the interval; None for independent images.

    Returns:
        ``{"count", "accuracy_without": {value, low, high}, "pairs": [{"id", "train_id"}]}``: one pair for each image with a
        near duplicate or another copy; with ``how`` they differ, where they were found by features, and their ``features``.
    """
    measured, known, by_features = clusters.evaluated, clusters.train, clusters.by_features
    direct = {int(a): int(b) for a, b in clusters.pairs[::-1] if a < len(measured) <= b}
    first_in_group: dict[int, int] = {}
    for place in range(len(measured), len(clusters.of)):
        first_in_group.setdefault(clusters.of[place], place)
    copies = {
        name: known[direct.get(place, first_in_group[clusters.of[place]]) - len(measured)]
        for place, name in enumerate(measured)
        if clusters.of[place] in first_in_group
    }
    copies = {name: same_origin[name] for name in ids if name in same_origin} | copies if same_origin else copies
    return _counted(ids, copies, correct, belonging, by_features)


def across_folds(
    ids: Sequence[str],
    clusters: Clusters,
    folds: NDArray[np.int64],
    origins: Sequence[int],
    correct: NDArray[np.bool_],
    belonging: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """As :func:`find` for predictions out of fold: images that have a copy in another fold, which their model learned from.

    Args:
        folds, origins: of each of ``ids``: its fold, and the place of an image that was made from the same original.
    """
    groups = near_duplicates.clusters(len(ids), [*clusters.among(ids), *enumerate(origins)])
    inside: dict[int, dict[int, int]] = {}
    for place, group in enumerate(groups):
        inside.setdefault(int(group), {}).setdefault(int(folds[place]), place)
    copies = {
        name: ids[min(other for fold, other in inside[int(groups[place])].items() if fold != folds[place])]
        for place, name in enumerate(ids)
        if len(inside[int(groups[place])]) > 1
    }
    return _counted(ids, copies, correct, belonging, clusters.by_features)


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
