"""HDF5 files with images and labels as datasets: ``x_train`` and ``y_train``, ``train_set_x`` and ``train_set_y`` …"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.arrays import CLASS_NAMES, ArraysParams, pairs_among, remarked, samples, shared_names
from pipekit.builtin.importers.files import first_of, on_one_line
from pipekit.builtin.importers.lists import listed_labels
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in

SUFFIXES = (".h5", ".hdf5", ".hdf")

READS = SUFFIXES

DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What h5py raises for a damaged file."""


def sniff(path: Path) -> str | Rejected:
    """List the datasets of images, or say what is missing."""
    found = _files(path)
    if not found:
        return Rejected("no .h5 file in it" if path.is_dir() else f"the file does not end in {' or '.join(SUFFIXES)}")
    try:
        with _opened(found[0]) as file:
            names = _names(file)
    except UserError as error:
        return Rejected(f"{error.message}. {error.hint}" if error.hint else error.message)
    pairs = pairs_among(names)
    if not pairs:
        return Rejected(f"{found[0].name} has no datasets named like x_train, y_train; it has {first_of(names, 8) or 'none'}")
    return f"HDF5 datasets of images: {first_of(pair.images for pair in pairs)}"


def read(path: Path, params: ArraysParams, out_dir: Path) -> Iterator[Sample | Failure | Categories | Adjusted]:
    """One sample per row, written to ``out_dir`` as PNG. Memory holds one row. The split comes from the datasets' names; a file
    without class names has those of the others.

    Raises:
        UserError: h5py is not installed, there is no such file, or one is damaged, or its datasets are no images and labels.
    """
    found = False
    files = _files(path)
    for place, (named, remark) in zip(files, shared_names([_names_in(place) for place in files]), strict=True):
        with _opened(place) as file:
            names = params.classes or named
            yield from listed_labels(dict(enumerate(names)))
            for pair in pairs_among(_names(file)):
                found = True
                labels = _Rows(file[pair.labels], f"{place}: {pair.labels}") if pair.labels else None
                prefix = f"{place.stem}/{pair.split}" if pair.split else place.stem
                images = _Rows(file[pair.images], f"{place}: {pair.images}")
                rows = samples(pair, images, labels, place.name, prefix, names, out_dir)
                yield from remarked(rows, "" if params.classes else remark)
    if not found:
        raise UserError(
            f"no HDF5 file with images in {path}", "Expected datasets such as x_train and y_train, or images and labels."
        )


class _Rows:
    """A dataset, read row by row."""

    def __init__(self, dataset: Any, what: str) -> None:
        self._dataset = dataset
        self._what = what
        self.shape: tuple[int, ...] = tuple(dataset.shape or ())
        self.dtype = dataset.dtype

    def __iter__(self) -> Iterator[Any]:
        import numpy as np

        for number in range(self.shape[0]):
            try:
                row = self._dataset[number]
            except DAMAGED as error:
                raise UserError(f"{self._what}[{number}] can't be read: {on_one_line(error)}") from error
            value = np.asarray(row)
            # `reshape(-1)` of one label: a row of shape ().
            yield value if value.shape else value.reshape(1)


@contextmanager
def _opened(place: Path) -> Iterator[Any]:
    """The open file. Raises UserError, also for what turns out to be damaged in the block."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"reading {place.name} needs h5py", 'Install it: pip install "pipekit-vision[hdf5]"') from error
    try:
        with h5py.File(place, "r") as file:
            yield file
    except DAMAGED as error:
        raise UserError(f"can't read {place}: {on_one_line(error)}") from error


def _names(file: Any) -> list[str]:
    """The names of the datasets, also of those in groups."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    return found


def _class_names(file: Any) -> list[str]:
    dataset = next((file[name] for name in CLASS_NAMES if name in file and hasattr(file[name], "shape")), None)
    if dataset is None or dataset.dtype.kind not in "SO" or len(dataset.shape) != 1:
        return []
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in dataset[:]]


def _names_in(place: Path) -> list[str]:
    """The class names that a file states. Raises UserError."""
    with _opened(place) as file:
        return _class_names(file)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.name.lower().endswith(SUFFIXES) else []
    return sorted(path / name for name in files_in(path, SUFFIXES))
