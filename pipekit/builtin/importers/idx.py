"""IDX files, optionally gzipped: MNIST and its family. Format: http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from pipekit.builtin.importers.files import first_of, split_in
from pipekit.builtin.importers.lists import listed_labels
from pipekit.contract import Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import Params, param

UINT8 = 0x08

EXPECTED = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")

FASHION = ("T-shirt_top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle_boot")
"""https://github.com/zalandoresearch/fashion-mnist#labels ("T-shirt/top" without the slash, which would make a folder)."""

DIGITS = tuple("0123456789")

CLASSES = {"digits": DIGITS, "fashion": FASHION}


class IdxParams(Params):
    classes: list[str] | Literal["auto", "digits", "fashion"] = param(
        "auto", "The class names in the order of their numbers; auto: fashion if the path contains it, else the numbers"
    )


def sniff(path: Path) -> str | Rejected:
    """List the pairs of image and label files, or say what is missing."""
    if pairs := _pairs(path):
        return f"IDX files: {first_of(images.name for images, _ in pairs)}"
    if lonely := _image_files(path):
        return Rejected(f"{lonely[0].name} has no label file beside it, named like {EXPECTED[1]}")
    return Rejected(f"no {'file in it' if path.is_dir() else 'name'} like {EXPECTED[0]}")


def read(path: Path, params: IdxParams, out_dir: Path) -> Iterator[Sample | Failure | Categories]:
    """One sample per image, written to ``out_dir`` as PNG; ``train-…`` and ``t10k-…`` become the splits train and test, as do
    ``emnist-letters-train-…`` and ``emnist-letters-test-…``.

    Raises:
        UserError: there is no pair of files, or one is damaged, truncated, or has different numbers of images and labels.
    """
    from pipekit import images

    pairs = _pairs(path)
    if not pairs:
        raise UserError(f"no pair of IDX files in {path}", f"Expected names like {', '.join(EXPECTED)}")
    names = _class_names(path, params)
    yield from listed_labels(dict(enumerate(names)))
    for image_file, label_file in pairs:
        stem = image_file.name.partition("-images")[0].partition(".images")[0]
        split = {"t10k": "test"}.get(stem, split_in(stem))
        with _open(image_file) as pictures, _open(label_file) as labels:
            count, height, width = _header(pictures, image_file, 3)
            (num_labels,) = _header(labels, label_file, 1)
            if count != num_labels:
                raise UserError(f"{image_file} has {count} images, {label_file.name} has {num_labels} labels")
            _check_size(pictures, image_file, count, height, width)
            folder = ""
            for number in range(count):
                pixels = _take(pictures, height * width, image_file)
                value = _take(labels, 1, label_file)[0]
                identity = f"{stem}/{number:06}"
                if names and value >= len(names):
                    yield Failure(identity, f"label {value}, but there are {len(names)} class names")
                    continue
                data = images.encode(_gray(pixels, height, width), "png")
                if folder != (folder := f"{out_dir}/images/{stem}/{number // 1000:03}"):
                    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                place = f"{folder}/{number:06}.png"  # as text: building Path objects takes as long as writing the file
                with open(place, "wb") as file:
                    file.write(data)
                label = names[value] if names else str(value)
                yield Sample(identity, place, hashlib.sha256(data).hexdigest(), label, split)


def _gray(pixels: bytes, height: int, width: int) -> Any:
    import numpy as np

    return np.frombuffer(pixels, np.uint8).reshape(height, width, 1)


def _pairs(path: Path) -> list[tuple[Path, Path]]:
    """(images, labels) files of a folder, or of the folder of a given images file."""
    found: dict[str, tuple[Path, Path]] = {}
    for file in _image_files(path):
        for images, labels in (("-images-idx3-ubyte", "-labels-idx1-ubyte"), ("-images.idx3-ubyte", "-labels.idx1-ubyte")):
            stem, mark, suffix = file.name.partition(images)
            if mark and suffix in ("", ".gz"):
                others = [file.with_name(stem + labels + end) for end in (suffix, ".gz", "")]
                other = next((other for other in others if other.is_file()), None)
                if other:
                    found.setdefault(stem, (file, other))
    return [found[stem] for stem in sorted(found)]


def _image_files(path: Path) -> list[Path]:
    folder, names = (path.parent, [path.name]) if path.is_file() else (path, files_in(path))
    return sorted(folder / name for name in names if "idx3-ubyte" in name)


def _class_names(path: Path, params: IdxParams) -> tuple[str, ...]:
    if params.classes == "auto":
        return FASHION if "fashion" in str(path).lower() else ()
    return CLASSES[params.classes] if isinstance(params.classes, str) else tuple(params.classes)


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _header(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    zero, kind, found = struct.unpack(">HBB", _take(file, 4, path))
    if zero != 0 or kind != UINT8 or found != dimensions:
        raise UserError(
            f"{path} is no IDX file of {dimensions} dimension(s) of bytes: it begins with {zero:04x} {kind:02x} {found:02x}"
        )
    return struct.unpack(f">{dimensions}I", _take(file, 4 * dimensions, path))


def _check_size(file: BinaryIO, path: Path, count: int, height: int, width: int) -> None:
    """Refuse what a header claims before memory is reserved for it."""
    from pipekit import images

    if count and not 0 < height * width <= images.MAX_PIXELS:
        raise UserError(f"{path} claims images of {height:,} x {width:,} pixels; at most {images.MAX_PIXELS:,} pixels are read")
    found = None if path.suffix == ".gz" else os.fstat(file.fileno()).st_size - file.tell()
    if found is not None and count * height * width > found:
        raise UserError(
            f"{path} is truncated: it claims {count:,} images of {height} x {width}, and holds {found:,} bytes",
            "Download it again.",
        )


def _take(file: BinaryIO, count: int, path: Path) -> bytes:
    try:
        data = file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if len(data) != count:
        raise UserError(f"{path} is truncated", "Download it again.")
    return data
