"""Group the rows of a table of any size by image, on disk instead of in memory."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipekit.builtin.importers.lookup import scratch_db
from pipekit.errors import UserError


@contextmanager
def grouped(rows: Iterable[tuple[str, Any]]) -> Iterator[Iterator[tuple[str, list[Any]]]]:
    """Yield each key with its values: keys in the order of their first appearance, values in the order of the rows.

    Args:
        rows: keys, and values that JSON can hold.

    Raises:
        UserError: the folder for temporary files is full or not writable.
    """
    with scratch_db() as db:
        db.execute("CREATE TABLE keys (number INTEGER PRIMARY KEY, key BLOB UNIQUE)")
        db.execute("CREATE TABLE rows (key INTEGER, number INTEGER, value TEXT, PRIMARY KEY (key, number)) WITHOUT ROWID")
        try:
            _fill(db, rows)
        except sqlite3.Error as error:
            hint = "Free some space there, or set TMPDIR to another folder."
            raise UserError(f"can't write a table into {tempfile.gettempdir()}: {error}", hint) from error
        yield _groups(db)


def _fill(db: sqlite3.Connection, rows: Iterable[tuple[str, Any]]) -> None:
    last, at = b"", 0
    for number, (key, value) in enumerate(rows):
        data = key.encode("utf-8", "surrogatepass")
        if not at or data != last:  # most tables hold the rows of an image one after another
            db.execute("INSERT OR IGNORE INTO keys (key) VALUES (?)", (data,))
            (at,) = db.execute("SELECT number FROM keys WHERE key = ?", (data,)).fetchone()
            last = data
        db.execute("INSERT INTO rows VALUES (?, ?, ?)", (at, number, json.dumps(value)))


def _groups(db: sqlite3.Connection) -> Iterator[tuple[str, list[Any]]]:
    query = "SELECT value FROM rows WHERE key = ? ORDER BY number"
    for at, key in db.execute("SELECT number, key FROM keys ORDER BY number"):
        yield key.decode("utf-8", "surrogatepass"), [json.loads(value) for (value,) in db.execute(query, (at,))]
