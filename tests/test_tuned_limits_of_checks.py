"""Constants of ``inspect``, importers and image comparison that were tuned by hand: a little below each, and a little above."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit.builtin.features.stability import _well_inside
from pipekit.builtin.importers.beside import _is_its_mask
from pipekit.builtin.importers.boxes import checked_box
from pipekit.builtin.importers.coco import _facts, _is_same
from pipekit.builtin.importers.image_list import _texts_of
from pipekit.builtin.importers.label_columns import _are_measures
from pipekit.builtin.importers.stated_size import has_shape
from pipekit.builtin.inspect import atlas, shortcut_tree
from pipekit.builtin.inspect.checks import balance, by_features, files, narrow_range, outliers, several
from pipekit.builtin.inspect.checks.numbers import NumbersParams, outlying_numbers
from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.builtin.inspect.sight import Judged, Sight
from pipekit.builtin.inspect.small_tree import fit_tree
from pipekit.builtin.inspect.unusual import _between, _closeness, find_foreign
from pipekit.builtin.split.groups import intervals
from pipekit.builtin.train.data import _halfway
from pipekit.builtin.train.range_test import _window
from pipekit.columnar import Few
from pipekit.commands.inspect import _choose_features
from pipekit.commands.keras_arguments import _rescale
from pipekit.contract import Box, params_type_of
from pipekit.images.colour_cast import colour_cast
from pipekit.images.differences import _coloured, _moved
from pipekit.images.landmarks import Alignment, Landmarks, landmarks
from pipekit.images.mask_checks import problem
from pipekit.images.name_groups import _purer, _Shared
from pipekit.images.near_duplicates import near_pairs
from pipekit.images.polygons import traced
from pipekit.images.statistics import _border_level, _sharpness, reduced
from pipekit.images.symmetric_copies import _difference
from pipekit.learning import out_of_fold
from pipekit.learning.embeddings import Embedded
from pipekit.learning.neighbours import Neighbours
from pipekit.registry.annotations import _Names
from pipekit.rng import rng_for

# --- checks of inspect ---------------------------------------------------------------------------------------------------

USUAL: dict[str, Any] = {
    "label": "a",
    "split": "",
    "suffix": ".jpg",
    "width_px": 100,
    "height_px": 80,
    "format": "JPEG",
    "mode": "RGB",
    "orientation": 1,
    "frames": 1,
    "dark_level": 10.0,
    "bright_level": 200.0,
    "contrast": 50.0,
    "entropy_bits": 7.0,
    "sharpness": 1.0,
    "cut_off": 0.0,
}


def rows(count: int, **odd: Any) -> list[dict[str, Any]]:
    """Rows of images that are alike; the last differs as ``odd`` says."""
    named = [{"id": f"{at:03}", "sha256": str(at), "group": str(at), **USUAL} for at in range(count)]
    named[-1] |= odd
    return named


def found(check: Any, given: list[dict[str, Any]]) -> list[str]:
    """The images that a check reports, with the parameters that it has by itself."""
    made = check(given, None, params_type_of(check)())
    return [name for finding in made if finding.severity == "warning" for name in finding.samples]


@pytest.mark.parametrize(
    ("check", "near", "far"),
    [
        (outliers.dark, {"bright_level": 114.0}, {"bright_level": 106.0}),
        (outliers.bright, {"dark_level": 70.0}, {"dark_level": 78.0}),
        (outliers.blurred, {"sharpness": 0.72}, {"sharpness": 0.65}),
        (outliers.low_information, {"entropy_bits": 6.0}, {"entropy_bits": 5.6}),
        (outliers.odd_size, {"width_px": 40, "height_px": 50}, {"width_px": 35, "height_px": 48}),
        (outliers.odd_aspect, {"width_px": 170}, {"width_px": 240}),
        (files.cut_off, {"cut_off": 0.08}, {"cut_off": 0.12}),
        (narrow_range.narrow_range, {"mode": "I;16", "bright_level": 34.0}, {"mode": "I;16", "bright_level": 30.0}),
    ],
)
def test_an_image_is_reported_beyond_the_check_s_limit(check: Any, near: dict[str, Any], far: dict[str, Any]) -> None:
    assert (found(check, rows(30, **near)), found(check, rows(30, **far))) == ([], ["029"])


@pytest.mark.parametrize(("count", "reported"), [(19, []), (20, ["019"])])
def test_outliers_need_twenty_images(count: int, reported: list[str]) -> None:
    assert found(outliers.bright, rows(count, dark_level=200.0)) == reported


@pytest.mark.parametrize(("level", "reported"), [(160.0, []), (177.0, ["040"])])
def test_a_spread_is_the_median_deviation_of_a_normal_distribution(level: float, reported: list[str]) -> None:
    """The levels 40 and 60 have a median deviation of 10 from 50: a spread of 14.826, and a limit at 8 of them."""
    given = rows(41, dark_level=level)
    for at, one in enumerate(given[:40]):
        one["dark_level"] = (40.0, 60.0, 50.0, 60.0, 40.0)[at % 5]
    assert found(outliers.bright, given) == reported


@pytest.mark.parametrize(("number", "reported"), [(43.0, []), (49.0, ["odd"])])
def test_an_outlying_number_lies_three_quartile_distances_outside(number: float, reported: list[str]) -> None:
    """The quartiles of 0 to 20 are near 5 and 15."""
    given: Any = [{"id": str(at), "label": f"{at / 2}"} for at in range(41)] + [{"id": "odd", "label": str(number)}]
    ctx: Any = None
    made = outlying_numbers(given, ctx, NumbersParams())
    assert [name for finding in made if finding.severity == "warning" for name in finding.samples] == reported


def classes_of(*counts: int) -> list[dict[str, Any]]:
    given = rows(sum(counts))
    for one, name in zip(given, (name for name, count in zip("abc", counts, strict=False) for _ in range(count)), strict=True):
        one["label"] = name
    return given


@pytest.mark.parametrize(("counts", "said"), [((100, 20), 0), ((105, 20), 1), ((50, 19), 1)])
def test_classes_are_uneven_from_five_times_on_and_small_below_twenty(counts: tuple[int, int], said: int) -> None:
    ctx: Any = None
    assert len(list(balance.imbalance(classes_of(*counts), ctx, balance.ImbalanceParams()))) == said


@pytest.mark.parametrize(("ripe", "others", "said"), [(20, 400, 0), (20, 420, 1), (19, 300, 1)])
def test_a_label_is_rare_below_twenty_images_or_one_in_twenty_one(ripe: int, others: int, said: int) -> None:
    given = rows(ripe + others)
    for at, one in enumerate(given):
        one["label"] = '["ripe"]' if at < ripe else "[]"
    ctx: Any = None
    made = several.co_occurrence(given, ctx, several.SeveralParams())
    assert sum(finding.severity == "warning" for finding in made) == said


# --- shortcuts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "takes_part"), [(9, False), (10, True)])
def test_a_shortcut_is_sought_in_classes_of_ten_images(count: int, takes_part: bool) -> None:
    given = MeasuredRows.of(classes_of(30, count))
    for classes, _ in (shortcut_tree._classes(given), shortcut_tree._sampled(given)):
        assert (len(set(classes.tolist())) == 2) is takes_part
    assert bool(shortcut_tree._left_out(given)) is not takes_part


@pytest.mark.parametrize(("parts", "accuracy"), [(16, 1.0), (32, 0.5)])
def test_a_property_is_tried_in_sixteen_bins(parts: int, accuracy: float) -> None:
    """The classes take turns in so many parts of the property's range."""
    column = np.arange(640.0)
    assert shortcut_tree._by_bins(column, np.arange(640) * parts // 640 % 2) == pytest.approx(accuracy, abs=0.03)


def test_three_properties_together_make_a_shortcut() -> None:
    """Each of eight columns finds the class of six in ten images, a tenth more than chance."""
    classes = np.repeat([0, 1], 50)
    column = np.concatenate([np.repeat([0.0, 1.0], [30, 20]), np.repeat([0.0, 1.0], [20, 30])])
    assert shortcut_tree._at_most(np.stack([column] * 8, axis=1), classes) == pytest.approx(0.8)


def test_a_shortcut_is_measured_on_five_folds_with_an_interval_of_95_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of 60 images of each class are right: 60.5 of 61, as the interval counts them."""
    fitted: list[int] = []

    def fit(values: Any, classes: Any, depth: int, fewest: int) -> Any:
        fitted.append(depth)
        return fit_tree(values, classes, depth, fewest)

    monkeypatch.setattr(shortcut_tree, "fit_tree", fit)
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    classes = np.arange(120) % 2
    values = classes[:, None].astype(np.float64)
    accuracy, low = shortcut_tree._cross_validated(ctx, values, classes, np.arange(120))
    assert (fitted, accuracy) == ([3] * 5, 1.0)
    assert (1 - low) / math.sqrt(60.5 * 0.5 / 61**3 / 2) == pytest.approx(1.96, abs=0.01)


@pytest.mark.parametrize(("gap", "parted"), [(0.7e-7, False), (1.4e-7, True)])
def test_values_that_differ_by_rounding_are_one(gap: float, parted: bool) -> None:
    tree = fit_tree(np.array([[0.0], [0.0], [gap], [gap]]), np.array([0, 0, 1, 1]), depth=3, fewest=1)
    assert (tree.below is not None) is parted


# --- checks by features --------------------------------------------------------------------------------------------------


def seen(table: Any, labels: list[str]) -> tuple[list[dict[str, Any]], Sight]:
    given = classes_of(len(labels))
    for one, label in zip(given, labels, strict=True):
        one["label"] = label
    embedded = Embedded(tuple(one["id"] for one in given), np.asarray(table, np.float16), {})
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    dataset: Any = []
    return given, Sight(ctx, dataset, embedded)


@pytest.mark.parametrize(("count", "reported"), [(19, 0), (20, 1)])
def test_a_foreign_image_is_told_from_twenty(count: int, reported: int) -> None:
    table = np.abs(rng_for(1, "alike").normal(1, 0.05, (count, 16)))
    table[0] = [-1, 1] * 8
    assert len(list(find_foreign(*seen(table, ["a"] * count), by_features.ForeignParams().spreads))) == reported


@pytest.mark.parametrize(("fall", "reported"), [(0.045, 0), (0.055, 1)])
def test_a_foreign_image_lies_five_spreads_below_its_class(fall: float, reported: int) -> None:
    """All others are equally similar to their neighbours; the least spread is 0.01."""
    similar = np.full((30, 8), 0.9)
    similar[0] -= fall
    numbers = (np.arange(30)[:, None] + np.arange(1, 9)) % 30
    given = rows(30)
    features: Any = SimpleNamespace(
        places=lambda _: np.arange(30),
        neighbours=Neighbours(numbers, similar),
        nearest_of=lambda far, _: Neighbours(numbers[far], similar[far]),
        embedded=SimpleNamespace(ids=[one["id"] for one in given]),
    )
    ctx: Any = None
    assert len(list(by_features.foreign(given, ctx, by_features.ForeignParams(), features))) == reported


def test_an_image_is_compared_with_its_five_nearest() -> None:
    similar = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.1, 0.1]], np.float32)
    places = np.arange(9)
    near = _closeness(similar, np.arange(1, 9)[None], places, np.full(9, -1), places[:1])
    assert near == pytest.approx([0.7])


def test_two_classes_are_told_apart_with_an_interval_of_95_percent() -> None:
    """Half of 50 images are right in each class; an image more counts as half right."""
    probabilities = np.tile([[0.9, 0.1], [0.1, 0.9]], (50, 1))
    judged: Any = Judged([], ["a", "b"], np.repeat([0, 1], 50), SimpleNamespace(probabilities=probabilities))  # type: ignore[arg-type]
    accuracy, high = _between(judged, 0, 1)
    assert (high - accuracy) / math.sqrt(2 * 0.25 / 51 / 4) == pytest.approx(1.96, abs=0.01)


@pytest.mark.parametrize(("accuracy", "reported"), [(0.72, 1), (0.78, 0)])
def test_classes_are_alike_below_three_quarters(accuracy: float, reported: int) -> None:
    right = np.arange(2000) % 100 < 100 * accuracy
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    labels = np.repeat([0, 1], 1000)
    probabilities[1000:] = probabilities[1000:, ::-1]
    judged: Any = Judged([], ["a", "b"], labels, SimpleNamespace(probabilities=probabilities))  # type: ignore[arg-type]
    features: Any = SimpleNamespace(judged=lambda _: judged)
    ctx: Any = None
    given = rows(3)
    assert len(list(by_features.alike_classes(given, ctx, by_features.AlikeParams(), features))) == reported


@pytest.mark.parametrize(("count", "judged"), [(9, False), (10, True)])
def test_a_class_of_ten_images_is_judged_out_of_fold(count: int, judged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.builtin.inspect.sight.out_of_fold", lambda *_, **__: None)
    given, sight = seen(rng_for(1, "clouds").normal(size=(20 + count, 4)), ["a"] * 20 + ["b"] * count)
    assert (sight.judged(MeasuredRows.of(given)) is not None) is judged


def test_out_of_fold_probabilities_have_five_folds_and_five_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def probabilities(values: Any, classes: Any, fold: Any, number: int, penalty: float, *_: Any) -> Any:
        tried.append(penalty)
        return np.full((len(values), number), 1 / number)

    monkeypatch.setattr(out_of_fold, "_probabilities", probabilities)
    made = out_of_fold.out_of_fold(np.eye(40), np.arange(40) % 2, np.arange(40), rng_for(1, "folds"))
    assert np.bincount(made.folds).tolist() == [8] * 5
    assert tried[:5] == [0.001, 0.003, 0.01, 0.03, 0.1]


@pytest.mark.parametrize(("count", "computed"), [(19, False), (20, True), (2400, True), (2401, False)])
def test_features_are_computed_for_twenty_images_if_a_minute_is_enough(
    count: int, computed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker needs 0.025 s an image."""
    monkeypatch.setattr("pipekit.commands.inspect._count_images", lambda folder, most: min(count, most))
    assert _choose_features(None, "photos", ["near_duplicates"], 1)[0] is computed


@pytest.mark.parametrize(("count", "is_drawn"), [(11, False), (12, True)])
def test_a_map_needs_twelve_images(count: int, is_drawn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "_remembered", lambda ctx, ids, *_: np.zeros((len(ids), 2), np.float32))
    given, sight = seen(np.ones((count, 4)), ["a"] * count)
    ctx: Any = SimpleNamespace(workers=1)
    pca: Any = SimpleNamespace(name="pca")
    made = atlas.map_section(ctx, MeasuredRows.of(given), sight.embedded, [], lambda _: {}, pca)
    assert (made is not None) is is_drawn


# --- importers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "is_box"), [(0.4, False), (0.6, True)])
def test_half_a_pixel_of_a_box_inside_the_image_is_enough(width: float, is_box: bool) -> None:
    for edges in ((100 - width, 10, 140, 40), (10, 80 - width, 40, 140)):
        assert isinstance(checked_box(edges, "cat", (80, 100)), Box) is is_box


@pytest.mark.parametrize(("apart", "same"), [(0.007, True), (0.014, False)])
def test_boxes_that_differ_by_a_hundredth_of_a_pixel_are_one(apart: float, same: bool) -> None:
    assert _is_same(Box(1, 2, 30, 40, "cat"), Box(1, 2, 30 + apart, 40, "cat")) is same


@pytest.mark.parametrize(("share", "kept"), [(0.7e-3, False), (1.4e-3, True)])
def test_an_area_that_differs_by_rounding_is_that_of_the_box(share: float, kept: bool) -> None:
    frame: Any = SimpleNamespace(is_plain=True)
    assert ("area" in _facts({"area": 1000 * (1 + share)}, Box(0, 0, 20, 50, "cat"), frame)) is kept


@pytest.mark.parametrize(("different", "measures"), [(20, False), (21, True)])
def test_whole_numbers_are_measures_from_twenty_different_ones_on(different: int, measures: bool) -> None:
    assert _are_measures([str(at % different) for at in range(30)]) is measures


@pytest.mark.parametrize(("count", "texts"), [(7, False), (8, True)])
def test_eight_different_words_are_texts_and_no_classes(count: int, texts: bool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{at}.png word{at}\n" for at in range(count)), "utf-8")
    assert bool(_texts_of(tmp_path / "a.txt")) is texts


@pytest.mark.parametrize(("width", "same"), [(85, True), (86, False)])
def test_a_stated_size_may_differ_by_the_rounding_of_a_side(width: int, same: bool) -> None:
    """60 x 50 at a scale of 1.4 is 84 x 70."""
    assert has_shape((50, 60), (70, width)) is same


@pytest.mark.parametrize(
    ("values", "apart", "is_mask"),
    [(200, 11, False), (200, 13, True), (2, 2, False), (2, 4, True), (64, 5, True), (65, 5, False)],
)
def test_a_mask_beside_a_picture_is_not_its_copy(values: int, apart: int, is_mask: bool, tmp_path: Path) -> None:
    """A copy that was compressed differs by up to 12 levels on average; by 3 if it has up to 64 values."""
    one = (np.arange(64 * 64) % values * (1 if values > 2 else 100)).astype(np.uint8).reshape(64, 64)
    for name, pixels in (("a.png", one), ("a.jpg", one + np.uint8(apart))):
        (tmp_path / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert _is_its_mask("a.jpg", "a.png", str(tmp_path / "a.png")) is is_mask


@pytest.mark.parametrize(("images", "named", "is_said"), [(20, 2, False), (20, 3, True), (8, 1, False), (8, 2, True)])
def test_a_file_names_images_if_it_has_three_or_one_in_four(images: int, named: int, is_said: bool, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("".join(f"photo{at}.jpg,cat\n" for at in range(named)), "utf-8")
    for at in range(images):
        (tmp_path / f"photo{at}.jpg").touch()
    assert _Names(tmp_path).named_in(tmp_path / "list.csv") is is_said


@pytest.mark.parametrize(("factor", "fits"), [(0.08, False), (0.12, True)])
def test_a_rescale_that_makes_images_black_is_refused(factor: float, fits: bool) -> None:
    if fits:
        assert _rescale({"rescale": factor}) == [{"op": "rescale", "factor": factor}]
    else:
        with pytest.raises(ValueError, match="black"):
            _rescale({"rescale": factor})


# --- images --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "apart", "is_pair"), [(6, 0, True), (8, 0, False), (0, 3, True), (0, 4, False)])
def test_near_duplicates_differ_by_six_bits_and_seven_percent_of_contrast(bits: int, apart: int, is_pair: bool) -> None:
    """The miniatures have a contrast of 34 levels: with 16 more, a mean difference of 3.5 is the limit."""
    pixels = (128 + 34 * np.where(np.arange(256) % 2, 1, -1)).astype(np.uint8)
    texts = [
        f"{2**32 - 1 + (2**mask - 1 << 32):016x}" + base64.b64encode(view.tobytes()).decode("ascii")
        for mask, view in ((0, pixels), (bits, pixels + np.uint8(apart)))
    ]
    assert bool(len(near_pairs(texts))) is is_pair


@pytest.mark.parametrize(
    ("dark", "bright", "counts"),
    [
        (3, 6, False),  # up to a level of 4, values may be cut off
        (6, 12, True),
        (115, 230, True),
        (120, 240, False),  # and from one of 235 on
    ],
)
def test_the_factor_between_two_miniatures_is_that_of_values_that_are_not_cut_off(dark: int, bright: int, counts: bool) -> None:
    """156 of 256 pixels are twice as bright, the others equally bright: the median factor is that of the pixels that count."""
    first, second = np.full((1, 256), 50.0, np.float32), np.full((1, 256), 50.0, np.float32)
    first[:, :156], second[:, :156] = dark, bright
    made = np.minimum(first * (2 if counts else 1), 255)
    expected = np.abs(made - second).mean() / ((made.std() + second.std()) / 2 + 16)
    assert _difference(first, second) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("side_px", "has_some"), [(63, False), (64, True)])
def test_landmarks_are_sought_in_pictures_of_64_px(side_px: int, has_some: bool) -> None:
    assert bool(landmarks(np.zeros((side_px, 100, 3), np.uint8))) is has_some


@pytest.mark.parametrize(("share", "red"), [(0.01, 1.2), (0.04, 1.1)])
def test_the_light_is_that_of_the_brightest_fiftieth(share: float, red: float) -> None:
    """A red cast of 1.2, and of 1.1 in the highlights: their share decides which of the two is seen."""
    green = rng_for(1, "light").permutation(np.linspace(0, 100, 10_000)).reshape(100, 100)
    green[-round(100 * share) :] = 200
    factor = np.where(green == 200, 1.1, 1.2)
    found_red, _ = colour_cast(np.stack([green * factor, green, green], axis=2).astype(np.uint8))
    assert found_red == pytest.approx(red, abs=0.04)


@pytest.mark.parametrize(
    ("shares", "is_jpeg", "damaged"),
    [
        ([1] * 2, True, False),
        ([1] * 3, True, True),  # a JPEG with more than two values
        ([100] * 8 + [1] * 52, False, False),
        ([100] * 8 + [1] * 53, False, True),  # else, more than sixty, most of them rare
        ([50] * 8 + [1] * 53, False, False),  # eight have 88 % of the pixels
        ([60] * 8 + [1] * 53, False, True),  # 90 %
    ],
)
def test_a_mask_with_many_rare_values_is_damaged(shares: list[int], is_jpeg: bool, damaged: bool) -> None:
    mask = np.repeat(np.arange(len(shares)), shares).astype(np.uint8)[None]
    assert bool(problem(mask, mask.shape, is_jpeg)) is damaged


@pytest.mark.parametrize(("stems", "classes", "enough"), [(5, 1, False), (6, 1, True), (8, 4, False), (9, 4, True)])
def test_names_are_groups_from_six_stems_and_two_of_each_class_on(stems: int, classes: int, enough: bool) -> None:
    labels = [str(at % classes) for at in range(10 * stems)]
    assert _Shared.of([f"stem {at // 10}" for at in range(10 * stems)]).enough(labels) is enough


@pytest.mark.parametrize(("pure", "clear"), [(31, False), (36, True)])
def test_stems_with_one_class_are_evidence_from_four_deviations_on(pure: int, clear: bool) -> None:
    """Of forty stems with two images each, so many have one class; by chance, twenty have."""
    labels = [word for at in range(40) for word in (("aa", "bb")[at % 2] if at < pure else "ab")]
    assert bool(_purer(np.repeat(np.arange(40), 2), labels, ["x"] * 80)) is clear


@pytest.mark.parametrize(("spread", "level"), [(16, 108), (17, -1)])
def test_a_plain_border_has_levels_within_sixteen(spread: int, level: int) -> None:
    gray = np.full((20, 20), 100, np.uint8)
    gray[0] += np.uint8(spread)
    assert _border_level(gray) == level


@pytest.mark.parametrize(("at_px", "counts"), [(7.0, False), (9.0, True), (91.5, True), (92.5, False)])
def test_points_within_eight_pixels_of_the_border_do_not_count(at_px: float, counts: bool) -> None:
    assert _well_inside(np.array([[at_px, 50], [50, at_px]]), (100, 100)).tolist() == [counts] * 2


def view_of(pixels: Any) -> Landmarks:
    none = np.zeros((0, 2), np.float32)
    return Landmarks((256, 256), (none, none), (none, none), np.broadcast_to(pixels, (128, 128, 3)).astype(np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "words"), [(0.95, "a slightly shifted view"), (0.91, "cropped to about 95 %")])
def test_a_crop_leaves_less_than_93_percent(share: float, words: str) -> None:
    scale = math.sqrt(share)
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    (said,) = _moved(view_of(rng_for(1, "view").integers(0, 256, (128, 128, 3))), view_of(128), matrix)
    assert said.startswith(words)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (100, 108, False),  # a factor of 1.08
        (100, 112, True),
        (22, 33, False),  # levels below 24 may be cut off
        (26, 39, True),
        (160, 228, True),
        (165, 236, False),  # and those above 232
    ],
)
def test_a_factor_of_brightness_is_said_from_a_tenth_on(before: int, after: int, said: bool) -> None:
    alignment = Alignment(np.array([[1.0, 0, 0], [0, 1, 0]]), False, 30, 1.0)
    assert any("brighter" in words for words in _coloured(view_of(before), view_of(after), alignment)) is said


def test_a_traced_mask_is_located_to_an_eighth_of_a_pixel() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6] = 1
    (polygon,) = traced(mask)
    assert (polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()) == ([2.125] * 2, [5.875] * 2)


@pytest.mark.parametrize(("steps", "least", "most"), [(1, 6, 6), (12, 20, 30)])
def test_a_traced_contour_keeps_the_steps_between_pixels(steps: int, least: int, most: int) -> None:
    """One step has six corners; the corners of a staircase lie 0.35 px from a straight line."""
    mask = np.zeros((16, 16), np.uint8)
    for step in range(12):
        mask[2 + step, 2 : 9 + 3 * (step > 5) if steps == 1 else 3 + step] = 1
    (polygon,) = traced(mask)
    assert least <= len(polygon) <= most


def test_sharpness_is_measured_at_a_blur_of_a_quarter() -> None:
    """The energies that a blur of 1 px removes, and one of 2 px next, from an image that was blurred to a variance of 0.25."""
    gray = rng_for(1, "noise").integers(0, 256, (64, 64)).astype(np.uint8)
    kernel = np.array([0.125, 0.75, 0.125])
    one = cv2.sepFilter2D(gray, cv2.CV_32F, kernel, kernel)
    fine = cv2.GaussianBlur(one, (5, 5), 1)
    coarse = cv2.GaussianBlur(fine[::2, ::2], (5, 5), 0.866)
    removed, next_removed = np.square(one - fine).mean(), np.square(fine[::2, ::2] - coarse).mean()
    assert _sharpness(gray, 0.0) == pytest.approx(removed / (next_removed + 0.01), rel=1e-3)


def test_a_linear_reduction_blurs_by_a_sixth_of_a_source_pixel() -> None:
    assert reduced(np.zeros((150, 150), np.uint8), 100)[1] == pytest.approx(1 / 6 / 1.5**2)


# --- split and train -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "number"), [(19, 1), (20, 2), (190, 19), (1000, 20)])
def test_numbers_are_stratified_in_intervals_of_ten_images_and_at_most_twenty(count: int, number: int) -> None:
    assert len(set(intervals(Few.of(str(at) for at in range(count))))) == number


@pytest.mark.parametrize(("side_px", "next_px"), [(224, 100), (226, 113)])
def test_one_resize_is_by_a_factor_of_nine_quarters_at_most(side_px: int, next_px: int) -> None:
    assert _halfway((side_px, side_px), (100, 100)) == (next_px, next_px)


def test_a_fall_is_measured_over_twelve_batches_on_either_side_after_ten() -> None:
    assert _window(100) == (12, 10)
