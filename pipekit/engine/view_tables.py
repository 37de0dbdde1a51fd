"""The tables of views, and the rows of their parts: brought up to date by splicing, so that unchanged rows are not parsed.

The rows of each part lie in ``.view.rows``, one part after another. A later run reads those of the parts that are gone, and
copies a table except for the lines that differ, which it finds by bisection: tables are sorted by ids. The table of a dataset
that is too large for folders is written in constant memory.
"""

from __future__ import annotations

import csv
import hashlib
import json
import mmap
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipekit.engine.view_parts import PartToShow, Survey, ViewPart
from pipekit.engine.view_rows import (
    FIELD,
    RECORD,
    ROWS,
    TABLE,
    Layout,
    ViewRow,
    below,
    folded,
    packed_rows,
    text,
    unpacked_rows,
    write_tables,
)
from pipekit.files import hash_file
from pipekit.store.rows import Sorter

if TYPE_CHECKING:
    from pipekit.engine.views import Views

ID = 3
"""The column of ids."""


class SpliceError(Exception):
    """The table, or the file of rows, is not what was written."""


def build(
    views: Views, folder: Path, groups: Sequence[PartToShow], surveys: Sequence[Survey], layout: Layout
) -> tuple[tuple[ViewPart, ...], dict[str, str]]:
    """Write the table and the rows of a large dataset; returns its parts, and :attr:`~pipekit.engine.views.Shown.tables`."""
    there: dict[str, bytes] = {}
    made, plain, sorting = [], True, folder / ".sorting"
    sorter = Sorter(sorting)
    with (folder / ROWS).open("wb") as out:
        for group, survey in zip(groups, surveys, strict=True):
            rows = list(views.put_all(folder, group, layout, there))
            plain = plain and are_plain(rows)
            for row in rows:
                sorter.add_line(text(row.id), json.dumps(text(row.line)).encode("ascii"))
            made.append(_written(out, ViewPart(group.name, group.count, survey, rows)))
    with (folder / TABLE).open("wb") as table:
        table.write(layout.header())
        table.writelines(json.loads(line).encode() for _, line in sorter.lines())
    shutil.rmtree(sorting, ignore_errors=True)
    return tuple(made), {TABLE: hash_file(folder / TABLE)} if plain else {}


def write_all(folder: Path, rows: Sequence[ViewRow], layout: Layout) -> dict[str, str]:
    """Write the tables of a dataset that is in memory; returns :attr:`~pipekit.engine.views.Shown.tables`."""
    written = write_tables(folder, rows, layout.header())
    return {name: hash_file(folder / name) for name in written} if are_plain(rows) else {}


def write_parts(folder: Path, parts: Iterable[ViewPart]) -> tuple[ViewPart, ...]:
    """Write the file of rows; returns the parts without them."""
    with (folder / ROWS).open("wb") as out:
        return tuple(_written(out, part) for part in parts)


def _written(out: BinaryIO, part: ViewPart) -> ViewPart:
    """Write the rows of a part; returns the part without them."""
    chunk = packed_rows(part.rows)
    out.write(chunk)
    tars = tuple(sorted({row.path for row in part.rows if row.file and b"/" not in row.file}))  # a picture is in a folder
    return replace(part, rows=[], size_bytes=len(chunk), sha256=hashlib.sha256(chunk).hexdigest(), tars=tars)


def are_plain(rows: Iterable[ViewRow]) -> bool:
    """Whether each row is one line, which can be found by its id."""
    return all(row.line.count(b"\n") == 1 and row.line.count(b"\r") <= 1 and _is_text(row.id) for row in rows)


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:  # such letters are written in another way in tables
        return False


def rows_of_parts(folder: Path, parts: Sequence[ViewPart], wanted: Collection[str]) -> Iterator[ViewRow]:
    """The rows of some parts of a view, by their names.

    Raises:
        SpliceError: they are not what was written.
    """
    for chunk in _chunks(folder, parts, wanted):
        yield from unpacked_rows(chunk)


def _chunks(folder: Path, parts: Sequence[ViewPart], wanted: Collection[str]) -> Iterator[bytes]:
    with (folder / ROWS).open("rb") as file:
        for part, end in zip(parts, accumulate(part.size_bytes for part in parts), strict=True):
            if part.name in wanted:
                file.seek(end - part.size_bytes)
                yield _checked(file.read(part.size_bytes), part)


def _checked(chunk: bytes, part: ViewPart) -> bytes:
    if hashlib.sha256(chunk).hexdigest() != part.sha256:
        raise SpliceError
    return chunk


def write_rows(folder: Path, staged: Path, former: Sequence[ViewPart], now: Sequence[ViewPart]) -> tuple[ViewPart, ...]:
    """Write the file of rows of a changed view: those of former parts are copied.

    Raises:
        SpliceError: the former file is not what was written.
    """
    ends = dict(zip((part.name for part in former), accumulate(part.size_bytes for part in former), strict=True))
    found = []
    with (folder / ROWS).open("rb") as file, (staged / ROWS).open("wb") as out:
        for part in now:
            if part.sha256:
                file.seek(ends[part.name] - part.size_bytes)
                out.write(_checked(file.read(part.size_bytes), part))
                found.append(part)
            else:
                found.append(_written(out, part))
    return tuple(found)


def splice_all(
    now: Path, staged: Path, tables: Mapping[str, str], former: Sequence[ViewRow], new: Sequence[ViewRow], header: bytes
) -> dict[str, str]:
    """Write the tables of a view in which rows have changed.

    Args:
        now: the view.
        tables: the hash of each of its tables, by its path below the view.
        former, new: the rows of the parts that are gone, and of those that have come.

    Returns:
        the hashes of all tables of the changed view, a table without a row included.

    Raises:
        SpliceError: a table is not what was written.
    """
    found = dict(tables)
    for table in sorted({row.table for row in (*former, *new)}):
        name = below(text(table), TABLE)
        gone, added = ({row.id: row.line for row in rows if row.table == table} for rows in (former, new))
        if gone == added:
            continue
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        if name in tables:
            if hash_file(now / name) != tables[name]:
                raise SpliceError
            splice(now / name, staged / name, gone, added)
        else:
            (staged / name).write_bytes(header + b"".join(added[key] for key in sorted(added)))
        found[name] = hash_file(staged / name)
    return found


def stay_unique(
    folder: Path, parts: Sequence[ViewPart], staying: Collection[str], former: Iterable[ViewRow], new: Iterable[ViewRow]
) -> bool:
    """Whether the names of files stay unique in a view whose names were.

    Args:
        parts: of the view.
        staying: the names of those that stay.
        former, new: the rows of the parts that are gone, and of those that have come.

    Raises:
        SpliceError: the rows are not what was written.
    """
    marks = [_mark(row) for row in new if row.file and b"/" in row.file]
    others = {*marks}.difference(map(_mark, former))
    if len({*marks}) < len(marks):
        return False
    if len(others) > SEARCHED:
        return others.isdisjoint(map(_mark, rows_of_parts(folder, parts, staying)))
    every = b"\0".join(_chunks(folder, parts, staying)) if others else b""
    rows = folded(text(every.replace(FIELD, b"\0").replace(RECORD, b"\0")))
    return not any(mark in rows for mark in others)


def _mark(row: ViewRow) -> str:
    """A file's place in a view, as it lies between others in the file of rows; see :func:`~pipekit.engine.view_rows.mark`."""
    return folded(text(b"\0%b\0%b\0" % (row.table, row.file)))


SEARCHED = 50
"""Number of names up to which the rows of a view are searched, which is faster than to parse them."""


def splice(old: Path, new: Path, gone: Mapping[bytes, bytes], added: Mapping[bytes, bytes]) -> None:
    """Write a table with lines removed and added, both by id.

    Raises:
        SpliceError: a line that is to be removed is not there.
    """
    changes = [name for name in sorted(gone.keys() | added.keys()) if gone.get(name) != added.get(name)]
    with old.open("rb") as file, new.open("wb") as out, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
        view, done = memoryview(table), 0
        first = table.find(b"\n") + 1
        try:
            for name in changes:
                place, line = _place(table, first, name), gone.get(name, b"")
                if view[place : place + len(line)] != line or place < done:
                    raise SpliceError
                out.write(view[done:place])
                out.write(added.get(name, b""))
                done = place + len(line)
            out.write(view[done:])
        finally:
            view.release()


def _place(table: mmap.mmap, first: int, name: bytes) -> int:
    """Where the line of an id begins, or where it would be."""
    low, high = first, len(table)
    while low < high:
        start = max(low, table.rfind(b"\n", low, (low + high) // 2) + 1)
        end = table.find(b"\n", start) + 1
        if _id_of(table[start:end]) < name:
            low = end
        else:
            high = start
    return low


def _id_of(line: bytes) -> bytes:
    cells = next(csv.reader([line.decode()]))
    return cells[ID].encode() if len(cells) > ID else b""
