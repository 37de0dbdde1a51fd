"""The rows of a view: which file shows a sample, its line in ``metadata.csv``, and both as bytes that are sorted and kept.

A row is made from its sample alone, unless two files would get the same name (:func:`names_in_order`). So the rows of a part
of a dataset stay as they are while the part does.
"""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from pipekit.contract import Sample
from pipekit.files import split_packed
from pipekit.store.rows import digest
from pipekit.tasks import stated

TABLE = "metadata.csv"

ROWS, MORE_ROWS, NAMES = ".view.rows", ".view.more", ".view.names"
"""Files of a view: its rows, part after part; those of parts that have come since that file was written; and eight bytes for
each row, in the order of the parts, that stand for the name of its file."""

MAX_NAME_BYTES = 255
"""Maximum length of a file name on most file systems."""

FIELD, RECORD = b"\xfe", b"\xff"
"""Separators of kept rows: bytes that occur in no UTF-8 text."""


class ViewRow(NamedTuple):
    """A row of a view, in UTF-8. Sorting rows sorts them by id, since UTF-8 keeps the order of texts.

    Attributes:
        table: the folder of its ``metadata.csv`` below the view: its split, or "".
        file: the file that shows it, below ``table``: its copy, or the tar that contains it; "" if none does.
        source: what the file is a copy of, with its hash; "" for a tar, and for a file that pipekit made: the view has a link
            to it, which is replaced when the row's part changes.
        line: its line in ``metadata.csv``.
    """

    id: bytes
    table: bytes
    file: bytes
    source: bytes
    line: bytes

    @property
    def path(self) -> str:
        """The file, below the view."""
        return below(text(self.table), text(self.file))


def packed_rows(rows: Iterable[ViewRow]) -> bytes:
    return RECORD.join(map(FIELD.join, rows))


def unpacked_rows(data: bytes) -> list[ViewRow]:
    return [_ROW(record.split(FIELD)) for record in data.split(RECORD)] if data else []


_ROW = partial(tuple.__new__, ViewRow)
"""Half the time of ``ViewRow._make``."""


def utf8(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


@dataclass(frozen=True)
class Layout:
    """What the rows of a view depend on, besides their samples.

    Attributes:
        is_import: the images are in a folder already, so the table names them there.
        as_folders: each image is shown in a folder of its class.
        extra: the columns for ``Sample.extra``.
        names: for each id the file's name, if the preferred names are not unique.
    """

    is_import: bool
    as_folders: bool
    extra: tuple[str, ...]
    names: Mapping[str, str] | None = None

    def table_of(self, sample: Sample) -> str:
        return sample.split if self.as_folders and not split_packed(sample.image) else ""

    def header(self) -> bytes:
        return _line(["file_name", "label", "split", "id", "sha256", *(f"extra_{name}" for name in self.extra)])

    def row(self, sample: Sample, is_made: bool, tar: str) -> ViewRow:
        """A sample's row.

        Args:
            is_made: pipekit made its image.
            tar: the name under which the tar is shown that contains its image; "" if none does.
        """
        table, file, name = self.table_of(sample), "", sample.image
        if tar:
            packed = split_packed(sample.image)
            file, name = tar, tar + sample.image[len(packed[0] if packed else "") :]
        elif self.as_folders:
            file = name = self.names[sample.id] if self.names is not None else view_name(sample, table, set())
        source = "" if tar or is_made or not file else f"{sample.sha256} {sample.image}"
        values = [sample.extra.get(key, "") for key in self.extra]
        plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
        line = _line([name, stated(sample) or "", sample.split, sample.id, sample.sha256, *plain])
        return ViewRow(utf8(sample.id), utf8(table), utf8(file), utf8(source), line)


class _Echo:
    """A file for ``csv.writer`` whose ``writerow`` then returns the line."""

    def write(self, line: str) -> str:
        return line


_WRITER = csv.writer(_Echo())


def _line(cells: list[object]) -> bytes:
    line: str = _WRITER.writerow(cells)
    return line.encode("utf-8", "backslashreplace")


def write_tables(folder: Path, rows: Iterable[ViewRow], header: bytes) -> list[str]:
    """Write ``metadata.csv`` for each split, in the order of ids; returns their paths below the folder."""
    tables: dict[bytes, list[bytes]] = {}
    for row in sorted(rows, key=itemgetter(0)):
        tables.setdefault(row.table, []).append(row.line)
    written = []
    for table, lines in tables.items():
        written.append(below(text(table), TABLE))
        place = folder / written[-1]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(header + b"".join(lines))
    return written


# --- names ---------------------------------------------------------------------------------------------------------------


def mark(table: str, name: str) -> str:
    """Equal for names that a file system may take for the same: some ignore case or Unicode composition, others don't."""
    return folded(f"{table}/{name}")


def folded(names: str) -> str:
    if names.isascii():  # most names, in a tenth of the time
        return names.lower()
    return unicodedata.normalize("NFC", names).casefold()


class Names:
    """Notices whether all files of a view can have the names that they prefer.

    Args:
        rows: rows of the view that stay.
    """

    def __init__(self, rows: Iterable[ViewRow] = ()) -> None:
        self.are_unique = True
        kept = b"\0".join(b"%b/%b" % (row.table, row.file) for row in rows if row.file)
        self._marks = set(folded(text(kept)).split("\0"))  # at once: a tenth of the time; no file name holds a NUL

    def add(self, sample: Sample) -> None:
        if split_packed(sample.image):
            return
        found = mark(sample.split, view_name(sample, sample.split, set()))
        self.are_unique = self.are_unique and found not in self._marks
        self._marks.add(found)


def names_in_order(samples: Iterable[Sample], layout: Layout) -> dict[str, str]:
    """Unique names for samples in the order of ids: whoever comes first has the short name."""
    taken: set[str] = set()
    return {
        sample.id: view_name(sample, layout.table_of(sample), taken) for sample in samples if not split_packed(sample.image)
    }


def view_name(sample: Sample, split: str, taken: set[str]) -> str:
    """``cat/cat_1.jpg``; more of the id if two files of a class have the same name. Images of other tasks lie in ``images``."""
    suffix = _suffix(sample.image)
    folder = _folder_name(sample.label) if sample.label is not None else "_unlabelled" if stated(sample) is None else "images"
    for stem in _stems(sample.id, suffix):
        name = f"{folder}/{stem}{suffix}"
        found = mark(split, name)
        if found not in taken and len(os.fsencode(stem + suffix)) <= MAX_NAME_BYTES:
            break
    taken.add(found)
    return name


def _stems(identity: str, suffix: str) -> Iterator[str]:
    """Names without their suffix, the preferred one first; nearly all files get it."""
    yield identity.rsplit("/", 1)[-1].removesuffix(suffix)
    whole = identity.replace("/", "__").removesuffix(suffix)
    yield whole
    yield f"{whole[:40]}-{digest(identity)[:16]}"


def _suffix(path: str) -> str:
    """As ``Path(path).suffix``, in a fifth of the time."""
    name = os.path.basename(path)  # noqa: PTH119 (done for every image)
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


@lru_cache(maxsize=4096)
def _folder_name(label: str) -> str:
    """A class name as the name of one folder."""
    name = "".join("_" if letter in "/\\\0" else letter for letter in label).strip(". ")
    return os.fsdecode(os.fsencode(name)[:MAX_NAME_BYTES]) or "_"
