"""Recipes: fusing, reduced decoding, combinators, what moves along, and that the generator alone decides."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.contract import Box, Keypoint, Params, Targets
from pipekit.errors import PluginError, UserError
from pipekit.recipe import CompiledRecipe, compile_recipe
from pipekit.recipe.homography import View, move
from pipekit.recipe.picture import Picture
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import Rng, rng_for

PHOTO = Path(__file__).parents[2] / "sample_data" / "photos" / "cat.jpg"
GEOMETRIC = [
    "rotate(40)",
    "shift(0.2, 0.1)",
    "shear(20)",
    "zoom(0.3)",
    "hflip(p=1)",
    "vflip(p=1)",
    "rotate90",
    "transpose(p=1)",
    "skew(15, 5)",
    "perspective(0.1)",
    "crop(0.7, 0.8)",
    "resized_crop",
    "resize(90, 110)",
    "pad(0.1)",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return images.read(PHOTO)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without edges, so that interpolation errors stay small and mistakes stand out."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [np.sin(x / width * 5 + phase) * np.cos(y / height * 4 - phase) for phase in (0, 1, 2)]
    return np.rint(127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


# --- one warp ------------------------------------------------------------------------------------------------------------


def test_neighbouring_matrices_are_one_warp(registry: Registry, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    warps = []
    original = images.warp
    monkeypatch.setattr(images, "warp", lambda *args, **named: warps.append(args[2]) or original(*args, **named))
    compile_recipe("rotate|shift|zoom|crop|hflip(p=1)|brightness", (150, 150), registry=registry).apply(photo, rng_for(1))
    assert warps == [(150, 150)]


def test_fused_is_what_one_by_one_gives(registry: Registry) -> None:
    image = smooth(200, 240)
    ops = ["rotate(30)", "skew(8)", "zoom(range=[0.7, 0.8])"]
    fused = compile_recipe(ops, registry=registry).apply(image, rng_for(5))
    rng, stepwise = rng_for(5), image
    for op in ops:
        stepwise = compile_recipe(op, registry=registry).apply(stepwise, rng).image
    middle = np.s_[60:140, 70:170]
    assert difference(fused.image[middle], stepwise[middle]) < 1.0


def test_one_warp_loses_less_than_several(registry: Registry, photo: np.ndarray) -> None:
    """There and back again: 36 turns of 10 degrees are the picture itself."""
    turns = compile_recipe([{"op": "rotate", "limit_deg": 1e-6}] * 12, registry=registry)
    fused = turns.apply(photo, rng_for(0)).image
    stepwise, step = photo, np.array([[1, 0, 1 / 12], [0, 1, 1 / 12], [0, 0, 1.0]])
    for _ in range(12):
        stepwise = images.warp(stepwise, step, photo.shape[:2])
    at_once = images.warp(photo, np.linalg.matrix_power(step, 12), photo.shape[:2])
    assert difference(fused, photo) < 0.1
    shifted = np.roll(photo, (1, 1), (0, 1))[4:-4, 4:-4]
    assert difference(at_once[4:-4, 4:-4], shifted) < difference(stepwise[4:-4, 4:-4], shifted) / 4


def test_matrix_says_where_pixels_went(registry: Registry) -> None:
    image = smooth(160, 200)
    applied = compile_recipe("rotate(30)|zoom(0.2)|perspective(0.05)", (120, 130), registry=registry).apply(image, rng_for(9))
    assert applied.matrix is not None
    rebuilt = images.warp(image, applied.matrix, (120, 130), fill_mode="nearest", interpolation="area")
    assert difference(rebuilt, applied.image) < 0.01


def test_an_ops_own_fill_starts_a_new_warp_only_where_it_shows(registry: Registry) -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    padded = compile_recipe("crop(0.5, 0.5, place=centre)|pad(10)", registry=registry, fill_mode="constant").apply(
        white, rng_for(0)
    )
    assert padded.image.shape == (50, 50, 3)
    assert not padded.image[:10].any(), "what the crop took must not come back in the margin"
    assert padded.image[10:40, 10:40].all()
    grey = compile_recipe("rotate(45, fill_mode=constant, fill_value=90)", registry=registry).apply(white, rng_for(2))
    assert {90, 255} <= set(np.unique(grey.image).tolist())


def test_working_size_and_full_resolution(registry: Registry, photo: np.ndarray) -> None:
    seen: list[tuple[int, ...]] = []
    for full in (False, True):
        recipe = compile_recipe("crop(0.5, 0.5)", (100, 100), registry=registry, full_resolution=full)
        recipe.apply(photo, rng_for(0), watch=lambda _, view: seen.append(view.image.shape))
    assert seen == [(50, 50, 3), (150, 226, 3)]


@pytest.mark.parametrize(("fit", "scale_xy"), [("stretch", (0.5, 1.0)), ("crop", (1.0, 1.0)), ("pad", (0.5, 0.5))])
def test_fits(registry: Registry, fit: Any, scale_xy: tuple[float, float]) -> None:
    applied = compile_recipe("greyscale", (100, 100), registry=registry, fit=fit).apply(smooth(100, 200), rng_for(0))
    assert applied.matrix is not None
    assert (applied.matrix[0, 0], applied.matrix[1, 1]) == scale_xy
    assert move(applied.matrix, np.array([99.5, 49.5])).tolist() == [49.5, 49.5]


# --- reduced decoding ----------------------------------------------------------------------------------------------------


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(960, 1280)
    data = images.encode(image, "jpg", 95)
    recipe = compile_recipe("rotate(40)|zoom(0.2)|hflip", (150, 150), registry=registry)
    scales = []
    original = images.decode_reduced

    def spy(*args: Any, **named: Any) -> images.Decoded:
        decoded = original(*args, **named)
        scales.append(decoded.scale)
        return decoded

    monkeypatch.setattr(images, "decode_reduced", spy)
    for seed in range(8):
        small = recipe.load(data, rng_for(seed))
        whole = recipe.apply(image, rng_for(seed))
        assert np.array_equal(small.matrix, whole.matrix)
        assert difference(small.image, whole.image) < 1.5
    assert set(scales) == {0.25}


@pytest.mark.parametrize(("zoom", "scales"), [(1.2, [0.25]), (0.5, [0.25]), (1.3, [0.25, 0.5])])
def test_variants_share_a_decode_unless_one_is_enlarged_by_more(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, zoom: float, scales: list[float]
) -> None:
    """A fit of 0.22 needs a quarter; enlarged by 1.2, a variant would need 0.264, and by 1.3 it gets half."""
    data = images.encode(smooth(400, 400), "jpg")
    decoded, original = list[float](), images.decode_reduced

    def spy(*args: Any, **named: Any) -> images.Decoded:
        found = original(*args, **named)
        decoded.append(found.scale)
        return found

    monkeypatch.setattr(images, "decode_reduced", spy)
    plain = compile_recipe("hflip(p=1)", (88, 88), registry=registry)
    zoomed = compile_recipe(f"zoom(range=[{1 / zoom}, {1 / zoom}])", (88, 88), registry=registry)
    picture = Picture(data)
    together = [recipe.load(picture, rng_for(1, 0)).image for recipe in (plain, zoomed, plain, zoomed)]
    assert decoded == scales
    alone = [recipe.load(data, rng_for(1, 0)).image for recipe in (plain, zoomed, plain, zoomed)]
    assert all((one == other).all() for one, other in zip(together, alone, strict=True)), "whatever was decoded before"


def test_nothing_is_decoded_below_what_a_zoom_needs(registry: Registry) -> None:
    data = images.encode(smooth(400, 400), "jpg")
    zoomed = compile_recipe("zoom(range=[0.25, 0.25])", (100, 100), registry=registry)
    assert difference(zoomed.load(data, rng_for(0)).image, zoomed.apply(smooth(400, 400), rng_for(0)).image) < 1.5


# --- randomness ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["light", "medium", "heavy", "keras_tutorial", "trivial", "rand"])
def test_the_generator_alone_decides_on_any_thread(registry: Registry, photo: np.ndarray, preset: str) -> None:
    recipe = compile_recipe(preset, (64, 64), registry=registry)
    before = photo.copy()
    one_by_one = [recipe(photo, rng_for(7, "s", n)) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: recipe(photo, rng_for(7, "s", n)), range(12)))
    assert all(np.array_equal(a, b) for a, b in zip(one_by_one, together, strict=True))
    assert len({image.tobytes() for image in one_by_one}) > 6
    assert np.array_equal(photo, before), "the source is never changed"


def test_p_is_a_share(registry: Registry) -> None:
    recipe = compile_recipe("invert(p=0.3)", registry=registry)
    image = np.zeros((2, 2, 3), np.uint8)
    share = np.mean([bool(recipe(image, rng_for(0, n)).any()) for n in range(2000)])
    assert share == pytest.approx(0.3, abs=0.04)  # four standard deviations of a binomial


def test_one_of_some_of_and_sequence(registry: Registry) -> None:
    image = np.full((4, 4, 3), 50, np.uint8)

    def names(text: str, count: int = 400) -> list[tuple[str, ...]]:
        recipe = compile_recipe(text, registry=registry)
        return [tuple(step.op for step in recipe.apply(image, rng_for(0, n)).steps) for n in range(count)]

    assert set(names("one_of(invert, equalize|posterize)")) == {("invert",), ("equalize", "posterize")}
    weighted = names("one_of(invert, posterize, weights=[3, 1])", 1000)
    assert weighted.count(("invert",)) / 1000 == pytest.approx(0.75, abs=0.06)
    assert set(names("some_of(invert, posterize, equalize, n=2)")) == {
        ("invert", "posterize"),
        ("invert", "equalize"),
        ("posterize", "equalize"),
    }
    assert ("invert", "invert") in names("some_of(invert, posterize, n=2, replace=true)")
    assert set(names("sequence(invert, posterize, p=0.5)")) == {(), ("invert", "posterize")}


def test_steps_tell_what_was_drawn(registry: Registry, photo: np.ndarray) -> None:
    applied = compile_recipe("rotate(40)|brightness|hflip(p=0)", registry=registry).apply(photo, rng_for(4))
    assert [step.op for step in applied.steps] == ["rotate", "brightness"]
    assert -40 <= applied.steps[0].drawn["angle_deg"] <= 40
    assert applied.captions[0].startswith("rotate angle_deg=")


def test_a_compiled_recipe_survives_pickling(registry: Registry, photo: np.ndarray) -> None:
    recipe = compile_recipe("one_of(rotate, blur)|hflip", (50, 50), registry=registry)
    again: CompiledRecipe = pickle.loads(pickle.dumps(recipe))
    assert all(np.array_equal(recipe(photo, rng_for(n)), again(photo, rng_for(n))) for n in range(6))


# --- targets -------------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_mask_and_boxes_agree(registry: Registry, data: st.DataObject) -> None:
    """The box of what is in the mask lies in the moved box, and fills it where nothing but the axes has changed."""
    ops = data.draw(st.lists(st.sampled_from(GEOMETRIC), min_size=1, max_size=4))
    x, y = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 50))
    width, height = data.draw(st.integers(8, 60)), data.draw(st.integers(8, 50))
    mask = np.zeros((100, 120), np.uint8)
    mask[y : y + height, x : x + width] = 1
    recipe = compile_recipe(ops, (150, 170), registry=registry, fill_mode="constant", min_visible=0, min_area_px=0)
    applied = recipe.apply(
        smooth(100, 120), rng_for(data.draw(st.integers(0, 999))), Targets(boxes=(Box(x, y, x + width, y + height, "a"),)), mask
    )
    assert applied.mask is not None
    assert applied.mask.shape == applied.image.shape[:2]
    assert set(np.unique(applied.mask)) <= {0, 1}
    rows, columns = np.flatnonzero(applied.mask.any(axis=1)), np.flatnonzero(applied.mask.any(axis=0))
    if not applied.boxes:
        assert applied.mask.sum() <= 2 * (150 + 170), "only a sliver may be without its box"
        return
    box = applied.boxes[0]
    assert 0 <= box.x_min < box.x_max <= 170
    assert 0 <= box.y_min < box.y_max <= 150
    if len(rows):
        assert box.x_min - 1.5 <= columns[0]
        assert columns[-1] + 1 <= box.x_max + 1.5
        assert box.y_min - 1.5 <= rows[0]
        assert rows[-1] + 1 <= box.y_max + 1.5
    plain = {"hflip(p=1)", "vflip(p=1)", "rotate90", "transpose(p=1)", "resize(90, 110)", "zoom(0.3)", "shift(0.2, 0.1)"}
    if set(ops) <= plain and box.x_max - box.x_min > 4 and box.y_max - box.y_min > 4:
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.abs(np.array(found) - (box.x_min, box.y_min, box.x_max, box.y_max)).max() <= 3


def test_keypoints_are_flipped_and_rotated_to_a_hundredth_of_a_pixel(registry: Registry) -> None:
    """Against OpenCV's rotation about the centre, at the angle that was drawn."""
    import cv2

    image = images.read(PHOTO)
    height, width = image.shape[:2]
    places = rng_for(0).uniform(0.2, 0.8, (17, 2)) * (width, height)
    targets = Targets(keypoints=tuple(Keypoint(float(x), float(y), f"p{at}") for at, (x, y) in enumerate(places)))
    flipped = compile_recipe("hflip(p=1)", registry=registry).apply(image, rng_for(1), targets)
    expected = np.stack([width - 1 - places[:, 0], places[:, 1]], axis=1)
    assert np.abs(np.array([(point.x, point.y) for point in flipped.keypoints]) - expected).max() < 0.01
    turned = compile_recipe("rotate(40)", registry=registry).apply(image, rng_for(2), targets)
    (step,) = turned.steps
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(step.drawn["angle_deg"]), 1)
    expected = places @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(np.array([(point.x, point.y) for point in turned.keypoints]) - expected).max() < 0.01


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_drawn_marker_lands_where_its_keypoint_says(registry: Registry, data: st.DataObject) -> None:
    ops = data.draw(st.lists(st.sampled_from(GEOMETRIC), min_size=1, max_size=4))
    x, y = data.draw(st.integers(10, 109)), data.draw(st.integers(10, 89))
    image = np.zeros((100, 120, 3), np.uint8)
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    recipe = compile_recipe(ops, (180, 200), registry=registry, fill_mode="constant")
    applied = recipe.apply(image, rng_for(data.draw(st.integers(0, 999))), Targets(keypoints=(Keypoint(x, y, "eye"),)))
    (point,) = applied.keypoints
    if not point.visible:
        return
    column, row = min(round(point.x), 199), min(round(point.y), 179)
    assert applied.image[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max() > 60
    padded = any(op.startswith("pad") for op in ops[1:])  # the op before it may have cut a part of the marker
    if not padded and 12 <= point.x < 188 and 12 <= point.y < 168:
        brightness = applied.image[..., 0].astype(float)
        rows, columns = np.mgrid[0:180, 0:200]
        near = (abs(rows - point.y) < 24) & (abs(columns - point.x) < 24)
        weight = brightness * near
        centre = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        assert np.hypot(centre[0] - point.x, centre[1] - point.y) < 1.6


@pytest.mark.parametrize("cut", ["crop(40, 40, place=centre)", "albu.CenterCrop(40, 40)", "shift(0, 0.2)|shift(0, 0.2)"])
def test_what_was_cut_is_not_there_in_a_later_margin(registry: Registry, cut: str) -> None:
    """One eye in the middle, one in each corner; a box and a mask over all of the picture."""
    eyes = tuple(Keypoint(x, y, "eye") for x, y in ((50, 50), (5, 5), (94, 5), (94, 94), (5, 94)))
    targets = Targets(boxes=(Box(0, 0, 100, 100, "face"), Box(0, 0, 8, 8, "corner")), keypoints=eyes)
    recipe = compile_recipe(f"{cut}|pad(30)", registry=registry, fill_mode="constant", min_visible=0.1)
    applied = recipe.apply(smooth(100, 100), rng_for(3), targets, np.ones((100, 100), np.uint8))
    assert applied.mask is not None
    for point in applied.keypoints:
        row, column = round(point.y), round(point.x)
        inside = 0 <= row < applied.mask.shape[0] and 0 <= column < applied.mask.shape[1]
        assert point.visible == (inside and bool(applied.mask[row, column]))
    assert applied.keypoints[0].visible
    rows, columns = np.flatnonzero(applied.mask.any(axis=1)), np.flatnonzero(applied.mask.any(axis=0))
    face = applied.boxes[0]
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(edges) - (face.x_min, face.y_min, face.x_max, face.y_max)).max() <= 1
    assert len(applied.boxes) == 1 or "shift" in cut


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_inverse_matrix_brings_points_back(registry: Registry, data: st.DataObject) -> None:
    ops = data.draw(st.lists(st.sampled_from(GEOMETRIC), min_size=1, max_size=5))
    recipe = compile_recipe(ops, (90, 70), registry=registry)
    applied = recipe.apply(smooth(100, 120), rng_for(data.draw(st.integers(0, 999))))
    points = np.array([(0, 0), (60, 50), (119, 0), (119, 99), (0, 99)], float)
    assert applied.matrix is not None
    assert np.allclose(move(np.linalg.inv(applied.matrix), move(applied.matrix, points)), points, atol=1e-4)


def test_boxes_are_clipped_and_dropped(registry: Registry) -> None:
    boxes = (Box(0, 0, 10, 10, "gone"), Box(40, 40, 80, 80, "half"), Box(60, 60, 90, 90, "whole"))
    recipe = compile_recipe("crop(40, 40, place=centre)", registry=registry, min_visible=0.2)
    applied = recipe.apply(np.zeros((120, 120, 3), np.uint8), rng_for(0), Targets(boxes=boxes))
    assert [(box.label, box.x_min, box.x_max) for box in applied.boxes] == [("half", 0, 40), ("whole", 20, 40)]
    strict = compile_recipe("crop(40, 40, place=centre)", registry=registry, min_visible=0.5)
    assert [b.label for b in strict.apply(np.zeros((120, 120, 3), np.uint8), rng_for(0), Targets(boxes=boxes)).boxes] == [
        "half"
    ]
    large = compile_recipe("crop(40, 40, place=centre)", registry=registry, min_area_px=1000)
    assert [b.label for b in large.apply(np.zeros((120, 120, 3), np.uint8), rng_for(0), Targets(boxes=boxes)).boxes] == ["half"]


def test_two_turns_do_not_blow_a_box_up_twice(registry: Registry) -> None:
    recipe = compile_recipe("rotate(45)|brightness|rotate(45)", registry=registry)
    for seed in range(20):
        applied = recipe.apply(np.zeros((200, 200, 3), np.uint8), rng_for(seed), Targets(boxes=(Box(80, 80, 120, 120, "a"),)))
        assert applied.boxes[0].x_max - applied.boxes[0].x_min <= 40 * 2**0.5 + 1e-6


def test_mirrored_names_change_sides(registry: Registry) -> None:
    targets = Targets(boxes=(Box(1, 1, 9, 9, "b"),), keypoints=(Keypoint(2, 3, "left_eye"), Keypoint(7, 3, "upright")))
    swap = {"b": "d", "d": "b"}
    image = np.zeros((10, 12, 3), np.uint8)

    def labels(ops: str) -> list[str]:
        applied = compile_recipe(ops, registry=registry, mirror_labels=swap).apply(image, rng_for(0), targets)
        return [*(box.label for box in applied.boxes), *(point.label for point in applied.keypoints)]

    assert labels("hflip(p=1)") == labels("vflip(p=1)") == labels("transpose(p=1)") == ["d", "right_eye", "upright"]
    assert labels("hflip(p=1)|vflip(p=1)") == labels("rotate90(turns=[2])") == ["b", "left_eye", "upright"]
    flipped = compile_recipe("hflip(p=1)", registry=registry).apply(image, rng_for(0), targets)
    assert (flipped.keypoints[0].x, flipped.keypoints[0].y) == (9, 3)
    assert (flipped.boxes[0].x_min, flipped.boxes[0].x_max) == (3, 11)


def test_a_keypoint_outside_is_kept_and_not_visible(registry: Registry) -> None:
    recipe = compile_recipe("crop(10, 10, place=centre)", registry=registry)
    applied = recipe.apply(np.zeros((40, 40, 3), np.uint8), rng_for(0), Targets(keypoints=(Keypoint(2, 2), Keypoint(20, 20))))
    assert [(point.x, point.visible) for point in applied.keypoints] == [(-13, False), (5, True)]


def test_a_mask_of_another_size_is_refused(registry: Registry) -> None:
    with pytest.raises(UserError, match="12 x 10 px"):
        compile_recipe("hflip", registry=registry).apply(
            np.zeros((10, 10, 3), np.uint8), rng_for(0), mask=np.zeros((10, 12), np.uint8)
        )


# --- ops of strangers ----------------------------------------------------------------------------------------------------


class Nothing(Params):
    """No parameters."""


def wrong_shape(image: np.ndarray, params: Nothing, rng: Rng) -> np.ndarray:
    return image[1:]


def singular(size_hw: tuple[int, int], params: Nothing, rng: Rng) -> np.ndarray:
    return np.zeros((3, 3))


def whole_view(view: View, params: Nothing, rng: Rng) -> View:
    assert view.mask is not None
    points = tuple(Keypoint(p.x, p.y, p.label + "!") for p in view.keypoints)
    return View(view.image[::2, ::2], view.mask[::2, ::2], (), points)


def nameless(picture: np.ndarray, params: Nothing, rng: Rng) -> np.ndarray:
    return picture


@pytest.mark.parametrize(
    ("op", "message"), [(wrong_shape, "like its image"), (singular, "invertible"), (nameless, "'picture'")]
)
def test_a_plugins_mistake_is_named(op: Any, message: str) -> None:
    from pipekit.params import Call
    from pipekit.registry.component import Component

    call = Call("op", "strange", Nothing(), {"p": 1.0}, Component("op", "strange", op))
    with pytest.raises(PluginError, match=message):
        compile_recipe([call]).apply(np.zeros((8, 8, 3), np.uint8), rng_for(0))


def test_an_op_may_take_the_whole_view() -> None:
    from pipekit.params import Call
    from pipekit.registry.component import Component

    call = Call("op", "halve", Nothing(), {"p": 1.0}, Component("op", "halve", whole_view))
    applied = compile_recipe([call], (20, 20)).apply(
        np.zeros((8, 8, 3), np.uint8),
        rng_for(0),
        Targets(boxes=(Box(0, 0, 4, 4),), keypoints=(Keypoint(1, 1, "k"),)),
        np.zeros((8, 8), np.uint8),
    )
    assert applied.image.shape == (20, 20, 3)
    assert applied.boxes == ()
    assert applied.keypoints[0].label == "k!"
    assert applied.matrix is None


@pytest.mark.parametrize(("min_visible", "kept"), [(0.5, ["half"]), (0.51, [])])
def test_a_box_of_which_just_enough_is_visible_is_kept(registry: Registry, min_visible: float, kept: list[str]) -> None:
    boxes = (Box(60, 40, 100, 80, "half"),)
    recipe = compile_recipe("crop(40, 40, place=centre)", registry=registry, min_visible=min_visible)
    applied = recipe.apply(np.zeros((120, 120, 3), np.uint8), rng_for(0), Targets(boxes=boxes))
    assert [box.label for box in applied.boxes] == kept


def test_ops_that_fill_in_different_ways_are_not_one_warp(registry: Registry) -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    two = compile_recipe("pad(10, fill_value=90)|pad(10, fill_value=30)", registry=registry).apply(white, rng_for(0))
    assert (two.image[:10] == 30).all()
    assert (two.image[10:20, 10:-10] == 90).all()
    cut = compile_recipe("pad(10)|crop(40, 40, place=centre)|pad(10)", registry=registry).apply(white, rng_for(0))
    assert not cut.image[:10].any(), "what the crop took must not come back in the margin"
    assert cut.image[10:-10, 10:-10].all()
