"""Intervals of several labels and of numbers: they hold, and where they don't, the report says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipekit.builtin.evaluate import intervals, label_intervals, number_intervals, ordinal, several
from pipekit.builtin.evaluate.numbers import few
from pipekit.learning import multilabel_metrics as figures
from pipekit.learning import number_metrics as numbers
from pipekit.learning.recipes import compare_folds, compare_seeds
from pipekit.learning.significance import of_resamples, paired_mean

SHARES = np.array([0.5, 0.3, 0.15])
LEAST = 0.93 - 2 * np.sqrt(0.93 * 0.07 / 120)
"""93 % less two standard errors of 120 simulations."""


def labelled(chance: np.random.Generator, count: int, skill: float) -> tuple[Any, Any]:
    true = chance.random((count, 3)) < SHARES
    measured = chance.normal(size=true.shape) + skill * true
    return true, 1 / (1 + np.exp(-(skill * measured - skill**2 / 2 + np.log(SHARES / (1 - SHARES)))))


def test_counted_images_have_the_figures_of_repeated_ones() -> None:
    chance = np.random.default_rng(0)
    true, scores = labelled(chance, 40, 1.0)
    scores = np.round(scores, 1)
    counts = chance.integers(0, 4, (3, 40)).astype(float)
    counts[2] = ~true[:, 0]  # no counted image has the first label
    found = label_intervals.figures_of(true, scores, scores >= 0.5, counts)
    for row, times in enumerate(counts.astype(int)):
        some = np.repeat(np.arange(40), times)
        for name, value in figures.averages(true[some], scores[some] >= 0.5).items():
            assert found[name][row] == pytest.approx(value, abs=1e-12)
        precisions = [figures.average_precision(true[some, at], scores[some, at]) for at in range(3)]
        for at, one in enumerate(precisions):
            assert found[f"ap{at}"][row] == pytest.approx(np.nan if one is None else one, abs=1e-12, nan_ok=True)
        assert found["map"][row] == pytest.approx(figures.mean_average_precision(true[some], scores[some]), abs=1e-12)


@pytest.mark.parametrize("skill", [1.5, 3.0])
def test_intervals_of_labels_hold_for_sixty_images(skill: float) -> None:
    """``benchmarks/tasks.py`` has the whole grid."""
    true, scores = labelled(np.random.default_rng(1), 100_000, skill)
    wanted = label_intervals.figures_of(true, scores, scores >= 0.5, np.ones((1, len(true))))
    chance = np.random.default_rng(2)
    held: dict[str, list[bool]] = {name: [] for name in wanted}
    for _ in range(120):
        true, scores = labelled(chance, 60, skill)
        now = label_intervals.figures_of(true, scores, scores >= 0.5, np.ones((1, 60)))
        for name, bounds in label_intervals.measured(true, scores, scores >= 0.5, None, 100, chance).items():
            said = figures.interval(float(now[name][0]), *bounds)
            if said["low"] is not None and said["high"] is not None:
                held[name].append(said["low"] <= wanted[name][0] <= said["high"])
    assert {name: np.mean(one) for name, one in held.items() if len(one) < 100 or np.mean(one) < LEAST} == {}


@pytest.mark.parametrize(("have", "stated"), [(4, False), (5, True), (35, True), (36, False)])
def test_averages_have_no_interval_where_four_images_have_a_label_or_have_not(have: int, stated: bool) -> None:
    chance = np.random.default_rng(3)
    true = chance.random((40, 3)) < 0.5
    true[:, 2] = np.arange(40) < have
    scores = np.clip(0.4 * true + 0.6 * chance.random((40, 3)), 0, 1)
    found = label_intervals.measured(true, scores, scores >= 0.5, None, 50, chance)
    assert {name: bool(np.isfinite(found[name]).all()) for name in ("map", "macro_f1", "ap2", "micro_f1", "ap0")} == {
        "map": stated,
        "macro_f1": stated,
        "ap2": stated,
        "micro_f1": True,
        "ap0": True,
    }
    said = several.doubts(true, ("a", "b", "c"), None)
    assert bool(said) is not stated
    assert stated or said[0].startswith(f"mAP and the macro averages have no interval: of 40 images, 'c' on {have};")


def test_images_in_five_groups_have_no_intervals() -> None:
    chance = np.random.default_rng(4)
    true, scores = labelled(chance, 100, 1.5)
    for number, stated in ((5, False), (6, True)):
        groups = np.arange(100) % number
        found = label_intervals.measured(true, scores, scores >= 0.5, groups, 50, chance)
        assert bool(np.isfinite(found["micro_f1"]).all()) is stated
        assert bool(several.doubts(true, "abc", groups)) is not stated
        of_number = number_intervals.measured(scores[:, 0], scores[:, 1], groups, 50, chance)
        assert bool(np.isfinite(of_number["mae"]).all()) is stated
        assert any("no figure" in said for said in few(scores[:, 0], groups)) is not stated


def test_few_groups_widen_the_intervals_of_images_that_are_alike() -> None:
    chance = np.random.default_rng(5)
    true, scores = (np.repeat(one, 10, axis=0) for one in labelled(chance, 30, 1.5))
    groups = np.repeat(np.arange(30), 10)
    alone, together = (
        label_intervals.measured(true, scores, scores >= 0.5, some, 200, np.random.default_rng(6)) for some in (None, groups)
    )
    for name in ("map", "micro_f1", "samples_f1", "hamming_loss"):
        assert together[name][1] - together[name][0] > 2 * (alone[name][1] - alone[name][0])


def test_a_label_without_a_mistake_counts_as_two_of_four_more_images() -> None:
    """24 of 24 are 26 of 28: 2.05 standard errors of that share below it."""
    true = np.zeros((48, 1), bool)
    true[:24] = True
    found = label_intervals.measured(true, true * 0.8 + 0.1, true, None, 100, np.random.default_rng(0))
    share = 26 / 28
    low = share - 2.05 * np.sqrt(share * (1 - share) / 28)
    assert found["macro_recall"] == pytest.approx((low, 1.0))
    assert found["ap0"] == pytest.approx((low, 1.0))


# --- numbers -------------------------------------------------------------------------------------------------------------


def heavy(chance: np.random.Generator, count: int) -> tuple[Any, Any]:
    true = chance.uniform(1, 10, count)
    return true, true + (0.3 + 0.1 * true) * chance.standard_t(6, count)


def test_intervals_of_numbers_hold_for_sixty_images_with_heavy_tails() -> None:
    """``benchmarks/tasks.py`` has the whole grid."""
    wanted = numbers.errors_of(*heavy(np.random.default_rng(1), 1_000_000))
    chance = np.random.default_rng(2)
    held: dict[str, list[bool]] = {name: [] for name in wanted}
    for _ in range(120):
        true, predicted = heavy(chance, 60)
        for name, (low, high) in number_intervals.measured(true, predicted, None, 200, chance).items():
            held[name].append(low <= wanted[name] <= high)
    assert {name: np.mean(one) for name, one in held.items() if np.mean(one) < LEAST} == {}


@pytest.mark.parametrize(("count", "stated"), [(9, False), (10, True)])
def test_nine_numbers_have_no_intervals(count: int, stated: bool) -> None:
    true = np.arange(float(count)) + 1
    predicted = true + np.resize([0.1, -0.2, 0.3], count)
    found = number_intervals.measured(true, predicted, None, 100, np.random.default_rng(0))
    assert {name: bool(np.isfinite(one).all()) for name, one in found.items()} == dict.fromkeys(found, stated)
    words = "with 10 images, the intervals" if stated else "no figure has an interval: there are 9 images, and 10 are needed"
    assert few(true, None)[0].startswith(words)


def test_the_bootstrap_t_leaves_out_three_percent() -> None:
    """A mean of as many normal numbers as here: 2.17 standard errors on either side, 97 % of the normal distribution."""
    errors = np.random.default_rng(0).normal(size=1000)
    low, high = number_intervals.measured(np.zeros(1000), errors, None, 3000, np.random.default_rng(1))["bias"]
    assert (high - low) / 2 == pytest.approx(2.17 * errors.std() / np.sqrt(1000), rel=0.06)


def test_numbers_of_groups_count_once() -> None:
    chance = np.random.default_rng(7)
    true, predicted = (np.repeat(one, 10) for one in heavy(chance, 40))
    groups = np.repeat(np.arange(40), 10)
    alone, together = (
        number_intervals.measured(true, predicted, some, 300, np.random.default_rng(8)) for some in (None, groups)
    )
    for name in ("mae", "rmse", "bias", "r2", "median_error"):
        ratio = (together[name][1] - together[name][0]) / (alone[name][1] - alone[name][0])
        assert 1.5 < ratio < 6, f"about the root of 10 for {name}"


def test_perfect_and_constant_numbers_are_measured() -> None:
    same = np.full(20, 2.5)
    for true, predicted in ((same, same), (same, same + 1), (np.arange(20.0), np.arange(20.0))):
        found = number_intervals.measured(true, predicted, None, 50, np.random.default_rng(0))
        assert set(found) == set(numbers.errors_of(true, predicted))


@pytest.mark.parametrize(("count", "said"), [(99, True), (100, False)])
def test_fewer_than_a_hundred_images_or_groups_are_said(count: int, said: bool) -> None:
    assert bool(few(np.zeros(count), None)) is said
    assert not said or few(np.zeros(count), None)[0].startswith(
        "with 99 images, the intervals of RMSE, R² and MAPE are too narrow"
    )
    assert bool(few(np.zeros(400), np.arange(400) % count)) is said


# --- ordered classes -----------------------------------------------------------------------------------------------------


def grades(chance: np.random.Generator, count: int, spread: float) -> tuple[Any, Any]:
    true = chance.choice(4, count, p=(0.4, 0.3, 0.2, 0.1))
    return true, np.clip(np.round(true + spread * chance.normal(size=count)), 0, 3).astype(np.int64)


def test_influences_are_the_derivatives_of_the_figures() -> None:
    """One more thousandth of an image in a cell, against the difference of the figures."""
    true, said = grades(np.random.default_rng(0), 60, 0.7)
    counts = np.bincount(true * 4 + said, minlength=16).reshape(4, 4).astype(float)
    found = ordinal.influences(counts)
    assert float(found["quadratic_kappa"][0]) == pytest.approx(numbers.quadratic_kappa(true, said, 4))
    assert float(found["mean_distance"][0]) == pytest.approx(np.abs(true - said).mean())
    for name, (value, each) in found.items():
        for cell in ((0, 0), (1, 2), (3, 0)):
            more = counts.copy()
            more[cell] += 1e-3
            slope = (float(ordinal.influences(more)[name][0]) - float(value)) / 1e-3 * 60
            assert each[cell] == pytest.approx(slope, rel=1e-3, abs=1e-3), (name, cell)


@pytest.mark.parametrize("spread", [0.25, 0.8])
@pytest.mark.parametrize(("count", "groups"), [(12, None), (80, 16)])
def test_intervals_of_ordered_classes_hold(spread: float, count: int, groups: int | None) -> None:
    """``benchmarks/tasks.py`` has the whole grid."""
    true, said = grades(np.random.default_rng(1), 300_000, spread)
    wanted = {"quadratic_kappa": numbers.quadratic_kappa(true, said, 4), "mean_distance": np.abs(true - said).mean()}
    chance = np.random.default_rng(2)
    held: dict[str, list[bool]] = {name: [] for name in wanted}
    for _ in range(60):
        true, said = grades(chance, count if groups is None else groups, spread)
        places = None if groups is None else np.arange(count) % groups
        true, said = (true, said) if places is None else (true[places], said[places])
        for name, (low, high) in ordinal.bounds_of(true, said, 4, places, chance).items():
            held[name].append(low <= wanted[name] <= high)
    assert {name: np.mean(one) for name, one in held.items() if np.mean(one) < 0.93 - 2 * np.sqrt(0.93 * 0.07 / 60)} == {}


@pytest.mark.parametrize(("count", "stated"), [(9, False), (10, True)])
def test_ordered_classes_need_ten_images_for_an_interval(count: int, stated: bool) -> None:
    true = np.arange(count) % 3
    found = ordinal.measure(true, true, ("a", "b", "c"), ("a", "b", "c"), None, np.random.default_rng(0))
    assert found is not None
    assert (found["quadratic_kappa"]["low"] is not None) is stated
    assert (found["mean_distance"]["high"] is not None) is stated


# --- no certainty from few images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 9, 10, 11, 25])
def test_no_interval_of_a_perfect_model_has_no_width(count: int) -> None:
    """Each figure of ``evaluate`` and of ``compare``, where no mistake was seen: an interval, if any, is at least as wide as
    that of a share of as many images would be if one of four more were wrong."""
    chance, some = np.random.default_rng(0), np.arange(count)
    true = np.stack([some % 2 == 0, some % 2 == 1], axis=1)
    scores = np.where(true, 0.9, 0.1)
    bounds = dict(label_intervals.measured(true, scores, true, None, 50, chance))
    classes = some % 2
    bounds |= {f"class {name}": one for name, one in ordinal.bounds_of(classes, classes, 2, None, chance).items()}
    bounds |= number_intervals.measured(some * 1.0, some * 1.0, None, 50, chance)
    bounds.pop("median_error")  # at least half of all images have such an error with 95 %, whatever the others have
    area = intervals.auc(scores[true[:, 0], 0], scores[~true[:, 0], 0])
    averages = intervals.averages(np.bincount(classes * 2 + classes, minlength=4).reshape(2, 2), classes, classes, None)
    stated = [area, *averages.values(), intervals.share_of(classes == classes)]
    both = np.ones((3, count), bool)
    stated += [compare_seeds(both, both)["difference"], compare_folds([0.0] * count, 0.25)["difference"]]
    stated += [compare_folds([0.1] * count, 0.25)["difference"], of_resamples(0.0, np.zeros(500), count)["difference"]]
    stated += [paired_mean(np.full(count, 0.1))["difference"], paired_mean(np.zeros(count))["difference"]]
    pairs = [one for one in bounds.values() if not np.isnan(one[0])]
    pairs += [(one["low"], one["high"]) for one in stated if one["low"] is not None]
    assert min(high - low for low, high in pairs) > 0.5 / count


def test_numbers_with_one_error_for_all_have_no_interval_of_their_mean() -> None:
    true = np.arange(30.0)
    found = number_intervals.measured(true, true + 1, None, 50, np.random.default_rng(0))
    assert {name for name, one in found.items() if not np.isnan(one[0])} <= {"median_error", "r2", "mape"}


def test_equal_differences_are_judged_by_their_number() -> None:
    """The sign test: three equal differences have the same sign by chance in a quarter of the cases."""
    assert paired_mean(np.full(3, 0.1))["p"] == 0.25
    assert paired_mean(np.full(3, 0.1))["difference"]["low"] is None
    assert compare_folds([0.1, 0.1], 0.25)["p"] > 0.05
