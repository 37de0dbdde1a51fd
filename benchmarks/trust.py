"""What once made a report promise too much, measured again: one line for each case.

    python benchmarks/trust.py [--train]

``--train`` also trains on pictures of the patients, by ``pipekit train`` in separate processes, without and with the option.
`coverage.py` and `comparison.py` have the whole grids; the table is in docs/benchmarks.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from comparison import flattered
from coverage import class_shares, covered, grouped_covered, truth
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals
from pipekit.images.name_groups import PATTERNS, name_groups
from pipekit.learning import temperature as scaling
from pipekit.learning.significance import difference_interval, score_test

TRIALS = 1000


def of(found: tuple[int, int]) -> str:
    """The coverage of the intervals that were given, and how often one was."""
    given, held = found
    return f"{100 * held / given:.1f} % (given for {100 * given / TRIALS:.0f} %)" if given else "not given"


def uneven() -> None:
    rng = np.random.default_rng(0)
    for most in (95, 98):
        chances = truth(class_shares(2, f"{most} % in one class"), 0.97, "same recall")
        found = covered(chances, 300, TRIALS, rng)["balanced_accuracy"]
        print(f"| balanced accuracy, classes {most}/{100 - most}, recall 0.97, 300 images: coverage | {of(found)} |")
    for size in (50, 100, 1000):
        chances = truth(class_shares(10, "each 0.6 of the one before"), 0.8, "same recall")
        print(
            f"| macro F1, ten uneven classes, {size} images: coverage | {of(covered(chances, size, TRIALS, rng)['macro_f1'])} |"
        )


def groups() -> None:
    rng = np.random.default_rng(1)
    shares = [
        grouped_covered(60, size, alike, accuracy, 400, rng)
        for size in (4, 10)
        for alike in (0.3, 0.6)
        for accuracy in (0.6, 0.8, 0.95)
    ]
    print(
        "| 60 groups of 4 to 10 images, intra-class correlation 0.3 to 0.6, accuracy 0.6 to 0.95: coverage "
        f"| {100 * min(shares):.1f} to {100 * max(shares):.1f} % |"
    )


def patients() -> None:
    """120 patients with eight images each, whose features show the patient and nothing of the class."""
    rng = np.random.default_rng(2)
    sick = rng.integers(0, 2, 120)
    numbers = np.repeat(np.arange(120), 8)
    features = rng.normal(size=(120, 16))[numbers] + 0.7 * rng.normal(size=(960, 16))
    labels = [("well", "sick")[sick[number]] for number in numbers]
    ids = [
        f"{label}/patient_{number:03}_{place % 8}.jpg"
        for place, (label, number) in enumerate(zip(labels, numbers, strict=True))
    ]
    found = name_groups(*zip(*sorted(zip(ids, labels, strict=True)), strict=True))
    print(f"| patient_012_3.jpg: before training | {found} |")
    for what, test in (("image by image", rng.random(960) < 0.15), ("by patient", np.isin(numbers, rng.permutation(120)[:18]))):
        right = nearest(features[~test], sick[numbers[~test]], features[test]) == sick[numbers[test]]
        plain, grouped = intervals.share_of(right), intervals.share_of(right, numbers[test])
        print(
            f"| the same split {what}: accuracy (interval for independent images; with groups) | {plain['value']:.3f} "
            f"({plain['low']:.2f} to {plain['high']:.2f}; {grouped['low']:.2f} to {grouped['high']:.2f}) |"
        )


def write_patients(folder: Path) -> None:
    """120 patients with eight pictures each: six lines that show the patient, in another light, and nothing of the class."""
    import cv2

    from pipekit import images

    rng, side = np.random.default_rng(2), 64
    sick = rng.integers(0, 2, 120)
    y, x = np.mgrid[:side, :side] / side - 0.5
    for patient in range(120):
        ends = rng.integers(4, side - 4, (6, 2, 2))
        for number in range(8):
            turn = rng.uniform(0, 2 * np.pi)
            picture = 128 + 50 * (x * np.cos(turn) + y * np.sin(turn))[..., None] + rng.normal(0, 12, 3)
            for line, sign in zip(ends + rng.integers(-2, 3, ends.shape), rng.choice([-1, 1], 6), strict=True):
                cv2.line(picture, *map(tuple, line.tolist()), [128.0 + 70 * sign] * 3, 2, cv2.LINE_AA)
            noisy = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
            path = folder / ("well", "sick")[sick[patient]] / f"patient_{patient:03}_{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, noisy)


def trained() -> None:
    """What ``pipekit train`` says of these pictures, and the accuracy, image by image and by patient."""
    with tempfile.TemporaryDirectory() as name:
        write_patients(Path(name) / "scans")
        command = [sys.executable, "-m", "pipekit", "train", "scans", "--model", "hog_svm"]
        for what, option in (("the plain folder", []), ("with the option", ["--group-pattern", PATTERNS["_"]])):
            done = subprocess.run(
                [*command, *option, "--name", what[-6:]], cwd=name, capture_output=True, text=True, check=True
            )
            said = (done.stdout + done.stderr).splitlines()
            warned = [line for line in said if "look like groups" in line]
            (accuracy,) = [line for line in said if line.startswith("test accuracy")]
            print(f"| `pipekit train` of 960 pictures, {what}: {len(warned)} warnings of groups | {accuracy} |", flush=True)


def nearest(known: NDArray[np.float64], labels: NDArray[np.int64], asked: NDArray[np.float64]) -> NDArray[np.int64]:
    """The label of the nearest neighbour."""
    distances = ((asked[:, None] - known[None]) ** 2).sum(axis=2)
    return np.asarray(labels[distances.argmin(axis=1)])


def rest() -> None:
    low, high = difference_interval(5, 0, 60)
    print(f"| gained 5, lost 0 of 60 | p = {score_test(5, 0):.3f}, interval {100 * low:.1f} to {100 * high:.1f} points |")
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = (honest.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    over = scaling.scaled(honest, 1 / 5.87, scaling.UNROUNDED)
    unrounded = scaling.fit_temperature(over, y_true, scaling.UNROUNDED)
    print(
        f"| temperature of a model that is overconfident by 5.87 | {unrounded} (rounded to six decimals: "
        f"{scaling.fit_temperature(np.round(over, 6), y_true)}) |"
    )
    for accuracy in (0.85, 0.9):
        plain, left = flattered(20, 300, accuracy, 60)
        print(
            f"| best of 20 equal models, accuracy {accuracy} | flattered by {100 * plain:.1f} points, left {100 * left:+.1f} |"
        )


if __name__ == "__main__":
    print("| case | figure |\n|---|---|")
    parts = [uneven, groups, patients, rest, *([trained] if "--train" in sys.argv else [])]
    for part in parts:
        part()
    sys.exit()
