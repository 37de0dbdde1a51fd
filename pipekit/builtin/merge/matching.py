"""Which ids clash between datasets, which pictures are in several of them, and what changes for each sample.

Hashes of ids and contents, eight bytes each, decide first, so that the rows of datasets without anything in common are read
once and none is kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Context, Dataset, Sample
from pipekit.tasks import stated

Name = tuple[int, str]
"""A sample: the number of its dataset from 0, and its id there."""


@dataclass(frozen=True)
class Conflict:
    """A picture with other annotations in another dataset: where, what differs, and both values as text."""

    sha256: str
    names: tuple[Name, Name]
    values: tuple[str, str, str]

    def __str__(self) -> str:
        (one, first), (other, second) = self.names
        what, left, right = self.values
        return f"{first} of dataset {one + 1} has {what} {left}, and {second} of dataset {other + 1} {right}"


@dataclass
class Kinds:
    """What the samples of a dataset have: the number of samples with boxes, masks, keypoints; the labels and box classes."""

    number: int = 0
    having: Counter[str] = field(default_factory=Counter)
    labels: set[str] = field(default_factory=set)
    box_labels: set[str] = field(default_factory=set)

    def add(self, sample: Sample) -> None:
        self.number += 1
        targets = sample.targets
        self.having.update(
            name
            for name, has in (
                ("labels", stated(sample) is not None),
                ("boxes", targets.boxes),
                ("masks", targets.mask),
                ("keypoints", targets.keypoints),
            )
            if has
        )
        if sample.label is not None:
            self.labels.add(sample.label)
        self.labels.update(sample.labels or ())
        self.box_labels.update(box.label for box in targets.boxes)


@dataclass
class Matching:
    """What merging changes.

    Attributes:
        members: the samples of each picture that several datasets have.
    """

    kinds: list[Kinds]
    prefixes: Sequence[str]
    fields: list[dict[str, dict[str, Any]]]
    left_out: list[set[str]]
    once: bool = True
    members: dict[str, list[Name]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    num_renamed: int = 0
    num_duplicates: int = 0

    @property
    def changes(self) -> list[Any]:
        """For each dataset, the function that gives the fields that change in the sample with an id; None leaves it out."""
        return [self._change(number) for number in range(len(self.kinds))]

    def _change(self, number: int) -> Any:
        fields, left_out = self.fields[number], self.left_out[number]
        prefix = f"{self.prefixes[number]}/" if self.prefixes else ""

        def change(name: str) -> dict[str, Any] | None:
            if name in left_out:
                return None
            changed = fields.get(name, {})
            return {"id": f"{prefix}{name}", **changed} if prefix else changed

        return change

    def leave_out(self, names: Iterable[Name]) -> None:
        for number, name in names:
            self.left_out[number].add(name)


def match(ctx: Context, datasets: Sequence[Dataset], prefixes: Sequence[str], once: bool) -> Matching:
    """Compare the datasets.

    Args:
        prefixes: what the ids of each dataset begin with; empty: only ids that clash change.
        once: whether a picture in several datasets is counted once.
    """
    kinds, ids, contents = [], [], []
    for dataset in datasets:
        of_dataset = Kinds()
        numbers, hashes = [], []
        for sample in ctx.track(dataset, label="comparing", unit="images"):
            of_dataset.add(sample)
            numbers.append(_number(sample.id))
            hashes.append(_number(sample.sha256))
        kinds.append(of_dataset)
        ids.append(np.array(numbers, np.uint64))
        contents.append(np.array(hashes, np.uint64))
    found = Matching(kinds, prefixes, [{} for _ in datasets], [set() for _ in datasets], once)
    if shared := _shared(contents):
        _find_pictures(found, datasets, shared)
    if not prefixes and (shared := _shared(ids)):
        _rename(found, datasets, shared, np.unique(np.concatenate(ids)))
    elif prefixes:
        found.num_renamed = sum(one.number for one in kinds)
        _follow_originals(found, datasets)
    return found


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def _shared(of_datasets: Sequence[NDArray[np.uint64]]) -> set[int]:
    """The values that several datasets have."""
    seen = np.array([], np.uint64)
    found: set[int] = set()
    for values in map(np.unique, of_datasets):
        found.update(np.intersect1d(seen, values, assume_unique=True).tolist())
        seen = np.union1d(seen, values)
    return found


# --- one picture in several datasets -------------------------------------------------------------------------------------


def _find_pictures(found: Matching, datasets: Sequence[Dataset], shared: set[int]) -> None:
    """Find pictures that several datasets have. If they are counted once, the first sample gets what only the others say."""
    firsts: dict[str, tuple[Name, Sample]] = {}
    for number, dataset in enumerate(datasets):
        for sample in dataset:
            if not sample.sha256 or _number(sample.sha256) not in shared:
                continue
            name = number, sample.id
            found.members.setdefault(sample.sha256, []).append(name)
            first, known = firsts.setdefault(sample.sha256, (name, sample))
            if first[0] == number:
                continue  # the same picture twice in one dataset is that dataset's own affair
            if found.once:
                found.leave_out([name])
            found.num_duplicates += 1
            firsts[sample.sha256] = first, _compared(found, (first, known), (name, sample))


def _compared(found: Matching, one: tuple[Name, Sample], other: tuple[Name, Sample]) -> Sample:
    """The first sample, with what only the other one says; where they differ, that is a conflict."""
    (first, known), (second, sample) = one, other
    for what in ("label", "labels", "value", "split"):
        left, right = (None if value == "" else value for value in (getattr(known, what), getattr(sample, what)))
        if left is None and right is not None and found.once:
            known = replace(known, **{what: right})
            found.fields[first[0]].setdefault(first[1], {})[what] = right
        elif left is not None and right is not None and left != right and not (what == "labels" and {*left} == {*right}):
            found.conflicts.append(Conflict(sample.sha256, (first, second), (f"the {what}", repr(left), repr(right))))
    left, right = _annotations(known), _annotations(sample)
    if left != right:
        found.conflicts.append(Conflict(sample.sha256, (first, second), ("the annotations", _counted(known), _counted(sample))))
    return known


def _annotations(sample: Sample) -> Any:
    targets = sample.targets
    return targets.mask_sha256, sorted(map(repr, targets.boxes)), sorted(map(repr, targets.keypoints))


def _counted(sample: Sample) -> str:
    targets = sample.targets
    labels = Counter(box.label for box in targets.boxes)
    boxes = ", ".join(f"{count} {label}" for label, count in sorted(labels.items()))
    parts = [f"boxes: {boxes}" if boxes else "no boxes", f"{len(targets.keypoints)} keypoints" if targets.keypoints else ""]
    return "; ".join([*filter(None, parts), *(["a mask"] if targets.mask else [])])


# --- ids -----------------------------------------------------------------------------------------------------------------


def _rename(found: Matching, datasets: Sequence[Dataset], shared: set[int], taken: NDArray[np.uint64]) -> None:
    """Give an id that an earlier dataset has the number of its dataset as a folder: ``2/cat/1.jpg``."""
    seen: set[str] = set()
    new_names: list[dict[str, str]] = []
    for number, dataset in enumerate(datasets):
        renamed: dict[str, str] = {}
        mine = []
        for sample in dataset:
            if sample.id in found.left_out[number] or _number(sample.id) not in shared:
                continue
            if sample.id in seen:
                renamed[sample.id] = sample.id
            mine.append(sample.id)
        seen.update(mine)
        for name in renamed:
            new = f"{number + 1}/{name}"
            while new in seen or _is_among(_number(new), taken):
                new = f"{number + 1}/{new}"
            seen.add(new)
            renamed[name] = new
            found.fields[number].setdefault(name, {})["id"] = new
        new_names.append(renamed)
        found.num_renamed += len(renamed)
    if any(new_names):
        _follow_originals(found, datasets, new_names)


def _is_among(value: int, ordered: NDArray[np.uint64]) -> bool:
    place = int(np.searchsorted(ordered, np.uint64(value)))
    return place < len(ordered) and int(ordered[place]) == value


def _follow_originals(found: Matching, datasets: Sequence[Dataset], new_names: Sequence[dict[str, str]] = ()) -> None:
    """Copies name the id of their original: let them name the new one."""
    for number, dataset in enumerate(datasets):
        if new_names and not new_names[number]:
            continue
        for sample in dataset:
            made = sample.extra.get("augmented")
            if not isinstance(made, dict) or not isinstance(made.get("of"), str):
                continue
            old = made["of"]
            new = new_names[number].get(old, old) if new_names else f"{found.prefixes[number]}/{old}"
            if new != old:
                found.fields[number].setdefault(sample.id, {})["extra"] = {"augmented": {**made, "of": new}}
