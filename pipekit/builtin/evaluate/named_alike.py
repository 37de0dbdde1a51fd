"""Names that look like groups which the split did not keep together: the metrics may then measure memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Dataset, Sample
from pipekit.images.name_groups import name_groups
from pipekit.images.near_duplicates import Miniatures, packed


def find(
    dataset: Dataset,
    samples: Sequence[Sample],
    split: str,
    prints: Mapping[str, str],
    folds: Sequence[int] | None = None,
) -> dict[str, Any] | None:
    """What the names of the dataset's images suggest, and how many evaluated images share their stem with a training image.

    Args:
        samples: the evaluated images.
        split: the evaluated split.
        prints: fingerprints of images, by id: those of one stem may look alike.
        folds: the fold of each of ``samples`` whose prediction is out of fold: its model learned from the other folds.

    Returns:
        ``{"words", "option", "pattern", "stem", "num_groups", "num_images", "in_train"}``; None where the names suggest
        nothing, or where each stem has one evaluated image and none in train.
    """
    ordered = sorted(dataset, key=lambda sample: sample.id)
    ids = [sample.id for sample in ordered]

    def distances(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        listed = [[ids[number] for number in pair] for pair in pairs.tolist()]
        both = [pair for pair in listed if pair[0] in prints and pair[1] in prints]
        pixels = Miniatures(packed([prints[name] for pair in both for name in pair]))[:].astype(np.float64)
        one, other = pixels.reshape(len(both), 2, -1).swapaxes(0, 1)
        return np.asarray(np.abs(one - other).mean(axis=1), np.float64)

    found = name_groups(ids, [sample.label or "" for sample in ordered], distances if prints else None)
    if found is None:
        return None
    stems = [_stem(found.pattern, sample.id) for sample in samples]
    known = {_stem(found.pattern, sample.id) for sample in ordered if sample.split == "train" != split} - {""}
    in_train = sum(stem in known for stem in stems)
    if folds is not None:
        folds_of: dict[str, set[int]] = {}
        for stem, fold in zip(stems, folds, strict=True):
            folds_of.setdefault(stem, set()).add(fold)
        in_train = sum(bool(stem) and len(folds_of[stem]) > 1 for stem in stems)
    if not in_train and len(set(stems)) == len(stems):
        return None
    return {
        "words": str(found),
        "option": found.option,
        "pattern": found.pattern,
        "stem": found.stem,
        "num_groups": found.num_groups,
        "num_images": found.num_images,
        "in_train": in_train,
    }


def _stem(pattern: str, name: str) -> str:
    match = re.search(pattern, name)
    return match.group(1) if match else ""
