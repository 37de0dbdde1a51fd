"""The list of images to leave out: what ``inspect --quarantine`` writes, and the stages ``split`` and ``import.*`` accept."""

from __future__ import annotations

import csv
from pathlib import Path

from pipekit.errors import UserError


def read_exclusions(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Ids and hashes of the images that a quarantine file names: a CSV with a column ``id``, perhaps ``sha256``.

    Where a line has a hash, the hash alone counts: another image under the same name is another image.
    """
    ids, hashes = set(), set()
    try:
        with path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            table = csv.DictReader(file)
            if "id" not in (table.fieldnames or ()):
                raise UserError(f"{path} has no column 'id'", "pipekit inspect PATH --quarantine FILE writes such a file.")
            for row in table:
                if row.get("sha256"):
                    hashes.add(row["sha256"])
                elif row["id"]:
                    ids.add(row["id"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"can't read {path}: {error}", "It must be a CSV file with a column 'id'.") from error
    return frozenset(ids), frozenset(hashes)
