"""The split file: remembers each image's split, so that it never moves.

Its lines are kept as columns in a note of the stage, under the hash of the file, so that they are not parsed again. A new line
is put between the others. Many new lines are merged with the file while it is written; the lines are sorted, so memory holds
some thousand of them as objects. Where something is quoted, the whole file is read and written as CSV.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import heapq
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from io import StringIO
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.split.groups import Hashes
from pipekit.columnar import Few, Joined, from_bytes, joined, pieces_of, short_hashes, to_bytes
from pipekit.errors import UserError
from pipekit.files import Buffer, PlainTable, plain_rows
from pipekit.files.buffers import STEP_BYTES, Growing, Mapped, in_steps, joined_pieces, release
from pipekit.images.near_duplicates import Indices
from pipekit.owners import new_owner, remove_abandoned

COLUMNS = ("id", "sha256", "label", "split", "fold")

HEAD = ",".join(COLUMNS).encode("ascii") + b"\n"

SPLITS = frozenset({"train", "val", "test"})

HINT = "Repair the line, or delete the file to split anew."


class Remembered(NamedTuple):
    """A line of the split file. ``fold`` is like ``2/5``, or ""."""

    id: str
    sha256: str
    label: str
    split: str
    fold: str = ""


@dataclass(frozen=True, eq=False)
class SplitFile:
    """The content of the split file, in the order of its lines.

    Attributes:
        names, contents: hashes of ids and of the files' hashes, see :func:`~pipekit.columnar.short_hashes`.
        labels, splits, folds: of each line.
        data: a file whose lines are in the order of ids, and in which nothing is quoted; a large one is mapped.
        parsed: the lines of any other file.
    """

    names: Hashes
    contents: Hashes
    labels: Few
    splits: Few
    folds: Few
    data: bytes | Mapped = b""
    parsed: Sequence[Remembered] = ()

    @classmethod
    def of(cls, lines: Iterable[Remembered]) -> SplitFile:
        """Lines of a file; of two lines of one id, the later counts."""
        listed = list({line.id: line for line in lines}.values())
        columns: Any = _columns_of(listed)
        return cls(**columns, parsed=listed)

    @classmethod
    def read(cls, path: Path, notes: bytes | None = None) -> SplitFile:
        """Read the file; empty if it does not exist.

        Args:
            notes: :meth:`notes` of an earlier time; they are used if the file is still the same.

        Raises:
            UserError: it is not a split file, or is damaged.
        """
        try:
            data, digest = _content(path)
            columns: Any = from_bytes(notes[32:]) if notes is not None and notes[:32] == digest else None
            if columns is not None:
                return cls(**columns, data=data)
            whole = data[:]
            columns = _plain_columns(whole)
            if columns is not None:
                return cls(**columns, data=data)
            return cls.of(_parsed(path, whole.decode("utf-8", "surrogatepass")))
        except FileNotFoundError:
            return cls.of([])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"can't read the split file {path}: {error}", HINT) from error

    def notes(self) -> bytes | None:
        """What saves the next :meth:`read` the parsing; None for a file in which something is quoted."""
        return to_bytes(self._columns, _hash_of(self.data)) if self.data else None

    @property
    def _columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("names", "contents", "labels", "splits", "folds")}

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _ends(self) -> Indices:
        """Where the lines of a plain file end, the first line included."""
        return _line_ends(self.data)

    def _id(self, number: int) -> str:
        """The id in a line of a plain file."""
        begin = int(self._ends[number]) + 1
        return self.data[begin : self.data.find(b",", begin)].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[Remembered]:
        if not self.data:
            yield from self.parsed
            return
        for texts in _chunks(self.data, self._ends):
            yield from (Remembered._make(text.split(",")) for text in texts)

    def at(self, number: int) -> Remembered | None:
        """A line; None for the number -1."""
        if number < 0:
            return None
        if not self.data:
            return self.parsed[number]
        line = self.data[int(self._ends[number]) + 1 : int(self._ends[number + 1])]
        return Remembered._make(line.decode("utf-8", "surrogatepass").split(","))

    # --- look-up ---

    def find_all(self, names: Hashes, contents: Hashes) -> Indices:
        """The line of each image, or -1: by content first, so that it may be renamed, and by id if the content is new."""
        found = self._named(names)
        if not len(self):
            return found
        own = (found >= 0) & equal_rows(self.contents, found, contents)
        others = np.flatnonzero(~own & contents.any(1)).tolist()
        if len(others) <= FEW:
            for number in others:
                same = np.flatnonzero((self.contents == contents[number]).all(1))
                found[number] = same[-1] if len(same) else found[number]
            return found
        for number in others:
            found[number] = self._by_content.get(tuple(contents[number].tolist()), found[number])
        return found

    def _named(self, names: Hashes) -> Indices:
        """The line of each id, or -1."""
        if not len(self):
            return np.full(len(names), -1, np.int64)
        order, ordered = self._by_name
        places = order[np.minimum(np.searchsorted(ordered, names[:, 0]), len(self) - 1)]
        places[~equal_rows(self.names, places, names)] = -1
        return places

    @cached_property
    def _by_name(self) -> tuple[Indices, NDArray[np.uint64]]:
        """The lines in the order of the hashes of their ids, and these hashes."""
        order = np.argsort(self.names[:, 0])
        return order, self.names[order, 0]

    @cached_property
    def _by_content(self) -> dict[tuple[int, ...], int]:
        """The last line of each content."""
        return {tuple(content): number for number, content in enumerate(self.contents.tolist()) if any(content)}

    # --- writing ---

    def write(self, path: Path, news: Iterable[Remembered]) -> tuple[bool, Buffer | None]:
        """Add lines and write the file atomically. An unchanged file is not touched.

        Args:
            news: one line for each id, in the order of ids.

        Returns:
            whether the file has changed, and its :meth:`notes`.

        Raises:
            UserError: it can't be written.
        """
        changed = self._changed(news)
        first = list(islice(changed, MAX_SPLICED + 1))
        if not first:
            return False, self.notes()
        if self.data and len(first) <= MAX_SPLICED and _plain_columns(HEAD + b"".join(_written([first]))) is not None:
            return True, self._splice(path, first)
        return True, self._merge(path, chain(first, changed))

    def _changed(self, news: Iterable[Remembered]) -> Iterator[Remembered]:
        """The lines that are not in the file as they are."""
        for some in _batched(news):
            numbers = self._named(short_hashes(line.id for line in some)).tolist()
            yield from (line for line, number in zip(some, numbers, strict=True) if self.at(number) != line)

    def _splice(self, path: Path, news: Sequence[Remembered]) -> Buffer:
        """Write a plain file with a few new lines."""
        places = [bisect_left(range(len(self)), line.id, key=self._id) for line in news]
        ends = [place + (place < len(self) and self._id(place) == line.id) for place, line in zip(places, news, strict=True)]
        kept, pieces, begin = np.ones(len(self), np.bool_), list[bytes | memoryview](), 0
        for place, end, line in zip(places, ends, _written([line] for line in news), strict=True):
            kept[place:end] = False
            pieces += [memoryview(self.data)[begin : int(self._ends[place]) + 1], line]
            begin = int(self._ends[end]) + 1
        digest = _put(path, in_steps([*pieces, memoryview(self.data)[begin:]]))
        order = np.argsort(np.concatenate([np.flatnonzero(kept) + 0.5, places]), kind="stable")
        new, columns = _columns_of(news), dict[str, Any]()
        for name, column in self._columns.items():  # one by one: the columns of a million lines take 44 MB
            both: Any = joined([{name: column[kept]}, {name: new[name]}])[name]
            columns[name] = both[order]
        return joined_pieces(pieces_of(columns, digest), path.parent)

    def _merge(self, path: Path, news: Iterable[Remembered]) -> Buffer | None:
        """Write the lines of the file and new ones, in the order of ids."""
        made, is_plain = Joined(path.parent), True

        def pieces() -> Iterator[bytes]:
            nonlocal is_plain
            yield HEAD
            for data in _written(_batched(_merged(self if self.data else sorted(self.parsed), news))):
                columns = _plain_columns(HEAD + data) if is_plain else None
                is_plain = columns is not None
                made.add(columns or {})
                yield data

        digest = _put(path, pieces())
        return joined_pieces(pieces_of(made.columns(), digest), path.parent) if is_plain else None


FEW = 20
"""Number of images up to which contents are compared with all lines, which is faster than a table of them."""

MAX_SPLICED = 1000
"""Number of new lines from which the whole file is written anew."""

CHUNK = 10_000
"""Number of lines that are objects at once."""


ROWS = 1 << 16
"""Number of hashes that are compared at once."""

LARGE_BYTES = 8 << 20
"""Size of a file from which it is mapped, as a copy that nobody changes meanwhile."""


def equal_rows(hashes: Hashes, numbers: Indices, others: Hashes) -> NDArray[np.bool_]:
    """Whether some of the hashes, by their numbers, are equal to others."""
    found = np.empty(len(numbers), np.bool_)
    for at in range(0, len(numbers), ROWS):
        found[at : at + ROWS] = (hashes[numbers[at : at + ROWS]] == others[at : at + ROWS]).all(1)
    return found


def _content(path: Path) -> tuple[bytes | Mapped, bytes]:
    """The bytes of the split file, and their hash."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < LARGE_BYTES:
            data = file.read()
            return data, hashlib.sha256(data).digest()
        copied, hashed = Growing(), hashlib.sha256()
        with contextlib.suppress(OSError):  # a folder that may only be read: in memory
            copied.move_to(path.parent)
        while piece := file.read(STEP_BYTES):
            copied.add(piece)
            hashed.update(piece)
        whole = copied.whole()
        return whole if isinstance(whole, Mapped) else bytes(whole), hashed.digest()


def _hash_of(data: bytes | Mapped) -> bytes:
    hashed = hashlib.sha256()
    for piece in in_steps([memoryview(data)]):
        hashed.update(piece)
    return hashed.digest()


def _batched(lines: Iterable[Remembered]) -> Iterator[list[Remembered]]:
    remaining = iter(lines)
    while some := list(islice(remaining, CHUNK)):
        yield some


def _merged(old: Iterable[Remembered], news: Iterable[Remembered]) -> Iterator[Remembered]:
    """Lines in the order of ids, of two that are in it; a new one replaces one with its id."""
    last = None
    for line in heapq.merge(news, old, key=lambda line: line.id):
        if line.id != last:
            yield line
        last = line.id


def _put(path: Path, pieces: Iterable[Buffer]) -> bytes:
    """Write a file atomically, and return its hash.

    Raises:
        UserError: it can't be written.
    """
    hashed = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent, f".{escape(path.name)}.*@*")
        scratch = path.with_name(f".{path.name}.{new_owner()}")
        with scratch.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                hashed.update(piece)
            file.flush()
            os.fsync(file.fileno())  # a power cut leaves the old file or the new one, never an empty one
        scratch.replace(path)
    except OSError as error:
        raise UserError(
            f"can't write the split file {path}: {error.strerror}",
            "Name another file with 'file', or set remember = false: then added images may move others.",
        ) from error
    return hashed.digest()


def _written(batches: Iterable[Iterable[Remembered]]) -> Iterator[bytes]:
    """Lines as CSV, batch by batch, with one writer: each has a buffer of 128 kB."""
    text = StringIO(newline="")
    table = PlainTable(text)
    for lines in batches:
        table.writerows(lines)
        yield text.getvalue().encode("utf-8", "surrogatepass")
        text.seek(0)
        text.truncate()


def _parsed(path: Path, text: str) -> Iterator[Remembered]:
    table = csv.DictReader(StringIO(text, newline=""))
    lacking = [name for name in ("id", "sha256", "split") if name not in (table.fieldnames or ())]
    if lacking:
        raise UserError(f"{path} has no column {lacking[0]!r}; expected {', '.join(COLUMNS)}", HINT)
    for row in plain_rows(table):
        if row["split"] not in SPLITS:
            raise UserError(f"{path}, line {table.line_num}: split {row['split']!r}, expected train, val or test", HINT)
        yield Remembered(*(row.get(name) or "" for name in COLUMNS))


UNUSUAL = (b'"', b"\r", b"\0", *(before + bytes([sign]) for before in (b"\n", b",") for sign in b"'=+-@\t"))
"""Bytes in a file that only the CSV reader understands, or that would be written in another way."""


def _plain_columns(data: bytes) -> dict[str, Any] | None:
    """The columns of a file as :meth:`SplitFile.write` writes it, in which nothing is quoted; None for any other."""
    if not data.startswith(HEAD) or data[len(HEAD) :][-1:] != b"\n" or any(signs in data for signs in UNUSUAL):
        return None
    made, last = Joined(), None
    try:
        for texts in _chunks(data, _line_ends(data)):
            rows = [text.split(",") for text in texts]
            if set(map(len, rows)) != {len(COLUMNS)} or not {row[3] for row in rows} <= SPLITS:
                return None
            ids = [row[0] for row in rows]
            if (last is not None and ids[0] <= last) or any(first >= second for first, second in pairwise(ids)):
                return None
            made.add(_columns_of(rows))
            last = ids[-1]
    except UnicodeDecodeError:
        return None
    return made.columns()


def _columns_of(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    ids, contents, *few = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    labels, splits, folds = map(Few.of, few)
    return {"names": short_hashes(ids), "contents": short_hashes(contents), "labels": labels, "splits": splits, "folds": folds}


def _line_ends(data: bytes | Mapped) -> Indices:
    octets, found, step = np.frombuffer(data, np.uint8), [], 1 << 24
    for at in range(0, len(octets), step):
        found.append(np.flatnonzero(octets[at : at + step] == ord("\n")) + at)
        release(data)
    return np.concatenate(found)


def _chunks(data: bytes | Mapped, ends: Indices) -> Iterator[list[str]]:
    """The lines of a plain file without its first one, some thousand at a time.

    Args:
        ends: where its lines end.
    """
    for at in range(0, len(ends) - 1, CHUNK):
        begin, end = int(ends[at]) + 1, int(ends[min(at + CHUNK, len(ends) - 1)])
        yield data[begin:end].decode("utf-8", "surrogatepass").split("\n")
