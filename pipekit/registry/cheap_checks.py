"""Checks that an import runs because they cost nearly nothing: the same file under two classes, a dataset of one class.

``inspect`` has the thorough ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipekit import images
from pipekit.columnar import Column, Columns, Few, makes_columns
from pipekit.contract import Dataset, Sample
from pipekit.errors import DamagedError, ImageError, Reading, ReadingsError
from pipekit.files import read_bytes
from pipekit.images.value_range import DEEP_SUFFIXES, NARROW, NEARLY_BLACK, read_deep, unread_channels
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, stated

SAID_TWICE = {
    CLASSES: "several classes: the same file lies under two labels",
    MULTILABEL: "different labels: the same file is there twice, with other labels",
    NUMBER: "different numbers: the same file is there twice, with another number",
}

DEPTHS = (10, 12, 14)
"""Bits of a value that cameras and scanners with more than 8 have, up to the one that :data:`NARROW` ends at."""

LOOKED_AT = 20
"""Images whose range of values is compared, and whose pages and channels are counted."""

OF_SEVERAL = (".tif", ".tiff", ".gif", ".webp")
"""Suffixes of images that may have several pages or frames, or more channels than are read."""

MOST_ROWS = 20_000
"""Maximum number of images whose rows are all read. Of more, columns are kept, of which one image more changes a part."""


FEWEST_IN_SEVERAL, LEAST_IN_SEVERAL = 10, 0.1
"""Number of images, and their part of all, that lie in several classes so that these may be several labels of one image."""


def warnings_of(dataset: Dataset, path: Path, asking: str = "") -> Iterator[str]:
    """Sentences on what is surely wrong with a dataset's classes.

    Args:
        path: where it was read from.
        asking: the importer whose copies may be labels, if nothing says what the same file in two classes means.

    Raises:
        ReadingsError: ``asking``, and so many files lie in several classes that each may be an image with several labels.
    """
    columns = dataset.columns(contents_and_labels) if len(dataset) > MOST_ROWS else None
    yield from _narrow(dataset.first(LOOKED_AT))
    yield from _unread(dataset.first(LOOKED_AT))
    labels = Counter[str]()
    for of_split in dataset.counts.values():
        labels.update(of_split)
    if dataset.task == CLASSES and len(labels) == 1 and labels.total() == len(dataset) > 1:
        yield (
            f"all {len(dataset):,} images have one class, {next(iter(labels))!r}, so there are no classes to distinguish. "
            f"If that is not the name of a class, `pipekit sniff` lists other ways to read {path}"
        )
    if len(labels) > 1 or dataset.task != CLASSES:
        found = _among_rows(dataset) if columns is None else _among_columns(columns)
        if asking and len(found) >= max(FEWEST_IN_SEVERAL, LEAST_IN_SEVERAL * len(dataset)):
            raise _several(dataset, found, asking)
        if found:
            images = "1 image has" if len(found) == 1 else f"{len(found):,} images have"
            (one, said), (other, otherwise) = ((sample, sample.label or stated(sample)) for sample in found[0])
            what = SAID_TWICE[dataset.task]
            yield (
                f"{images} {what}. For example: {one.id} is {said!r}, "
                f"{other.id} is {otherwise!r}. `pipekit inspect` lists them all, with near duplicates{_as_several(dataset)}"
            )


def _several(dataset: Dataset, found: Sequence[tuple[Sample, Sample]], importer: str) -> ReadingsError:
    one, other = found[0]
    pair = f"{one.id} and {other.id}, which are the same file"
    return ReadingsError(
        f"{len(found):,} of {len(dataset):,} images lie in several classes, such as {pair}",
        [
            Reading("several labels an image", format=f"{importer}:labels_from=copies"),
            Reading("one class an image, and wrong labels among them", format=f"{importer}:labels_from=source"),
        ],
        'There `labels_from = "copies"` or "source" chooses.',
    )


def _as_several(dataset: Dataset) -> str:
    return ". If an image may have several labels: labels_from = 'copies'" if dataset.task == CLASSES else ""


def _narrow(samples: Iterable[Sample]) -> Iterator[str]:
    """Whether the 16-bit images among these hold fewer bits than 16."""
    largest = 0
    for sample in samples:
        if not sample.image.lower().endswith(DEEP_SUFFIXES):
            continue
        try:
            values = read_deep(read_bytes(sample.image))
        except (OSError, DamagedError):
            continue
        if values is not None and values.dtype.kind == "u":
            largest = max(largest, int(values.max(initial=0)))
            if largest >= NARROW:
                return
    if largest:
        how = "nearly black" if largest < NEARLY_BLACK else "too dark"
        bits = next(bits for bits in DEPTHS if largest.bit_length() <= bits)
        yield (
            f"the values of the first 16-bit images end at {largest:,} of 65,535, so they are read as {how}. State "
            f"their range in the import, which the camera's bits say: value_range = [0, {(1 << bits) - 1}] for {bits} bits"
        )


def _unread(samples: Iterable[Sample]) -> Iterator[str]:
    """What the first of these images with several pages, frames or further channels holds besides what is read."""
    for sample in samples:
        if not sample.image.lower().endswith(OF_SEVERAL):
            continue
        try:
            data = read_bytes(sample.image)
            frames = images.probe(data).frames
        except (OSError, DamagedError, ImageError):
            continue
        channels, read = unread_channels(data)
        what = f"{frames:,} pages or frames: only the first is read" if frames > 1 else ""
        if channels > read:
            what += f"{' and ' if what else ''}{channels} channels: only {read} {'is' if read == 1 else 'are'} read"
        if what:
            yield f"images may hold more than is read. For example: {sample.id} has {what}"
            return


def _among_rows(dataset: Dataset) -> list[tuple[Sample, Sample]]:
    """Two samples of each file that has several labels."""
    first: dict[str, Sample] = {}
    found: dict[str, tuple[Sample, Sample]] = {}
    for sample in dataset:
        if stated(sample) is None or not sample.sha256:
            continue
        before = first.setdefault(sample.sha256, sample)
        if stated(before) != stated(sample):
            found.setdefault(sample.sha256, (before, sample))
    return list(found.values())


@makes_columns(version=1)
def contents_and_labels(samples: Sequence[Sample], params: Any) -> dict[str, Column]:
    """``content``: the first 64 bits of the file's hash, 0 if it is unknown or there is no label;
    ``label``, or labels, or value, as text.
    """
    import numpy as np

    known = (sample.sha256[:16] if stated(sample) is not None and sample.sha256 else "0" for sample in samples)
    contents = np.fromiter((int(text, 16) for text in known), np.uint64, len(samples))
    return {"content": contents, "label": Few.of(map(stated, samples))}


def _among_columns(columns: Columns) -> list[tuple[Sample, Sample]]:
    """The same as :func:`_among_rows`; only samples of files that are there twice are read."""
    import numpy as np

    contents, labels = columns["content"], columns["label"].codes
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    again = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0))
    suspects = again[labels[order[again + 1]] != labels[order[again]]].tolist()
    rows = columns.rows({int(order[at + step]) for at in suspects for step in (0, 1)})
    found: dict[str, tuple[Sample, Sample]] = {}
    for at in suspects:
        one, other = sorted((rows[int(order[at])], rows[int(order[at + 1])]), key=lambda sample: sample.id)
        if one.sha256 == other.sha256:
            found.setdefault(one.sha256, (one, other))
    return sorted(found.values(), key=lambda pair: pair[1].id)
