"""How trustworthy is `compare`? Type-I error, coverage of the interval of the difference, and power, without simulation error.

    python benchmarks/comparison.py

Each figure sums the probabilities of all results (gained, lost) of n images, so it is exact. The tables are in
docs/howto/compare.md. Further parts simulate how much the best of several equal models is flattered, and the type-I error
of the tests that compare recipes, by repeated seeds and cross-validation (`benchmarks/comparison.py recipes` runs these alone).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from pipekit.learning.significance import LEVEL, difference_interval, paired, score_test
from pipekit.rng import rng_for

SIZES = (100, 400, 2000)
DIFFERING = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of images on which the two models differ."""


def results(total: int, gained: float, lost: float) -> Iterator[tuple[int, int, float]]:
    """(gained, lost, probability) of each result that isn't next to impossible."""
    from scipy.stats import binom

    changed = np.arange(total + 1)
    chances = binom.pmf(changed, total, gained + lost)
    for number in changed[chances > 1e-9].tolist():
        wins = np.arange(number + 1)
        each = binom.pmf(wins, number, gained / (gained + lost)) * chances[number]
        for place in np.flatnonzero(each > 1e-10).tolist():
            yield place, number - place, float(each[place])


def rejected(total: int, gained: float, lost: float) -> float:
    """The probability of p < 0.05: the type-I error if gains are as likely as losses, else the power."""
    return sum(chance for a, b, chance in results(total, gained, lost) if score_test(a, b) < LEVEL)


def covered(total: int, gained: float, lost: float) -> float:
    """The probability that the interval holds the true difference."""
    found = 0.0
    for a, b, chance in results(total, gained, lost):
        low, high = difference_interval(a, b, total)
        found += chance * (low <= gained - lost <= high)
    return found


def grouped(groups: int, size: int, share: float, alike: float, trials: int) -> tuple[float, float]:
    """Type-I error and coverage of two equally good models on images in groups, each of which favours one of the models.

    Args:
        share: of the images on which the models differ.
        alike: intra-class correlation of which model is right where they differ.
    """
    rng, numbers, rejections, held = np.random.default_rng(2), np.repeat(np.arange(groups), size), 0, 0
    for _ in range(trials):
        favour = rng.beta((1 / alike - 1) / 2, (1 / alike - 1) / 2, groups)[numbers]
        differ, first = rng.random(groups * size) < share, rng.random(groups * size) < favour
        right = rng.random(groups * size) < 0.8
        found = paired(np.where(differ, first, right), np.where(differ, ~first, right), numbers)
        rejections += found["p_mcnemar"] < LEVEL
        held += found["difference"]["low"] <= 0 <= found["difference"]["high"]
    return rejections / trials, held / trials


def flattered(models: int, total: int, accuracy: float, trials: int) -> tuple[float, float]:
    """Mean flattery of the best of equal models, in accuracy: as measured, and left after the correction."""
    from pipekit.learning.selection import flattery

    rng, plain, left = np.random.default_rng(1), [], []
    for trial in range(trials):
        hard = rng.normal(size=total)
        noise = rng.normal(size=(models, total))
        from scipy.stats import norm

        correct = (np.sqrt(0.5) * hard + np.sqrt(0.5) * noise) < norm.ppf(accuracy)
        best = int(correct.mean(axis=1).argmax())
        plain.append(correct[best].mean() - accuracy)
        left.append(plain[-1] - flattery(correct, rng_for(trial, "flattery")))
    return float(np.mean(plain)), float(np.mean(left))


def seeds_rejected(images: int, seeds: int, accuracy: float, spread: float, trials: int) -> float:
    """Type-I error of `compare_seeds` for two recipes that are equally good over all images and seeds.

    An image has its own difficulty, for each recipe and each training; a seed shifts all of them by ``spread`` on average.
    """
    from scipy.stats import norm

    from pipekit.learning.recipes import compare_seeds

    rng, found = np.random.default_rng(images + seeds), 0
    limit = norm.ppf(accuracy) * np.sqrt(1.5 + spread**2)
    for _ in range(trials):
        hard, correct = rng.normal(size=images), []
        for _ in range(2):
            own = hard + 0.5 * rng.normal(size=images)
            correct.append(own + 0.5 * rng.normal(size=(seeds, images)) + spread * rng.normal(size=(seeds, 1)) < limit)
        found += compare_seeds(correct[0], correct[1])["p"] < LEVEL
    return found / trials


def folds_rejected(images: int, folds: int, trials: int, features: int = 8) -> tuple[float, float, float]:
    """Cross-validation of two linear classifiers that are equally good on average, each with its own features.

    Returns:
        the type-I error of the corrected test, that of an ordinary t-test over folds, and the coverage of the exact interval of
        the predictions out of fold for the accuracy of these models on further images, which is known here.
    """
    from scipy.stats import norm, ttest_1samp

    from pipekit.learning.recipes import compare_folds
    from pipekit.learning.significance import exact

    rng, corrected, plain, inside = np.random.default_rng(images + folds), 0, 0, 0
    middle = np.full(features, 1.2 / np.sqrt(features))
    for _ in range(trials):
        side = np.where(np.arange(images) % 2, 1.0, -1.0)
        fold = np.arange(images) // 2 % folds
        right, truth = np.zeros((2, images), bool), []
        for recipe in range(2):
            x = side[:, None] * middle + rng.normal(size=(images, features))
            for one in range(folds):
                train = (fold != one) & (fold != (one + 1) % folds)
                weights = np.linalg.solve(x[train].T @ x[train] + np.eye(features), x[train].T @ side[train])
                held = fold == one
                right[recipe, held] = (x[held] @ weights) * side[held] > 0
                if not recipe:
                    truth.append(norm.cdf(middle @ weights / np.linalg.norm(weights)))
        gains = [right[1, fold == one].mean() - right[0, fold == one].mean() for one in range(folds)]
        corrected += compare_folds(gains, 1 / (folds - 2))["p"] < LEVEL
        plain += bool(np.std(gains)) and ttest_1samp(gains, 0).pvalue < LEVEL
        low, high = exact(int(right[0].sum()), images)
        inside += low <= np.mean(truth) <= high
    return corrected / trials, plain / trials, inside / trials


def recipes() -> None:
    print("\n| images | seeds | sd between seeds | type-I error |\n|---|---|---|---|")
    for images in (100, 400):
        for seeds in (3, 5):
            for spread, shown in ((0.0, "0"), (0.1, "2 points"), (0.3, "5 points")):
                error = seeds_rejected(images, seeds, 0.85, spread, 1000)
                print(f"| {images:,} | {seeds} | {shown} | {100 * error:.1f} % |", flush=True)
    print("\n| images | folds | type-I error, corrected | not corrected | coverage of the interval |\n|---|---|---|---|---|")
    for images in (60, 120, 400):
        for folds in (5, 10):
            error, plain, inside = folds_rejected(images, folds, 1000)
            print(f"| {images} | {folds} | {100 * error:.1f} % | {100 * plain:.1f} % | {100 * inside:.1f} % |", flush=True)


def main() -> None:
    if "recipes" in sys.argv[1:]:
        recipes()
        return
    print("| images | models differ on | type-I error | coverage of the interval |\n|---|---|---|---|")
    for total in SIZES:
        for share in DIFFERING:
            error = rejected(total, share / 2, share / 2)
            cover = min(covered(total, share * part, share * (1 - part)) for part in (0.5, 0.7, 0.9))
            shown = f"{100 * cover:.1f} %"
            print(f"| {total:,} | {100 * share:g} % | {100 * error:.1f} % | {shown} |", flush=True)
    print("\n| images | difference | models differ on | power |\n|---|---|---|---|")
    for total in SIZES:
        for difference, share in ((0.01, 0.05), (0.02, 0.1), (0.05, 0.1), (0.05, 0.2), (0.1, 0.2)):
            power = rejected(total, (share + difference) / 2, (share - difference) / 2)
            print(f"| {total:,} | {100 * difference:g} points | {100 * share:g} % | {100 * power:.0f} % |", flush=True)
    print("\n| groups | images a group | models differ on | correlation | type-I error | coverage |\n|---|---|---|---|---|---|")
    for groups, size in ((20, 8), (50, 8), (120, 8)):
        for share, alike in ((0.1, 0.3), (0.2, 0.6), (0.4, 0.6)):
            error, cover = grouped(groups, size, share, alike, 1000)
            figures = f"{100 * share:g} % | {alike} | {100 * error:.1f} % | {100 * cover:.1f} %"
            print(f"| {groups} | {size} | {figures} |", flush=True)
    print(
        "\n| equal models | images | accuracy | the best is flattered by | left after the correction |\n|---|---|---|---|---|"
    )
    for models, total in ((2, 300), (5, 300), (20, 300), (20, 1000)):
        plain, left = flattered(models, total, 0.85, 200)
        print(f"| {models} | {total:,} | 0.85 | {100 * plain:.1f} points | {100 * left:+.1f} points |", flush=True)
    recipes()


if __name__ == "__main__":
    sys.exit(main())
