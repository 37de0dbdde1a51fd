"""How far can the figures of several labels and of numbers be trusted? Simulations with known truth, in NumPy alone.

    python benchmarks/tasks.py [conformal] [errors] [comparisons] [intervals]

The figures are in docs/howto/tasks.md. Each row repeats a test set with the same truth many times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.compare.of_task import differences
from pipekit.builtin.evaluate import intervals
from pipekit.learning import multilabel_metrics as several
from pipekit.learning import number_metrics as numbers
from pipekit.learning.conformal import half_width
from pipekit.learning.significance import LEVEL, paired_mean

LABELS, SHARES = 4, (0.5, 0.3, 0.2, 0.1)
"""Number of labels, and the share of images with each."""


def labelled(chance: np.random.Generator, count: int, skill: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """True labels and probabilities of a calibrated model: log odds are normal, and shifted by the label."""
    true = chance.random((count, LABELS)) < np.array(SHARES)
    return true, probabilities(chance, true, skill)


def probabilities(chance: np.random.Generator, true: NDArray[np.bool_], skill: float) -> NDArray[np.float64]:
    """Probabilities by Bayes' rule from one normal measurement, whose means differ by ``skill`` standard deviations."""
    measured = chance.normal(size=true.shape) + skill * true
    prior = np.log(np.array(SHARES) / (1 - np.array(SHARES)))
    return np.round(1 / (1 + np.exp(-(skill * measured - skill**2 / 2 + prior))), 6)


def averages_of(true: Any, scores: Any, some: Any) -> NDArray[np.float64]:
    """mAP, macro F1, micro F1 and Hamming loss of some images."""
    predicted = scores[some] >= 0.5
    found = several.averages(true[some], predicted)
    mean = several.mean_average_precision(true[some], scores[some])
    return np.array([np.nan if mean is None else mean, found["macro_f1"], found["micro_f1"], found["hamming_loss"]])


def coverage_of_labels(count: int, trials: int) -> dict[str, float]:
    """The share of test sets whose 95 % intervals hold the figures of a very large test set."""
    chance = np.random.default_rng(1)
    true, scores = labelled(chance, 200_000, 1.5)
    wanted = averages_of(true, scores, np.arange(len(true)))
    recall = several.precision_recall_f1(true, scores >= 0.5)[1]
    held, of_recall = np.zeros(4), np.zeros(LABELS)
    for _ in range(trials):
        true, scores = labelled(chance, count, 1.5)
        low, high = several.bootstrap(lambda some: averages_of(true, scores, some), count, None, 200, chance)  # noqa: B023
        now = averages_of(true, scores, np.arange(count))
        held += (np.minimum(low, now) <= wanted) & (wanted <= np.maximum(high, now))
        for at in range(LABELS):
            found = intervals.share_of(scores[true[:, at], at] >= 0.5, None)
            of_recall[at] += found["low"] is None or found["low"] <= recall[at] <= found["high"]
    names = ("mAP", "macro F1", "micro F1", "Hamming loss")
    return {**dict(zip(names, held / trials, strict=True)), "recall of a label (lowest)": float(of_recall.min() / trials)}


def coverage_of_numbers(count: int, trials: int) -> dict[str, float]:
    """The same for MAE, RMSE and R² of errors with heavy tails that grow with the number."""
    chance = np.random.default_rng(2)

    def measured(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        true = chance.uniform(0, 10, number)
        return true, true + (0.3 + 0.1 * true) * chance.standard_t(6, number)

    names = ("mae", "rmse", "r2", "bias")
    large = numbers.errors_of(*measured(2_000_000))
    wanted, held = np.array([large[name] for name in names]), np.zeros(len(names))
    for _ in range(trials):
        true, predicted = measured(count)

        def figures(some: Any, true: Any = true, predicted: Any = predicted) -> NDArray[np.float64]:
            found = numbers.errors_of(true[some], predicted[some])
            return np.array([found[name] for name in names])

        low, high = several.bootstrap(figures, count, None, 300, chance)
        held += (low <= wanted) & (wanted <= high)
    return dict(zip(("MAE", "RMSE", "R²", "bias"), held / trials, strict=True))


def conformal(val: int, trials: int) -> float:
    """The share of new numbers inside the 90 % interval, over many validation sets of this size."""
    chance, inside = np.random.default_rng(3), 0.0
    for _ in range(trials):
        errors = chance.standard_t(4, val + 400) * chance.uniform(0.5, 2, val + 400)
        found = half_width(errors[:val], np.zeros(val))
        assert found is not None
        inside += float((np.abs(errors[val:]) <= found["half_width"]).mean())
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
    print("Coverage of 95 % intervals")
    for count in (50, 200, 800):
        print(f"  {count:4} images, labels: ", _line(coverage_of_labels(count, 150)), flush=True)
        print(f"  {count:4} images, numbers:", _line(coverage_of_numbers(count, 200)), flush=True)


def conformal_covers() -> None:
    print("Share of new numbers in the 90 % interval (split conformal)")
    for val in (9, 20, 50, 200, 1000):
        print(f"  {val:4} images of val: {conformal(val, 2000):.1%}", flush=True)


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
    "errors": errors_are_found,
    "comparisons": comparisons_hold,
    "intervals": intervals_cover,
}


def _line(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in found.items())


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
