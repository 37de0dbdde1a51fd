"""What single ops do, where that can be said exactly. What all ops keep to is in the contract tests."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.ops import colour, geometric, texture
from pipekit.recipe import compile_recipe
from pipekit.recipe.homography import move
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import Rng, rng_for


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def rng() -> Rng:
    return rng_for(1, "ops")


# --- colour ---------------------------------------------------------------------------------------------------------------


def test_a_factor_of_one_changes_nothing(picture: np.ndarray, rng: Rng) -> None:
    assert np.array_equal(colour.brightness(picture, colour.BrightnessParams(range=(1, 1)), rng), picture)
    assert np.array_equal(colour.contrast(picture, colour.ContrastParams(range=(1, 1)), rng), picture)
    assert np.array_equal(colour.gamma(picture, colour.GammaParams(range=(1, 1)), rng), picture)


def test_contrast_keeps_the_mean_and_scales_the_spread(rng: Rng) -> None:
    image = np.random.default_rng(0).integers(100, 156, (60, 60, 3), dtype=np.uint8)
    changed = colour.contrast(image, colour.ContrastParams(range=(1.5, 1.5)), rng)
    assert changed.mean() == pytest.approx(image.mean(), abs=1)
    assert changed.std() == pytest.approx(1.5 * image.std(), rel=0.02)


def test_gamma_is_a_power_of_the_part_of_255(rng: Rng) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    changed = colour.gamma(ramp, colour.GammaParams(range=(2, 2)), rng)
    assert changed[0, :, 0].tolist() == np.rint(255 * (np.arange(256) / 255) ** 2).astype(int).tolist()


def test_hue_turns_by_degrees(rng: Rng) -> None:
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)

    class Fixed(Rng):
        def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
            return high

    turned = colour.hue_saturation(red, colour.HueSaturationParams(hue_deg=120, saturation=(1, 1)), Fixed(np.random.PCG64(0)))
    assert np.abs(turned[0, 0].astype(int) - (0, 255, 0)).max() <= 6  # 256 steps of hue: 1.4 degrees each
    faded = colour.hue_saturation(red, colour.HueSaturationParams(hue_deg=0, saturation=(0, 0)), rng)
    assert faded[0, 0].tolist() == [255, 255, 255]


def test_greyscale_is_luma_in_all_channels(picture: np.ndarray, rng: Rng) -> None:
    grey = colour.greyscale(picture, colour.GreyscaleParams(), rng)
    assert (grey == grey[..., :1]).all()
    wanted = picture @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - wanted).max() <= 1


def test_posterize_solarize_invert_autocontrast(picture: np.ndarray, rng: Rng) -> None:
    assert set(np.unique(colour.posterize(picture, colour.PosterizeParams(bits=2), rng))) == {0, 64, 128, 192}
    solar = colour.solarize(picture, colour.SolarizeParams(threshold=(128, 128)), rng)
    assert np.array_equal(solar, np.where(picture >= 128, 255 - picture, picture))
    assert np.array_equal(colour.invert(picture, colour.NoColourParams(), rng), 255 - picture)
    dull = (picture // 4 + 60).astype(np.uint8)
    stretched = colour.autocontrast(dull, colour.NoColourParams(), rng)
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_equalize_is_opencvs_per_channel(picture: np.ndarray, rng: Rng) -> None:
    ours = colour.equalize((picture // 3).astype(np.uint8), colour.NoColourParams(), rng)
    assert np.array_equal(ours[..., 1], cv2.equalizeHist((picture // 3).astype(np.uint8)[..., 1]))


def test_every_pixel_op_takes_grey_pictures(registry: Registry) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 40, 1), dtype=np.uint8)
    done = 0
    for component in registry.components("op"):
        if component.name.endswith(".*") or component.plugin != "builtin":
            continue
        if next(iter(component.load().__annotations__)) != "image":
            continue
        values = {"factor": 0.5} if component.name == "rescale" else {}
        recipe = compile_recipe([{"op": component.name, **values}], registry=registry)
        assert recipe.apply(grey, rng_for(0)).image.shape == grey.shape, component.name
        done += 1
    assert done > 15


# --- texture --------------------------------------------------------------------------------------------------------------


def test_noise_has_the_strength_that_it_says(rng: Rng) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = texture.noise(grey, texture.NoiseParams(sigma=(10, 10)), rng).astype(float) - 128
    assert noisy.std() == pytest.approx(10, rel=0.02)
    assert abs(noisy.mean()) < 0.2
    same = texture.noise(grey, texture.NoiseParams(sigma=(10, 10), grey=True), rng)
    assert (same == same[..., :1]).all()


def test_salt_and_pepper_hits_the_share(rng: Rng) -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    hit = texture.salt_pepper(grey, texture.SaltPepperParams(amount=(0.1, 0.1)), rng)[..., 0] != 128
    assert hit.mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_motion_blur_keeps_the_light_in_its_place(seed: int) -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    blurred = texture.motion_blur(point, texture.MotionBlurParams(length_px=(9, 9)), rng_for(seed))[..., 0].astype(float)
    rows, columns = np.mgrid[0:41, 0:41]
    assert (blurred * rows).sum() / blurred.sum() == pytest.approx(20, abs=0.6)
    assert (blurred * columns).sum() / blurred.sum() == pytest.approx(20, abs=0.6)
    spread = np.sqrt((blurred * ((rows - 20) ** 2 + (columns - 20) ** 2)).sum() / blurred.sum())
    assert spread == pytest.approx(9 / 12**0.5, rel=0.3)  # the standard deviation of a line of length 9


def test_jpeg_artefacts_grow_with_lower_quality(rng: Rng) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1)
    losses = [
        np.abs(texture.jpeg(image, texture.JpegParams(quality=(q, q)), rng).astype(int) - image).mean() for q in (95, 50, 10)
    ]
    assert losses[0] < losses[1] < losses[2]


def test_cutout_covers_what_it_notes(rng: Rng) -> None:
    white = np.full((50, 60, 3), 255, np.uint8)
    holed = texture.cutout(white, texture.CutoutParams(holes=1, size=(0.2, 0.2), fill_value=0), rng)
    ((x, y, side),) = rng.drawn["holes_xy_side_px"]
    assert side == 10
    assert (holed == 0).all(axis=2).sum() == max(0, min(60, x + side) - max(0, x)) * max(0, min(50, y + side) - max(0, y))


# --- geometry -------------------------------------------------------------------------------------------------------------


def test_quarter_turns_are_exact(picture: np.ndarray) -> None:
    for turns in range(4):
        matrix, size = geometric.rotate90(picture.shape[:2], geometric.Rotate90Params(turns=(turns,)), rng_for(0))
        assert np.array_equal(images.warp(picture, matrix, size), np.rot90(picture, -turns))
    matrix, size = geometric.transpose(picture.shape[:2], geometric.FlipParams(), rng_for(0))
    assert np.array_equal(images.warp(picture, matrix, size), picture.transpose(1, 0, 2))


@pytest.mark.parametrize("seed", range(5))
def test_rotation_is_opencvs(seed: int, picture: np.ndarray) -> None:
    rng = rng_for(seed, "rotate")
    ours = geometric.rotate((40, 50), geometric.RotateParams(limit_deg=180), rng)
    theirs = cv2.getRotationMatrix2D((24.5, 19.5), rng.drawn["angle_deg"], 1.0)
    assert np.allclose(ours[:2], theirs)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_perspective_takes_corners_where_it_says_as_opencv_does(seed: int) -> None:
    rng = rng_for(seed, "perspective")
    matrix = geometric.perspective((40, 50), geometric.PerspectiveParams(amount=0.3), rng)
    corners = np.array([(-0.5, -0.5), (49.5, -0.5), (49.5, 39.5), (-0.5, 39.5)], np.float32)
    moved = corners + np.array(rng.drawn["corners_px"], np.float32).reshape(4, 2)
    assert np.allclose(move(matrix, corners.astype(float)), moved, atol=0.02)
    theirs = cv2.getPerspectiveTransform(corners, moved)
    assert np.allclose(move(matrix, np.array([10.0, 30.0])), move(theirs, np.array([10.0, 30.0])), atol=0.1)


def test_crops_are_cut_exactly(picture: np.ndarray, registry: Registry) -> None:
    applied = compile_recipe("crop(20, 30)", registry=registry).apply(picture, rng_for(3))
    drawn = applied.steps[0].drawn
    assert np.array_equal(applied.image, picture[drawn["y_px"] : drawn["y_px"] + 20, drawn["x_px"] : drawn["x_px"] + 30])
    centre = compile_recipe("crop(0.5, 0.5, place=centre)", registry=registry).apply(picture, rng_for(3))
    assert np.array_equal(centre.image, picture[10:30, 12:37])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_resized_crop_lies_within_the_picture(seed: int) -> None:
    rng = rng_for(seed)
    matrix, size = geometric.resized_crop((40, 50), geometric.ResizedCropParams(area=(0.1, 0.9)), rng)
    corners = move(np.linalg.inv(matrix), np.array([(-0.5, -0.5), (size[1] - 0.5, size[0] - 0.5)]))
    assert (corners >= -0.5 - 1e-9).all()
    assert (corners <= np.array([49.5, 39.5]) + 1e-9).all()
    area = np.prod(corners[1] - corners[0]) / (40 * 50)
    assert area <= rng.drawn["area"] + 1e-9


def test_pad_makes_square(picture: np.ndarray, registry: Registry) -> None:
    padded = compile_recipe("pad(0, square=true, fill_value=7)", registry=registry).apply(picture, rng_for(0)).image
    assert padded.shape == (50, 50, 3)
    assert np.array_equal(padded[5:45], picture)
    assert (padded[:5] == 7).all()
