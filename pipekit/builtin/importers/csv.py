"""A CSV (or TSV) file with one image a row: its path, perhaps its class and split; further columns are kept."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.files import first_of
from pipekit.builtin.importers.tables import RootedTableParams, find_columns, looks_like_images
from pipekit.contract import Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import param

SUFFIXES = (".csv", ".tsv")

LOOKED_AT = 5
"""Rows that :func:`sniff` reads."""


class CsvParams(RootedTableParams):
    delimiter: str = param("", "What stands between columns; found in the first line where left out", max_length=1)


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a table of images, or why it is none."""
    if not path.is_file():
        inside = first_of(sorted(files_in(path, SUFFIXES)))
        return Rejected(f"it reads one file, and this is a folder{f', with {inside}' if inside else ''}")
    if path.suffix.lower() not in SUFFIXES:
        return Rejected(f"the file does not end in {' or '.join(SUFFIXES)}")
    try:
        with _table(path, "") as table:
            names = [name for name in table.fieldnames or () if name]
            column = looks_like_images(names, islice(table, LOOKED_AT))
    except UserError as error:
        return Rejected(error.message)
    if not column:
        columns = first_of(names, 8) or "none"
        return Rejected(f"no column has names of image files in its first {LOOKED_AT} rows; columns: {columns}")
    return f"a table with image names in column {column!r}"


def read(path: Path, params: CsvParams) -> Iterator[Sample | Failure]:
    """One sample per row; the id is the image's path as the table has it. A row without an image is listed as failed.

    Raises:
        UserError: no table, or a column is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file", "The importer 'csv' reads one CSV file.")
    root = Path(params.images) if params.images else path.parent
    with _table(path, params.delimiter) as table:
        columns = find_columns([name for name in table.fieldnames or () if name], params, path)
        for row in table:
            yield columns.sample(row, table.line_num, root, params.suffix)


@contextmanager
def _table(path: Path, delimiter: str) -> Iterator[csv.DictReader[str]]:
    """The rows as dicts; a cell too many lands under the name None and is dropped."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            if "\0" in head:
                raise UserError(f"{path} is not a text file", "Expected a CSV file in UTF-8.")
            chosen = delimiter or max(",;\t|", key=head.count)
            table: csv.DictReader[Any] = csv.DictReader(file, delimiter=chosen)
            yield table
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8: {error.reason} at byte {error.start}", "Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise UserError(f"{path} can't be read as CSV: {error}") from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
