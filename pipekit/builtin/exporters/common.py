"""Shared by several exporters: file names, copies of images, folders of splits and classes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipekit.contract import Dataset, Sample
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


def box_classes(dataset: Dataset) -> list[str]:
    """The classes of all boxes, sorted."""
    return sorted({box.label for sample in dataset for box in sample.targets.boxes})


def labelled(dataset: Dataset, what: str) -> Iterator[Sample]:
    """The samples, each with a class.

    Raises:
        UserError: a sample has none.
    """
    for sample in dataset:
        if sample.label is None:
            raise UserError(f"{what} needs a class for every image; {sample.id!r} has none")
        yield sample
