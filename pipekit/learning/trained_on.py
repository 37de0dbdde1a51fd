"""Which images a model was trained on, by their content: what it has seen can't show how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipekit.columnar import short_hashes
from pipekit.contract import Sample

NAME = "trained_on.bin"
"""Sorted numbers of 64 bits in a model's folder, hashes of the training images' hashes."""


def write_trained_on(folder: Path, samples: Iterable[Sample]) -> None:
    """Note the training images beside the model; also the originals of augmented copies, as far as their rows name them."""
    numbers = short_hashes(sha256 for sample in samples for sha256 in _hashes(sample))[:, 0]
    (folder / NAME).write_bytes(np.unique(numbers).astype("<u8").tobytes())


def trained_on(folder: Path, samples: Iterable[Sample]) -> NDArray[np.bool_] | None:
    """For each sample, whether the model in the folder was trained on it; None if the model's folder doesn't say."""
    file = folder / NAME
    if not file.exists():
        return None
    known = set(np.frombuffer(file.read_bytes(), "<u8").tolist())
    return np.array([not known.isdisjoint(short_hashes(_hashes(sample))[:, 0].tolist()) for sample in samples], np.bool_)


def _hashes(sample: Sample) -> Iterator[str]:
    made = sample.extra.get("augmented")
    original = made.get("sha256") if isinstance(made, dict) else None
    yield from (sha256 for sha256 in (sample.sha256, original) if isinstance(sha256, str) and sha256)
