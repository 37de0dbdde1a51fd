"""Suspected labels of several labels an image, out of fold over a whole dataset: flipped labels that `inspect` finds.

Rerun: python benchmarks/sight_tasks.py                     # test items of Fashion-MNIST, which served for no choice
       python benchmarks/sight_tasks.py --part train        # training items, as those that the limit was chosen on

Two or three items are pasted to a picture, as `sample_data/tasks/make_labels.py` does. Features are computed once; for each
draw, a share of all labels, those that are there and those that are not, is flipped at random.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.multilabel_metrics import auc
from pipekit.learning.out_of_fold_tasks import labels_out_of_fold, suspected

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "sample_data" / "tasks")]
import make_labels  # noqa: E402
from sight_labels import features_of  # noqa: E402


def pictures(part: str, seed: int, count: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Features ``(N, D)``, and which labels the pictures have, ``(N, L)``."""
    from pipekit import images

    with tempfile.TemporaryDirectory() as folder:
        make_labels.main(Path(folder), part=part, seed=seed, count=count)
        rows = [line.split(",") for line in Path(folder, "labels.csv").read_text().split()[1:]]
        table, _ = features_of((images.read(Path(folder, name)), 0) for name, _ in rows)
    return table, np.array([[name in said.split("|") for name in make_labels.NAMES] for _, said in rows], np.bool_)


def draw(table: NDArray[np.float16], true: NDArray[np.bool_], share: float, seed: int) -> tuple[float, float, int, float]:
    """(recall, precision, number of suspects, mean area of the labels) for one draw."""
    rng = np.random.default_rng(seed)
    flipped = rng.random(true.shape) < share
    found = labels_out_of_fold(table, true ^ flipped, np.arange(len(true)), np.random.default_rng(seed))
    said = np.zeros_like(flipped)
    for row, at, _, _ in suspected(true ^ flipped, found):
        said[row, at] = True
    areas = [auc(true[:, at], found.probabilities[:, at]) or 0.0 for at in range(true.shape[1])]
    right = int((said & flipped).sum())
    return right / max(1, int(flipped.sum())), right / max(1, int(said.sum())), int(said.sum()), float(np.mean(areas))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("train", "t10k"), default="t10k")
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    given = parser.parse_args()
    table, true = pictures(given.part, given.seed, given.images)
    print(f"{len(true)} images, {true.mean(axis=0).sum():.2f} labels an image")
    print("| flipped | recall (lowest) | precision (lowest) | suspects | area | processor s |\n|---|---|---|---|---|---|")
    for share in [0.0, *given.shares]:
        began = time.process_time()
        rows = [draw(table, true, share, seed) for seed in range(given.draws if share else 1)]
        spent = (time.process_time() - began) / len(rows)
        recall, precision, count, area = np.mean(rows, axis=0)
        low, lowest = (min(row[at] for row in rows) for at in (0, 1))
        print(
            f"| {share:.0%} | {recall:.3f} ({low:.3f}) | {precision:.3f} ({lowest:.3f}) | {count:.0f} | {area:.3f} |",
            f"{spent:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
