"""What a merge says besides: names that may mean one class, and annotations that only some of the datasets have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipekit.builtin.merge.matching import Kinds, Matching

MAX_NAMES = 6


def remarks(found: Matching, names: Sequence[str]) -> Iterator[str]:
    """One sentence for each thing that people should know before they train on the result."""
    called = [f"dataset {number + 1}" + (f" ({names[number]})" if names else "") for number in range(len(found.kinds))]
    yield from _alike(found.kinds)
    yield from _missing(found.kinds, called)
    yield from _boxes_of_some(found.kinds, called)


def _alike(kinds: Sequence[Kinds]) -> Iterator[str]:
    """Names that differ only in capitals, spaces, hyphens and underscores."""
    for what, of_datasets in (
        ("classes", [one.labels for one in kinds]),
        ("classes of boxes", [one.box_labels for one in kinds]),
    ):
        spelt: dict[str, set[str]] = {}
        for name in set().union(*of_datasets):
            spelt.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), set()).add(name)
        for same in sorted(sorted(one) for one in spelt.values() if len(one) > 1):
            shown = " and ".join(map(repr, same))
            yield f"the {what} {shown} stay apart, since their names differ; the stage rename_classes makes them one"


def _missing(kinds: Sequence[Kinds], called: Sequence[str]) -> Iterator[str]:
    """A kind of annotation that one dataset has and another one lacks altogether."""
    for what in ("labels", "boxes", "masks", "keypoints"):
        having = [name for name, one in zip(called, kinds, strict=True) if one.having[what]]
        lacking = [name for name, one in zip(called, kinds, strict=True) if not one.having[what] and one.number]
        if having and lacking:
            one, verb = (having[0], "has") if len(having) == 1 else (" and ".join(having), "have")
            yield f"{one} {verb} {what} and {' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} none"


def _boxes_of_some(kinds: Sequence[Kinds], called: Sequence[str]) -> Iterator[str]:
    """Objects of a class that only some datasets mark are background in the others."""
    with_boxes = [(name, one.box_labels) for name, one in zip(called, kinds, strict=True) if one.box_labels]
    every = set().union(*(labels for _, labels in with_boxes)) if with_boxes else set()
    parts = []
    for name, labels in with_boxes:
        if missing := sorted(every - labels):
            listed = ", ".join(missing[:MAX_NAMES]) + (
                f" and {len(missing) - MAX_NAMES} more" if len(missing) > MAX_NAMES else ""
            )
            parts.append(f"{name} has no box of {listed}")
    if parts:
        yield f"{'; '.join(parts)}. If such objects are in its images without a box, a detector learns to overlook them"
