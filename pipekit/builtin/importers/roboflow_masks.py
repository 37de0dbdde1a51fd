"""Roboflow's "semantic segmentation masks": ``a.jpg`` beside ``a_mask.png``; the values' names stand in ``_classes.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, is_file, not_utf8, split_of, subfolders
from pipekit.builtin.importers.lists import MOST_DIGITS
from pipekit.contract import Categories, Category, Failure, Rejected, Sample, Targets
from pipekit.errors import UserError
from pipekit.params import Params

CLASSES = "_classes.csv"

END = "_mask.png"

READS = (".csv", ".txt")

WRITTEN_AS = "masks"
"""The exporter that writes back all that is read here, and not a class for each image alone."""


def sniff(path: Path) -> str | Rejected:
    """The classes of the masks, or what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    bases = _bases(path)
    if not bases:
        return Rejected(f"no {CLASSES} with the columns 'Pixel Value' and 'Class', in it or in train, valid and test")
    try:
        return f"images, their masks beside them, and {CLASSES}: {first_of(class_names(bases[0] / CLASSES).values())}"
    except UserError as error:
        return Rejected(error.message)


def read(path: Path, params: Params) -> Iterator[Sample | Failure | Categories]:
    """One sample per image; the id is its path below ``path``. The values of a mask are numbers of ``_classes.csv``.

    The split is that of the folder. An image without a mask is listed as failed.

    Raises:
        UserError: there is no such folder, or the list of classes can't be read.
    """
    bases = _bases(path) if path.is_dir() else []
    if not bases:
        raise UserError(
            f"no masks of Roboflow in {path}", f"Expected {CLASSES} beside the images, with 'Pixel Value' and 'Class'."
        )
    for base in bases:
        listed = class_names(base / CLASSES)
        yield Categories("masks", tuple(Category(name, value) for value, name in _without_twins(listed).items()))
        prefix = "" if base == path else f"{base.name}/"
        for below, full in images_below(base):
            mask = Path(full).with_name(Path(full).stem + END)
            if below.endswith(END):
                continue
            if not is_file(mask):
                yield Failure(prefix + below, f"no mask {mask.name} beside it", full)
                continue
            yield Sample(prefix + below, full, split=split_of(base.name) if prefix else "", targets=Targets(str(mask)))


def _without_twins(listed: dict[int, str]) -> dict[int, str]:
    """The first value of each name."""
    return {value: name for value, name in listed.items() if name not in [listed[at] for at in listed if at < value]}


def class_names(file: Path) -> dict[int, str]:
    """Value in the masks -> class name, in the order of the table.

    Raises:
        UserError: it can't be read.
    """
    found: dict[int, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream)
            next(table, None)
            for row in table:
                if not any(cell.strip() for cell in row):
                    continue
                value, name = (cell.strip() for cell in row[:2]) if len(row) > 1 else ("", "")
                if not value.isascii() or not value.isdigit() or len(value) > MOST_DIGITS or int(value) > 255 or not name:
                    raise UserError(
                        f"{file} line {table.line_num}: {str(row)[:80]}; expected a value from 0 to 255 and a class"
                    )
                found[int(value)] = name
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}", "Save it as CSV in UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"can't read {file}: {error}") from error
    return found


def _bases(path: Path) -> list[Path]:
    found = [base for base in (path, *(path / name for name in subfolders(path) if split_of(name))) if _has_classes(base)]
    return [path] if path in found else found


def _has_classes(base: Path) -> bool:
    try:
        with (base / CLASSES).open(encoding="utf-8-sig") as stream:
            names = [name.strip().lower() for name in stream.readline(1 << 12).split(",")]
    except (OSError, UnicodeDecodeError):
        return False
    return names[:2] == ["pixel value", "class"]
