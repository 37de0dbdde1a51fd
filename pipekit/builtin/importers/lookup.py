"""A key-value table of any size, on disk instead of in memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Literal

from pipekit.errors import UserError
from pipekit.owners import owned_prefix

CACHE_KB = 20_000
"""Memory of each table on disk."""


class Lookup:
    """Text -> text."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, key: str, value: str) -> None:
        """Add a pair."""
        self._db.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (_bytes(key), _bytes(value)))

    def get(self, key: str) -> str:
        """The value of a key, or ""."""
        found = self._db.execute("SELECT value FROM pairs WHERE key = ?", (_bytes(key),)).fetchone()
        return found[0].decode("utf-8", "surrogatepass") if found else ""


@contextmanager
def scratch_db() -> Iterator[sqlite3.Connection]:
    """An empty temporary database with a cache of :data:`CACHE_KB` in memory."""
    with (
        tempfile.TemporaryDirectory(prefix=owned_prefix()) as folder,
        closing(sqlite3.connect(f"{folder}/scratch.sqlite")) as db,
    ):
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}", "temp_store = FILE"):
            db.execute(f"PRAGMA {pragma}")
        yield db


@contextmanager
def lookup(pairs: Iterable[tuple[str, str]], keep: Literal["first", "last"] = "first") -> Iterator[Lookup]:
    """A temporary table on disk.

    Args:
        pairs: keys and values.
        keep: which value to keep for a repeated key.

    Raises:
        UserError: the folder for temporary files is full or not writable.
    """
    clash = {"first": "IGNORE", "last": "REPLACE"}[keep]
    rows = ((_bytes(key), _bytes(value)) for key, value in pairs)
    with scratch_db() as db:
        try:
            db.execute("CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            db.executemany(f"INSERT OR {clash} INTO pairs VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            hint = "Free some space there, or set TMPDIR to another folder."
            raise UserError(f"can't write a table into {tempfile.gettempdir()}: {error}", hint) from error
        yield Lookup(db)


def _bytes(text: str) -> bytes:
    """File names may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")
