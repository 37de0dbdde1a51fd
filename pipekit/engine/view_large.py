"""Views of datasets that are too large for folders: one table, written in constant memory, and brought up to date by splicing.

The rows of each part lie in ``.view.rows``, one part after another. A later run reads those of the parts that are gone, and
copies the table except for the lines that differ, which it finds by bisection: the table is sorted by ids.
"""

from __future__ import annotations

import csv
import hashlib
import json
import mmap
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.engine.view_parts import PartToShow, Survey, ViewPart
from pipekit.engine.view_rows import ROWS, TABLE, Layout, ViewRow, packed_rows, text, unpacked_rows
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
) -> tuple[tuple[ViewPart, ...], str]:
    """Write the table and the rows of a dataset; returns its parts, and the hash of the table, "" if it can't be spliced."""
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
    return tuple(made), hash_file(folder / TABLE) if plain else ""


def _written(out: object, part: ViewPart, chunk: bytes | None = None) -> ViewPart:
    """Write the rows of a part; returns the part without them."""
    chunk = packed_rows(part.rows) if chunk is None else chunk
    out.write(chunk)  # type: ignore[attr-defined]
    tars = tuple(sorted({row.path for row in part.rows if row.file}))
    return replace(part, rows=[], size_bytes=len(chunk), sha256=hashlib.sha256(chunk).hexdigest(), tars=tars)


def are_plain(rows: Iterable[ViewRow]) -> bool:
    """Whether each row is one line, which can be found by its id."""
    return all(row.line.count(b"\n") == 1 and row.line.count(b"\r") <= 1 and _is_text(row.id) for row in rows)


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode())
    except UnicodeDecodeError:  # such letters are written in another way in tables
        return False


def rows_of_parts(folder: Path, parts: Sequence[ViewPart], wanted: set[str]) -> Iterator[ViewRow]:
    """The rows of some parts of a view, by their names.

    Raises:
        SpliceError: they are not what was written.
    """
    with (folder / ROWS).open("rb") as file:
        for part, end in zip(parts, accumulate(part.size_bytes for part in parts), strict=True):
            if part.name in wanted:
                file.seek(end - part.size_bytes)
                yield from unpacked_rows(_checked(file.read(part.size_bytes), part))


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
