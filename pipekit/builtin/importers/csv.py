"""A CSV (or TSV) file with one row per image: its path, optionally its class and split; further columns are kept."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.box_csv import other_table
from pipekit.builtin.importers.files import BY_LAST_PARTS, first_of, is_image_name, last_parts, not_utf8
from pipekit.builtin.importers.label_cells import text_of
from pipekit.builtin.importers.label_columns import FIRST_ROWS, Table, with_labels
from pipekit.builtin.importers.tables import (
    AS_WINDOWS,
    GUESSED,
    IMAGE_NAMES,
    NAN,
    Columns,
    RootedTableParams,
    base_of_table,
    by_name,
    find_columns,
    located,
    looks_like_images,
    opened_table,
    said_of_cells,
    stated_lists,
)
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import ImagesPath, param
from pipekit.tasks import MULTILABEL

SUFFIXES = (".csv", ".tsv")

READS = ImagesPath.passed_over

WRITTEN_AS = "csv"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

LOOKED_AT = 5
"""Rows that :func:`sniff` reads, and in which the column of images is found."""


class CsvParams(RootedTableParams):
    delimiter: str = param("", "The column separator; by default detected from the first line", max_length=1)
    header: str = param("", "The names of the columns of a table without a header, with commas: image,label")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a table of images, or why it is not."""
    if not path.is_file():
        inside = first_of(sorted(files_in(path, SUFFIXES)))
        return Rejected(f"it reads one file, and this is a folder{f', with {inside}' if inside else ''}")
    if path.suffix.lower() not in SUFFIXES:
        return Rejected(f"the file does not end in {' or '.join(SUFFIXES)}")
    try:
        if other := other_table(path):
            return Rejected(other, near=True)
        with _table(path, CsvParams(), base_of_table(path)) as (table, _, given):
            names = _columns(table)
            rows = list(islice(table, LOOKED_AT))
    except UserError as error:
        return Rejected(error.message, near=True)
    column = looks_like_images(names, rows)
    if not column:
        usual = by_name(names, IMAGE_NAMES)
        if usual and rows and located(text_of(rows[0].get(usual)), base_of_table(path)):
            return f"a table with names of images, without suffixes, in column {usual!r}"
        columns = first_of(names, 8) or "none"
        return Rejected(f"no column has names of image files in its first {LOOKED_AT} rows; columns: {columns}")
    return f"a table with image names in column {column!r}" + (", without a header" if given else "")


def read(path: Path, params: CsvParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per row; the id is the image's path as written in the table. A row without an image is listed as failed.

    The image column is found by its name, or by image file names in the first rows. If the first image is not at its stated
    path, the folders beside the table are searched, and a bare name gets the suffix of the file found there; the result
    applies to all rows. Columns of 0 and 1 of which each row has one 1 say the class.

    Raises:
        UserError: it is not a table, or a column is missing.
        ReadingsError: it is unclear which column has the classes, or its values are several labels or numbers.
    """
    found = rows_of(path, params)
    yield from joined_rows(found) if params.task == MULTILABEL else found


def rows_of(path: Path, params: CsvParams, format: str = "csv") -> Iterator[Sample | Failure | Adjusted | Categories]:
    """As :func:`read`.

    Args:
        format: the importer. For another than ``csv``, a table without a column of classes is usual.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file", "The importer 'csv' reads one CSV file.")
    root = Path(params.images) if params.images else base_of_table(path)
    with _table(path, params, root) as (table, encoding, given):
        names = _columns(table)
        first = [(table.line_num, row) for row in islice(table, FIRST_ROWS)]
        all_first = [row for _, row in first]
        rows = all_first[:LOOKED_AT]
        columns = find_columns(names, params, path, looks_like_images(names, rows))
        _refuse_twice(path, names, columns)
        columns = with_labels(columns, Table(path, names, all_first, format, alone=format == "csv"), params)
        yield from stated_lists(columns, params)
        name = next(filter(None, (text_of(row.get(columns.image)) for row in rows)), "")
        num_dropped, place = _found(name, root, params.suffix)
        root, suffix = place or (root, params.suffix)
        for number, row in chain(first, ((table.line_num, row) for row in table)):
            if num_dropped:
                parts = list(last_parts(text_of(row.get(columns.image))))
                row = {**row, columns.image: next(iter(parts[num_dropped:]), "")}
            found = columns.sample(row, number, root, suffix)
            if isinstance(found, Failure):
                found = replace(found, reason=f"{path.name} line {number}: {found.reason}")
            yield found
            if isinstance(found, Sample) and num_dropped:
                yield Adjusted(found.id, BY_LAST_PARTS)
            if isinstance(found, Sample) and columns.has_nan(row):
                yield Adjusted(found.id, NAN)
            if isinstance(found, Sample) and columns.task == MULTILABEL and not columns.one_hot:
                yield Adjusted(found.id, said_of_cells(columns, found.labels is None))
            elif isinstance(found, Sample) and columns.one_hot and columns.task != MULTILABEL:
                yield Adjusted(
                    found.id, f"read from columns of 0 and 1, as the class whose column is 1: {first_of(columns.one_hot)}"
                )
            if isinstance(found, Sample) and given and not params.header:
                yield Adjusted(found.id, f"read from a table without a header, as the columns {', '.join(given)}")
            if isinstance(found, Sample) and encoding == AS_WINDOWS:
                yield Adjusted(found.id, GUESSED)


def joined_rows(
    found: Iterator[Sample | Failure | Adjusted | Categories],
) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """Join the rows of one image, each with some of its labels. Further columns are those of its first row."""
    samples: dict[str, Sample] = {}
    for item in found:
        if not isinstance(item, Sample):
            yield item
            continue
        before = samples.setdefault(item.id, item)
        if before is not item and item.split != before.split:
            yield Failure(item.id, f"it has several rows, one in split {before.split!r}, another in {item.split!r}")
        elif before is not item:
            labels = None if before.labels is item.labels is None else (before.labels or ()) + (item.labels or ())
            samples[item.id] = replace(before, labels=labels and tuple(sorted({*labels})))
    yield from samples.values()


def _found(name: str, root: Path, suffix: str) -> tuple[int, tuple[Path, str] | None]:
    """How many leading parts of the paths belong to another machine, and where the image of the rest is."""
    for num_dropped, part in enumerate(last_parts(name)):
        if place := located(name if not num_dropped else part, root, suffix):
            return num_dropped, place
    return 0, None


def _refuse_twice(path: Path, names: Sequence[str], columns: Columns) -> None:
    """Raise UserError where two columns have the name of one that is used: a row holds only the last of them."""
    for name in (columns.image, columns.label, columns.split):
        if name and names.count(name) > 1:
            raise UserError(
                f"{path} has {names.count(name)} columns called {name!r}",
                "Rename or remove all but one of them in the first line.",
            )


def _columns(table: csv.DictReader[str]) -> list[str]:
    """The names of the columns."""
    return [name for name in table.fieldnames or () if name]


def _without_header(rows: list[list[str]], path: Path, params: CsvParams, root: Path) -> list[str]:
    """The names of the columns of a table that begins with an image; empty if its first row may be a header.

    Two columns, of images that are there and of something else, are images and classes.

    Raises:
        UserError: there are other columns.
    """
    first = rows[0] if rows else []
    if params.header:
        names = [name.strip() for name in params.header.split(",")]
        if len(names) != len(first):
            raise UserError(f"{path} has {len(first)} columns, and header names {len(names)}: {params.header}")
        return names
    image = next((cell.strip() for cell in first if is_image_name(cell.strip())), "")
    if not image:
        return []
    of_images = [all(len(row) > at and is_image_name(row[at].strip()) for row in rows) for at in range(len(first))]
    if len(first) == 2 and of_images.count(True) == 1 and _found(first[of_images.index(True)].strip(), root, params.suffix)[1]:
        return ["image", "label"] if of_images[0] else ["label", "image"]
    raise UserError(
        f"{path} has no header: its first row names the image {image!r}",
        'Add a first line with names, such as image,label, or state them: header = "image,label" '
        "(--format csv:header=image,label).",
    )


@contextmanager
def _table(path: Path, params: CsvParams, root: Path) -> Iterator[tuple[csv.DictReader[str], str, list[str]]]:
    """The rows as dicts, the encoding, and the names of columns if the table has no header.

    Surplus cells come under the key None and are dropped.
    """
    try:
        with opened_table(path) as (file, said, encoding):
            begin = file.tell()
            head = file.readline()
            file.seek(begin)
            if "\0" in head:
                raise UserError(f"{path} is not a text file", "Expected a CSV file in UTF-8.")
            chosen = params.delimiter or said or max(",;\t|", key=head.count)
            rows = [row for row in islice(csv.reader(file, delimiter=chosen), LOOKED_AT) if row]
            given = _without_header(rows, path, params, root)
            file.seek(begin)
            table: csv.DictReader[Any] = csv.DictReader(file, given or None, delimiter=chosen)
            yield table, encoding, given
    except UnicodeDecodeError:
        raise UserError(f"can't read {path}: {not_utf8(path)}", "Save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{path} can't be read as CSV: {error}") from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
