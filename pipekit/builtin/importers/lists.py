"""Shared by the importers of text lists: read lines with their numbers, find the folder that holds the lists."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pipekit.builtin.importers.files import not_utf8, subfolders
from pipekit.contract import Categories, Category
from pipekit.errors import UserError

MOST_DIGITS = 9
"""The most digits that the number of a class has: Python refuses to read thousands of them."""


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of the lines that are neither empty nor comments (``#``). Raises UserError."""
    try:
        with file.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if (text := line.strip()) and not text.startswith("#"):
                    yield number, text
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as text in UTF-8.") from None
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror}") from error


def pairs(file: Path) -> Iterator[tuple[str, str]]:
    """(first word, the rest) of every line that has both; nothing where there is no such file. Raises UserError."""
    if file.is_file():
        for _, line in lines(file):
            first, *rest = line.split(None, 1)
            if rest:
                yield first, rest[0]


def base_with(path: Path, names: Collection[str]) -> Path | None:
    """The folder that has all these files: ``path``, or a folder in it, as after unpacking an archive."""
    if not path.is_dir():
        return None
    bases = (path, *(path / name for name in subfolders(path)))
    return next((base for base in bases if all((base / name).is_file() for name in names)), None)


def listed_labels(names: Mapping[int, str], of: Literal["labels", "boxes", "masks"] = "labels") -> Iterator[Categories]:
    """The list of the labels' classes, by their numbers; nothing if there are none. The first number of a name counts."""
    numbers: dict[str, int] = {}
    for number, name in sorted(names.items()):
        numbers.setdefault(name, number)
    if numbers:
        yield Categories(of, tuple(Category(name, number) for name, number in numbers.items()))
