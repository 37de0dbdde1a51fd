"""Checks that an import runs because they cost nearly nothing: the same file under two classes, a dataset of one class.

``inspect`` has the thorough ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipekit.contract import Dataset

MAX_COMPARED = 20_000
"""Maximum number of images whose hashes are compared; reading more rows would take longer than the rest of a cached import."""


def warnings_of(dataset: Dataset, path: Path) -> Iterator[str]:
    """Sentences on what is surely wrong with a dataset's classes.

    Args:
        path: where it was read from.
    """
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
