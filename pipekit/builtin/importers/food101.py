"""Food-101: ``images/apple_pie/1.jpg`` and the lists ``meta/train`` and ``meta/test``, as text or JSON.
https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.annotated import json_entries
from pipekit.builtin.importers.files import NO_FOLDER, is_file, subfolders
from pipekit.builtin.importers.lists import lines, listed_labels
from pipekit.builtin.importers.lookup import lookup
from pipekit.contract import Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.params import Params

READS = (".txt", ".json")

SPLITS = ("train", "test")

CLASSES = "meta/classes.txt"
"""The names of the folders, in the order of the classes' numbers."""


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is Food-101 or a dataset in its format, or what it lacks."""
    if not path.is_dir():
        return NO_FOLDER
    base = _base(path)
    if base is None:
        return Rejected("no folder 'meta' with train.txt and test.txt (or .json) beside a folder 'images'")
    return f"lists of Food-101: {', '.join(f'meta/{file.name}' for split in SPLITS if (file := _list(base, split)))}"


def read(path: Path, params: Params) -> Iterator[Sample | Failure | Categories]:
    """One sample per listed image; the id is its path below ``images``, its class the folder.

    Raises:
        UserError: the lists are missing or can't be read.
    """
    base = _base(path)
    if base is None:
        raise UserError(f"{path} is not Food-101", "Expected meta/train.txt, meta/test.txt and a folder 'images'.")
    classes = base / CLASSES
    yield from listed_labels(dict(enumerate(line for _, line in lines(classes))) if is_file(classes) else {})
    with lookup(()) as seen:
        for split in SPLITS:
            file = _list(base, split)
            assert file is not None  # `_base` has found it
            for where, name in _names(file):
                folder, _, stem = name.rpartition("/")
                image = base / "images" / f"{name}.jpg"
                if not folder or ".." in name.split("/") or name.startswith("/"):
                    yield Failure(where, f"expected 'class/number', got {name[:80]!r}")
                elif before := seen.get(name):
                    yield Failure(f"{name}.jpg again", f"{where}: listed before, in {before}")
                elif not stem or not is_file(image):
                    yield Failure(f"{name}.jpg", f"{where}: no such image in 'images'")
                else:
                    seen.add(name, where)
                    yield Sample(f"{name}.jpg", str(image), label=folder, split=split)


def _names(file: Path) -> Iterator[tuple[str, str]]:
    """(place in the list, name without its suffix)"""
    if file.suffix == ".txt":
        yield from ((f"meta/{file.name} line {number}", line) for number, line in lines(file))
        return
    for entry in json_entries(file, (), 'an object with a list of names for each class: {"apple_pie": ["apple_pie/100"]}'):
        for name in entry.value if isinstance(entry.value, list) else [entry.value]:
            yield f"meta/{file.name} line {entry.line}", str(name)


def _list(base: Path, split: str) -> Path | None:
    return next((file for end in ("txt", "json") if (file := base / "meta" / f"{split}.{end}").is_file()), None)


def _base(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    bases = (path, *(path / name for name in subfolders(path)))
    return next((base for base in bases if (base / "images").is_dir() and all(_list(base, split) for split in SPLITS)), None)
