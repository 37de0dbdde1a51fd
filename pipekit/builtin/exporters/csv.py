"""One CSV file with a row per image: where it lies, its class, its split. No image is copied."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pipekit.contract import Dataset
from pipekit.params import Params


class CsvParams(Params):
    """Nothing to choose."""


def write(artifact: Dataset, out_dir: Path, params: CsvParams) -> None:
    """``dataset.csv``; the importer ``csv`` reads it."""
    extra = sorted({key for sample in artifact for key in sample.extra})
    with (out_dir / "dataset.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file_name", "label", "split", "id", "sha256", *extra])
        for sample in artifact:
            values = [sample.extra.get(key, "") for key in extra]
            plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
            table.writerow([sample.image, sample.label or "", sample.split, sample.id, sample.sha256, *plain])
