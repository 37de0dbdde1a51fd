"""Class folders below split folders, each split with a ``metadata.csv``: Keras, torchvision, fastai and Hugging Face's
``datasets`` open them as they are."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import ImagesParams, Names, place, safe
from pipekit.contract import Dataset
from pipekit.params import param

CARRIES = {"labels", "extra"}
"""What the format holds of a sample besides its image and its split."""


class FoldersParams(ImagesParams):
    metadata: bool = param(True, "Write a metadata.csv with class, id, hash and further values into each split's folder")


def write(artifact: Dataset, out_dir: Path, params: FoldersParams) -> None:
    """``train/dog/1.jpg``; images without a split go to ``dog/1.jpg``, images without a class to the split's folder."""
    names = Names()
    extra = sorted({key for sample in artifact for key in sample.extra}) if params.metadata else []
    with contextlib.ExitStack() as stack:
        tables: dict[str, Any] = {}
        for sample in artifact:
            label = safe(sample.label) if sample.label is not None else ""
            name = names.of(sample, "/".join(part for part in (sample.split, label) if part))
            place(sample, out_dir / name, params.images)
            if not params.metadata:
                continue
            if sample.split not in tables:
                path = out_dir / sample.split / "metadata.csv"
                file = stack.enter_context(path.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
                tables[sample.split] = csv.writer(file, lineterminator="\n")
                tables[sample.split].writerow(["file_name", "label", "id", "sha256", *extra])
            values = [sample.extra.get(key, "") for key in extra]
            plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
            below = name.removeprefix(f"{sample.split}/") if sample.split else name
            tables[sample.split].writerow([below, sample.label or "", sample.id, sample.sha256, *plain])
