"""COCO annotations sorted by image on disk, so that memory use is constant for a file of any size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.json_items import items
from pipekit.builtin.importers.lookup import scratch_db
from pipekit.errors import UserError

PARTS = ("images", "annotations", "categories")

Entry = dict[str, Any]


class Annotation(dict[str, Any]):
    """An entry of ``annotations``, with the line of the file on which it begins."""

    line = 0


class CocoIndex:
    """The content of a COCO file, readable image by image.

    Attributes:
        categories: the entries of ``categories``.
    """

    def __init__(self, db: sqlite3.Connection, categories: list[Entry]) -> None:
        self._db = db
        self.categories = categories

    def strays(self) -> Iterator[tuple[int, int, Any]]:
        """(position in the list, line, entry) of the annotations whose image is not in the file."""
        query = "SELECT number, line, entry FROM annotations WHERE image NOT IN (SELECT key FROM images WHERE key IS NOT NULL)"
        for number, line, text in self._db.execute(f"{query} ORDER BY number"):
            yield number, line, json.loads(text)

    def images(self) -> Iterator[tuple[Entry, list[tuple[int, Annotation]]]]:
        """Each image in file order, with its annotations and their positions in the list."""
        query = "SELECT number, line, entry FROM annotations WHERE image = ? ORDER BY number"
        for key, text in self._db.execute("SELECT key, entry FROM images ORDER BY number"):
            found = self._db.execute(query, (key,)) if key is not None else ()
            yield json.loads(text), [(number, _annotation(entry, line)) for number, line, entry in found]


def _annotation(text: str, line: int) -> Annotation:
    found = Annotation(json.loads(text))
    found.line = line
    return found


@contextmanager
def coco_index(file: Path) -> Iterator[CocoIndex]:
    """Read a file once, item by item, into a temporary table on disk.

    Raises:
        UserError: the file can't be read, or is not COCO.
    """
    with scratch_db() as db:
        db.execute("CREATE TABLE images (number INTEGER PRIMARY KEY, key TEXT UNIQUE, entry TEXT)")
        db.execute("CREATE TABLE annotations (number INTEGER PRIMARY KEY, line INTEGER, image TEXT, entry TEXT)")
        try:
            categories = _fill(db, file)
        except OSError as error:
            raise UserError(f"can't read {file}: {error.strerror or error}") from error
        except ValueError as error:
            hint = f"Expected a JSON object with the lists {', '.join(PARTS)}."
            raise UserError(f"{file} is not a COCO file, or is damaged: {error}", hint) from error
        db.execute("CREATE INDEX of_image ON annotations (image, number)")
        yield CocoIndex(db, categories)


def _fill(db: sqlite3.Connection, file: Path) -> list[Entry]:
    categories: list[Entry] = []
    counts: dict[str, int] = {}
    for part, line, text, entry in items(file, PARTS):
        if not text:
            counts.setdefault(part, 0)
            continue
        number = counts[part]
        counts[part] += 1
        if part == "annotations":
            image = entry.get("image_id") if isinstance(entry, dict) else None
            db.execute("INSERT INTO annotations VALUES (?, ?, ?, ?)", (number, line, _key(image), _clean(text)))
            continue
        for needed in ("id", "name") if part == "categories" else ("id",):
            if not isinstance(entry, dict) or needed not in entry:
                raise ValueError(f"{part}[{number}] has no {needed!r} (line {line}): {text[:60]}")
        if part == "categories":
            if not isinstance(points := entry.get("keypoints") or [], list):
                raise ValueError(f"categories[{number}]: its keypoints are {str(points)[:60]}, not a list (line {line})")
            categories.append(entry)
        else:
            # If two images share an id, the first one gets the annotations.
            values = (number, _key(entry["id"]), _clean(text))
            if not db.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?)", values).rowcount:
                db.execute("INSERT INTO images VALUES (?, NULL, ?)", (number, _clean(text)))
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
