"""COCO annotations sorted by image on disk, so that memory use is constant for files of any size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.json_items import items
from pipekit.builtin.importers.lookup import scratch_db
from pipekit.errors import UserError

PARTS = ("images", "annotations", "categories")

BLOCK = 10_000
"""Number of images that are located at once."""

Entry = dict[str, Any]


class Annotation(dict[str, Any]):
    """An entry of ``annotations``, with the line of the file on which it begins."""

    line = 0


@dataclass(frozen=True, slots=True)
class Image:
    """What one file says about an image.

    Attributes:
        file: the position of the file.
        entry: its item of ``images``.
        name: the name under which it was found, or that of the entry.
        place: the image file; "" if there is none.
        annotations: its annotations, with their positions in the list.
    """

    file: int
    entry: Entry
    name: str
    place: str
    annotations: list[tuple[int, Annotation]]


class CocoIndex:
    """The content of COCO files, readable image by image.

    Attributes:
        categories: the entries of ``categories`` of each file.
    """

    def __init__(self, db: sqlite3.Connection, categories: list[list[Entry]]) -> None:
        self._db = db
        self.categories = categories

    def strays(self) -> Iterator[tuple[int, int, int, Any]]:
        """Annotations whose image is not in their file: the file, the position in the list, the line, the annotation."""
        query = (
            "SELECT file, number, line, entry FROM annotations AS a WHERE NOT EXISTS "
            "(SELECT 1 FROM images AS i WHERE i.file = a.file AND i.key = a.image) ORDER BY file, number"
        )
        for file, number, line, text in self._db.execute(query):
            yield file, number, line, json.loads(text)

    def locate(self, find: Callable[[int, Entry], tuple[str, str]]) -> None:
        """Find the file of each image: ``find(file, entry)`` gives its name and its place, or "" if there is none."""
        last = -1
        query = "SELECT rowid, file, entry FROM images WHERE rowid > ? ORDER BY rowid LIMIT ?"
        while rows := self._db.execute(query, (last, BLOCK)).fetchall():
            last = rows[-1][0]
            found = ((*find(file, json.loads(text)), row) for row, file, text in rows)
            values = [
                (_text(name), place.encode("utf-8", "surrogateescape") if place else None, row) for name, place, row in found
            ]
            self._db.executemany("UPDATE images SET name = ?, place = ? WHERE rowid = ?", values)
        self._db.execute("CREATE INDEX of_place ON images (place)")

    def images(self) -> Iterator[list[Image]]:
        """Each image, in the order of the files: what the first file that has it says about it, then the others."""
        one = "SELECT rowid, place FROM images ORDER BY rowid"
        all_of = "SELECT rowid, file, key, entry, name FROM images WHERE place = ? ORDER BY rowid"
        alone = "SELECT rowid, file, key, entry, name FROM images WHERE rowid = ?"
        for row, place in self._db.execute(one):
            rows = self._db.execute(alone if place is None else all_of, (row if place is None else place,)).fetchall()
            if rows[0][0] == row:
                where = "" if place is None else place.decode("utf-8", "surrogateescape")
                yield [Image(file, json.loads(text), name, where, self._of(file, key)) for _, file, key, text, name in rows]

    def _of(self, file: int, key: str | None) -> list[tuple[int, Annotation]]:
        if key is None:
            return []
        query = "SELECT number, line, entry FROM annotations WHERE file = ? AND image = ? ORDER BY number"
        return [(number, _annotation(text, line)) for number, line, text in self._db.execute(query, (file, key))]


def _text(name: str) -> str:
    """JSON may hold half of a surrogate pair, which no table can."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _annotation(text: str, line: int) -> Annotation:
    found = Annotation(json.loads(text))
    found.line = line
    return found


@contextmanager
def coco_index(files: Sequence[Path]) -> Iterator[CocoIndex]:
    """Read each file once, item by item, into a temporary table on disk.

    Raises:
        UserError: a file can't be read, or is not COCO.
    """
    with scratch_db() as db:
        db.execute("CREATE TABLE images (file INTEGER, key TEXT, entry TEXT, name TEXT, place BLOB, UNIQUE (file, key))")
        db.execute("CREATE TABLE annotations (file INTEGER, number INTEGER, line INTEGER, image TEXT, entry TEXT)")
        categories = []
        for number, file in enumerate(files):
            try:
                categories.append(_fill(db, file, number))
            except OSError as error:
                raise UserError(f"can't read {file}: {error.strerror or error}") from error
            except ValueError as error:
                hint = f"Expected a JSON object with the lists {', '.join(PARTS)}."
                raise UserError(f"{file} is not a COCO file, or is damaged: {error}", hint) from error
        db.execute("CREATE INDEX of_image ON annotations (file, image, number)")
        yield CocoIndex(db, categories)


def _fill(db: sqlite3.Connection, path: Path, file: int) -> list[Entry]:
    categories: list[Entry] = []
    counts: dict[str, int] = {}
    for part, line, text, entry in items(path, PARTS):
        if not text:
            counts.setdefault(part, 0)
            continue
        number = counts[part]
        counts[part] += 1
        if part == "annotations":
            image = entry.get("image_id") if isinstance(entry, dict) else None
            db.execute("INSERT INTO annotations VALUES (?, ?, ?, ?, ?)", (file, number, line, _key(image), _clean(text)))
            continue
        for needed in ("id", "name") if part == "categories" else ("id",):
            if not isinstance(entry, dict) or needed not in entry:
                raise ValueError(f"{part}[{number}] has no {needed!r} (line {line}): {text[:60]}")
        if part == "categories":
            if isinstance(name := entry["name"], bool) or not isinstance(name, (str, int)) or not str(name).strip():
                raise ValueError(f"categories[{number}]: its name is {str(name)[:60]!r}, not a text (line {line})")
            if not isinstance(points := entry.get("keypoints") or [], list):
                raise ValueError(f"categories[{number}]: its keypoints are {str(points)[:60]}, not a list (line {line})")
            categories.append(entry)
        else:
            # If two images share an id, the first one gets the annotations.
            values = (file, _key(entry["id"]), _clean(text))
            insert = "INSERT OR IGNORE INTO images (file, key, entry) VALUES (?, ?, ?)"
            if not db.execute(insert, values).rowcount:
                db.execute(insert, (file, None, _clean(text)))
    if len(counts) < len(PARTS):
        raise ValueError(f"it has no list {' and no list '.join(part for part in PARTS if part not in counts)}")
    return categories


def _key(identity: Any) -> str:
    """An id as text; 7 and 7.0 are equal, 7 and "7" are not."""
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    return json.dumps(identity, sort_keys=True)


def _clean(text: str) -> str:
    """JSON may hold half of a surrogate pair, which SQLite can't store."""
    return text.encode("utf-8", "replace").decode("utf-8")
