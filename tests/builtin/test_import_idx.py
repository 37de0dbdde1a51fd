"""The importer ``idx``, on files written byte by byte from the description of the format."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers.idx import FASHION, IdxParams, read, sniff
from pipekit.contract import Failure, Sample
from pipekit.errors import UserError


def write(folder: Path, stem: str, pixels: np.ndarray, labels: list[int], packed: bool = False) -> None:
    parts = {
        f"{stem}-images-idx3-ubyte": struct.pack(">BBBBIII", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes(),
        f"{stem}-labels-idx1-ubyte": struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + bytes(labels),
    }
    for name, data in parts.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


@pytest.mark.parametrize("packed", [False, True])
def test_pixels_labels_and_splits(tmp_path: Path, packed: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 9), np.uint8)
    write(tmp_path, "train", pixels[:3], [5, 0, 4], packed)
    write(tmp_path, "t10k", pixels[3:], [9, 1], packed)
    found = [s for s in read(tmp_path, IdxParams(classes="fashion"), tmp_path / "out") if isinstance(s, Sample)]
    assert [(s.label, s.split) for s in found] == [
        ("Ankle_boot", "test"),
        ("Trouser", "test"),
        ("Sandal", "train"),
        ("T-shirt_top", "train"),
        ("Coat", "train"),
    ]
    order = [3, 4, 0, 1, 2]
    for sample, number in zip(found, order, strict=True):
        image = images.read(sample.image)
        assert np.array_equal(image, np.repeat(pixels[number][..., None], 3, axis=2))
    assert sniff(tmp_path).startswith("IDX files: t10k-images")
    assert len(FASHION) == 10


def test_the_split_is_a_word_of_the_name_as_in_emnist(tmp_path: Path) -> None:
    for stem in ("emnist-letters-train", "emnist-letters-test"):
        write(tmp_path, stem, np.zeros((1, 3, 3), np.uint8), [1])
    found = [(s.id, s.split) for s in read(tmp_path, IdxParams(), tmp_path / "out") if isinstance(s, Sample)]
    assert found == [("emnist-letters-test/000000", "test"), ("emnist-letters-train/000000", "train")]


def test_labels_without_names_are_numbers_and_unknown_ones_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "train", np.zeros((2, 3, 3), np.uint8), [7, 2])
    assert [s.label for s in read(tmp_path, IdxParams(), tmp_path) if isinstance(s, Sample)] == ["7", "2"]
    _, first, second = read(tmp_path, IdxParams(classes=["a", "b", "c"]), tmp_path)
    assert first == Failure("train/000000", "label 7, but there are 3 class names")
    assert isinstance(second, Sample)
    assert second.label == "c"


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    write(tmp_path, "train", np.zeros((2, 3, 3), np.uint8), [7])
    with pytest.raises(UserError, match=r"2 images, .* has 1 labels"):
        list(read(tmp_path, IdxParams(), tmp_path))
    write(tmp_path, "train", np.zeros((2, 3, 3), np.uint8), [7, 1])
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="is truncated"):
        list(read(tmp_path, IdxParams(), tmp_path))
    file.write_bytes(b"\x89PNG" + bytes(40))
    with pytest.raises(UserError, match="is no IDX file"):
        list(read(tmp_path, IdxParams(), tmp_path))
    file.unlink()
    with pytest.raises(UserError, match="no pair of IDX files"):
        list(read(tmp_path, IdxParams(), tmp_path))


@pytest.mark.parametrize(
    ("shape", "packed", "reason"),
    [
        ((1, 2**31, 2**31), False, r"train-images-idx3-ubyte claims images of [\d,]+ x [\d,]+ pixels; at most 178,000,000"),
        ((1, 2**31, 2**31), True, r"train-images-idx3-ubyte.gz claims images of"),
        ((2, 0, 5), False, "claims images of 0 x 5 pixels"),
        ((1000, 10_000, 10_000), False, "is truncated: it claims 1,000 images of 10000 x 10000, and holds 12 bytes"),
        ((1, 10_000, 10_000), True, "is truncated"),
    ],
)
def test_a_header_that_claims_more_than_the_file_holds(
    tmp_path: Path, shape: tuple[int, int, int], packed: bool, reason: str
) -> None:
    compress = gzip.compress if packed else bytes
    end = ".gz" if packed else ""
    pictures = struct.pack(">BBBBIII", 0, 0, 8, 3, *shape) + b"x" * 12
    (tmp_path / f"train-images-idx3-ubyte{end}").write_bytes(compress(pictures))
    labels = struct.pack(">BBBBI", 0, 0, 8, 1, shape[0]) + bytes(shape[0])
    (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(compress(labels))
    with pytest.raises(UserError, match=reason):
        list(read(tmp_path, IdxParams(), tmp_path / "out"))


def test_gzip_data_with_a_changed_byte_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train", np.random.default_rng(0).integers(0, 256, (3, 30, 30), np.uint8), [1, 2, 3], packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    data = bytearray(file.read_bytes())
    data[10] = 0x07  # a block of a kind that does not exist: zlib's own error, which is no OSError
    file.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        list(read(tmp_path, IdxParams(), tmp_path / "out"))


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train", np.zeros((200, 30, 30), np.uint8), [0] * 200, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"damaged|too early"):
        list(read(tmp_path, IdxParams(), tmp_path))
