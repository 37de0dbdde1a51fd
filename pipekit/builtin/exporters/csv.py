"""One CSV file with one row per image: its file, class, split and further values."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Literal

from pipekit.builtin.exporters.common import Names, place
from pipekit.contract import Dataset
from pipekit.params import Params, param

CARRIES = {"labels", "extra"}
"""What the format holds of a sample besides its image and its split."""


class CsvParams(Params):
    images: Literal["copy", "hardlink", "leave"] = param(
        "copy", "Place the images in images/; leave: the column file_name holds the ids, which for folders are relative paths"
    )
    table: Literal["dataset.csv", "metadata.csv"] = param(
        "dataset.csv", "The table's name; with metadata.csv, Hugging Face's datasets opens the folder as it is"
    )


def write(artifact: Dataset, out_dir: Path, params: CsvParams) -> None:
    """A table and ``images/``; the importer ``csv`` reads it, and ``metadata`` reads a folder with a ``metadata.csv``."""
    extra = sorted({key for sample in artifact for key in sample.extra})
    names = Names()
    with (out_dir / params.table).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file_name", "label", "split", "id", "sha256", *extra])
        for sample in artifact:
            name = sample.id
            if params.images != "leave":
                name = names.of(sample, "images")
                place(sample, out_dir / name, params.images)
            values = [sample.extra.get(key, "") for key in extra]
            plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
            table.writerow([name, sample.label or "", sample.split, sample.id, sample.sha256, *plain])
