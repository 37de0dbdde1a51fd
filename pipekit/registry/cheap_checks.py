"""Checks that an import runs because they cost nearly nothing: the same file under two classes, a dataset of one class.

``inspect`` has the thorough ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipekit.contract import Dataset
from pipekit.errors import DamagedError
from pipekit.files import read_bytes
from pipekit.images.value_range import DEEP_SUFFIXES, NARROW, read_deep

LOOKED_AT = 20
"""Images whose range of values is compared."""

MAX_COMPARED = 20_000
"""Maximum number of images whose hashes are compared; reading more rows would take longer than the rest of a cached import."""


def warnings_of(dataset: Dataset, path: Path) -> Iterator[str]:
    """Sentences on what is surely wrong with a dataset's classes.

    Args:
        path: where it was read from.
    """
    yield from _narrow(dataset)
    labels = Counter[str]()
    for of_split in dataset.counts.values():
        labels.update(of_split)
    if len(labels) == 1 and labels.total() == len(dataset) > 1:
        yield (
            f"all {len(dataset):,} images have one class, {next(iter(labels))!r}, so there are no classes to distinguish. "
            f"If that is not the name of a class, `pipekit sniff` lists other ways to read {path}"
        )
    if len(labels) > 1 and len(dataset) <= MAX_COMPARED:
        yield from _conflicts(dataset)


def _narrow(dataset: Dataset) -> Iterator[str]:
    """Whether the first 16-bit images hold fewer bits than 16."""
    largest = 0
    for sample in dataset.first(LOOKED_AT):
        if not sample.image.lower().endswith(DEEP_SUFFIXES):
            continue
        try:
            samples = read_deep(read_bytes(sample.image))
        except (OSError, DamagedError):
            continue
        if samples is not None and samples.dtype.kind == "u":
            largest = max(largest, int(samples.max(initial=0)))
            if largest >= NARROW:
                return
    if largest:
        yield (
            f"the values of the first 16-bit images end at {largest:,} of 65,535, so they are read as nearly black. State "
            f"their range in the import: value_range = [0, {(1 << max(8, largest.bit_length())) - 1}]"
        )


def _conflicts(dataset: Dataset) -> Iterator[str]:
    first: dict[str, tuple[str, str]] = {}
    found: dict[str, str] = {}
    for sample in dataset:
        if sample.label is None or not sample.sha256:
            continue
        label, name = first.setdefault(sample.sha256, (sample.label, sample.id))
        if label != sample.label:
            found.setdefault(sample.sha256, f"{name} is {label!r}, {sample.id} is {sample.label!r}")
    if found:
        images = "1 image has" if len(found) == 1 else f"{len(found):,} images have"
        yield (
            f"{images} several classes: the same file lies under two labels. For example: {next(iter(found.values()))}. "
            "`pipekit inspect` lists them all, with near duplicates"
        )
