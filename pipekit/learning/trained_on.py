"""Which images a model was trained on, by their content: what it has seen can't show how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Sample

NAME = "trained_on.bin"
"""The first 64 bits of the SHA-256 of each training image, sorted, in a model's folder."""


def write_trained_on(folder: Path, samples: Iterable[Sample]) -> None:
    """Note the training images beside the model; also the originals of augmented copies, as far as their rows name them."""
    numbers = {_number(sha256) for sample in samples for sha256 in _hashes(sample)}
    (folder / NAME).write_bytes(np.array(sorted(numbers), "<u8").tobytes())


def trained_on(folder: Path, samples: Iterable[Sample]) -> NDArray[np.bool_] | None:
    """For each sample, whether the model in the folder was trained on it; None if the model's folder doesn't say."""
    file = folder / NAME
    if not file.exists():
        return None
    known = set(np.frombuffer(file.read_bytes(), "<u8").tolist())
    return np.array([any(_number(sha256) in known for sha256 in _hashes(sample)) for sample in samples], np.bool_)


def _hashes(sample: Sample) -> Iterator[str]:
    made = sample.extra.get("augmented")
    original = made.get("sha256") if isinstance(made, dict) else None
    yield from (sha256 for sha256 in (sample.sha256, original) if isinstance(sha256, str) and sha256)


def _number(sha256: str) -> int:
    return int.from_bytes(bytes.fromhex(sha256[:16]), "little")
