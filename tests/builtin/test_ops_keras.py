"""Our ops beside Keras' own ``ImageDataGenerator`` functions, with the same drawn values, on a real photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.ops import colour, geometric
from pipekit.images import FillMode, Matrix
from pipekit.recipe.homography import move
from pipekit.rng import rng_for

PHOTO = Path(__file__).parents[2] / "sample_data" / "photos" / "coffee.jpg"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Square: of others, Keras takes the middle of the height for that of the width. Small, so that it is smooth."""
    return images.resize(images.read(PHOTO), (140, 140))


@pytest.fixture(scope="module")
def keras() -> Any:
    from keras.src.legacy.preprocessing import image

    return image


def inside(matrix: Matrix, size_hw: tuple[int, int]) -> np.ndarray:
    """Which pixels of the result come from within the source, a pixel from its edge."""
    height, width = size_hw
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    source = move(np.linalg.inv(matrix), np.stack([x, y], axis=-1))
    return ((source >= 1) & (source <= (width - 2, height - 2))).all(axis=-1)


def assert_same(ours: np.ndarray, theirs: np.ndarray, where: np.ndarray) -> None:
    """Within interpolation error: OpenCV's weights are 1/32 of a pixel, SciPy's are exact."""
    difference = np.abs(ours.astype(float) - np.clip(theirs, 0, 255))[where]
    assert difference.mean() < 1.0
    assert np.percentile(difference, 99) < 6
    assert where.mean() > 0.3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
def test_rotation_shift_shear_and_zoom_together(photo: np.ndarray, keras: Any, seed: int, fill_mode: FillMode) -> None:
    size = photo.shape[:2]
    rng = rng_for(seed, "keras")
    matrix = geometric.rotate(size, geometric.RotateParams(limit_deg=40), rng)
    matrix = geometric.shift(size, geometric.ShiftParams(width=0.2, height=0.2), rng) @ matrix
    matrix = geometric.shear(size, geometric.ShearParams(limit_deg=25), rng) @ matrix
    matrix = geometric.zoom(size, geometric.ZoomParams(amount=0.3), rng) @ matrix
    drawn = rng.drawn
    theirs = keras.apply_affine_transform(
        photo.astype(np.float64),
        theta=drawn["angle_deg"],
        tx=-drawn["x_px"],  # Keras moves the window, not the picture
        ty=-drawn["y_px"],
        shear=drawn["shear_deg"],
        zx=drawn["zoom_x"],
        zy=drawn["zoom_y"],
        row_axis=0,
        col_axis=1,
        channel_axis=2,
        fill_mode=fill_mode,
        cval=77.0,
        order=1,
    )
    ours = images.warp(photo, matrix, size, fill_mode=fill_mode, fill_value=77)
    where = inside(matrix, size)
    assert_same(ours, theirs, where)
    if fill_mode in ("nearest", "reflect"):
        assert_same(ours, theirs, np.ones(size, bool))
    if fill_mode == "constant":
        # SciPy does not blend the pixels next to the picture's edge with what is outside.
        outside = cv2.erode((theirs == 77).all(axis=2).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        assert (ours[outside] == 77).mean() > 0.9


def test_the_ranges_are_keras_ranges(keras: Any) -> None:
    """A thousand draws of each cover the same range, and no more."""
    generator = keras.ImageDataGenerator(
        rotation_range=40, width_shift_range=0.2, height_shift_range=0.1, shear_range=5.0, zoom_range=0.3
    )
    np.random.seed(0)
    theirs = [generator.get_random_transform((120, 161, 3)) for _ in range(1000)]
    ours = []
    for number in range(1000):
        rng = rng_for(0, number)
        geometric.rotate((120, 161), geometric.RotateParams(limit_deg=40), rng)
        geometric.shift((120, 161), geometric.ShiftParams(width=0.2, height=0.1), rng)
        geometric.shear((120, 161), geometric.ShearParams(limit_deg=5), rng)
        geometric.zoom((120, 161), geometric.ZoomParams(amount=0.3), rng)
        ours.append(rng.drawn)
    # Keras names what height_shift_range draws tx, and what width_shift_range draws ty.
    pairs = {"theta": "angle_deg", "tx": "y_px", "ty": "x_px", "shear": "shear_deg", "zx": "zoom_y", "zy": "zoom_x"}
    for their_name, our_name in pairs.items():
        of_theirs = np.array([drawn[their_name] for drawn in theirs])
        of_ours = np.array([drawn[our_name] for drawn in ours])
        spread = np.ptp(of_theirs)
        assert of_ours.min() == pytest.approx(of_theirs.min(), abs=0.02 * spread)
        assert of_ours.max() == pytest.approx(of_theirs.max(), abs=0.02 * spread)
        assert of_ours.std() == pytest.approx(of_theirs.std(), rel=0.08)


def test_shifts_of_one_and_more_are_pixels(keras: Any) -> None:
    rng = rng_for(3)
    shifts = [geometric.shift((50, 500), geometric.ShiftParams(width=12, height=0), rng) for _ in range(200)]
    assert 11 < max(abs(matrix[0, 2]) for matrix in shifts) <= 12
    assert all(matrix[1, 2] == 0 for matrix in shifts)


def test_flips(photo: np.ndarray, keras: Any) -> None:
    size = photo.shape[:2]
    rng = rng_for(0)
    across = images.warp(photo, geometric.hflip(size, geometric.FlipParams(), rng), size)
    down = images.warp(photo, geometric.vflip(size, geometric.FlipParams(), rng), size)
    assert np.array_equal(across, keras.flip_axis(photo, 1))
    assert np.array_equal(down, keras.flip_axis(photo, 0))


@pytest.mark.parametrize("seed", range(4))
def test_channel_shift(photo: np.ndarray, keras: Any, seed: int) -> None:
    rng = rng_for(seed, "shift")
    ours = colour.channel_shift(photo, colour.ChannelShiftParams(limit=60), rng)
    theirs = keras.apply_channel_shift(photo.astype(np.float64), rng.drawn["amount"], channel_axis=2)
    assert np.abs(ours - theirs).max() <= 0.5


@pytest.mark.parametrize("seed", range(4))
def test_brightness(photo: np.ndarray, keras: Any, seed: int) -> None:
    rng = rng_for(seed, "brightness")
    ours = colour.brightness(photo, colour.BrightnessParams(range=(0.3, 1.9)), rng)
    theirs = keras.apply_brightness_shift(photo.astype(np.float64), rng.drawn["factor"], scale=False)
    assert np.abs(ours - theirs).max() <= 1  # Pillow cuts fractions off


def test_rescale(photo: np.ndarray, keras: Any) -> None:
    ours = colour.rescale(photo, colour.RescaleParams(factor=0.5), rng_for(0))
    theirs = keras.ImageDataGenerator(rescale=0.5).standardize(photo.astype(np.float64))
    assert np.abs(ours - theirs).max() <= 0.5
