"""albumentations through its adapter: every transform, reproducible, on any thread, with all targets."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipekit.builtin import albu
from pipekit.contract import Box, Keypoint, Targets
from pipekit.errors import UserError
from pipekit.recipe import compile_recipe
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import rng_for

VALUES: dict[str, dict[str, Any]] = {
    "AtLeastOneBBoxRandomCrop": {"height": 50, "width": 50},
    "CenterCrop": {"height": 50, "width": 50},
    "Crop": {"x_min": 5, "y_min": 5, "x_max": 60, "y_max": 60},
    "CropAndPad": {"px": 5},
    "CropNonEmptyMaskIfExists": {"height": 50, "width": 50},
    "GridElasticDeform": {"num_grid_xy": [4, 4], "magnitude": 5},
    "LongestMaxSize": {"max_size": 64},
    "RandomCrop": {"height": 50, "width": 50},
    "RandomResizedCrop": {"size": [50, 50]},
    "RandomSizedBBoxSafeCrop": {"height": 50, "width": 50},
    "RandomSizedCrop": {"min_max_height": [40, 60], "size": [50, 50]},
    "Resize": {"height": 50, "width": 50},
    "SmallestMaxSize": {"max_size": 64},
}
"""For transforms that can't do without."""

IMAGE_ONLY = {"Morphological"}
"""Fails with a mask or boxes in albumentations 2.0.8 on OpenCV 5 (dilate refuses the shape of an empty array)."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    y, x = np.mgrid[0:80, 0:100]
    return np.stack([x * 2, y * 3, (x + y) % 64 * 4], axis=2).astype(np.uint8)


MASK = np.zeros((80, 100), np.uint8)
MASK[20:60, 30:80] = 1
TARGETS = Targets(
    boxes=(Box(30, 20, 80, 60, "thing"),), keypoints=(Keypoint(40, 30, "left_eye"), Keypoint(60, 30, "right_eye"))
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", albu.names())
def test_every_transform_draws_from_our_generator_alone(registry: Registry, image: np.ndarray, name: str) -> None:
    recipe = compile_recipe([{"op": f"albu.{name}", **VALUES.get(name, {})}], registry=registry)
    targets, mask = (Targets(), None) if name in IMAGE_ONLY else (TARGETS, MASK)
    made = []
    for noise in (1, 2):
        np.random.seed(noise)
        random.seed(noise)
        made.append(recipe.apply(image, rng_for(5, name), targets, mask))
    first, second = made
    assert np.array_equal(first.image, second.image)
    assert (first.boxes, first.keypoints, first.captions) == (second.boxes, second.keypoints, second.captions)
    assert first.image.dtype == np.uint8
    assert first.image.ndim == 3
    if mask is not None:
        assert first.mask is not None
        assert np.array_equal(first.mask, second.mask)
        assert first.mask.shape == first.image.shape[:2]
        assert len(first.keypoints) == 2


def test_threads_do_not_mix(registry: Registry, image: np.ndarray) -> None:
    recipe = compile_recipe("albu.Affine(rotate=[-40, 40])|albu.GaussNoise", registry=registry)
    one_by_one = [recipe(image, rng_for(n)) for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda n: recipe(image, rng_for(n)), range(24)))
    assert all(np.array_equal(a, b) for a, b in zip(one_by_one, together, strict=True))


def test_mask_box_and_points_move_along(registry: Registry, image: np.ndarray) -> None:
    recipe = compile_recipe("albu.Affine(scale=[0.7, 0.9], translate_px=[-5, 5])", registry=registry)
    for seed in range(5):
        applied = recipe.apply(image, rng_for(seed), TARGETS, MASK)
        assert applied.mask is not None
        rows, columns = np.flatnonzero(applied.mask.any(axis=1)), np.flatnonzero(applied.mask.any(axis=0))
        (box,) = applied.boxes
        assert (
            np.abs(
                np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - (box.x_min, box.y_min, box.x_max, box.y_max)
            ).max()
            < 2
        )
        assert box.label == "thing"
        assert all(box.x_min <= point.x <= box.x_max for point in applied.keypoints)


@pytest.mark.parametrize("ours", ["hflip(p=1)", "vflip(p=1)", "transpose(p=1)"])
def test_flips_agree_with_ours(registry: Registry, image: np.ndarray, ours: str) -> None:
    theirs = {"hflip(p=1)": "albu.HorizontalFlip", "vflip(p=1)": "albu.VerticalFlip", "transpose(p=1)": "albu.Transpose"}[ours]
    a = compile_recipe(ours, registry=registry, mirror_labels={"thing": "gniht"}).apply(image, rng_for(0), TARGETS, MASK)
    b = compile_recipe(theirs, registry=registry, mirror_labels={"thing": "gniht"}).apply(image, rng_for(0), TARGETS, MASK)
    assert np.array_equal(a.image, b.image)
    assert a.mask is not None
    assert b.mask is not None
    assert np.array_equal(a.mask, b.mask)
    assert a.mirrored
    assert b.mirrored
    assert [(p.label, p.x, p.y, p.visible) for p in a.keypoints] == [(p.label, p.x, p.y, p.visible) for p in b.keypoints]
    assert [box.label for box in a.boxes] == [box.label for box in b.boxes] == ["gniht"]
    assert np.allclose(
        [(x.x_min, x.y_min, x.x_max, x.y_max) for x in a.boxes],
        [(x.x_min, x.y_min, x.x_max, x.y_max) for x in b.boxes],
        atol=1e-3,
    )


def test_a_rotation_agrees_with_ours(registry: Registry, image: np.ndarray) -> None:
    smooth = np.stack([np.hypot(*np.mgrid[-40:40, -50:50])] * 3, axis=2).astype(np.uint8) * 3
    theirs = compile_recipe("albu.Rotate(limit=[30, 30], border_mode=0)", registry=registry).apply(smooth, rng_for(0), TARGETS)
    ours = compile_recipe("rotate(30, fill_mode=constant)", registry=registry)
    seed = next(n for n in range(10_000) if ours.apply(smooth, rng_for(n)).steps[0].drawn["angle_deg"] > 29.95)
    applied = ours.apply(smooth, rng_for(seed), TARGETS)
    assert np.abs(applied.image.astype(int) - theirs.image)[10:-10, 10:-10].mean() < 1
    for a, b in zip(applied.keypoints, theirs.keypoints, strict=True):
        assert np.hypot(a.x - b.x, a.y - b.y) < 0.6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("albu.RandomBrightnes", "Did you mean 'albu.RandomBrightnessContrast'"),
        ("albu.GaussNoise(std_rang=[0, 1])", "Did you mean 'std_range'"),
        ("albu.GaussNoise(std_range=[2, 3])", "std_range"),
        ("albu.RandomCrop", "height: is required"),
        ("albu.Normalize", "outputs floats"),
        ("albu.Lambda", "can't be written in a file"),
        ("albu.GaussNoise(p=3)", "less than or equal to 1"),
    ],
)
def test_mistakes_are_found_when_the_recipe_is_checked(registry: Registry, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_recipe(text, registry=registry)
    assert message in str(caught.value)


def test_a_crop_that_does_not_fit_is_one_sentence(registry: Registry, image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"albu\.RandomCrop: .*exceeds image dimensions"):
        compile_recipe("albu.RandomCrop(500, 500)", registry=registry)(image, rng_for(0))


def test_parameters_survive_pickling(registry: Registry) -> None:
    op = compile_recipe("albu.GaussNoise(std_range=[0.1, 0.2])", registry=registry).ops[0]
    assert pickle.loads(pickle.dumps(op.params)) == op.params
