"""One CSV file with one row per image: its file, class, split and further values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pipekit.builtin.exporters.common import Names, place
from pipekit.contract import Dataset, Sample
from pipekit.params import Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, stated

TASKS = (CLASSES, MULTILABEL, NUMBER)

CARRIES = {"labels", "extra"}
"""What the format holds of a sample besides its image and its split."""


class CsvParams(Params):
    images: Literal["copy", "hardlink", "leave"] = param(
        "copy", "Place the images in images/; leave: the column file_name holds the ids, which for folders are relative paths"
    )
    table: Literal["dataset.csv", "metadata.csv", "metadata.jsonl"] = param(
        "dataset.csv",
        "The table's name; with metadata.csv or metadata.jsonl (JSON Lines), Hugging Face's datasets opens the folder as it is",
    )


def write(artifact: Dataset, out_dir: Path, params: CsvParams) -> None:
    """A table and ``images/``; the importer ``csv`` reads it, and ``metadata`` reads a folder with a ``metadata.csv``.

    The column ``label`` has the class; ``labels`` several as a list in JSON, empty without one; ``value`` the number.
    """
    extra = sorted({key for sample in artifact for key in sample.extra})
    head = ["file_name", COLUMNS[artifact.task], "split", "id", "sha256", *extra]
    with (out_dir / params.table).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if params.table != "metadata.jsonl":
            table.writerow(head)
        for sample, name in _placed(artifact, out_dir, params):
            values = [sample.extra.get(key, "") for key in extra]
            plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
            row = [name, stated(sample) or "", sample.split, sample.id, sample.sha256, *plain]
            if params.table == "metadata.jsonl":
                said = sample.labels if sample.labels is not None else sample.label if sample.value is None else sample.value
                typed = {**dict(zip(head, row, strict=True)), head[1]: said} | dict(sample.extra)
                file.write(json.dumps({key: value for key, value in typed.items() if value not in ("", None)}) + "\n")
            else:
                table.writerow(row)


COLUMNS = {CLASSES: "label", MULTILABEL: "labels", NUMBER: "value"}
"""The column of each task."""


def _placed(artifact: Dataset, out_dir: Path, params: CsvParams) -> Iterator[tuple[Sample, str]]:
    """The samples with the names of their files, which are written."""
    names = Names()
    for sample in artifact:
        name = sample.id
        if params.images != "leave":
            name = names.of(sample, "images")
            place(sample, out_dir / name, params.images)
        yield sample, name
