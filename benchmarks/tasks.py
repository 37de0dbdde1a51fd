"""How far can the figures of several labels and of numbers be trusted? Simulations with known truth, in NumPy alone.

    python benchmarks/tasks.py [conformal] [folds] [errors] [orders] [comparisons] [intervals] [ordered]

The figures are in docs/howto/tasks.md. Each row repeats a test set with the same truth many times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.compare.of_task import differences
from pipekit.builtin.evaluate import label_intervals, number_intervals, ordinal
from pipekit.learning import multilabel_metrics as several
from pipekit.learning import number_metrics as numbers
from pipekit.learning.conformal import half_width
from pipekit.learning.linear_solvers import solve_number
from pipekit.learning.significance import LEVEL, paired_mean

LABELS, SHARES = 4, (0.5, 0.3, 0.2, 0.1)
"""Number of labels, and the share of images with each."""
SETTINGS = {"four labels on 50 to 10 %": SHARES, "ten labels on 20 %": (0.2,) * 10, "a label on 3 %": (0.5, 0.3, 0.03)}
TRIALS, RESAMPLES = 300, 200


def labelled(
    chance: np.random.Generator, count: int, skill: float, shares: tuple[float, ...] = SHARES, groups: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """True labels and probabilities of a calibrated model: log odds are normal, and shifted by the label.

    Args:
        groups: images come in so many groups; those of one share their labels and half of the variance. 0: each is alone.
    """
    if not groups:
        true = chance.random((count, len(shares))) < np.array(shares)
        return true, probabilities(chance, true, skill, shares)
    places = np.arange(count) % groups
    true = (chance.random((groups, len(shares))) < np.array(shares))[places]
    return true, probabilities(chance, true, skill, shares, chance.normal(size=(groups, len(shares)))[places])


def probabilities(
    chance: np.random.Generator, true: NDArray[np.bool_], skill: float, shares: tuple[float, ...] = SHARES, common: Any = None
) -> NDArray[np.float64]:
    """Probabilities by Bayes' rule from one normal measurement, whose means differ by ``skill`` standard deviations."""
    noise = chance.normal(size=true.shape)
    measured = (noise if common is None else (noise + common) / np.sqrt(2)) + skill * true
    prior = np.log(np.array(shares) / (1 - np.array(shares)))
    return np.round(1 / (1 + np.exp(-(skill * measured - skill**2 / 2 + prior))), 6)


Coverage = dict[str, tuple[float, int]]
"""For each figure, the share of intervals that hold the truth, and the number of intervals."""


def coverage_of_labels(count: int, shares: tuple[float, ...], skill: float, trials: int, groups: int = 0) -> Coverage:
    """How many of the report's intervals hold the figures of a very large test set. One that isn't given counts as neither."""
    true, scores = labelled(np.random.default_rng(0), 200_000, skill, shares)
    once = label_intervals.figures_of(true, scores, scores >= 0.5, np.ones((1, len(true))))
    chance, held = np.random.default_rng(1), Tally()
    places = np.arange(count) % groups if groups else None
    for _ in range(trials):
        true, scores = labelled(chance, count, skill, shares, groups)
        predicted = scores >= 0.5
        found = label_intervals.measured(true, scores, predicted, places, RESAMPLES, chance)
        now = label_intervals.figures_of(true, scores, predicted, np.ones((1, count)))
        for name, bounds in found.items():
            said = several.interval(float(now[name][0]), *bounds)
            held.add("AP of a label" if name.startswith("ap") else name, said, float(once[name][0]))
    return held.shares()


def coverage_of_numbers(count: int, kind: str, trials: int, groups: int = 0) -> Coverage:
    """The same for the figures of a number."""
    large, held = numbers.errors_of(*measured(np.random.default_rng(0), 1_000_000, kind)), Tally()
    chance = np.random.default_rng(2)
    places = np.arange(count) % groups if groups else None
    for _ in range(trials):
        true, predicted = measured(chance, count, kind, groups)
        found = number_intervals.measured(true, predicted, places, RESAMPLES, chance)
        now = numbers.errors_of(true, predicted)
        for name, bounds in found.items():
            said = several.interval(now[name], *bounds)
            held.add(name, said, large[name])
    return held.shares()


def measured(
    chance: np.random.Generator, count: int, kind: str, groups: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True and predicted numbers, with errors that are normal, skewed, or heavy-tailed (Student's t)."""

    def drawn(size: int) -> NDArray[np.float64]:
        return chance.standard_t(6, size) if kind == "heavy" else chance.normal(size=size)

    true, own = chance.uniform(1, 10, count), drawn(count)
    if groups:
        own = (own + drawn(groups)[np.arange(count) % groups]) / np.sqrt(2)
    if kind == "skewed":
        own = np.exp(0.5 * own) - 1
    return true, true + own * (0.3 + 0.1 * true if kind == "heavy" else 1.0)


class Tally:
    """Counts intervals that hold."""

    def __init__(self) -> None:
        self.held: dict[str, list[bool]] = {}

    def add(self, name: str, said: several.Interval, wanted: float) -> None:
        low, high = said["low"], said["high"]
        if low is not None and high is not None:
            self.held.setdefault(name, []).append(low <= wanted <= high)

    def shares(self) -> Coverage:
        return {name: (sum(held) / len(held), len(held)) for name, held in self.held.items()}


def conformal(val: int, trials: int) -> float:
    """The share of new numbers inside the 90 % interval, over many validation sets of this size."""
    chance, inside = np.random.default_rng(3), 0.0
    for _ in range(trials):
        errors = chance.standard_t(4, val + 400) * chance.uniform(0.5, 2, val + 400)
        found = half_width(errors[:val], np.zeros(val))
        assert found is not None
        inside += float((np.abs(errors[val:]) <= found["half_width"]).mean())
    return inside / trials


def by_folds(count: int, trials: int) -> float:
    """The share of new numbers inside the interval that five folds fit, around a model of all images: ridge regression.

    As in a cross-validation of `train`, the model of a fold learns from three fifths of the images.
    """
    chance, inside = np.random.default_rng(0), 0.0
    for _ in range(trials):
        x = chance.normal(size=(count + 400, 15))
        noise = chance.standard_t(4, len(x)) * chance.uniform(0.5, 2, len(x))
        y = (x @ chance.normal(size=15) + noise)[:, None]
        fold, said = chance.permutation(count) % 5, np.zeros(count)
        for one in range(5):
            learned = (fold != one) & (fold != (one + 1) % 5)
            kernel, bias = solve_number(x[:count][learned], y[:count][learned], np.ones(int(learned.sum())), 1.0)
            said[fold == one] = (x[:count][fold == one] @ kernel + bias)[:, 0]
        found = half_width(y[:count, 0], said)
        assert found is not None
        kernel, bias = solve_number(x[:count], y[:count], np.ones(count), 1.0)
        inside += float((np.abs(y[count:] - x[count:] @ kernel - bias) <= found["half_width"]).mean())
    return inside / trials


def planted(count: int, share: float, skill: float, trials: int) -> tuple[float, float]:
    """Recall and precision of suspected labels, of ``share`` of all labels flipped at random.

    The model did not learn from these images. Only images that can be told apart are asked of: precision counts as found what
    was flipped, and what was not flipped as wrong, though some true labels are as unlikely as a flipped one.
    """
    chance, found, listed, wrong = np.random.default_rng(4), 0, 0, 0
    for _ in range(trials):
        true, scores = labelled(chance, count, skill)
        flipped = chance.random(true.shape) < share
        said = {
            (row, label) for row, label, _, _ in several.suspects(true ^ flipped, scores, [str(at) for at in range(LABELS)])
        }
        planted_at = {(int(row), str(at)) for row, at in zip(*np.nonzero(flipped), strict=True)}
        found, listed, wrong = found + len(said & planted_at), listed + len(said), wrong + len(planted_at)
    return found / max(1, wrong), found / max(1, listed)


def comparing_labels(count: int, skills: tuple[float, float], trials: int) -> tuple[float, float]:
    """The share of pairs that `compare` calls different by mAP, and whose interval holds the true difference."""
    chance = np.random.default_rng(5)
    true = chance.random((100_000, LABELS)) < np.array(SHARES)
    large = [several.mean_average_precision(true, probabilities(chance, true, skill)) or 0.0 for skill in skills]
    wanted = 0.0 if skills[0] == skills[1] else large[1] - large[0]

    def one() -> tuple[dict[str, Any], float]:
        true = chance.random((count, LABELS)) < np.array(SHARES)
        scores = tuple(probabilities(chance, true, skill) for skill in skills)
        said = tuple(table >= 0.5 for table in scores)
        return differences(true, said, scores, resamples=199)["mean_average_precision"], wanted  # type: ignore[arg-type]

    return _rates(one, trials)


def comparing_numbers(count: int, groups: int, worse: float, trials: int) -> tuple[float, float]:
    """The same for the mean absolute error of two models. Errors are skewed, and images of one group share a part of theirs."""
    chance = np.random.default_rng(6)
    numbers_of = None if groups == count else np.arange(count) % groups

    def errors(factor: float, number: int, places: Any) -> NDArray[np.float64]:
        own = chance.normal(size=number)
        if places is not None:
            own = 0.7 * own + 0.7 * chance.normal(size=groups)[places]
        return np.exp(0.8 * own) * factor

    scale = float(np.exp(0.8**2 * (1 if groups == count else 0.98) / 2))

    def one() -> tuple[dict[str, Any], float]:
        return paired_mean(errors(1 + worse, count, numbers_of) - errors(1, count, numbers_of), numbers_of), worse * scale

    return _rates(one, trials)


def _rates(one: Callable[[], tuple[dict[str, Any], float]], trials: int) -> tuple[float, float]:
    rejected = held = 0
    for _ in range(trials):
        found, wanted = one()
        rejected += found["p"] < LEVEL
        held += found["difference"]["low"] <= wanted <= found["difference"]["high"]
    return rejected / trials, held / trials


def intervals_cover() -> None:
    """Every setting, with the lowest coverage of a figure; at least a quarter of the test sets have an interval of it."""
    print("Coverage of 95 % intervals of several labels: the three lowest")
    for name, shares in SETTINGS.items():
        for skill in (1.5, 3.0):
            for count, groups in ((50, 0), (100, 0), (200, 0), (800, 0), (400, 40)):
                found = coverage_of_labels(count, shares, skill, TRIALS, groups)
                _show(f"{name}, separation {skill}, {count} images{f' in {groups} groups' if groups else ''}", found)
    print("Coverage of 95 % intervals of numbers")
    for kind in ("normal", "heavy", "skewed"):
        for count, groups in ((20, 0), (50, 0), (100, 0), (200, 0), (800, 0), (400, 40)):
            found = coverage_of_numbers(count, kind, TRIALS, groups)
            _show(f"{kind} errors, {count} images{f' in {groups} groups' if groups else ''}", found, 9)


def ordered_cover() -> None:
    """Classes in an order: the true class plus a normal error, rounded."""
    print("Coverage of 95 % intervals of ordered classes")
    for classes in (3, 6):
        for spread in (0.25, 0.5, 1.0):
            for count, groups in ((10, 0), (20, 0), (50, 0), (200, 0), (200, 20)):
                found = coverage_of_ordered(classes, spread, count, groups)
                _show(f"{classes} classes, error {spread}, {count} images{f' in {groups} groups' if groups else ''}", found)


def coverage_of_ordered(classes: int, spread: float, count: int, groups: int, trials: int = 250) -> Coverage:
    """How many intervals of kappa and of the mean distance hold the figures of a very large test set."""

    def drawn(chance: np.random.Generator, size: int, places: Any = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shares = np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum()
        true, noise = chance.choice(classes, size if places is None else groups, p=shares), chance.normal(size=size)
        if places is not None:
            true, noise = true[places], (noise + chance.normal(size=groups)[places]) / np.sqrt(2)
        return true, np.clip(np.round(true + noise * spread), 0, classes - 1).astype(np.int64)

    true, said = drawn(np.random.default_rng(0), 400_000)
    large = {
        "quadratic_kappa": numbers.quadratic_kappa(true, said, classes),
        "mean_distance": float(np.abs(true - said).mean()),
    }
    chance, held = np.random.default_rng(1), Tally()
    places = np.arange(count) % groups if groups else None
    for _ in range(trials):
        true, said = drawn(chance, count, places)
        for name, (low, high) in ordinal.bounds_of(true, said, classes, places, chance).items():
            held.add(name, {"value": None, "low": low, "high": high}, float(large[name] or 0))
    return held.shares()


def orders_compared(draws: int = 5) -> None:
    """The average precision of other orders of suspects: 5 % of the labels of 1,000 images are flipped."""
    print("Planted label errors: average precision of the order")
    for skill in (2.3, 3.0, 4.0):
        true, scores = labelled(np.random.default_rng(1), 1000, skill)
        chance, found = np.random.default_rng(0), []
        for _ in range(draws):
            flipped = chance.random(true.shape) < 0.05
            given = true ^ flipped
            own, odds = np.where(given, scores, 1 - scores), np.log(scores.clip(1e-6, 1 - 1e-6) / (1 - scores).clip(1e-6))
            usual = [
                np.where(given, own, 0).sum(axis=0) / given.sum(axis=0),
                np.where(given, 0, own).sum(axis=0) / (~given).sum(axis=0),
            ]
            free = odds - np.log(given.mean(axis=0) / (1 - given.mean(axis=0)))
            orders = (1 - own, np.where(given, *usual) - own, np.where(given, -free, free))
            found.append([several.average_precision(flipped.ravel(), order.ravel()) for order in orders])
        print(
            f"  separation {skill}: probability, margin, odds:",
            *(f"{value:.3f}" for value in np.mean(found, axis=0)),
            flush=True,
        )


def _show(what: str, found: Coverage, shown: int = 3) -> None:
    enough = {name: (share, given) for name, (share, given) in found.items() if given >= TRIALS / 4}
    lowest = sorted(enough.items(), key=lambda one: one[1][0])[:shown]
    words = ", ".join(f"{name} {share:.1%}{f' ({given})' if given < TRIALS else ''}" for name, (share, given) in lowest)
    print(f"  {what}: {words}", flush=True)


def conformal_covers() -> None:
    print("Share of new numbers in the 90 % interval (split conformal)")
    for val in (9, 20, 50, 200, 1000):
        print(f"  {val:4} images of val: {conformal(val, 2000):.1%}", flush=True)


def folds_cover() -> None:
    print("Share of new numbers in the 90 % interval that a cross-validation fits")
    for count in (30, 60, 200, 1000):
        print(f"  {count:4} images: {by_folds(count, 400):.1%}", flush=True)


def errors_are_found() -> None:
    print("Planted label errors: recall and precision")
    for share in (0.02, 0.05, 0.1):
        for skill in (3.0, 4.0, 5.0):
            recall, precision = planted(2000, share, skill, 20)
            area = several.auc(*(one[:, 0] for one in labelled(np.random.default_rng(0), 20_000, skill)))
            print(f"  {share:.0%} of the labels, AUC {area:.4f}: recall {recall:.3f}, precision {precision:.3f}", flush=True)


def comparisons_hold() -> None:
    print("Comparison: called different, interval holds the true difference")
    for count, groups in ((50, 50), (200, 200), (200, 20), (800, 80)):
        for worse in (0.0, 0.2):
            rates = comparing_numbers(count, groups, worse, 2000)
            print(f"  {count:4} images, {groups:3} groups, {worse:.0%} larger error:", *(f"{x:.1%}" for x in rates), flush=True)
    for count in (50, 200):
        for skill in (1.5, 1.8):
            rates = comparing_labels(count, (1.5, skill), 100)
            print(f"  {count:4} images, labels, separations 1.5 and {skill}:", *(f"{x:.1%}" for x in rates), flush=True)


PARTS = {
    "conformal": conformal_covers,
    "folds": folds_cover,
    "errors": errors_are_found,
    "orders": orders_compared,
    "comparisons": comparisons_hold,
    "intervals": intervals_cover,
    "ordered": ordered_cover,
}


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
