"""The split file: remembers each image's split, so that it never moves.

Its lines are kept as columns in a note of the stage, under the hash of the file, so that they are not parsed again. A new line
is put between the others; where something is quoted, the whole file is read and written as CSV.
"""

from __future__ import annotations

import csv
import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipekit.builtin.split.groups import Hashes
from pipekit.columnar import Few, from_bytes, joined, short_hashes, to_bytes
from pipekit.errors import UserError
from pipekit.files import PlainTable, plain_rows
from pipekit.images.near_duplicates import Indices
from pipekit.owners import new_owner, remove_abandoned

COLUMNS = ("id", "sha256", "label", "split", "fold")

HEADER = ",".join(COLUMNS)

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
        text: a file whose lines are in the order of ids, and in which nothing is quoted.
        parsed: the lines of any other file.
    """

    names: Hashes
    contents: Hashes
    labels: Few
    splits: Few
    folds: Few
    text: str = ""
    parsed: Sequence[Remembered] = ()

    @classmethod
    def of(cls, lines: Iterable[Remembered], text: str = "") -> SplitFile:
        """Lines as a file; of two lines of one id, the later counts."""
        listed = list({line.id: line for line in lines}.values())
        ids, contents, *few = zip(*listed, strict=True) if listed else ((),) * len(COLUMNS)
        labels, splits, folds = map(Few.of, few)
        return cls(short_hashes(ids), short_hashes(contents), labels, splits, folds, text, () if text else listed)

    @classmethod
    def read(cls, path: Path, notes: bytes | None = None) -> SplitFile:
        """Read the file; empty if it does not exist.

        Args:
            notes: :meth:`notes` of an earlier time; they are used if the file is still the same.

        Raises:
            UserError: it is not a split file, or is damaged.
        """
        try:
            data = path.read_bytes()
            text = data.decode("utf-8", "surrogatepass")
            if notes is not None and notes[:32] == hashlib.sha256(data).digest():
                columns: Any = from_bytes(notes[32:])
                return cls(**columns, text=text)
            rows = _plain_rows(text)
            return cls.of(_parsed(path, text)) if rows is None else cls.of(map(Remembered._make, rows), text)
        except FileNotFoundError:
            return cls.of([])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"can't read the split file {path}: {error}", HINT) from error

    def notes(self) -> bytes | None:
        """What saves the next :meth:`read` the parsing; None for a file in which something is quoted."""
        if not self.text:
            return None
        columns: Any = {name: getattr(self, name) for name in ("names", "contents", "labels", "splits", "folds")}
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest() + to_bytes(columns)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _texts(self) -> list[str]:
        """The lines of a plain file, as they are written."""
        return self.text[:-1].split("\n")[1:]

    @property
    def lines(self) -> list[Remembered]:
        return [Remembered._make(text.split(",")) for text in self._texts] if self.text else list(self.parsed)

    def at(self, number: int) -> Remembered | None:
        """A line; None for the number -1."""
        if number < 0:
            return None
        return Remembered._make(self._texts[number].split(",")) if self.text else self.parsed[number]

    # --- look-up ---

    def find_all(self, names: Hashes, contents: Hashes) -> Indices:
        """The line of each image, or -1: by content first, so that it may be renamed, and by id if the content is new."""
        if not len(self):
            return np.full(len(names), -1, np.int64)
        order = np.argsort(self.names[:, 0])
        places = order[np.minimum(np.searchsorted(self.names[order, 0], names[:, 0]), len(self) - 1)]
        found = np.where((self.names[places] == names).all(1), places, -1)
        own = (found >= 0) & (self.contents[found] == contents).all(1)
        others = np.flatnonzero(~own & contents.any(1)).tolist()
        if len(others) <= FEW:
            for number in others:
                same = np.flatnonzero((self.contents == contents[number]).all(1))
                found[number] = same[-1] if len(same) else found[number]
            return found
        for number in others:
            found[number] = self._by_content.get(tuple(contents[number].tolist()), found[number])
        return found

    @cached_property
    def _by_content(self) -> dict[tuple[int, ...], int]:
        """The last line of each content."""
        return {tuple(content): number for number, content in enumerate(self.contents.tolist()) if any(content)}

    # --- writing ---

    def write(self, path: Path, news: Iterable[Remembered]) -> SplitFile:
        """Add lines and write the file atomically. An unchanged file is not touched: the result is this object.

        Raises:
            UserError: it can't be written.
        """
        lines = {line.id: line for line in news}
        numbers = self.find_all(short_hashes(lines), np.zeros((len(lines), 2), np.uint64)).tolist()
        lines = {line.id: line for line, number in zip(lines.values(), numbers, strict=True) if self.at(number) != line}
        if not lines:
            return self
        made = self._with(lines)
        text = made.text or _written(made.parsed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(path.parent, f".{escape(path.name)}.*@*")
            scratch = path.with_name(f".{path.name}.{new_owner()}")
            with scratch.open("x", encoding="utf-8", errors="surrogatepass", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # a power cut leaves the old file or the new one, never an empty one
            scratch.replace(path)
        except OSError as error:
            raise UserError(
                f"can't write the split file {path}: {error.strerror}",
                "Name another file with 'file', or set remember = false: then added images may move others.",
            ) from error
        return made

    def _with(self, news: Mapping[str, Remembered]) -> SplitFile:
        """The file with new lines, in the order of ids."""
        text = _written(news.values())
        if not self.text or len(news) > MAX_SPLICED or _plain_rows(text) is None:
            merged = sorted(({**{line.id: line for line in self.lines}, **news}).values())
            text = _written(merged)
            return SplitFile.of(merged, "" if _plain_rows(text) is None else text)
        texts, ordered = self._texts.copy(), sorted(news.values())
        places = [bisect_left(self._texts, line.id, key=lambda text: text.partition(",")[0]) for line in ordered]
        ends = [place + self._is_at(place, line.id) for place, line in zip(places, ordered, strict=True)]
        kept = np.ones(len(self), np.bool_)
        for place, end, line in reversed(list(zip(places, ends, ordered, strict=True))):
            kept[place:end] = False
            texts[place:end] = [",".join(line)]
        added = SplitFile.of(ordered)
        old = {name: getattr(self, name) for name in ("names", "contents", "labels", "splits", "folds")}
        new = {name: getattr(added, name) for name in old}
        order = np.argsort(np.concatenate([np.flatnonzero(kept) + 0.5, places]), kind="stable")
        both: Mapping[str, Any] = joined([{name: column[kept] for name, column in old.items()}, new])
        columns: Any = {name: column[order] for name, column in both.items()}
        return SplitFile(**columns, text="\n".join([HEADER, *texts, ""]))

    def _is_at(self, place: int, name: str) -> bool:
        """Whether the line at a place is that of an id."""
        return place < len(self) and self._texts[place].partition(",")[0] == name


FEW = 20
"""Number of images up to which contents are compared with all lines, which is faster than a table of them."""

MAX_SPLICED = 1000
"""Number of new lines from which the whole file is written anew."""


def _written(lines: Iterable[Remembered]) -> str:
    text = StringIO(newline="")
    PlainTable(text).writerows([COLUMNS, *lines])
    return text.getvalue()


def _parsed(path: Path, text: str) -> Iterator[Remembered]:
    table = csv.DictReader(StringIO(text, newline=""))
    lacking = [name for name in ("id", "sha256", "split") if name not in (table.fieldnames or ())]
    if lacking:
        raise UserError(f"{path} has no column {lacking[0]!r}; expected {', '.join(COLUMNS)}", HINT)
    for row in plain_rows(table):
        if row["split"] not in SPLITS:
            raise UserError(f"{path}, line {table.line_num}: split {row['split']!r}, expected train, val or test", HINT)
        yield Remembered(*(row.get(name) or "" for name in COLUMNS))


UNUSUAL = ('"', "\r", "\0", *(before + sign for before in ("\n", ",") for sign in "'=+-@\t"))
"""Texts in a file that only the CSV reader understands, or that would be written in another way."""


def _plain_rows(text: str) -> list[list[str]] | None:
    """The rows of a file as :meth:`SplitFile.write` writes it, in which nothing is quoted; None for any other."""
    head, _, body = text.partition("\n")
    if head != HEADER or not body.endswith("\n") or any(sign in text for sign in UNUSUAL):
        return None
    rows = [line.split(",") for line in body[:-1].split("\n")]
    if set(map(len, rows)) != {len(COLUMNS)} or not {row[3] for row in rows} <= SPLITS:
        return None
    ids = [row[0] for row in rows]
    return None if any(first >= second for first, second in pairwise(ids)) else rows
