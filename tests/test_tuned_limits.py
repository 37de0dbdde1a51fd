"""Constants that were tuned by hand: what lies a little below each, and a little above.

A test here fails if its constant is doubled or halved. ``tests/test_constants.py`` names every constant and
the file that tests it.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit.builtin.importers.annotated import Drawing, UnusableError
from pipekit.builtin.importers.box_csv import _refuse_corners
from pipekit.builtin.importers.boxes import is_cut, is_rectangle
from pipekit.builtin.importers.stated_size import Frame
from pipekit.builtin.inspect.checks.numbers import NumbersParams, outlying_numbers
from pipekit.builtin.split.groups import _kept_together
from pipekit.builtin.train.range_test import NOISE_OF_FALL, RangeTest, noise, smoothed
from pipekit.contract import Sample
from pipekit.images.differences import _has_border, _moved
from pipekit.images.landmarks import Landmarks, _fit, align
from pipekit.images.name_groups import _Shared
from pipekit.images.origins import _pairs_by_name
from pipekit.learning.advice import Case, _is_uneven, remedies
from pipekit.learning.candidates import Candidate, _told_apart
from pipekit.registry.cheap_checks import _narrow
from pipekit.registry.known_formats import _pixels


@pytest.mark.parametrize(("share", "fits"), [(0.015, True), (0.025, False)])
def test_a_crooked_rectangle_is_none(share: float, fits: bool) -> None:
    assert is_rectangle([0, 0, 100, 0, 100 - share * 100, 100 - share * 100, 0, 100]) is fits


@pytest.mark.parametrize(("count", "said"), [(18, False), (19, True)])
def test_outlying_numbers_need_twenty_images(count: int, said: bool) -> None:
    rows: Any = [{"id": str(at), "label": f"{at / 10}"} for at in range(count)] + [{"id": "odd", "label": "999"}]
    found = list(outlying_numbers(rows, None, NumbersParams()))  # type: ignore[arg-type]
    assert ["warning" in one.severity for one in found] == [False, True][: 1 + said]


@pytest.mark.parametrize(("apart", "together"), [(3, True), (6, False)])
def test_a_pattern_is_suggested_if_stems_lie_in_several_groups(apart: int, together: bool) -> None:
    """Of a hundred stems with two images each, so many are in two groups."""
    ids = [f"s{at:03}_{one}.jpg" for at in range(100) for one in (0, 1)]
    groups = [group for at in range(100) for group in ([[2 * at], [2 * at + 1]] if at < apart else [[2 * at, 2 * at + 1]])]
    assert _kept_together(ids, groups, r"(s\d+)_") is together


@pytest.mark.parametrize(
    ("sizes", "enough"), [([5] * 11, False), ([5] * 13, True), ([25, *[5] * 8], True), ([35, *[5] * 8], False)]
)
def test_names_are_groups_if_most_images_share_stems_and_none_prevails(sizes: list[int], enough: bool) -> None:
    """A hundred images: of so many the stem is shared with others."""
    stems = [f"stem {at}" for at, size in enumerate(sizes) for _ in range(size)]
    stems += [f"alone {at}" for at in range(100 - len(stems))]
    assert _Shared.of(stems).enough(["a"] * 100) is enough


@pytest.mark.parametrize(("num_val", "trained"), [(19, 1), (20, 2)])
def test_few_validation_images_tell_no_templates_apart(num_val: int, trained: int) -> None:
    found = _told_apart([Candidate("a", {}, None), Candidate("b", {}, None)], num_val)
    assert sum(not one.left_out for one in found) == trained


def test_the_moving_average_keeps_nine_tenths() -> None:
    assert smoothed([1.0, 0.0]) == pytest.approx([1.0, 0.09 / 0.19])


@pytest.mark.parametrize(("loss", "continues"), [(29.0, True), (31.0, False)])
def test_a_loss_of_four_times_the_minimum_diverges(loss: float, continues: bool) -> None:
    assert RangeTest([1.0] * 30).add(loss) is continues


@pytest.mark.parametrize(("deviations", "clear"), [(3.0, False), (5.0, True)])
def test_a_fall_is_clear_from_four_standard_deviations_on(deviations: float, clear: bool) -> None:
    at = np.arange(100)
    ripple = np.where(at % 2, 0.1, -0.1)

    def losses(fall: float) -> list[float]:
        return [float(loss) for loss in 5 - fall * np.clip((at - 40) / 20, 0, 1) + ripple]

    fall = deviations * NOISE_OF_FALL * noise(losses(0.0))
    assert RangeTest(losses(fall)).is_clear is clear


@pytest.mark.parametrize(("count", "clear"), [(12, False), (13, True)])
def test_a_fall_within_a_dozen_batches_says_nothing(count: int, clear: bool) -> None:
    assert RangeTest([math.exp(-step) for step in range(count)]).is_clear is clear


# --- copies of pictures --------------------------------------------------------------------------------------------------


def smooth(seed: int) -> Any:
    """A random grey picture of 128 x 128 without detail: mean 0, deviation 1."""
    found = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(128, 128)), (0, 0), 4)
    return (found - found.mean()) / found.std()


def picture(count: int, stretch: float = 1.0, agreement: float = 1.0) -> Landmarks:
    """A picture whose first landmarks, ``count`` of 100, are those of ``picture(100)``, which is ``stretch`` times as wide."""
    chance = np.random.default_rng(1)
    points = chance.uniform(20, 230, (100, 2)).astype(np.float32)
    descriptors = chance.integers(0, 256, (100, 32)).astype(np.uint8)
    descriptors[count:] = np.random.default_rng(2).integers(0, 256, (100 - count, 32))
    grey = 128 + 30 * (agreement * smooth(3) + math.sqrt(1 - agreement**2) * smooth(4))
    view = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    own = points / np.float32([stretch, 1])
    return Landmarks((256, 256), (own, own[::-1]), (descriptors, descriptors[::-1]), view)


@pytest.mark.parametrize(("count", "is_copy"), [(28, False), (31, True)])
def test_a_copy_needs_thirty_landmarks(count: int, is_copy: bool) -> None:
    assert (align(picture(100), picture(count)) is not None) is is_copy


@pytest.mark.parametrize(("agreement", "is_copy"), [(0.6, False), (0.8, True)])
def test_a_copy_needs_grey_values_that_agree(agreement: float, is_copy: bool) -> None:
    assert (align(picture(100), picture(100, agreement=agreement)) is not None) is is_copy


@pytest.mark.parametrize(("stretch", "fits"), [(1.5, True), (1.7, False)])
def test_a_stretched_picture_is_no_copy(stretch: float, fits: bool) -> None:
    assert (_fit(picture(100), picture(100, stretch), False) is not None) is fits


@pytest.mark.parametrize(("angle_deg", "said"), [(1.5, False), (2.5, True)])
def test_a_small_turn_is_not_said(angle_deg: float, said: bool) -> None:
    one = picture(100)
    matrix = cv2.getRotationMatrix2D((128, 128), angle_deg, 1)
    assert any(words.startswith("turned") for words in _moved(one, one, matrix)) is said


@pytest.mark.parametrize(("levels", "plain"), [(10, True), (15, False)])
def test_a_border_is_plain_within_twelve_levels(levels: int, plain: bool) -> None:
    inner, outer = picture(100), picture(100)
    view = np.full((128, 128, 3), 128 - levels, np.uint8)
    view[:64] = 128 + levels
    halved = np.array([[0.5, 0, 64], [0, 0.5, 64]])  # the inner picture in the middle of the outer one
    assert _has_border(inner, replace(outer, view=view), halved) is plain


@pytest.mark.parametrize(
    ("largest", "narrow"), [(8191, "nearly black"), (8192, "too dark"), (16_383, "too dark"), (16_384, "")]
)
def test_values_of_fourteen_bits_are_a_narrow_range(tmp_path: Path, largest: int, narrow: str) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.full((4, 4), largest, np.uint16))[1].tobytes())
    said = list(_narrow([Sample("a.png", str(tmp_path / "a.png"))]))
    assert [f"are read as {narrow}. State" in one for one in said] == [True] * bool(narrow)


@pytest.mark.parametrize(("share", "said"), [(0.015, False), (0.03, True)])
def test_a_box_reaches_beyond_its_image_by_more_than_rounding(share: float, said: bool) -> None:
    assert is_cut((0, 0, 100 + 100 * share, 100), (100, 100)) is said


@pytest.mark.parametrize(("beyond", "refused"), [(0.8, False), (1.5, True)])
def test_a_size_that_may_be_a_corner_reaches_beyond_its_image(tmp_path: Path, beyond: float, refused: bool) -> None:
    drawing = Drawing("a", tmp_path, "x.csv", Frame((100, 100), (100, 100)))
    with pytest.raises(UnusableError) if refused else nullcontext():
        _refuse_corners(drawing, (20, 20, 80 + beyond, 60))


@pytest.mark.parametrize(("columns", "are_pixels"), [(63, False), (64, True)])
def test_a_table_of_pixels_has_those_of_eight_by_eight(tmp_path: Path, columns: int, are_pixels: bool) -> None:
    (tmp_path / "a.csv").write_text(",".join(["label", *(f"pixel{at}" for at in range(columns))]) + "\n", "utf-8")
    assert bool(_pixels(tmp_path)) is are_pixels


@pytest.mark.parametrize(("number", "are_copies"), [(60, False), (150, True)])
def test_copies_of_keras_have_random_numbers(number: int, are_copies: bool) -> None:
    marked = {0: (("cat",), "photo_0_0"), 1: (("cat",), f"photo_0_{number}")}
    assert list(_pairs_by_name(marked, lambda _: None)) == [(0, 1)] * are_copies


# --- advice --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "said"), [(0.08, False), (0.12, True)])
def test_a_gap_of_ten_points_is_overfitting(gap: float, said: bool) -> None:
    steps = remedies(Case(weak=False, gap=gap, few=False, pretrained=True), "train")
    assert any("The model overfits" in step for step in steps) is said


@pytest.mark.parametrize(("most", "uneven"), [(49, False), (50, True)])
def test_classes_are_uneven_from_five_times_as_many_images_on(most: int, uneven: bool) -> None:
    assert _is_uneven({"cat": most, "dog": 10}) is uneven
