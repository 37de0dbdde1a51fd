"""Shared by several exporters: file names, copies of images, folders of splits and classes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pipekit.artifacts import class_order
from pipekit.contract import Category, Dataset, Keypoint, Sample
from pipekit.errors import UserError
from pipekit.files import read_bytes, split_packed
from pipekit.params import Params, param

NO_SPLIT = "all"
"""Name of the folder or file for images without a split."""


class ImagesParams(Params):
    images: Literal["copy", "hardlink"] = param(
        "copy", "How images come into the folder; a hard link takes no space, but changes with an original edited in place"
    )


@dataclass
class Names:
    """File names that are unique in their folder, ignoring case."""

    taken: set[str] = field(default_factory=set)

    def of(self, sample: Sample, folder: str = "") -> str:
        """``folder/name.jpg``: the last part of the id, with a number appended if the name is taken."""
        stem, suffix = os.path.splitext(safe(sample.id.rpartition("/")[2]))  # noqa: PTH122
        suffix = suffix_of(sample) or suffix
        name = f"{stem}{suffix}"
        number = 2
        while f"{folder}/{name}".lower() in self.taken:
            name = f"{stem}-{number}{suffix}"
            number += 1
        self.taken.add(f"{folder}/{name}".lower())
        return f"{folder}/{name}".lstrip("/")


def safe(name: str) -> str:
    """A name that is valid for a file or folder on every system."""
    clean = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(" .") or "_"
    return clean.encode("utf-8", "replace").decode("utf-8")


def suffix_of(sample: Sample) -> str:
    """``.jpg``, in lower case."""
    return os.path.splitext(sample.image)[1].lower()  # noqa: PTH122


def place(sample: Sample, target: Path, how: str) -> None:
    """Copy or link the sample's image to ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "hardlink" and split_packed(sample.image) is None:
        try:
            target.hardlink_to(sample.image)
        except OSError as error:
            raise UserError(f"can't make a hard link to {sample.image}: {error.strerror}", 'Use images = "copy".') from error
    else:
        target.write_bytes(read_bytes(sample.image))


def size_of(sample: Sample) -> tuple[int, int]:
    """Height and width in pixels, after EXIF orientation."""
    from pipekit import images

    info = images.probe(read_bytes(sample.image))
    return info.height_px, info.width_px


def numbered(listed: Sequence[Category], names: Iterable[str], start: int = 0) -> list[Category]:
    """The classes that the source lists, then the others that occur (``names``), each with a number.

    A class keeps the number of its source; the others get the numbers after the highest, or from ``start`` if no class has one.
    """
    known = {entry.name for entry in listed}
    entries = [*listed, *map(Category, sorted(set(names) - known, key=class_order))]
    free = max((entry.number + 1 for entry in entries if entry.number is not None), default=start)
    found = []
    for entry in entries:
        if entry.number is None:
            entry, free = replace(entry, number=free), free + 1
        found.append(entry)
    return found


def counted_from_zero(entries: Sequence[Category]) -> tuple[list[Category], bool]:
    """Numbered classes for a format whose numbers are positions in a list, and whether each keeps its number.

    If the numbers are not 0, 1, 2 … without a gap, the classes are numbered anew in the order of their numbers.
    """
    by_number = sorted(entries, key=lambda entry: entry.number or 0)
    kept = [entry.number for entry in by_number] == list(range(len(by_number)))
    return [replace(entry, number=at) for at, entry in enumerate(by_number)], kept


def numbers_as_names(names: Collection[str]) -> list[Category]:
    """Classes that are called by their numbers, as those of YOLO lines are where no file names them; else an empty list."""
    if not names or not all(name.isdecimal() and name.isascii() and len(name) <= MOST_DIGITS for name in names):
        return []
    return [Category(name, int(name)) for name in sorted(names, key=int)]


MOST_DIGITS = 4
"""Maximum number of digits of the name of a class that is its number."""


def inside(point: Keypoint, size_hw: tuple[int, int]) -> bool:
    """Whether a keypoint lies on the image."""
    return -0.5 <= point.x < size_hw[1] - 0.5 and -0.5 <= point.y < size_hw[0] - 0.5


def box_labels(dataset: Dataset) -> set[str]:
    """The classes of all boxes."""
    return {box.label for sample in dataset for box in sample.targets.boxes}


def box_names(dataset: Dataset) -> list[str]:
    """The classes of boxes by position, in the order of their numbers: those that the source lists, then the others."""
    entries, _ = counted_from_zero(numbered(dataset.categories("boxes"), box_labels(dataset)))
    return [entry.name for entry in entries]


def label_names(dataset: Dataset) -> list[str]:
    """The classes of whole images by position: those that the source lists, unused ones too, then the others."""
    entries, _ = counted_from_zero(numbered(dataset.categories("labels"), dataset.classes))
    return [entry.name for entry in entries]


def named_keypoints(dataset: Dataset, entries: Sequence[Category]) -> list[Category]:
    """The classes with the names of their objects' keypoints: those of the source, then the others that occur."""
    found: dict[str, set[str]] = {}
    for sample in dataset:
        boxes = sample.targets.boxes
        for point in sample.targets.keypoints:
            if point.of is not None and point.of < len(boxes):
                found.setdefault(boxes[point.of].label, set()).add(point.label)
    return [_with_keypoints(entry, found.get(entry.name, set())) for entry in entries]


def _with_keypoints(entry: Category, names: set[str]) -> Category:
    if names <= set(entry.keypoints):
        return entry
    if not entry.keypoints and names <= set(PERSON):
        return replace(entry, keypoints=PERSON, skeleton=PERSON_SKELETON)
    others = sorted(names - set(entry.keypoints), key=class_order)
    mirror = tuple(range(len(entry.keypoints), len(entry.keypoints) + len(others))) if entry.mirror else ()
    return replace(entry, keypoints=(*entry.keypoints, *others), mirror=entry.mirror + mirror)


PERSON = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""COCO's own keypoints, in the order of its evaluation, for a class whose source has no list of them."""

PERSON_SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""COCO's own lines between them."""


def labelled(dataset: Dataset, what: str) -> Iterator[Sample]:
    """The samples, each with a class.

    Raises:
        UserError: a sample has none.
    """
    for sample in dataset:
        if sample.label is None:
            raise UserError(f"{what} needs a class for every image; {sample.id!r} has none")
        yield sample
