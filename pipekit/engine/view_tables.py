"""The tables of views, and the rows of their parts: brought up to date by splicing, so that unchanged rows are not parsed.

The rows of each part lie in ``.view.rows``, or in ``.view.more`` if the part has come since that file was written. A later
run reads those of the parts that are gone, and copies a table except for the lines that differ, which it finds by bisection:
tables are sorted by ids. The table of a dataset that is too large for folders is written in constant memory.
"""

from __future__ import annotations

import csv
import hashlib
import json
import mmap
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from pipekit.engine.view_parts import PartToShow, Survey, ViewPart
from pipekit.engine.view_rows import (
    MORE_ROWS,
    NAMES,
    ROWS,
    TABLE,
    Layout,
    ViewRow,
    below,
    mark,
    packed_rows,
    text,
    unpacked_rows,
    write_tables,
)
from pipekit.store.rows import Sorter

if TYPE_CHECKING:
    from pipekit.engine.views import Views

ID = 3
"""The column of ids."""


Chunks: TypeAlias = list[tuple[int, str]]
"""The size and the SHA-256 of each piece of a table, which consists of whole lines."""

CHUNK_BYTES = 1 << 20
"""Size of a piece: only those with a changed line get another hash."""

MOST_MORE = 16
"""The file of rows is written anew once more than one of so many parts lie elsewhere, or if half of it is no longer needed."""


class SpliceError(Exception):
    """The table, or the file of rows, is not what was written."""


def build(
    views: Views, folder: Path, groups: Sequence[PartToShow], surveys: Sequence[Survey], layout: Layout
) -> tuple[tuple[ViewPart, ...], dict[str, Chunks]]:
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
    return tuple(made), {TABLE: chunks_of(folder / TABLE)} if plain else {}


def write_all(folder: Path, rows: Sequence[ViewRow], layout: Layout) -> dict[str, Chunks]:
    """Write the tables of a dataset that is in memory; returns :attr:`~pipekit.engine.views.Shown.tables`."""
    written = write_tables(folder, rows, layout.header())
    return {name: chunks_of(folder / name) for name in written} if are_plain(rows) else {}


def chunks_of(table: Path) -> Chunks:
    """The pieces of a table."""
    found: Chunks = []
    with table.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            data += file.readline()
            found.append((len(data), hashlib.sha256(data).hexdigest()))
    return found


def write_parts(folder: Path, parts: Iterable[ViewPart]) -> tuple[ViewPart, ...]:
    """Write the file of rows; returns the parts without them."""
    with (folder / ROWS).open("wb") as out:
        return tuple(_written(out, part) for part in parts)


def _written(out: BinaryIO, part: ViewPart, file: str = ROWS) -> ViewPart:
    """Write the rows of a part; returns the part without them."""
    chunk, begin = packed_rows(part.rows), out.tell()
    out.write(chunk)
    tars = tuple(sorted({row.path for row in part.rows if row.file and b"/" not in row.file}))  # a picture is in a folder
    sha256 = hashlib.sha256(chunk).hexdigest()
    return replace(part, rows=[], size_bytes=len(chunk), sha256=sha256, tars=tars, file=file, begin=begin)


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
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for part in parts:
            if part.name in wanted:
                if part.file not in files:
                    files[part.file] = stack.enter_context((folder / part.file).open("rb"))
                files[part.file].seek(part.begin)
                yield _checked(files[part.file].read(part.size_bytes), part)


def _checked(chunk: bytes, part: ViewPart) -> bytes:
    if hashlib.sha256(chunk).hexdigest() != part.sha256:
        raise SpliceError
    return chunk


def write_rows(folder: Path, staged: Path, now: Sequence[ViewPart]) -> tuple[ViewPart, ...]:
    """Write the rows of a changed view. Those of parts in the file of rows stay there, unless it is time to write it anew.

    Raises:
        SpliceError: a former file is not what was written.
    """
    staying = [part for part in now if part.sha256 and part.file == ROWS]
    is_large = 2 * sum(part.size_bytes for part in staying) < (folder / ROWS).stat().st_size
    name = ROWS if is_large or (len(now) - len(staying)) * MOST_MORE > len(now) else MORE_ROWS
    moving = [part for part in now if part.sha256 and (name == ROWS or part.file == MORE_ROWS)]
    chunks = zip(moving, _chunks(folder, moving, {part.name for part in moving}), strict=True)
    found = []
    with (staged / name).open("wb") as out:
        for part in now:
            if not part.sha256:
                found.append(_written(out, part, name))
            elif name == MORE_ROWS and part.file == ROWS:
                found.append(part)
            else:
                moved = replace(part, file=name, begin=out.tell())
                out.write(next(chunks)[1])
                found.append(moved)
    return tuple(found)


def splice_all(
    now: Path, staged: Path, tables: Mapping[str, Chunks], former: Sequence[ViewRow], new: Sequence[ViewRow], header: bytes
) -> dict[str, Chunks]:
    """Write the tables of a view in which rows have changed.

    Args:
        now: the view.
        tables: the pieces of each of its tables, by its path below the view.
        former, new: the rows of the parts that are gone, and of those that have come.

    Returns:
        the pieces of all tables of the changed view, a table without a row included.

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
            found[name] = splice(now / name, staged / name, tables[name], gone, added)
        else:
            (staged / name).write_bytes(header + b"".join(added[key] for key in sorted(added)))
            found[name] = chunks_of(staged / name)
    return found


# --- names ---------------------------------------------------------------------------------------------------------------

NAME_BYTES = 8


def write_names(folder: Path, parts: Iterable[ViewPart]) -> str:
    """Write the file of names of parts with their rows; returns its hash."""
    return _put_names(folder, b"".join(map(_name_of, (row for part in parts for row in part.rows))))


def _put_names(folder: Path, data: bytes) -> str:
    (folder / NAMES).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _name_of(row: ViewRow) -> bytes:
    """Eight bytes that are the same for names that some file system may take for the same; zeros for a row without a file."""
    if b"/" not in row.file:
        return bytes(NAME_BYTES)
    name = mark(text(row.table), text(row.file)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(name).digest()[:NAME_BYTES]


def change_names(
    now: Path, staged: Path, sha256: str, was: Sequence[ViewPart], parts: Sequence[ViewPart], former: Iterable[ViewRow]
) -> str:
    """Write the file of names of a changed view, whose names were unique; returns its hash, or "" if they are no longer unique.

    Args:
        sha256: the hash of the file of names so far.
        was, parts: the parts that the view shows, and those that it is to show; new ones have their rows.
        former: the rows of the parts that are gone.

    Raises:
        SpliceError: the file of names is not what was written.
    """
    data = (now / NAMES).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SpliceError
    ends = accumulate(NAME_BYTES * part.count for part in was)
    there = {part.name: data[end - NAME_BYTES * part.count : end] for part, end in zip(was, ends, strict=True)}
    new = {part.name: [*map(_name_of, part.rows)] for part in parts if part.name not in there}
    marks = [name for names in new.values() for name in names if any(name)]
    others = {*marks}.difference(map(_name_of, former))
    staying = b"".join(there[part.name] for part in parts if part.name in there)
    if len({*marks}) < len(marks) or any(map(partial(_has, staying), others)):
        return ""
    return _put_names(staged, b"".join(there.get(part.name) or b"".join(new[part.name]) for part in parts))


def _has(names: bytes, name: bytes) -> bool:
    at = names.find(name)
    while at % NAME_BYTES and at >= 0:
        at = names.find(name, at + 1)
    return at >= 0


# --- tables --------------------------------------------------------------------------------------------------------------


def splice(old: Path, new: Path, chunks: Chunks, gone: Mapping[bytes, bytes], added: Mapping[bytes, bytes]) -> Chunks:
    """Write a table with lines removed and added, both by id; returns its pieces.

    Raises:
        SpliceError: the old table is not what was written, or a line that is to be removed is not there.
    """
    with old.open("rb") as file, new.open("wb") as out, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
        view = memoryview(table)
        try:
            _compare(view, chunks)
            edits = _edits(table, gone, added)
            found: Chunks = []
            begin, last = 0, len(chunks) - 1
            for number, (size, sha256) in enumerate(chunks):
                end = begin + size
                own = [edit for edit in edits if begin <= edit[0] < end or (number == last and edit[0] == end)]
                if own:
                    data = _edited(table, begin, end, own)
                    out.write(data)
                    found.append((len(data), hashlib.sha256(data).hexdigest()))
                else:
                    with view[begin:end] as piece:
                        out.write(piece)
                    found.append((size, sha256))
                begin = end
        finally:
            view.release()
    return [chunk for chunk in found if chunk[0]]


def _compare(view: memoryview, chunks: Chunks) -> None:
    begin = 0
    for size, sha256 in chunks:
        with view[begin : begin + size] as piece:
            if hashlib.sha256(piece).hexdigest() != sha256:
                raise SpliceError
        begin += size
    if begin != len(view):
        raise SpliceError


def _edits(table: mmap.mmap, gone: Mapping[bytes, bytes], added: Mapping[bytes, bytes]) -> list[tuple[int, int, bytes]]:
    """Where lines are replaced, in ascending order: the place, the number of bytes that go, and those that come."""
    first, edits, done = table.find(b"\n") + 1, [], 0
    for name in sorted(gone.keys() | added.keys()):
        line, come = gone.get(name, b""), added.get(name, b"")
        if line == come:
            continue
        place = _place(table, first, name)
        if table[place : place + len(line)] != line or place < done:
            raise SpliceError
        edits.append((place, len(line), come))
        done = place + len(line)
    return edits


def _edited(table: mmap.mmap, begin: int, end: int, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """A piece of a table with edits."""
    pieces = []
    for place, size, come in edits:
        pieces += [table[begin:place], come]
        begin = place + size
    return b"".join([*pieces, table[begin:end]])


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
