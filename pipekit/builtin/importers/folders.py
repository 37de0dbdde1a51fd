"""Class folders: ``dog/1.jpg``, or ``train/dog/1.jpg``, or ``dog/train/1.jpg``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pipekit.builtin.importers import names as names_importer
from pipekit.builtin.importers.files import NO_FOLDER, NO_IMAGE, first_of, images_below, split_of, subfolders
from pipekit.contract import Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import IMAGE_SUFFIXES, files_in, has_file, own_output_below
from pipekit.params import Params, param
from pipekit.passed_over import passed_over, sentence

READS: tuple[str, ...] = ()
"""Suffixes of non-image files that importers read; other files are reported as skipped. The same for every importer."""

GENERALITY = 2
"""It fits almost any folder of images: taken when nothing more exact fits, the smallest number first."""


class FoldersParams(Params):
    splits: Literal["auto", "yes", "no"] = param(
        "auto",
        "Whether the top folders are train, val (valid, validation) and test; auto: yes if there are no other folders",
    )
    labels: Literal["first", "last", "path", "none"] = param(
        "first",
        "The class of nested folders 'animal/dog/': first = animal, last = dog, path = animal/dog, none = no class",
    )


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a tree of class folders, or why it is not."""
    if not path.is_dir():
        return NO_FOLDER
    names = _image_folders(path)
    if not names:
        return "images in one folder, without classes" if any(files_in(path, IMAGE_SUFFIXES)) else NO_IMAGE
    with contextlib.suppress(UserError):  # `read` reports it
        if _layout(path, names) == "split/class":
            classes = any(subfolders(path / name) for name in names)
            return f"folders {first_of(names)} with {'classes below' if classes else 'images, without classes'}"
    return f"{len(names)} class folder{'s' if len(names) != 1 else ''}: {first_of(names)}"


def read(path: Path, params: FoldersParams) -> Iterator[Sample]:
    """One sample per image file, ordered by folder and name. The id is the path below ``path``, with ``/``.

    A file counts as an image by its suffix; it is validated when it is opened. Other files are skipped, and so are hidden
    files, links back to a folder already read, and folders below ``path`` that pipekit wrote.

    Raises:
        UserError: there is no image, or the top folders mix splits with other folders.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder", "The importer 'folders' reads a folder with a subfolder per class.")
    layout = _layout(path, _image_folders(path), params.splits)
    count = 0
    for below, full in images_below(path):
        folders = below.split("/")[:-1]
        split, parts = "", folders
        if layout == "split/class" and folders:
            split, parts = split_of(folders[0]), folders[1:]
            if not split:
                continue
        elif layout == "class/split" and len(folders) > 1:
            split, parts = split_of(folders[1]), [folders[0], *folders[2:]]
        count += 1
        yield Sample(id=below, image=full, label=_label(parts, params.labels), split=split)
    if not count:
        hint = f"Image files are recognised by their suffix: {' '.join(IMAGE_SUFFIXES)}."
        if written := own_output_below(path):
            hint += f" Skipped, because pipekit wrote it: {first_of(written)}. Give that folder itself."
        there = sentence(passed_over(path))
        raise UserError(f"no image below {path}" + (f": {there}" if there else ""), hint)


def _label(folders: list[str], rule: str) -> str | None:
    if not folders or rule == "none":
        return None
    return {"first": folders[0], "last": folders[-1], "path": "/".join(folders)}[rule]


def _layout(path: Path, names: list[str], rule: str = "auto") -> Literal["class", "split/class", "class/split"]:
    """The level of the split folders in the tree. ``names``: the top folders that hold images."""
    if rule == "no":
        return "class"
    splits = [name for name in names if split_of(name)]
    others = [name for name in names if not split_of(name)]
    if rule == "yes" and not splits:
        raise UserError(
            f"no folder called train, val or test with images below {path}; there are: {', '.join(names[:8]) or 'none'}",
            'Leave out splits = "yes", or rename the folders.',
        )
    if splits and (rule == "yes" or not others):
        return "split/class"
    if others and len({split_of(name) for name in splits}) > 1:
        raise UserError(
            f"{path} has the splits {', '.join(splits)} and beside them {', '.join(others[:4])}",
            'splits = "yes" reads the splits and skips the rest; splits = "no" reads every folder as a class.',
        )
    for name in splits:
        if named := names_importer.sniff(path / name):
            raise UserError(
                f"{path} has the folder {name!r} with {named}: it seems to be a split, not a class like {others[0]!r}",
                f'Give {path / name} alone; splits = "no" reads every folder as a class.',
            )
    inner = [subfolders(path / name) for name in others]
    if not splits and inner and all(found and all(map(split_of, found)) for found in inner):
        return "class/split"
    return "class"


def _image_folders(path: Path) -> list[str]:
    """The top folders that hold images."""
    return [name for name in subfolders(path) if has_file(path / name, IMAGE_SUFFIXES)]
