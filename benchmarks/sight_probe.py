"""Accuracy of ``logistic_regression`` from 1,400 photographs, on features at several input sizes.

Rerun: python benchmarks/sight_probe.py PHOTOS --sides 224,288,320

PHOTOS has a folder for each of two classes. In the order of their names, the first half of each class is the part on which
input sizes were compared (``--part tuning``: 350 of each class to train on, 150 for the test). The test images of
``--part untouched`` (200 of each class) are all of the other half; 700 of each class from what remains are trained on, 105 of
them as val. ``--part few`` draws ten of each class from all, two of them as val, and 200 others for the test. The features
of every image are computed once, by the runtime of ``embed``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.models import logistic_regression
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import onnx_embed

Numbers = NDArray[np.int64]


def features_of(files: list[Path], side: int) -> NDArray[np.float64]:
    """Rounded to float16, as the store keeps them."""
    variant = replace(LITE0, input_hw=(side, side))
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "network")
        network.write_bytes(facts_for(variant).convert(variant.weights_file()))  # type: ignore[misc]
        embed = onnx_embed(network)
    rows = []
    for path in files:
        image = images.read(path, at_least_hw=variant.input_hw)
        rows.append(embed(images.resize(image, variant.input_hw)[None])[0].astype(np.float16))
    return np.stack(rows).astype(np.float64)


def accuracy(x: NDArray[np.float64], numbers: Numbers, parts: tuple[Numbers, Numbers, Numbers], seed: int) -> float:
    """Accuracy on the test images, with the scale, the choice of C and the solver of the template."""
    train, val, test = parts
    middle, spread = logistic_regression.scale_of(x[train])
    x, weights = (x - middle) / spread, np.ones(len(train))
    c = logistic_regression.choose_c(x[train], numbers[train], weights, x[val], numbers[val], seed)
    _, coefficients, intercepts = logistic_regression._solved(x[train], numbers[train], weights, c)
    return float(((x[test] @ coefficients.T + intercepts).argmax(axis=1) == numbers[test]).mean())


def draw(numbers: Numbers, is_tuning: NDArray[np.bool_], part: str, seed: int) -> tuple[Numbers, Numbers, Numbers]:
    """Positions of the train, val and test images, as many of each class."""
    rng = np.random.default_rng(seed)
    found: list[list[Numbers]] = [[], [], []]
    for number in np.unique(numbers):
        own = numbers == number
        if part == "few":
            learned, test = np.split(rng.permutation(np.flatnonzero(own))[:210], [10])
            val = learned[:2]
        elif part == "tuning":
            learned, test = np.split(rng.permutation(np.flatnonzero(own & is_tuning))[:500], [350])
            val = learned[:53]
        else:
            other = rng.permutation(np.flatnonzero(own & ~is_tuning))
            test = other[:200]
            learned = rng.permutation(np.concatenate([np.flatnonzero(own & is_tuning), other[200:400]]))
            val = learned[:105]
        for place, chosen in enumerate((learned[len(val) :], val, test)):
            found[place].append(chosen)
    train, val, test = (np.concatenate(one) for one in found)
    return train, val, test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--sides", default="224,288,320")
    parser.add_argument("--part", choices=("tuning", "untouched", "few"), default="untouched")
    parser.add_argument("--draws", type=int, default=10)
    chosen = parser.parse_args()
    classes = [sorted(one.glob("*.jpg")) for one in sorted(chosen.photos.iterdir()) if one.is_dir()]
    numbers = np.repeat(np.arange(len(classes)), [len(one) for one in classes])
    is_tuning = np.concatenate([np.arange(len(one)) < len(one) // 2 for one in classes])
    print("| input | mean accuracy | lowest | highest | draws |\n|---|---|---|---|---|")
    for side in map(int, chosen.sides.split(",")):
        x = features_of([path for one in classes for path in one], side)
        found = [accuracy(x, numbers, draw(numbers, is_tuning, chosen.part, seed), seed) for seed in range(chosen.draws)]
        row = (f"{statistics.mean(found):.4f}", f"{min(found):.4f}", f"{max(found):.4f}", str(len(found)))
        print(f"| {side} x {side} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
