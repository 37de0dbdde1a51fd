"""The colour cast of an image, from whole numbers: the same as by NumPy's means, differences and percentiles."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pipekit.images.colour_cast import HIGHLIGHTS, colour_cast
from pipekit.images.warping import Image


def plainly(image: Image) -> tuple[float, float]:
    values = image.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one row has no steps to the next one
        edges = sum(np.abs(np.diff(values, axis=axis)).mean(axis=(0, 1)) for axis in (0, 1))
        estimates = np.stack([values.mean(axis=(0, 1)), edges, np.percentile(values, HIGHLIGHTS, axis=(0, 1))]) + 0.05
    ratios = np.log(estimates[:, [0, 2]] / estimates[:, 1:2])
    agree = np.abs(np.sign(ratios).sum(axis=0)) == len(ratios)
    red, blue = np.exp(np.where(agree, np.sign(ratios[0]) * np.abs(ratios).min(axis=0), 0.0)).round(2).tolist()
    return red, blue


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_the_plain_formulas_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (64, 64) if seed % 2 else tuple(rng.integers(1, 40, 2))
    light = rng.uniform(0.4, 1.0, 3)
    image = (rng.integers(0, 256, (*shape, 1)) * light + rng.integers(0, 3, (*shape, 3))).astype(np.uint8)
    assert colour_cast(image) == plainly(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_few_pixels(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (90, 60, 30), np.uint8)
    assert colour_cast(image) == plainly(image)


def test_a_cast_is_found_in_part_of_a_larger_array() -> None:
    large = (np.random.default_rng(0).integers(20, 180, (64, 80, 1)) * [1.2, 1.0, 0.8]).astype(np.uint8)
    assert colour_cast(large[:, ::-2]) == plainly(large[:, ::-2]) == (1.2, 0.8)
