"""Quarantine files: lists of images to exclude, written by ``inspect --quarantine``, read by ``split`` and ``import.*``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import plain_rows


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Images to exclude: by id, by content, or by both.

    Attributes:
        ids, hashes, pairs: ids; SHA-256 of files; (id, SHA-256), where both must match.
    """

    ids: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()

    @property
    def by_content(self) -> bool:
        """Whether matching needs an image's hash."""
        return bool(self.hashes or self.pairs)

    def __bool__(self) -> bool:
        return bool(self.ids) or self.by_content

    def leaves_out(self, identity: str, sha256: str) -> bool:
        return identity in self.ids or sha256 in self.hashes or (identity, sha256) in self.pairs


def read_exclusions(path: Path) -> Exclusions:
    """Read a quarantine file: a CSV with a column ``id``, and optionally ``sha256`` and ``match``.

    If a row has a hash, only the hash is compared: a different file under the same name is a different image. If the column
    ``match`` says ``id``, both must match, because the same content is to be kept under another name.
    """
    ids, hashes, pairs = set(), set(), set()
    try:
        with path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            table = csv.DictReader(file)
            if "id" not in (table.fieldnames or ()):
                raise UserError(f"{path} has no column 'id'", "pipekit inspect PATH --quarantine FILE writes such a file.")
            for row in plain_rows(table):
                if row.get("sha256") and row.get("match") == "id":
                    pairs.add((row["id"], row["sha256"]))
                elif row.get("sha256"):
                    hashes.add(row["sha256"])
                elif row["id"]:
                    ids.add(row["id"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"can't read {path}: {error}", "It must be a CSV file with a column 'id'.") from error
    return Exclusions(frozenset(ids), frozenset(hashes), frozenset(pairs))
