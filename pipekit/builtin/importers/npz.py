"""NumPy archives with images and labels: Keras' ``mnist.npz`` (x_train, y_train), MedMNIST (train_images, train_labels)."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipekit.builtin.importers.arrays import CLASS_NAMES, ArraysParams, pairs_among, remarked, samples, shared_names
from pipekit.builtin.importers.files import first_of, on_one_line
from pipekit.builtin.importers.lists import listed_labels
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in

SUFFIX = ".npz"

READS = (SUFFIX,)


def sniff(path: Path) -> str | Rejected:
    """List the arrays of images, or say what is missing."""
    found = _files(path)
    if not found:
        return Rejected("no .npz file in it" if path.is_dir() else "the file does not end in .npz")
    try:
        names = [name for file in found for name in _names(file)]
    except UserError as error:
        return Rejected(error.message)
    pairs = pairs_among(names)
    if not pairs:
        return Rejected(f"{found[0].name} has no arrays named like x_train, y_train; it has {first_of(names, 8) or 'none'}")
    return f"NumPy arrays of images: {first_of(pair.images for pair in pairs)}"


def read(path: Path, params: ArraysParams, out_dir: Path) -> Iterator[Sample | Failure | Categories | Adjusted]:
    """One sample per row, written to ``out_dir`` as PNG; arrays of Python objects are refused, because they would be unpickled.

    Memory holds one row. The split comes from the arrays' names; a file without class names has those of the others.

    Raises:
        UserError: there is no such file, or one is damaged, or its arrays are no images and labels.
    """
    files = [file for file in _files(path) if pairs_among(_names(file))]
    if not files:
        raise UserError(
            f"no .npz file with images in {path}", "Expected arrays such as x_train and y_train, or images and labels."
        )
    for file, (named, remark) in zip(files, shared_names([_class_names(file) for file in files]), strict=True):
        names = params.classes or named
        yield from listed_labels(dict(enumerate(names)))
        for pair in pairs_among(_names(file)):
            with ExitStack() as stack:
                images = _Array(file, pair.images, stack)
                labels = _Array(file, pair.labels, stack) if pair.labels else None
                prefix = f"{file.stem}/{pair.split}" if pair.split else file.stem
                rows = samples(pair, images, labels, file.name, prefix, names, out_dir)
                yield from remarked(rows, "" if params.classes else remark)


class _Array:
    """An array of an archive, read row by row."""

    def __init__(self, file: Path, name: str, stack: ExitStack) -> None:
        """Raises UserError."""
        from numpy.lib import format as npy

        self._what = f"{file}: {name}"
        try:
            archive = stack.enter_context(zipfile.ZipFile(file))
            self._stream = cast("BinaryIO", stack.enter_context(archive.open(f"{name}.npy")))
            version = npy.read_magic(self._stream)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, fortran, self.dtype = header(self._stream)
        except (
            OSError,
            EOFError,
            MemoryError,
            ValueError,
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            SyntaxError,
        ) as error:
            raise UserError(f"can't read {self._what}: {on_one_line(error) or 'it ends early'}") from error
        if self.dtype.hasobject:
            raise UserError(
                f"{self._what} is made of Python objects, which could run any code when they are loaded",
                "Store it as numbers or texts: np.savez(file, x_train=x_train.astype(np.uint8))",
            )
        if not self.dtype.itemsize or any(side < 0 for side in self.shape):
            raise UserError(f"{self._what} is {self.dtype} {self.shape}", "Expected numbers.")
        if fortran and len(self.shape) > 1:
            raise UserError(f"{self._what} is stored column by column", "Store it as np.ascontiguousarray(x).")

    shape: tuple[int, ...]
    dtype: Any

    def __iter__(self) -> Iterator[Any]:
        import numpy as np

        count = math.prod(self.shape[1:])
        for _ in range(self.shape[0]):
            try:
                data = self._stream.read(count * self.dtype.itemsize)
            except (OSError, EOFError, OverflowError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
                raise UserError(f"{self._what} is damaged: {on_one_line(error)}") from error
            if len(data) != count * self.dtype.itemsize:
                raise UserError(f"{self._what} is truncated", "Download it again.")
            yield np.frombuffer(data, self.dtype).reshape(self.shape[1:])


def _class_names(file: Path) -> list[str]:
    """The texts of the array of class names; empty if there is none."""
    there = _names(file)
    name = next((name for name in CLASS_NAMES if name in there), "")
    with ExitStack() as stack:
        found = _Array(file, name, stack) if name else None
        if found is None or found.dtype.kind not in "SU" or len(found.shape) != 1:
            return []
        values = (row.item() for row in found)
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]


def _names(file: Path) -> list[str]:
    """The names of a file's arrays. Raises UserError."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UserError(f"can't read {file}: {on_one_line(error)}", "Expected an archive that np.savez has written.") from error


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == SUFFIX else []
    return sorted(path / name for name in files_in(path, (SUFFIX,)))
