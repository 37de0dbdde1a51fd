"""Suspected label errors over a whole dataset, out of fold: flipped labels that `inspect`'s check finds.

Rerun: python benchmarks/sight_labels.py PHOTOS
       python benchmarks/sight_labels.py --idx FOLDER      # train-images-idx3-ubyte.gz and the others of (Fashion-)MNIST

PHOTOS has a folder for each class. Its images are taken in the order of their names: the first half of each class was used for
choosing limits (`--part tuning`), the second half was not (`--part untouched`, the default). With an IDX folder, `tuning` takes
the first images of the training files, `untouched` the first of the test files. Features are computed once; for each draw, 5 %
of the labels are replaced by another class, drawn at random.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import onnx_embed
from pipekit.learning.label_errors import suspects_of_dataset
from pipekit.learning.out_of_fold import out_of_fold


def photographs(folder: Path, part: str, count: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, own in enumerate(classes):
        files = sorted(own.glob("*.jpg"))
        half = files[: len(files) // 2] if part == "tuning" else files[len(files) // 2 :]
        for path in half[: count // len(classes)]:
            yield images.read(path, at_least_hw=LITE0.input_hw), number


def small_pictures(folder: Path, part: str, count: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    stem = "train" if part == "tuning" else "t10k"
    with gzip.open(folder / f"{stem}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + count * 784), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + count), np.uint8, offset=8)
    for image, label in zip(pixels, labels, strict=True):
        yield np.repeat(image, 3, axis=2), int(label)


def features_of(pairs: Iterator[tuple[NDArray[np.uint8], int]]) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "network")
        network.write_bytes(facts_for(LITE0).convert(LITE0.weights_file()))  # type: ignore[misc]
        embed = onnx_embed(network)
    rows, labels = [], []
    for image, label in pairs:
        rows.append(embed(images.resize(image, LITE0.input_hw)[None])[0].astype(np.float16))
        labels.append(label)
    return np.stack(rows), np.array(labels, np.int64)


def draw(table: Any, true: NDArray[np.int64], share: float, seed: int) -> tuple[float, float, int]:
    """(recall, precision, number of suspects) for one draw."""
    rng = np.random.default_rng(seed)
    classes = int(true.max()) + 1
    flipped = rng.permutation(len(true))[: round(share * len(true))]
    labels = true.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, classes, len(flipped))) % classes
    found = out_of_fold(table, labels, np.arange(len(labels)), np.random.default_rng(seed))
    names, ids = [str(number) for number in range(classes)], [str(number) for number in range(len(labels))]
    rows = suspects_of_dataset(ids, labels, found.probabilities, names, float(found.doubted.mean()))
    right = {int(row["id"]) for row in rows} & set(flipped.tolist())
    return len(right) / len(flipped) if len(flipped) else 1.0, len(right) / max(1, len(rows)), len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--idx", type=Path)
    parser.add_argument("--part", choices=("tuning", "untouched"), default="untouched")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.05)
    given = parser.parse_args()
    if (given.photos is None) == (given.idx is None):
        parser.error("give PHOTOS, or --idx FOLDER")
    began = time.process_time()
    source = (
        photographs(given.photos, given.part, given.images)
        if given.photos
        else small_pictures(given.idx, given.part, given.images)
    )
    table, true = features_of(source)
    print(f"{len(true)} images, {int(true.max()) + 1} classes; features: {time.process_time() - began:.0f} s of processor time")
    print("| draw | recall | precision | suspects | processor s |\n|---|---|---|---|---|")
    rows = []
    for seed in range(given.draws):
        began = time.process_time()
        rows.append(draw(table, true, given.share, seed))
        recall, precision, count = rows[-1]
        print(f"| {seed} | {recall:.2f} | {precision:.2f} | {count} | {time.process_time() - began:.1f} |", flush=True)
    recall, precision, _ = np.mean(rows, axis=0)
    print(f"mean recall {recall:.3f}, mean precision {precision:.3f}; lowest {min(r[0] for r in rows):.2f}", end="")
    print(f" and {min(r[1] for r in rows):.2f}; without a wrong label: {draw(table, true, 0.0, 0)[2]} suspects")


if __name__ == "__main__":
    main()
