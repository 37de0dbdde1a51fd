"""Shared by several importers: image files of a tree, names of splits, ids from paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pipekit.contract import Rejected
from pipekit.files import OUTPUT_MARK, folders_in, image_suffixes, walk

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Usual names of the files and columns of a split, in lower case; :mod:`~pipekit.builtin.importers.words` has the folders."""


NO_FOLDER = Rejected("it reads a folder, and this is a file")


def no_image() -> Rejected:
    return Rejected(f"no file below it ends in {' '.join(image_suffixes())}")


def first_of(names: Iterable[str], count: int = 4) -> str:
    """``a, b, c, d …``"""
    shown = list(islice(names, count + 1))
    return ", ".join(shown[:count]) + (" …" if len(shown) > count else "")


def is_file(path: Path) -> bool:
    """False also for an impossible name: too long, or with a zero byte."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def not_utf8(file: Path) -> str:
    """Where a text file stops being UTF-8: "not UTF-8: byte 0xff in line 3"."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"not UTF-8: byte {line[error.start]:#04x} in line {number}"
    return "not UTF-8"


def on_one_line(error: Exception) -> str:
    """What a library says of a damaged file, at most 200 characters."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # as text, a KeyError is in quotes
    return " ".join(str(said).split())[:200]


def split_of(name: str) -> str:
    """``Validation`` -> ``val``; "" where it is not the name of a split."""
    return SPLIT_NAMES.get(name.strip().lower(), "")


def is_image_name(name: str) -> bool:
    return name.lower().endswith(image_suffixes())


def images_below(root: Path) -> Iterator[tuple[str, str]]:
    """(path below ``root`` with ``/``, full path) of every file with an image suffix, in a stable order."""
    for folder, names in walk(root):
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        for name in names:
            if is_image_name(name):
                yield prefix + name, os.path.join(folder, name)  # noqa: PTH118


def subfolders(root: Path) -> list[str]:
    """The names of the visible folders directly below ``root``, sorted."""
    return [name for name in folders_in(root) if not (root / name / OUTPUT_MARK).exists()]


def last_parts(name: str) -> Iterator[str]:
    """A path as an annotation file has it, then its last parts, the longest first: ``C:/data/a.jpg``, ``data/a.jpg`` …"""
    parts = [part for part in re.split(r"[/\\]+", name) if part not in ("", ".", "..")]
    yield from dict.fromkeys(filter(None, ("/".join(parts[at:]) for at in range(len(parts)))))


BY_LAST_PARTS = "matched to images by the last parts of the paths that the file states: there are no images at the whole paths"
"""What :class:`~pipekit.contract.Adjusted` says of an image that was found so."""


def how_found(name: str, found: Path) -> str:
    """:data:`BY_LAST_PARTS` if only the last parts of the path that an annotation file states lead to the image, else ""."""
    whole = next(last_parts(name), "")
    return "" if f"/{found.as_posix()}".endswith(f"/{whole}") else BY_LAST_PARTS


def split_in(name: str) -> str:
    """``instances_val2017`` -> ``val``; "" where no word is the name of a split."""
    return next((named for word in re.split(r"[^A-Za-z]+", name) if (named := split_of(word))), "")
