"""How often do the report's 95 % intervals hold the truth? Over numbers of images, imbalance of the classes, and accuracy.

    python benchmarks/coverage.py [--trials 1000]

For each setting, test sets are drawn from a known confusion matrix, and the intervals are computed as `evaluate` does. An
interval that isn't given counts as neither;
settings in which fewer than half of the test sets get one are left out. A setting whose
coverage seems low is simulated again with ten times as many new test sets, so that the lowest figure isn't the unluckiest. The
tables are in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals

SIZES = (50, 100, 300, 1000)
ACCURACIES = (0.6, 0.8, 0.9, 0.97, 0.99, 0.997)
SHAPES = ("even", "95 % in one class", "98 % in one class", "each 0.6 of the one before")
LOWEST, SEEMS_LOW, AGAIN, LEAST_GIVEN = 0.93, 0.94, 10, 0.5


def class_shares(number: int, shape: str) -> NDArray[np.float64]:
    """The classes' shares of the images."""
    if shape == "even":
        found = np.ones(number)
    elif shape.startswith("9"):
        most = float(shape[:2])
        found = np.array([most, *[(100 - most) / (number - 1)] * (number - 1)])
    else:
        found = 0.6 ** np.arange(number)
    return np.asarray(found / found.sum())


def truth(shares: NDArray[np.float64], accuracy: float, pattern: str) -> NDArray[np.float64]:
    """A confusion matrix of probabilities: one recall, or less for rarer classes; mistakes even, or to frequent classes."""
    number = len(shares)
    recall = np.full(number, accuracy)
    if pattern == "rare classes worse":
        recall = accuracy - (accuracy - 0.5) * (1 - shares / shares.max())
    found = np.zeros((number, number))
    for row in range(number):
        spread = shares.copy() if pattern == "mistakes to frequent classes" else np.ones(number)
        spread[row] = 0
        found[row] = shares[row] * (1 - recall[row]) * spread / spread.sum()
        found[row, row] = shares[row] * recall[row]
    return found


def settings(class_numbers: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[tuple[int, str, int, float, str]]:
    for number in class_numbers:
        for shape in SHAPES:
            for size in sizes:
                for accuracy in ACCURACIES:
                    for pattern in ("same recall", "rare classes worse", "mistakes to frequent classes"):
                        if not (shape == "even" and pattern != "same recall"):
                            yield number, shape, size, accuracy, pattern


def covered(chances: NDArray[np.float64], size: int, trials: int, rng: np.random.Generator) -> dict[str, tuple[int, int]]:
    """For each figure: (intervals given, intervals that hold the truth)."""
    matrices = rng.multinomial(size, chances.ravel(), trials).reshape(trials, *chances.shape)
    enough = (matrices.sum(axis=2) >= intervals.FEWEST).all(axis=1)
    found: dict[str, tuple[int, int]] = {}
    kept = matrices[enough].astype(np.float64)
    values, true = intervals.influences(kept), intervals.influences(chances)
    for name, (low, high) in intervals.bounds(kept).items():
        value, truth = values[name][0], float(true[name][0])
        holds = (np.minimum(low, value) <= truth + 1e-9) & (truth - 1e-9 <= np.maximum(high, value))
        found[name] = int(enough.sum()), int(holds.sum())

    def count(name: str, hits: NDArray[np.int64], totals: NDArray[np.int64], truth: float) -> None:
        pairs = [(h, n) for h, n in zip(hits.tolist(), totals.tolist(), strict=True) if n]
        held = sum(low - 1e-9 <= truth <= high + 1e-9 for low, high in (exact(*pair) for pair in pairs))
        found[name] = len(pairs), held

    hits, rows, columns = matrices[:, -1, -1], matrices[:, -1].sum(axis=1), matrices[:, :, -1].sum(axis=1)
    either = float(chances[-1].sum() + chances[:, -1].sum() - chances[-1, -1])
    count("accuracy", np.trace(matrices, axis1=1, axis2=2), np.full(trials, size), float(np.trace(chances)))
    count("recall of the rarest class", hits, rows, float(chances[-1, -1] / chances[-1].sum()))
    count("F1 of the rarest class", hits, rows + columns - hits, float(chances[-1, -1]) / either)
    return found


exact = cache(intervals.exact)


def auc_covered(m: int, n: int, area: float, shape: str, trials: int, rng: np.random.Generator) -> tuple[int, int]:
    """The area under the ROC curve, for normal scores, for scores that spread more in one class, and for two clusters."""
    from scipy.stats import norm

    held = 0
    for _ in range(trials):
        negative = rng.normal(size=n)
        if shape == "normal":
            positive = rng.normal(norm.ppf(area) * 2**0.5, 1, m)
        elif shape == "one class spreads 3 times as much":
            positive = rng.normal(norm.ppf(area) * 10**0.5, 3, m)
        else:
            positive, negative = rng.random(m) + (rng.random(m) >= 2 * (1 - area)), rng.random(n)
        found = intervals.auc(positive, negative)
        held += (found["low"] or 0) <= area <= (found["high"] or 0)
    return trials, held


def grouped_covered(groups: int, size: int, alike: float, accuracy: float, trials: int, rng: np.random.Generator) -> float:
    """Coverage for the accuracy where the images of a group are alike: beta-binomial with an intra-class correlation."""
    total, held = 1 / alike - 1, 0
    numbers = np.repeat(np.arange(groups), size)
    for _ in range(trials):
        chance = rng.beta(accuracy * total, (1 - accuracy) * total, groups)
        found = intervals.share_of(rng.random(groups * size) < np.repeat(chance, size), numbers)
        held += (found["low"] or 0) <= accuracy <= (found["high"] or 0)
    return held / trials


def grouped_auc_covered(
    groups: tuple[int, int], size: int, alike: float, area: float, shape: str, trials: int, rng: np.random.Generator
) -> float:
    """Coverage for the area under the ROC curve where the scores of a group are alike.

    Args:
        groups: numbers of groups of the class and of the others; groups with both classes have their shares of images.
        shape: how the groups come: of one class each; of both, scoring high together; of both, hard together.
    """
    from scipy.stats import norm

    held, total = 0, sum(groups)
    numbers = np.repeat(np.arange(total), size)
    for _ in range(trials):
        positive = numbers < groups[0] if shape == "one class each" else rng.random(total * size) < groups[0] / total
        own = rng.normal(size=total)[numbers] * (np.where(positive, 1, -1) if shape == "hard together" else 1)
        scores = alike**0.5 * own + (1 - alike) ** 0.5 * rng.normal(size=total * size) + positive * norm.ppf(area) * 2**0.5
        found = intervals.auc(scores[positive], scores[~positive], (numbers[positive], numbers[~positive]))
        held += (found["low"] or 0) <= area <= (found["high"] or 1)
    return held / trials


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[float, float, str]]] = defaultdict(list)

    def add(name: str, found: tuple[int, int], drawn: int, where: str) -> None:
        if found[0] >= LEAST_GIVEN * drawn:
            rows[name].append((found[1] / found[0], found[0] / drawn, where))

    def low(found: tuple[int, int], drawn: int) -> bool:
        return found[0] >= LEAST_GIVEN * drawn and found[1] < SEEMS_LOW * found[0]

    for number, shape, size, accuracy, pattern in settings((2, 5, 10), SIZES):
        chances, drawn = truth(class_shares(number, shape), accuracy, pattern), trials
        found = covered(chances, size, drawn, rng)
        if any(low(one, drawn) for one in found.values()):
            drawn *= AGAIN
            found = covered(chances, size, drawn, rng)
        for name, one in found.items():
            add(name, one, drawn, f"{number} classes, {shape}; {size} images, {accuracy}, {pattern}")
    for m, n in ((10, 10), (10, 90), (25, 25), (20, 280), (50, 250)):
        for area in (0.5, 0.7, 0.85, 0.95, 0.98, 0.995, 0.999):
            for shape in ("normal", "one class spreads 3 times as much", "two clusters"):
                one, drawn = auc_covered(m, n, area, shape, trials // 2, rng), trials // 2
                if low(one, drawn):
                    drawn *= AGAIN
                    one = auc_covered(m, n, area, shape, drawn, rng)
                add("area under the ROC curve", one, drawn, f"{m} and {n} images, {area}, {shape}")
    print("| figure | settings | mean coverage | lowest | below 93 % | where it is lowest |\n|---|---|---|---|---|---|")
    for name, cells in rows.items():
        lowest = min(cells)
        mean, below = np.mean([share for share, _, _ in cells]), sum(share < LOWEST for share, _, _ in cells)
        print(f"| {name} | {len(cells)} | {100 * mean:.1f} % | {100 * lowest[0]:.1f} % | {below} | {lowest[2]} |")
    print("\n| groups | images a group | intra-class correlation | accuracy | coverage |\n|---|---|---|---|---|")
    for groups, size in ((10, 8), (20, 8), (50, 4), (50, 10), (120, 8)):
        for alike in (0.3, 0.6):
            for accuracy in (0.6, 0.8, 0.95):
                share = grouped_covered(groups, size, alike, accuracy, trials // 2, rng)
                print(f"| {groups} | {size} | {alike} | {accuracy} | {100 * share:.1f} % |")
    grouped_auc(trials // 2, rng)


GROUPED_AUC = (
    *(((10, 10), 8, 0.6, 0.6), ((10, 10), 8, 0.6, 0.95), ((10, 90), 4, 0.6, 0.8), ((10, 90), 8, 0.3, 0.6)),
    *(((10, 90), 8, 0.6, 0.95), ((10, 90), 8, 0.6, 0.99), ((25, 25), 8, 0.3, 0.6), ((25, 25), 8, 0.6, 0.8)),
    *(((25, 25), 4, 0.6, 0.95), ((25, 25), 8, 0.6, 0.99)),
)
"""Groups in and out of the class, images a group, intra-class correlation of the scores, area."""


def grouped_auc(trials: int, rng: np.random.Generator) -> None:
    """The table of the area under the ROC curve with groups: the coverage for each way to come in groups."""
    shapes = ("one class each", "high together", "hard together")
    print(f"\n| groups in and out of the class | images a group | correlation | area | {' | '.join(shapes)} |")
    print("|---|---|---|---|---|---|---|")
    for groups, size, alike, area in GROUPED_AUC:
        shares = [grouped_auc_covered(groups, size, alike, area, shape, trials, rng) for shape in shapes]
        figures = " | ".join(f"{100 * share:.1f} %" for share in shares)
        print(f"| {groups[0]} and {groups[1]} | {size} | {alike} | {area} | {figures} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
