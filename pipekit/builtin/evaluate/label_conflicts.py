"""The same file under two labels: one of them is wrong, and no model can be right about both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from pipekit.contract import Sample

LISTED = 100
"""Maximum number of pairs in ``metrics.json``."""


def find(dataset: Iterable[Sample], split: str) -> dict[str, Any]:
    """Evaluated images that are in the dataset again under another label.

    Returns:
        ``{"count", "num_pairs", "pairs": [{"id", "label", "other_id", "other_label"}]}``: the number of evaluated images, and
        the pairs that they are in, each once.
    """
    same: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset:
        if sample.sha256 and sample.label is not None:
            same[sample.sha256].append(sample)
    pairs = [
        (one, other)
        for samples in same.values()
        if len({sample.label for sample in samples}) > 1
        for one, other in combinations(sorted(samples, key=lambda sample: sample.id), 2)
        if one.label != other.label and split in (one.split, other.split)
    ]
    pairs.sort(key=lambda pair: (pair[0].id, pair[1].id))
    evaluated = {sample.id for pair in pairs for sample in pair if sample.split == split}
    listed = [
        {"id": one.id, "label": one.label, "other_id": other.id, "other_label": other.label} for one, other in pairs[:LISTED]
    ]
    return {"count": len(evaluated), "num_pairs": len(pairs), "pairs": listed}
