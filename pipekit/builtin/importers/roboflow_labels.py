"""Roboflow's "multi-label classification": images beside ``_classes.csv`` with a column of 0 and 1 for each label."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pipekit.builtin.importers.files import NO_FOLDER, first_of, is_file, not_utf8, split_of, subfolders
from pipekit.builtin.importers.label_cells import ones_of, text_of
from pipekit.contract import Categories, Category, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.params import Params

CLASSES = "_classes.csv"

READS = (".csv", ".txt")

WRITTEN_AS = "csv"
"""The exporter that writes back all that is read here, and not a class for each image alone."""


def sniff(path: Path) -> str | Rejected:
    """The labels, or what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    bases = _bases(path)
    if not bases:
        return Rejected(f"no {CLASSES} with 'filename' and a column for each label, in it or in train, valid and test")
    return f"{CLASSES} with a column of 0 and 1 for each label: {first_of(_head(bases[0])[1:])}"


def read(path: Path, params: Params) -> Iterator[Sample | Failure | Categories]:
    """One sample per row, with several labels; the id is the image's path below ``path``. The split is that of the folder.

    A row whose image is missing, or that has something else than 0 and 1, is listed as failed.

    Raises:
        UserError: there is no such folder, or a table can't be read.
    """
    bases = _bases(path) if path.is_dir() else []
    if not bases:
        raise UserError(
            f"no labels of Roboflow in {path}", f"Expected {CLASSES} beside the images: filename, and a column for each label."
        )
    for base in bases:
        names = _head(base)
        yield Categories("labels", tuple(map(Category, names[1:])))
        prefix = "" if base == path else f"{base.name}/"
        split = split_of(base.name) if prefix else ""
        try:
            with (base / CLASSES).open(encoding="utf-8-sig", newline="") as stream:
                table = csv.reader(stream)
                next(table, None)
                for row in table:
                    if any(map(text_of, row)):
                        yield _sample(base, prefix, split, dict(zip(names, row, strict=False)), table.line_num)
        except UnicodeDecodeError:
            raise UserError(f"can't read {base / CLASSES}: {not_utf8(base / CLASSES)}", "Save it as CSV in UTF-8.") from None
        except (OSError, csv.Error) as error:
            raise UserError(f"can't read {base / CLASSES}: {error}") from error


def _sample(base: Path, prefix: str, split: str, row: dict[str, str], line: int) -> Sample | Failure:
    (_, name), *cells = row.items()
    name = text_of(name)
    where = f"{prefix}{CLASSES} line {line}"
    if not name or not is_file(base / name):
        return Failure(f"{prefix}{name[:80] or f'line {line}'}", f"{where}: there is no image {name[:80]!r}")
    try:
        labels = ones_of(dict(cells))
    except ValueError as error:
        return Failure(prefix + name, f"{where}: {error}", str(base / name))
    return Sample(prefix + name, str(base / name), split=split, labels=labels)


def _bases(path: Path) -> list[Path]:
    found = [base for base in (path, *(path / name for name in subfolders(path) if split_of(name))) if _head(base)]
    return [path] if path in found else found


def _head(base: Path) -> list[str]:
    """The names of the columns, if they are a file name and labels of 0 and 1; else an empty list."""
    try:
        with (base / CLASSES).open(encoding="utf-8-sig", newline="") as stream:
            table = csv.reader(stream)
            names = [name.strip() for name in next(table, [])]
            first = next(table, [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    are_flags = all(text_of(cell) in ("0", "1", "0.0", "1.0", "") for cell in first[1:])
    return names if len(names) > 1 and names[0].lower() == "filename" and are_flags and all(names) else []
