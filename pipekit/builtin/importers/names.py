"""Image files with the class in the name: ``dog_1.jpg``, ``cat.12.jpg``, ``golden_retriever-003.png``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import dropwhile, islice
from pathlib import Path

from pydantic import field_validator

from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, no_image, subfolders
from pipekit.builtin.importers.files import is_image_name as is_image
from pipekit.builtin.importers.words import names_no_class, splits_among
from pipekit.contract import Failure, Rejected, Sample
from pipekit.errors import Reading, ReadingsError, UserError
from pipekit.files import files_in, image_suffixes, walk
from pipekit.params import Params, param

PATTERN = r"^([^\W\d_]+(?:[ _-][^\W\d_]+)*)[ _.()-]*\d"
"""Words made of letters, a separator, a number."""

SNIFFED = 1000

READS: tuple[str, ...] = ()

GENERALITY = 1
"""It fits almost any folder of images: taken when nothing more exact fits, the smallest number first."""


class NamesParams(Params):
    pattern: str = param(PATTERN, "A regular expression for the file name; its first group is the class")

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if not groups:
            raise ValueError("the pattern needs a group (in parentheses) for the class")
        return value


def sniff(path: Path) -> str | Rejected:
    """Why the file names hold the class, or why they don't: at least two classes, and one for each file.

    The files lie in ``path``, or in its split folders if it holds nothing else.

    Raises:
        ReadingsError: all words are those of recordings and files, as in ``S1_Seq1.jpg`` and ``TS1.jpg``.
    """
    labels = classes_in(path)
    if isinstance(labels, Rejected):
        return labels
    where = f"folders {', '.join(folders)} with " if (folders := _split_folders(path)) else ""
    if all(map(names_no_class, labels)):
        raise ReadingsError(
            f"{path} has files named {first_of(labels)} and a number, which may be the subject, the recording or the camera",
            [
                Reading(f"{where}images without classes", format="folders:labels=none"),
                Reading(f"the classes {first_of(labels)}", format="names"),
            ],
            "Another part of the names may be the class: --format 'names:pattern=REGEX', its first group is the class.",
        )
    return f"{where}files named after {len(labels)} classes: {first_of(labels)}"


def classes_in(path: Path) -> list[str] | Rejected:
    """The classes that the first names of files have, or why they have none."""
    if not path.is_dir():
        return NO_FOLDER
    folders = _split_folders(path)
    if not folders and (others := subfolders(path)):
        return Rejected(f"it has folders that are not splits: {first_of(others)}")
    found = (name for folder in folders or [""] for name in _images_in(path / folder))
    names = list(islice(found, SNIFFED))
    classes = {name: _class_in(name) for name in names}
    if len(set(classes.values())) == 1:  # the names are sorted: thousands of cats before the first dog
        first = classes[names[0]]
        classes |= {name: _class_in(name) for name in islice(dropwhile(lambda name: _class_in(name) == first, found), SNIFFED)}
        names = list(classes)
    labels = sorted(set(classes.values()))
    if not names:
        return no_image()
    if "" in labels:
        return Rejected(f"no word and number in the name {next(name for name in names if not classes[name])!r}")
    if len(labels) == 1:
        return Rejected(f"all file names are {labels[0]!r} and a number; one class is not enough")
    if len(folders) > 1 and _one_in_each([path / folder for folder in folders]):
        return Rejected(f"each of the folders {first_of(folders)} has its own word in the names of its files")
    if len(labels) > len(names) / 2:
        return Rejected(f"{len(labels)} different words in the names of {len(names)} files are too many to be classes")
    return labels


def _one_in_each(folders: list[Path]) -> bool:
    """Whether the names in each folder have one word, and each another one: ``train/a_1.jpg``, ``test/b_1.jpg``."""
    words = [{_class_in(name) for name in islice(_images_in(folder), SNIFFED)} for folder in folders]
    return all(len(found) == 1 for found in words) and len(set().union(*words)) == len(folders)


def _class_in(name: str) -> str:
    return match.group(1) if (match := re.search(PATTERN, name)) else ""


def read(path: Path, params: NamesParams) -> Iterator[Sample | Failure]:
    """One sample per image file below ``path``; a file whose name does not match the pattern is listed as failed.

    If ``path`` holds only folders like ``train`` and ``test``, they are the splits. A single such folder is not a split.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder", "The importer 'names' reads a folder of image files.")
    pattern = re.compile(params.pattern)
    folders = _split_folders(path)
    splits = splits_among(folders) if len(folders) > 1 else {}
    for below, full in images_below(path):
        match = pattern.search(below.rpartition("/")[2])
        if match and match.group(1):
            yield Sample(id=below, image=full, label=match.group(1), split=splits.get(below.partition("/")[0], ""))
        else:
            yield Failure(below, "no class in the name", full)


def _split_folders(path: Path) -> list[str]:
    """The folders below ``path`` if all are named after splits, none has subfolders, and no image lies beside them."""
    found = subfolders(path)
    splits = splits_among(found)
    flat = all(name in splits and not subfolders(path / name) for name in found)
    return found if flat and not any(files_in(path, image_suffixes())) else []


def _images_in(folder: Path) -> Iterator[str]:
    """The names of the images in one folder."""
    return filter(is_image, next((names for _, names in walk(folder)), ()))
