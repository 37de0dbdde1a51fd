"""Small images and annotation files, written by the tests of importers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipekit import images
from pipekit.contract import Failure, Sample


def picture(path: Path, size_hw: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((*size_hw, 3), 90, np.uint8))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def sort_out(found: Iterable[Sample | Failure]) -> tuple[list[Sample], dict[str, str]]:
    rows = list(found)
    return [row for row in rows if isinstance(row, Sample)], {row.id: row.reason for row in rows if isinstance(row, Failure)}
