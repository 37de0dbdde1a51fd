"""Class folders: ``dog/1.jpg``, or ``train/dog/1.jpg``, or ``dog/train/1.jpg``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipekit.builtin.importers import names as names_importer
from pipekit.builtin.importers.beside import FOUND_BESIDE, has_namesake, with_owners
from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, no_image, subfolders
from pipekit.builtin.importers.layout import NO_SPLITS, Trunk, image_folders, trunks_of
from pipekit.builtin.importers.words import is_recording, splits_among
from pipekit.contract import Adjusted, Rejected, Sample
from pipekit.errors import Reading, ReadingsError, UserError
from pipekit.files import files_in, image_suffixes, own_output_below
from pipekit.params import Params, param
from pipekit.passed_over import passed_over, sentence

READS: tuple[str, ...] = ()
"""Suffixes of non-image files that importers read; other files are reported as skipped. The same for every importer."""

PER_FILE = True

COPIES_MAY_BE_LABELS = True
"""The same file in several class folders may be an image with several labels: where many are, the person is asked."""

GENERALITY = 2
"""It fits almost any folder of images: taken when nothing more exact fits, the smallest number first."""


class FoldersParams(Params):
    splits: Literal["auto", "yes", "no"] = param(
        "auto",
        "Whether the top folders are train, val (valid, dev, validation) and test; auto: yes if there are no other folders; "
        "no: every top folder is a class, also one called images, labels or test",
    )
    labels: Literal["auto", "first", "last", "path", "none"] = param(
        "auto",
        "The class of nested folders 'animal/dog/': first = animal, last = dog, path = animal/dog, none = no class; "
        "auto: first, but an error where all are named after recordings (S1, cam_3), or hold the same folders",
    )
    masks_beside: bool = param(
        False, "Read a mask beside its image (a_mask.png, or a.png that is not the picture of a.jpg) as an image of its own"
    )


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a tree of class folders, or why it is not.

    Raises:
        ReadingsError: its folders can be read in more than one way.
    """
    if not path.is_dir():
        return NO_FOLDER
    names = image_folders(path)
    if not names:
        return "images in one folder, without classes" if any(files_in(path, image_suffixes())) else no_image()
    trunks = trunks_of(path)
    _refuse_named_splits(path)
    _refuse_recordings(path, trunks)
    _refuse_crossed(path, trunks)
    places = ["/".join(trunk.folders) for trunk in trunks if trunk.folders]
    if not places:
        return f"{len(names)} class folder{'s' if len(names) != 1 else ''}: {first_of(names)}"
    classes = any(subfolders(path / place) for place in places)
    what = "folders" if len(places) > 1 or trunks[0].split else "folder"
    return f"{what} {first_of(places)} with {'classes below' if classes else 'images, without classes'}"


def read(path: Path, params: FoldersParams) -> Iterator[Sample | Adjusted]:
    """One sample per image file, ordered by folder and name. The id is the path below ``path``, with ``/``.

    A file counts as an image by its suffix; it is validated when it is opened. Other files are skipped, and so are hidden
    files, links back to a folder already read, folders below ``path`` that pipekit wrote, and masks beside their images.

    Raises:
        UserError: there is no image.
        ReadingsError: the folders can be read in more than one way.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder", "The importer 'folders' reads a folder with a subfolder per class.")
    layout = layout_of(path, params)
    count = 0
    for below, full, owner in with_owners(images_below(path)):
        sample = _sample(below, full, layout)
        if sample is None:
            continue
        if owner and not params.masks_beside:
            yield Adjusted(owner, FOUND_BESIDE)
            continue
        count += 1
        yield sample
    if not count:
        hint = f"Image files are recognised by their suffix: {' '.join(image_suffixes())}."
        if written := own_output_below(path):
            hint += f" Skipped, because pipekit wrote it: {first_of(written)}. Give that folder itself."
        there = sentence(passed_over(path))
        raise UserError(f"no image below {path}" + (f": {there}" if there else ""), hint)


@dataclass(frozen=True)
class Layout:
    """What the samples of a tree depend on besides the paths of their files.

    Attributes:
        trunks: by their folders.
        labels, masks_beside: see :class:`FoldersParams`.
        suffixes: of images.
    """

    trunks: Mapping[tuple[str, ...], Trunk]
    labels: str
    suffixes: tuple[str, ...]
    masks_beside: bool


def layout_of(path: Path, params: FoldersParams) -> Layout:
    """Where the class folders begin; all folders are listed, and no file is opened. Raises like :func:`read`."""
    trunks = trunks_of(path, params.splits)
    if params.splits == "auto":
        _refuse_named_splits(path)
    if params.splits != "no" and params.labels == "auto":
        _refuse_recordings(path, trunks)
        _refuse_crossed(path, trunks)
    labels = "first" if params.labels == "auto" else params.labels
    return Layout({trunk.folders: trunk for trunk in trunks}, labels, image_suffixes(), params.masks_beside)


def sample_of(below: str, path: Path, layout: Layout) -> Any:
    """The sample of one file; None if it is no image, or lies beside the folders that are read.

    NotImplemented if it may be a mask of another file, or another file its mask: then all files are read anew.
    """
    if not below.lower().endswith(layout.suffixes):
        return None
    if not layout.masks_beside and has_namesake(path, below):
        return NotImplemented
    return _sample(below, os.path.join(path, *below.split("/")), layout)  # noqa: PTH118 (as `images_below` names it)


def _sample(below: str, full: str, layout: Layout) -> Sample | None:
    folders = tuple(below.split("/")[:-1])
    trunk = _trunk_of(folders, layout.trunks)
    if trunk is None:
        return None
    parts, split = folders[len(trunk.folders) :], trunk.split
    if trunk.splits_below and len(parts) > 1:
        split, parts = trunk.splits_below.get(parts[1], ""), (parts[0], *parts[2:])
    return Sample(id=below, image=full, label=_label(parts, layout.labels), split=split)


def _trunk_of(folders: tuple[str, ...], trunks: Mapping[tuple[str, ...], Trunk]) -> Trunk | None:
    """The innermost trunk that holds an image. Images beside the split folders have none."""
    found = next((trunks[head] for n in range(len(folders), -1, -1) if (head := folders[:n]) in trunks), None)
    return found or (Trunk(()) if not folders else None)


def _label(folders: tuple[str, ...], rule: str) -> str | None:
    if not folders or rule == "none":
        return None
    return {"first": folders[0], "last": folders[-1], "path": "/".join(folders)}[rule]


def _refuse_named_splits(path: Path) -> None:
    """Raise for a split without class folders whose file names have classes, where the importer 'names' can't read them all.

    As in the archive of Dogs vs. Cats: ``train/cat.0.jpg``, and ``test1/1.jpg`` without a class.
    """
    for name in splits_among(image_folders(path)):
        named = names_importer.classes_in(path / name)
        if not isinstance(named, Rejected) and isinstance(names_importer.classes_in(path), Rejected):
            what = f"files named after {len(named)} classes: {first_of(named)}"
            raise ReadingsError(
                f"{path} has the folder {name!r} with {what}: it seems to be a split, not a class",
                [Reading(f"the images in {name} alone, with the classes in their names", path=str(path / name)), NO_SPLITS],
            )


def _refuse_recordings(path: Path, trunks: Sequence[Trunk]) -> None:
    """Raise where all class folders are named after recordings: a model would tell ``Subject01`` from ``Subject02``."""
    folders = [path.joinpath(*trunk.folders, name) for trunk in trunks for name in image_folders(path.joinpath(*trunk.folders))]
    names = list(dict.fromkeys(folder.name for folder in folders))
    if not names or not all(map(is_recording, names)):
        return
    inner = dict.fromkeys(name for folder in folders[:8] for name in image_folders(folder))
    readings = [Reading("images without classes", format="folders:labels=none")]
    if inner and not all(map(is_recording, inner)):
        readings.insert(0, Reading(f"the classes {first_of(inner)}, of the inner folders", format="folders:labels=last"))
    readings.append(Reading(f"the classes {first_of(names)}", format="folders:labels=first"))
    what = "which may be subjects, recordings, cameras or parts, and no classes"
    raise ReadingsError(f"the folders of images in {path} are called {first_of(names)}, {what}", readings)


def _refuse_crossed(path: Path, trunks: Sequence[Trunk]) -> None:
    """Raise where the top folders all hold the same folders, as in ``site1/oak site1/elm site2/oak site2/elm``."""
    for trunk in trunks:
        here = path.joinpath(*trunk.folders)
        tops = [] if trunk.splits_below else image_folders(here)
        if len(tops) < 2 or len(shared := _shared_folders(here, tops)) < 2:
            continue
        raise ReadingsError(
            f"the folders {first_of(tops)} in {here} hold the same folders {first_of(shared)}, and either may be the classes",
            [
                Reading(f"the classes {first_of(shared)}, of the inner folders", format="folders:labels=last"),
                Reading(f"the classes {first_of(tops)}", format="folders:labels=first"),
                Reading("both words as one class", format="folders:labels=path"),
            ],
            f"If {first_of(tops)} are splits, call these folders train, val and test.",
        )


def _shared_folders(here: Path, tops: Sequence[str]) -> list[str]:
    """The folders inside all of ``tops``, if they are at least half of those inside any of them."""
    shared = dict.fromkeys(image_folders(here / tops[0]))
    every = {*shared}
    for name in tops[1:]:
        if len(shared) < 2:
            return []
        found = {*image_folders(here / name)}
        shared, every = {one: None for one in shared if one in found}, every | found
    return list(shared) if 2 * len(shared) >= len(every) else []
