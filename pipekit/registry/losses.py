"""What an exporter can't carry of a dataset, counted before it writes anything.

An exporter's module declares what its format holds, out of :data:`KINDS`: ``CARRIES = {"labels", "boxes"}``. A module that
declares nothing is assumed to carry everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from pipekit.contract import Sample

KINDS = {
    "labels": "classes of whole images",
    "boxes": "boxes",
    "outlines": "outlines",
    "keypoints": "keypoints",
    "mask": "masks",
    "extra": "rows with further columns",
}
"""What a sample may hold besides its image and its split, with the words of the warning."""

RECORD = "augmented"
"""The record of ``augment`` in ``extra``: a folder of copies has its own file for it."""


def losses(samples: Iterable[Sample], carries: Collection[str]) -> str:
    """A sentence on what would be lost; "" if nothing would be."""
    counts: Counter[str] = Counter()
    for sample in samples:
        targets = sample.targets
        here = {
            "labels": int(sample.label is not None),
            "boxes": len(targets.boxes),
            "outlines": sum(bool(box.outline) for box in targets.boxes),
            "keypoints": len(targets.keypoints),
            "mask": int(bool(targets.mask)),
            "extra": int(any(name != RECORD for name in sample.extra)),
        }
        counts.update({kind: number for kind, number in here.items() if number and kind not in carries})
    if not counts:
        return ""
    listed = [f"{counts[kind]:,} {words}" for kind, words in KINDS.items() if counts[kind]]
    return f"this format does not hold {', '.join(listed)}: they are left out"
