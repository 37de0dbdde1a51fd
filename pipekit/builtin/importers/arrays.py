"""Shared by the importers of arrays: pair images with labels by their names, turn a row into an image and a class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipekit.contract import Adjusted, Failure, Sample
from pipekit.errors import UserError
from pipekit.params import Params, param

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

SPLIT_PAIRS = (
    ("x_{}", "y_{}"),
    ("{}_x", "{}_y"),
    ("{}_images", "{}_labels"),
    ("images_{}", "labels_{}"),
    ("{}_set_x", "{}_set_y"),
    ("{}_data", "{}_labels"),
)
"""Names of a split's images and labels, in lower case, with ``_`` for ``/``."""

PAIRS = (("x", "y"), ("images", "labels"), ("image", "label"), ("data", "labels"), ("data", "target"), ("arr_0", "arr_1"))


CLASS_NAMES = ("list_classes", "class_names", "label_names", "classes")
"""Names of arrays with the class names in the order of their numbers."""


class ArraysParams(Params):
    classes: list[str] = param([], "The class names in the order of their numbers, from 0; by default the numbers themselves")


class Rows(Protocol):
    """An array that is read row by row."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True, slots=True)
class Pair:
    """The names of the images and labels of a split; ``labels`` is "" where there are none."""

    split: str
    images: str
    labels: str


def pairs_among(names: Collection[str]) -> list[Pair]:
    """The pairs among the names of arrays: those of splits, else one of all images."""
    folded = {name.lower().replace("/", "_"): name for name in names}
    found = [
        Pair(split, folded[images.format(word)], folded.get(labels.format(word), ""))
        for word, split in SPLITS.items()
        for images, labels in SPLIT_PAIRS
        if images.format(word) in folded
    ]
    if not found:
        there = [names for names in PAIRS if folded.keys() >= set(names)]
        found = [Pair("", folded[images], folded[labels]) for images, labels in there[:1]]
    return found


BORROWED = "given the class names of another file in the folder, since their own file has none"
"""What :class:`~pipekit.contract.Adjusted` says of the samples of a file without class names."""


def shared_names(lists: Sequence[list[str]]) -> list[tuple[list[str], str]]:
    """(class names, remark) of each file: its own, else those of the others, if all that have a list have the same.

    As in ``train_catvnoncat.h5``, which has numbers, and ``test_catvnoncat.h5``, which names them.
    """
    distinct = {tuple(names) for names in lists if names}
    others: list[str] = list(*distinct) if len(distinct) == 1 else []
    return [(names, "") if names else (others, BORROWED if others else "") for names in lists]


def remarked(rows: Iterator[Sample | Failure], remark: str) -> Iterator[Sample | Failure | Adjusted]:
    """The rows, and after each sample what is to be said of it."""
    for row in rows:
        yield row
        if remark and isinstance(row, Sample) and row.label is not None:
            yield Adjusted(row.id, remark)


def samples(
    pair: Pair, images: Rows, labels: Rows | None, where: str, prefix: str, names: Sequence[str], out_dir: Path
) -> Iterator[Sample | Failure]:
    """One sample per row, its image written to ``out_dir`` as PNG.

    Args:
        where: the file, for messages.
        prefix: of the ids.

    Raises:
        UserError: the images are no images, or there is another number of labels.
    """
    _check(images, labels, f"{where}: {pair.images}", pair)
    values = iter(labels) if labels is not None else None
    for number, row in enumerate(images):
        identity = f"{prefix}/{number:06}"
        label: str | None = None
        if values is not None:
            found = _label(next(values), names)
            if isinstance(found, Failure):
                yield Failure(identity, f"{where}: {pair.labels}[{number}]: {found.reason}")
                continue
            label = found
        pixels = _pixels(row)
        if isinstance(pixels, str):
            yield Failure(identity, f"{where}: {pair.images}[{number}]: {pixels}")
            continue
        yield written(pixels, identity, label, pair.split, out_dir)


def written(pixels: Any, identity: str, label: str | None, split: str, out_dir: Path, **extra: Any) -> Sample:
    """Write ``(H, W, 1 or 3) uint8`` as PNG, a thousand files a folder."""
    from pipekit import images

    data = images.encode(pixels, "png")
    parts, _, number = identity.rpartition("/")
    folder = f"{out_dir}/images/{parts}/{number[:-3]}"
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    place = f"{folder}/{number}.png"
    with open(place, "wb") as file:
        file.write(data)
    return Sample(identity, place, hashlib.sha256(data).hexdigest(), label, split, extra=extra)


def _check(images: Rows, labels: Rows | None, what: str, pair: Pair) -> None:
    shape = images.shape
    if not (len(shape) == 3 or (len(shape) == 4 and (shape[3] in (1, 3) or shape[1] in (1, 3)))) or 0 in shape[1:]:
        raise UserError(f"{what} has the shape {shape}", "Expected (images, height, width), or with 1 or 3 channels.")
    if images.dtype.kind not in "uib":
        hint = "Expected whole numbers from 0 to 255. Store them so: (255 * x).astype(np.uint8) for values from 0 to 1."
        raise UserError(f"{what} has the type {images.dtype}", hint)
    if labels is not None and (not labels.shape or labels.shape[0] != shape[0]):
        raise UserError(f"{what} has {shape[0]} images, {pair.labels} has the shape {labels.shape}")
    if labels is not None and (labels.dtype.kind not in "uifbUSO" or len(labels.shape) > 2):
        raise UserError(f"{what}: {pair.labels} is {labels.dtype} {labels.shape}", "Expected one number an image.")


def _pixels(row: Any) -> Any | str:
    """``(H, W, 1 or 3) uint8``, or what is wrong with the values."""
    import numpy as np

    array = np.asarray(row)
    if array.dtype.kind == "b":
        array = array * np.uint8(255)
    if array.dtype != np.uint8:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            return f"values from {low} to {high}; expected 0 to 255"
        array = array.astype(np.uint8)
    if array.ndim == 2:
        return array[..., None]
    return np.ascontiguousarray(array if array.shape[2] in (1, 3) else array.transpose(1, 2, 0))


def _label(value: Any, names: Sequence[str]) -> str | Failure:
    """A number, a text, or a row of 0 with one 1; the reason of the failure says what else it is."""
    import numpy as np

    array = np.asarray(value).reshape(-1)
    if array.dtype.kind in "USO":
        text = array[0].decode("utf-8", "replace") if array.size == 1 and isinstance(array[0], bytes) else str(array[0])
        return text if array.size == 1 and text else Failure("", f"label {value!r}, expected one text")
    if array.size > 1:
        (chosen,) = np.nonzero(array)
        if len(chosen) != 1 or array[chosen[0]] != 1:
            return Failure("", f"{len(chosen)} labels ({', '.join(map(str, chosen[:5]))}); an image has one class here")
        number = float(chosen[0])
    else:
        number = float(array[0])
    if number != number or number != int(number):
        return Failure("", f"label {number:g} is no whole number")
    if names and not 0 <= number < len(names):
        return Failure("", f"label {int(number)}, but there are {len(names)} class names, from 0")
    return names[int(number)] if names else str(int(number))
