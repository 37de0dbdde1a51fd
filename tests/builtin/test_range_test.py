"""The learning rate range test: which rate it takes, and when it is too noisy to take one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipekit.builtin.train.range_test import STEPS, RangeTest, choose_rate, found_words, noise, smoothed
from pipekit.rng import rng_for

RATES = np.geomspace(1e-6, 1, STEPS)
FALLING = 2 - np.tanh(3 * (np.log10(RATES) + 3)) + np.maximum(0, np.log10(RATES) + 1) ** 2 * 9
"""Flat, then falling, fastest at 1e-3, lowest at 1e-1, then rising."""


def run(losses: np.ndarray) -> RangeTest:
    test = RangeTest()
    for loss in losses:
        if not test.add(float(loss)):
            break
    return test


@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_a_fall_beyond_the_noise_gives_a_rate(spread: float) -> None:
    for seed in range(40):
        test = run(FALLING + rng_for(seed).normal(0, spread, STEPS))
        assert test.is_clear
        assert 1e-4 < choose_rate(test.tried) < 1e-2


def test_noise_alone_gives_none() -> None:
    """Of 400 tests without any fall, at most 1 % look clear."""
    clear = sum(run(2 + rng_for(seed).normal(0, 0.3, STEPS)).is_clear for seed in range(400))
    assert clear <= 4


def test_a_fall_within_the_noise_gives_none() -> None:
    small = 2 + 0.02 * (FALLING.clip(max=3) - 2)
    assert sum(run(small + rng_for(seed).normal(0, 0.5, STEPS)).is_clear for seed in range(100)) <= 3


def test_it_ends_where_the_loss_diverges_or_is_not_finite() -> None:
    test = run(np.array([*[1.0] * 30, math.nan, 1.0]))
    assert len(test.losses) == 30
    test = run(np.array([*[1.0] * 30, 100.0, 1.0]))
    assert len(test.losses) == 30
    assert not run(np.array([])).is_clear
    assert not run(np.array([3.0, 2.0, 1.0])).is_clear


def test_the_noise_is_that_of_single_batches_and_not_the_trend() -> None:
    drawn = rng_for(1).normal(0, 0.3, 2000) + np.linspace(5, 1, 2000)
    assert noise(drawn) == pytest.approx(0.3, rel=0.1)
    assert noise([1.0]) == 0


def test_the_moving_average_has_no_start_at_zero() -> None:
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])


def test_the_sentence_says_which_rate_was_taken() -> None:
    assert found_words(True, 0.001) == "The range test chose a learning rate of 0.001."
    assert "too noisy" in found_words(False, 0.001)


def test_a_fall_from_a_peak_is_no_fall() -> None:
    """The loss rises where the rate is too high, and comes back when the network's units are dead."""
    peak = 1.1 + 2.5 * np.exp(-(((np.log10(RATES) + 2) / 0.6) ** 2))
    noisy = [run(peak + rng_for(seed).normal(0, 0.1, STEPS)) for seed in range(40)]
    assert not any(test.is_clear for test in noisy)
    small = peak - 0.5 / (1 + np.exp(-6 * (np.log10(RATES) + 4)))  # a real fall before it, at 1e-4
    found = run(small)
    assert found.is_clear
    assert 1e-5 < choose_rate(found.tried) < 3e-4
