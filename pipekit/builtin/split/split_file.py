"""The split file: remembers each image's split, so that it never moves."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import PlainTable, plain_rows
from pipekit.owners import new_owner, remove_abandoned

COLUMNS = ("id", "sha256", "label", "split", "fold")


@dataclass(frozen=True, slots=True)
class Remembered:
    """A line of the split file. ``fold`` is like ``2/5``, or ""."""

    id: str
    sha256: str
    label: str
    split: str
    fold: str = ""


class SplitFile:
    """The content of the split file.

    An image is looked up by its content first, so that it may be renamed, and by its id if its content is new.
    """

    def __init__(self, lines: Iterable[Remembered] = ()) -> None:
        self.lines = {line.id: line for line in lines}
        self._by_content = {line.sha256: line for line in self.lines.values() if line.sha256}

    def find(self, identity: str, sha256: str) -> Remembered | None:
        own = self.lines.get(identity)
        if own is not None and own.sha256 == sha256:
            return own
        return self._by_content.get(sha256) or own

    @classmethod
    def read(cls, path: Path) -> SplitFile:
        """Read the file; empty if it does not exist.

        Raises:
            UserError: it is not a split file, or is damaged.
        """
        hint = "Repair the line, or delete the file to split anew."
        try:
            with path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
                table = csv.DictReader(file)
                lacking = [name for name in ("id", "sha256", "split") if name not in (table.fieldnames or ())]
                if lacking:
                    raise UserError(f"{path} has no column {lacking[0]!r}; expected {', '.join(COLUMNS)}", hint)
                lines = []
                for row in plain_rows(table):
                    if row["split"] not in ("train", "val", "test"):
                        raise UserError(
                            f"{path}, line {table.line_num}: split {row['split']!r}, expected train, val or test", hint
                        )
                    lines.append(Remembered(*(row.get(name) or "" for name in COLUMNS)))
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"can't read the split file {path}: {error}", hint) from error
        return cls(lines)

    def write(self, path: Path, news: Mapping[str, Remembered]) -> bool:
        """Add ``news`` to the known lines and write the file atomically. An unchanged file is not touched: False."""
        lines = {**self.lines, **news}
        if lines == self.lines:
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(path.parent, f".{escape(path.name)}.*@*")
            scratch = path.with_name(f".{path.name}.{new_owner()}")
            with scratch.open("x", encoding="utf-8", errors="surrogatepass", newline="") as file:
                table = PlainTable(file)
                table.writerow(COLUMNS)
                table.writerows((line.id, line.sha256, line.label, line.split, line.fold) for _, line in sorted(lines.items()))
                file.flush()
                os.fsync(file.fileno())  # a power cut leaves the old file or the new one, never an empty one
            scratch.replace(path)
            return True
        except OSError as error:
            raise UserError(
                f"can't write the split file {path}: {error.strerror}",
                "Name another file with 'file', or set remember = false: then added images may move others.",
            ) from error


def file_state(path: Path) -> str:
    """The split file's content as a hash; "" where there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
