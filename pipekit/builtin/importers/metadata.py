"""A folder in Hugging Face's ``imagefolder`` format: images with a ``metadata.csv`` or ``metadata.jsonl`` beside them.

The table may lie at the top or in each split's folder; its column ``file_name`` is relative to it.
https://huggingface.co/docs/datasets/image_dataset
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pipekit.builtin.importers import csv
from pipekit.builtin.importers.files import NO_FOLDER, first_of, not_utf8, subfolders
from pipekit.builtin.importers.hf_targets import targets_in, with_targets
from pipekit.builtin.importers.label_columns import FIRST_ROWS, Table, with_labels
from pipekit.builtin.importers.tables import NAN, TableParams, find_columns, said_of_cells, stated_lists
from pipekit.builtin.importers.words import split_folder
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL

NAMES = READS = ("metadata.csv", "metadata.jsonl")
_NONE = f"no {' or '.join(NAMES)} in it or the folders in it"


def sniff(path: Path) -> str | Rejected:
    """The metadata files, or that there are none."""
    if not path.is_dir():
        return NO_FOLDER
    found = _tables(path)
    return first_of(table.relative_to(path).as_posix() for table in found) or Rejected(_NONE)


def read(path: Path, params: TableParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per row; the id is the image's path below ``path``. Without a class column, the class is the name of the
    image's folder; without a split column, a top folder named train, val or test is the split. In JSON Lines, ``objects``
    with ``bbox`` (left, top, width, height in pixels) are boxes; one that can't be used is listed as failed.

    Raises:
        UserError: there is no metadata file, or it can't be read.
    """
    tables = _tables(path)
    if not tables:
        raise UserError(f"{_NONE}: {path}")
    for table in tables:
        rows = _rows(table, params)
        for sample in csv.joined_rows(rows) if params.task == MULTILABEL else rows:
            if not isinstance(sample, Sample):
                yield sample
                continue
            below = table.parent.relative_to(path).as_posix()
            identity = sample.id if below == "." else f"{below}/{sample.id}"
            folders = identity.split("/")[:-1]
            split = sample.split or (split_folder(folders[0]) if folders else "")
            inner = folders[1:] if folders and split_folder(folders[0]) else folders
            by_folder = inner and params.labels and not params.label and params.task == CLASSES
            label = sample.label or (inner[-1] if by_folder else None)
            yield replace(sample, id=identity, split=split, label=label)


def _tables(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    folders = [path, *(path / name for name in subfolders(path))]
    return [folder / name for folder in folders for name in NAMES if (folder / name).is_file()]


def _rows(table: Path, params: TableParams) -> Iterator[Sample | Failure | Adjusted | Categories]:
    if table.suffix == ".csv":
        yield from csv.rows_of(
            table, csv.CsvParams(**{name: getattr(params, name) for name in TableParams.model_fields}), "metadata"
        )
        return
    lines = _lines(table)
    first = list(islice(lines, FIRST_ROWS))
    rows = [row for _, row in first if isinstance(row, dict)]
    if not rows:
        yield from (Failure(f"{table.name} line {number}", row) for number, row in chain(first, lines) if isinstance(row, str))
        return
    columns = find_columns(list(rows[0]), params, table)
    columns = with_labels(columns, Table(table, list(rows[0]), rows, "metadata", alone=False), params)
    yield from stated_lists(columns, params)
    for number, row in chain(first, lines):
        if isinstance(row, str):
            yield Failure(f"{table.name} line {number}", row)
            continue
        targets = targets_in(row, columns.image)
        found = columns.sample({name: value for name, value in row.items() if name not in targets.taken}, number, table.parent)
        both = [found] if isinstance(found, Failure) else with_targets(found, row, targets, table.parent)
        where = f"{table.name} line {number}"
        yield from (replace(one, reason=f"{where}: {one.reason}") if isinstance(one, Failure) else one for one in both)
        if isinstance(found, Sample) and columns.has_nan(row):
            yield Adjusted(found.id, NAN)
        if isinstance(found, Sample) and columns.task == MULTILABEL and not columns.one_hot:
            yield Adjusted(found.id, said_of_cells(columns, found.labels is None))


def _lines(table: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(number, object) of the lines of a JSON Lines file; for a bad line, what is wrong with it."""
    try:
        with table.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    yield number, row if isinstance(row, dict) else f"expected a JSON object, got {line.strip()[:60]!r}"
                except json.JSONDecodeError as error:
                    yield number, f"not JSON: {error.msg} (character {error.pos + 1})"
                except (ValueError, RecursionError):
                    yield number, "not JSON: a number of thousands of digits, or nested too deeply"
    except UnicodeDecodeError:
        raise UserError(f"can't read {table}: {not_utf8(table)}", "Save it as text in UTF-8.") from None
    except OSError as error:
        raise UserError(f"can't read {table}: {error}") from error
