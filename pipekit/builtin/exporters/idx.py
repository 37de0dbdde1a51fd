"""IDX files, gzipped: MNIST's own format, greyscale images of one size."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from pipekit.builtin.exporters.common import label_names, labelled
from pipekit.contract import Dataset
from pipekit.errors import UserError
from pipekit.files import read_bytes
from pipekit.params import Params, param

CARRIES = {"labels"}
"""What the format holds of a sample besides its image and its split."""

COPIES_FILES = False
"""It writes pixels, so that no metadata go with them."""

STEMS = {"train": "train", "test": "t10k", "val": "val", "": "train"}


class IdxParams(Params):
    size_hw: tuple[int, int] = param((28, 28), "Height and width that images are resized to", unit="px")


def write(artifact: Dataset, out_dir: Path, params: IdxParams) -> None:
    """``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz``, for test ``t10k-…``, and the names in ``classes.txt``."""
    from pipekit import images

    height, width = params.size_hw
    classes = label_names(artifact)
    if len(classes) > 256:
        raise UserError(f"IDX holds at most 256 classes, the dataset has {len(classes)}")
    for split in sorted({sample.split for sample in artifact}):
        rows = [sample for sample in labelled(artifact, "IDX") if sample.split == split]
        stem = STEMS[split]
        with (
            _open(out_dir / f"{stem}-images-idx3-ubyte.gz") as pictures,
            _open(out_dir / f"{stem}-labels-idx1-ubyte.gz") as labels,
        ):
            pictures.write(struct.pack(">HBBIII", 0, 8, 3, len(rows), height, width))
            labels.write(struct.pack(">HBBI", 0, 8, 1, len(rows)))
            for sample in rows:
                gray = images.decode(read_bytes(sample.image), at_least_hw=params.size_hw, gray=True)
                if gray.shape[:2] != params.size_hw:
                    gray = images.resize(gray, params.size_hw)
                pictures.write(gray.tobytes())
                labels.write(bytes([classes.index(str(sample.label))]))
    (out_dir / "classes.txt").write_text("".join(f"{name}\n" for name in classes), "utf-8")


def _open(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile(path, "wb", mtime=0)
