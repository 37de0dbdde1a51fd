"""What an exporter can't carry of a dataset, counted before it writes anything.

An exporter's module declares what its format holds, out of :data:`KINDS` and :data:`FLAGS`: ``CARRIES = {"labels", "boxes"}``.
A module that declares nothing is assumed to carry everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from pipekit.contract import Dataset, Sample
from pipekit.tasks import stated

KINDS = {
    "labels": "classes of whole images",
    "boxes": "boxes",
    "outlines": "outlines",
    "keypoints": "keypoints",
    "loose_keypoints": "keypoints without a box",
    "mask": "masks",
    "extra": "rows with further columns",
    "facts": "objects with further facts",
}
"""What a sample may hold besides its image and its split, with the words of the warning."""

FLAGS = ("difficult", "truncated", "occluded", "iscrowd")
"""Facts about an object that a format may hold while it does not hold all ``facts``."""

INNER = ("id", "area", "oriented")
"""Facts about an object that other formats express in their own way, or need not."""

RECORD = "augmented"
"""The record of ``augment`` in ``extra``: a folder of copies has its own file for it."""

NUMBERS = ("image_id", "split_copies")
"""Values in ``extra`` that number the images of one file, and those that are copies of one another."""


def losses(samples: Iterable[Sample], carries: Collection[str]) -> str:
    """A sentence on what would be lost; "" if nothing would be."""
    counts: Counter[str] = Counter()
    names: set[str] = set()
    held = {*FLAGS, *INNER} if "facts" in carries else {*carries, *INNER}
    for sample in samples:
        targets = sample.targets
        further = [{name for name in box.facts if name not in held} for box in targets.boxes]
        here = {
            "labels": int(stated(sample) is not None),
            "boxes": len(targets.boxes),
            "outlines": sum(bool(box.outline) for box in targets.boxes),
            "keypoints": sum(point.of is not None for point in targets.keypoints),
            "loose_keypoints": sum(point.of is None for point in targets.keypoints),
            "mask": int(bool(targets.mask)),
            "extra": int(any(name != RECORD and name not in NUMBERS for name in sample.extra)),
            "facts": sum(map(bool, further)) if "boxes" in carries else 0,
        }
        counts.update({kind: number for kind, number in here.items() if number and kind not in carries})
        names.update(*further)
    if not counts:
        return ""
    words = KINDS | {"facts": f"facts about objects ({', '.join(sorted(names))})"}
    listed = [f"{counts[kind]:,} {words[kind]}" for kind in KINDS if counts[kind]]
    return f"this format does not hold {', '.join(listed)}: they are left out"


def lost_skeletons(dataset: Dataset, carries: Collection[str]) -> str:
    """A sentence on the lines between keypoints, if the format holds keypoints and not ``skeletons``; "" if nothing is lost."""
    count = sum(len(entry.skeleton) for entry in dataset.categories("boxes"))
    if not count or {"keypoints", "skeletons"} & {*carries} != {"keypoints"}:
        return ""
    return f"this format holds keypoints, but not the lines between them ({count}): they are left out"


def lost_names(dataset: Dataset, carries: Collection[str]) -> str:
    """A sentence on the names of masks' values, if the format holds masks and not ``mask_names``; "" if nothing is lost."""
    listed = dataset.categories("masks")
    if not listed or {"mask", "mask_names"} & {*carries} != {"mask"}:
        return ""
    return f"this format holds masks, but not the names of their values ({len(listed)}): they are left out"
