"""Constants of evaluations, explanations and features that were tuned by hand: a little below each, and a little above."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.builtin.evaluate.intervals import share_of
from pipekit.builtin.evaluate.slices import by_slice
from pipekit.builtin.explain.constant_place import constant_place
from pipekit.contract import Sample
from pipekit.images.symmetric_copies import _centred
from pipekit.learning import unknown
from pipekit.learning.label_errors import chance_of_a_wrong_label, suspects_of_dataset
from pipekit.rng import rng_for


def samples(count: int, odd: int) -> list[Sample]:
    """Samples; the first ``odd`` have another camera."""
    return [Sample(f"{at}.jpg", f"{at}.jpg", extra={"camera": "b" if at < odd else "a"}) for at in range(count)]


@pytest.mark.parametrize(("count", "tested"), [(19, False), (20, True)])
def test_a_slice_of_twenty_images_is_tested(count: int, tested: bool) -> None:
    correct = np.arange(100) >= count
    rows = by_slice(samples(100, count), {}, correct, ["camera"])
    (row,) = (row for row in rows if row["slice"] == "b")
    assert (row.get("p_holm") is not None, bool(row.get("weaker"))) == (tested, tested)


@pytest.mark.parametrize(("count", "parts"), [(14, 0), (15, 3)])
def test_thirds_have_at_least_five_images(count: int, parts: int) -> None:
    traits = {name: np.arange(count, dtype=np.float64) + 1 for name in ("width_px", "height_px", "brightness", "sharpness")}
    rows = by_slice(samples(count, 0), traits, np.ones(count, np.bool_), ["camera"])
    assert sum(row["by"] == "brightness" for row in rows) == parts


@pytest.mark.parametrize(("groups", "has_interval"), [(5, False), (6, True)])
def test_an_interval_needs_six_groups(groups: int, has_interval: bool) -> None:
    found = share_of(np.arange(60) % 3 > 0, np.arange(60) % groups)
    assert (found["low"] is not None) is has_interval


def maps(count: int, inside: float, side: int = 2, weak: int = 0) -> list[NDArray[np.float32]]:
    """Maps of 8 x 8 cells with a share of their evidence in the upper left ``side`` x ``side`` cells; ``weak`` have a fifth."""
    made = []
    for at in range(count):
        share = 0.2 if at < weak else inside
        one = np.full((8, 8), (1 - share) / (64 - side**2), np.float32)
        one[:side, :side] = share / side**2
        made.append(one)
    return made


@pytest.mark.parametrize(
    ("given", "is_place"),
    [
        (maps(4, 0.8), False),
        (maps(5, 0.8), True),  # from five maps on
        (maps(6, 0.6, side=3), True),  # 8 of 64 cells have half of the evidence
        (maps(6, 0.6, side=4), False),  # 14 have
        (maps(40, 0.8, weak=3), True),  # fewer than a tenth may point elsewhere
        (maps(20, 0.8, weak=4), False),
    ],
)
def test_a_constant_place_is_small_and_in_nearly_all_maps(given: list[NDArray[np.float32]], is_place: bool) -> None:
    assert (constant_place(given) is not None) is is_place


@pytest.mark.parametrize(("share", "is_place"), [(0.4, False), (0.55, True)])
def test_nearly_every_map_has_a_third_of_its_evidence_in_the_place(share: float, is_place: bool) -> None:
    """Three of the four cells are the place: 0.3 and 0.41 of the evidence."""
    given = [*maps(8, 0.9), *maps(2, share)]
    assert (constant_place(given) is not None) is is_place


@pytest.mark.parametrize(("own", "listed"), [(0.32, False), (0.22, True)])
def test_a_label_is_suspected_from_a_chance_of_an_eighth_on(own: float, listed: bool) -> None:
    """With an error rate of 5 %, the chance of a wrong label is 0.1 at the first and 0.16 at the second."""
    probabilities = np.array([[own, 1 - own]])
    found = suspects_of_dataset(["a"], np.array([0]), probabilities, ["cat", "dog"], error_rate=0.05)
    assert bool(found) is listed


def test_the_error_rate_is_never_taken_to_be_nothing() -> None:
    probabilities = np.array([[0.05, 0.95]])
    (chance,) = chance_of_a_wrong_label(np.array([0]), probabilities, 0.0)
    assert chance == pytest.approx(0.95 * 0.005 / (0.95 * 0.005 + 0.05 * 0.995))


@pytest.mark.parametrize(("count", "is_set"), [(9, False), (10, True), (14, True)])
def test_a_limit_for_foreign_images_needs_ten_originals(count: int, is_set: bool) -> None:
    features = rng_for(1, "features").normal(size=(count, 8))
    found = unknown.fit(features, np.arange(count) % 2, np.arange(count), 0.05, rng_for(1, "stored"))
    assert (found is not None) is is_set


@pytest.mark.parametrize(("contrast", "is_plain"), [(11.0, True), (13.0, False), (20.0, False)])
def test_a_miniature_with_less_contrast_than_twelve_levels_is_plain(contrast: float, is_plain: bool) -> None:
    pixels = (128 + contrast * np.where(np.arange(256) % 2, 1, -1)).astype(np.uint8)[None]
    assert bool(np.all(_centred(pixels) == 0)) is is_plain
