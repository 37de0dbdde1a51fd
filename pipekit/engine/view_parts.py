"""The parts of a dataset as a view shows them: what they are named by, and what is kept of them for the next run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipekit.contract import Dataset, Sample
from pipekit.engine.columns import identity_of
from pipekit.engine.view_rows import ROWS, ViewRow
from pipekit.store.locations import Locations
from pipekit.store.parts import Part, read_index, rows_of
from pipekit.store.rows import from_row
from pipekit.store.wholeness import CONTENTS


@dataclass(frozen=True, slots=True)
class PartToShow:
    """A part of a dataset.

    Attributes:
        name: the same for a part whose rows, locations and files have not changed.
        order: puts the parts of equal datasets in the same order, whatever store they are in.
        samples: reads its samples in the order of ids.
        counts: reads the number of samples of each split and class; "" stands for samples without a class.
    """

    name: str
    count: int
    samples: Callable[[], Iterator[Sample]]
    counts: Callable[[], Mapping[tuple[str, str], int]] = dict
    order: str = ""


def parts_to_show(root: Path, dataset: Dataset, locations: Locations) -> list[PartToShow]:
    """The parts of a dataset in a store."""
    stamps: dict[str, int] = {}
    return [_part_to_show(root, part, locations, stamps) for part in read_index(dataset.path)]


def _part_to_show(root: Path, part: Part, locations: Locations, stamps: dict[str, int]) -> PartToShow:
    def samples() -> Iterator[Sample]:
        return (from_row(locations.unpack_row(row)) for row in rows_of(root, part))

    uses = [_stamp(root, place, stamps) for place in part.uses]
    name = hashlib.sha256(f"{identity_of(part)} {part.uses} {uses}".encode()).hexdigest()  # places are named by content
    return PartToShow(name, len(part), samples, partial(_counts, part), part.digest)


def _stamp(root: Path, place: str, stamps: dict[str, int]) -> int:
    """Another number if a folder of the store was damaged and has been recomputed: a view may have links to the old files."""
    if place not in stamps:
        try:
            stamps[place] = os.stat(root / place / CONTENTS).st_ino  # noqa: PTH116 (done for every shard)
        except OSError:
            stamps[place] = 0
    return stamps[place]


def _counts(part: Part) -> dict[tuple[str, str], int]:
    found = {(split, label): number for split, labels in part.counts.items() for label, number in labels.items()}
    for split, number in part.splits.items():
        if unlabelled := number - sum(part.counts.get(split, {}).values()):
            found[split, ""] = found.get((split, ""), 0) + unlabelled
    return found


@dataclass(frozen=True, slots=True)
class Survey:
    """What the layout of a view depends on.

    Attributes:
        extra: the names in ``Sample.extra``, sorted.
        num_images, size_bytes: images to copy.
    """

    extra: tuple[str, ...]
    num_images: int
    size_bytes: int

    @classmethod
    def total(cls, surveys: Iterable[Survey]) -> Survey:
        found = list(surveys)
        extra = sorted({name for survey in found for name in survey.extra})
        return cls(tuple(extra), sum(s.num_images for s in found), sum(s.size_bytes for s in found))


@dataclass(frozen=True, slots=True)
class ViewPart:
    """What a view shows of a part.

    Attributes:
        rows: empty if they are not in memory.
        size_bytes, sha256: of its rows in a file of rows; "" for a part that has not been written.
        tars: the tars that the rows name.
        file, begin: where its rows are.
    """

    name: str
    count: int
    survey: Survey
    rows: list[ViewRow]
    size_bytes: int = 0
    sha256: str = ""
    tars: tuple[str, ...] = ()
    file: str = ROWS
    begin: int = 0

    def to_plain(self) -> list[Any]:
        """The part without its rows."""
        survey = self.survey
        copies = [survey.extra, survey.num_images, survey.size_bytes]
        return [self.name, self.count, copies, self.size_bytes, self.sha256, self.tars, self.file, self.begin]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> ViewPart:
        """The part, without its rows."""
        name, count, (extra, *copies), size_bytes, sha256, tars, file, begin = plain
        return cls(name, count, Survey(tuple(extra), *copies), [], size_bytes, sha256, tuple(tars), file, begin)
