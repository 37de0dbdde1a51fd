"""Where the class folders of a tree begin: at its top, below folders of splits, or below folders like ``images``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipekit.builtin.importers.files import first_of, subfolders
from pipekit.builtin.importers.words import (
    has_no_annotations,
    role_of,
    split_folder,
    splits_among,
    splits_with_parts,
    structure_among,
)
from pipekit.errors import Reading, ReadingsError, UserError
from pipekit.files import files_in, has_file, image_suffixes

Rule = Literal["auto", "yes", "no"]

NO_SPLITS = Reading("every top folder is a class", format="folders", splits="no")
SPLITS_ALONE = Reading("the splits, without the other folders", format="folders", splits="yes")

DEEPEST = 6
"""Folders of structure inside one another."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A folder below which the class folders begin.

    Attributes:
        folders: its path below the dataset; empty for the dataset itself.
        split: the split of the images below it, or "".
        splits_below: for ``dog/train/1.jpg``: the folders of splits below each class, and the split of each.
    """

    folders: tuple[str, ...]
    split: str = ""
    splits_below: Mapping[str, str] = field(default_factory=dict)


def image_folders(path: Path) -> list[str]:
    """The top folders that hold images."""
    return [name for name in subfolders(path) if has_file(path / name, image_suffixes())]


def trunks_of(path: Path, rule: Rule = "auto") -> list[Trunk]:
    """The trunks of a tree; folders outside of them are not read.

    Raises:
        ReadingsError: the names of the folders allow more than one way.
        UserError: ``rule`` is "yes", and no folder has the name of a split.
    """
    if rule == "no":
        return [Trunk(())]
    names = image_folders(path)
    if rule == "yes" and not splits_among(names):
        named = {name: split for name in names if (split := split_folder(name))}
        if not named:
            raise UserError(
                f"no folder called train, val or test with images below {path}; there are: {', '.join(names[:8]) or 'none'}",
                'Leave out splits = "yes", or rename the folders.',
            )
    return _trunks(path, (), "", rule)


def _trunks(path: Path, folders: tuple[str, ...], split: str, rule: Rule) -> list[Trunk]:
    here = path.joinpath(*folders)
    names = image_folders(here)
    splits = splits_among(names)
    others = [name for name in names if name not in splits]
    direct = any(files_in(here, image_suffixes()))
    if splits and not split and (rule == "yes" or not others):
        return [trunk for name, of in splits.items() for trunk in _trunks(path, (*folders, name), of, "auto")]
    if (
        len(names) == 1
        and not direct
        and len(folders) < DEEPEST
        and (
            _holds_all(names[0])
            or splits.get(names[0]) == split != ""
            or names == [*folders[-1:]]
            or (not splits and _wraps(here / names[0]))
        )
    ):  # images/dog/, train/images/dog/, seg_train/seg_train/dog/, cars_train/cars_train/1.jpg
        return _trunks(path, (*folders, names[0]), split, "auto")
    _refuse_unclear(here, names, splits, others)
    below = [image_folders(here / name) for name in others]
    _refuse_annotations_below(here, others, below)
    inner = [splits_among(found) for found in below]
    if (
        not splits
        and not split
        and inner
        and all(found and found.keys() == {*all_} for found, all_ in zip(inner, below, strict=True))
    ):
        return [Trunk(folders, "", {name: of for found in inner for name, of in found.items()})]
    return [Trunk(folders, split)]


def _wraps(folder: Path, depth: int = DEEPEST) -> bool:
    """Whether a folder that lies alone holds class folders: as a class, it would be the only one."""
    names = image_folders(folder)
    if any(files_in(folder, image_suffixes())) or not depth:
        return False
    return len(names) > 1 or (len(names) == 1 and _wraps(folder / names[0], depth - 1))


def _holds_all(name: str) -> bool:
    return role_of(name) == "images"


def _refuse_unclear(here: Path, names: list[str], splits: Mapping[str, str], others: list[str]) -> None:
    """Raise where folders of structure lie beside each other, or beside folders of classes."""
    alone = [
        Reading(f"the images in {name} alone", path=str(here / name)) for name in names if role_of(name) in ("images", "split")
    ]
    if others and len({*splits.values()}) > 1:
        raise ReadingsError(
            f"{here} has the splits {', '.join(splits)} and beside them {', '.join(others[:4])}", [SPLITS_ALONE, NO_SPLITS]
        )
    if structure := structure_among(names) or ([] if splits else splits_with_parts(names)):
        if not alone:
            plain = [name for name in names if has_no_annotations(name)]
            alone = [Reading(f"the images in {name} alone", path=str(here / name)) for name in plain]
        raise ReadingsError(
            f"{here} has the folder{'s' if len(structure) > 1 else ''} {first_of(structure)}, whose name"
            f"{'s say' if len(structure) > 1 else ' says'} how a dataset is arranged and not a class",
            [*alone[:4], NO_SPLITS],
        )


def _refuse_annotations_below(here: Path, names: list[str], below: list[list[str]]) -> None:
    """Raise where each folder that could be a class holds a folder of annotations: ``bottle/ground_truth``."""
    inside = [next((found for found in structure_among(names) if role_of(found) == "annotations"), "") for names in below]
    if not inside or not all(inside):
        return
    alone = [Reading(f"the images in {name} alone", path=str(here / name)) for name in names]
    raise ReadingsError(
        f"{here} has images of annotations in {first_of(f'{name}/{found}' for name, found in zip(names, inside, strict=True))}",
        [*alone[:4], NO_SPLITS],
    )
