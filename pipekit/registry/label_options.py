"""Parameters of every import that change what its images are labelled with: ``labels_from`` and ``order``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipekit.artifacts import Category
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.tasks import stated


def from_boxes(samples: Iterable[Sample], listed: dict[str, Any]) -> Iterator[Sample]:
    """The samples with the classes of their boxes as several labels. An image without boxes has none of the labels.

    Raises:
        UserError: no image has a box.
    """
    seen: dict[str, None] = {}
    for sample in samples:
        labels = dict.fromkeys(box.label for box in sample.targets.boxes)
        seen |= labels
        yield replace(sample, label=None, value=None, labels=tuple(sorted(labels)))
    if not seen:
        raise UserError("labels_from = 'boxes' needs boxes, and no image has one", "Omit labels_from.")
    if boxes := listed.get("boxes"):
        listed["labels"] = [Category(entry["name"]).to_plain() for entry in boxes]


def from_copies(samples: Iterable[Sample], own: bool) -> Iterator[Sample]:
    """One sample for each content, with the classes of all files that have it as several labels. Samples are hashed.

    The sample with the first id stays; a further copy that the importer wrote itself is removed.

    Raises:
        UserError: a sample has no class.
    """
    first: dict[str, Sample] = {}
    labels: dict[str, set[str]] = {}
    for sample in samples:
        if sample.label is None:
            raise UserError(f"labels_from = 'copies' joins classes, and {sample.id!r} has none", "Omit labels_from.")
        labels.setdefault(sample.sha256, set()).add(sample.label)
        known = first.setdefault(sample.sha256, sample)
        later = max(known, sample, key=lambda one: one.id)
        first[sample.sha256] = known if later is sample else sample
        if own and later.image != first[sample.sha256].image:
            Path(later.image).unlink(missing_ok=True)
    for content, sample in first.items():
        yield replace(sample, label=None, labels=tuple(sorted(labels[content])))


def ordered(samples: Iterable[Sample], order: Sequence[str], listed: dict[str, Any]) -> Iterator[Sample]:
    """Pass the samples through; after the last one, state the order in the lists of classes.

    Raises:
        UserError: a class is not in the order, or an image has no class but several labels or a number.
    """
    if len({*order}) < max(2, len(order)):
        raise UserError(f"order = {list(order)}: expected two or more different classes", "List each class once.")
    for sample in samples:
        if sample.label is None and stated(sample) is not None:
            raise UserError(f"order is for images with one class each; {sample.id!r} has {stated(sample)}", "Omit order.")
        if sample.label is not None and sample.label not in order:
            raise UserError(
                f"the class {sample.label!r} of {sample.id!r} is not in order = {list(order)}",
                "List all classes from the lowest to the highest.",
            )
        yield sample
    known = {entry["name"]: entry for entry in listed.get("labels", ())}
    listed["labels"] = [known.get(name, Category(name).to_plain()) for name in order]
    listed["order"] = [Category(name).to_plain() for name in order]
