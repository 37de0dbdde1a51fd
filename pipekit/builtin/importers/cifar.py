"""CIFAR-10 and CIFAR-100 as their authors distribute them: pickles ("Python version") or binary files.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipekit.builtin.importers.arrays import written
from pipekit.builtin.importers.files import NO_FOLDER, first_of, subfolders
from pipekit.builtin.importers.lists import lines, listed_labels
from pipekit.contract import Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import Params, param

SIDE_PX = 32

PIXELS = 3 * SIDE_PX * SIDE_PX

SPLITS = {"train": "train", "test": "test", "test_batch": "test"}
"""Names of the files, without ``.bin``, besides the batches of ``train``."""

BATCH = re.compile(r"data_batch_\d+")
"""Batches of ``train``: 1 to 5 by the authors, others in excerpts."""

BEGINNINGS = ("data_batch_", *SPLITS)
"""What the names of all these files begin with."""

PICKLED = 0x80
"""The first byte of a pickle of protocol 2 or later."""


class CifarParams(Params):
    labels: Literal["fine", "coarse"] = param("fine", "The classes of CIFAR-100: its 100 classes, or its 20 superclasses")


@dataclass(frozen=True, slots=True)
class _Layout:
    """The files with images, and how to read them.

    Attributes:
        hundred: whether it is CIFAR-100, with two labels for each image.
    """

    files: list[Path]
    binary: bool
    hundred: bool


def sniff(path: Path) -> str | Rejected:
    """List the files, or say what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    layout = _layout(path)
    if layout is None:
        return Rejected("no data_batch_1 and test_batch of CIFAR-10, and no train, test and meta of CIFAR-100")
    kind = "binary" if layout.binary else "pickled"
    return f"CIFAR-{100 if layout.hundred else 10}, {kind}: {first_of(file.name for file in layout.files)}"


def read(path: Path, params: CifarParams, out_dir: Path) -> Iterator[Sample | Failure | Categories]:
    """One sample per image, written to ``out_dir`` as PNG; the splits are train and test.

    A pickle is read without running what it names: anything but arrays, texts, numbers, lists and dictionaries is refused.

    Raises:
        UserError: it is another layout, or a file is damaged or truncated.
    """
    layout = _layout(path) if path.is_dir() else None
    if layout is None:
        raise UserError(f"{path} is not CIFAR", "Expected data_batch_1 and test_batch, or train, test and meta.")
    names = _class_names(layout, params)
    yield from listed_labels(dict(enumerate(names)))
    for file in layout.files:
        stem = file.name.removesuffix(".bin")
        split = _split(file.name)
        rows = _binary(file, layout, params) if layout.binary else _pickled(file, layout, params)
        for number, (pixels, label, name) in enumerate(rows):
            identity = f"{stem}/{number:05}"
            if names and not 0 <= label < len(names):
                yield Failure(identity, f"{file.name}: label {label}, but there are {len(names)} class names")
                continue
            picture = pixels.reshape(3, SIDE_PX, SIDE_PX).transpose(1, 2, 0)
            extra = {"file_name": name} if name else {}
            yield written(picture, identity, names[label] if names else str(label), split, out_dir, **extra)


def _split(name: str) -> str:
    """The split of a file by its name; "" for another file."""
    if not name.startswith(BEGINNINGS):  # of a folder with 60,000 files, all but a few
        return ""
    stem = name.removesuffix(".bin")
    return "train" if BATCH.fullmatch(stem) else SPLITS.get(stem, "")


def _layout(path: Path) -> _Layout | None:
    for base in (path, *(path / name for name in subfolders(path))):
        found = sorted(base / name for name in files_in(base) if _split(name))
        binary = [file for file in found if file.name.endswith(".bin")]
        pickled = [file for file in found if not file.name.endswith(".bin") and _is_pickle(file)]
        files = pickled or binary
        hundred = any(file.name.removesuffix(".bin") == "train" for file in files)
        if files and (not hundred or (base / ("fine_label_names.txt" if not pickled else "meta")).is_file()):
            return _Layout(files, not pickled, hundred)
    return None


def _is_pickle(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(1) == bytes([PICKLED])
    except OSError:
        return False


def _class_names(layout: _Layout, params: CifarParams) -> list[str]:
    """The class names in the order of their numbers; empty where no file lists them. Raises UserError."""
    folder = layout.files[0].parent
    kind = f"{params.labels}_label_names" if layout.hundred else "label_names"
    if layout.binary:
        file = folder / (f"{kind}.txt" if layout.hundred else "batches.meta.txt")
        return [line for _, line in lines(file)] if file.is_file() else []
    file = folder / ("meta" if layout.hundred else "batches.meta")
    if not file.is_file():
        return []
    found = _load(file).get(kind)
    if not isinstance(found, list):
        raise UserError(f"{file} has no list {kind!r}")
    return [_text(name) for name in found]


def _binary(file: Path, layout: _Layout, params: CifarParams) -> Iterator[tuple[Any, int, str]]:
    """(pixels, label, "") of each record: one label byte, or two (superclass, class), then the pixels."""
    import numpy as np

    labels = 2 if layout.hundred else 1
    at = 1 if layout.hundred and params.labels == "fine" else 0
    with file.open("rb") as stream:
        while record := stream.read(labels + PIXELS):
            if len(record) != labels + PIXELS:
                raise UserError(f"{file} is truncated: its last record has {len(record)} bytes", "Download it again.")
            yield np.frombuffer(record, np.uint8, PIXELS, labels), record[at], ""


def _pickled(file: Path, layout: _Layout, params: CifarParams) -> Iterator[tuple[Any, int, str]]:
    """(pixels, label, name of the image) of each row; memory holds one file, of 30 or 150 MB."""
    import numpy as np

    content = _load(file)
    data, labels = content.get("data"), content.get(f"{params.labels}_labels" if layout.hundred else "labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        about = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise UserError(f"{file}: 'data' is {about}", f"Expected uint8 numbers, {PIXELS} for each image.")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(label) is int for label in labels):
        raise UserError(f"{file}: its labels are no list of {len(data)} whole numbers")
    names = content.get("filenames")
    names = names if isinstance(names, list) and len(names) == len(data) else [""] * len(data)
    for pixels, label, name in zip(data, labels, names, strict=True):
        yield pixels, label, _text(name)


def _load(file: Path) -> Mapping[str, Any]:
    """The dictionary of a pickle, with its keys as text. Raises UserError."""
    try:
        with file.open("rb") as stream:
            found = _Plain(stream, encoding="bytes").load()
    except Exception as error:  # a damaged pickle may raise anything
        why = str(error) if isinstance(error, pickle.UnpicklingError) else "it is no pickle, or a damaged one"
        raise UserError(f"can't read {file}: {why}", "Expected a file of CIFAR's Python version.") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} holds {'nothing' if found is None else type(found).__name__}, not a dictionary")
    return {_text(key): value for key, value in found.items()}


class _Plain(pickle.Unpickler):
    """Loads arrays and plain values, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        import codecs

        import numpy as np

        rebuild = np.empty(0).__reduce__()[0]
        plain = {
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
        }
        if (module, name) not in plain:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not loaded")
        return plain[module, name]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
