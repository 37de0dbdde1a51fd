"""Filters: their kernels against OpenCV's own functions, and each step of a convolution against plain arithmetic."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from pipekit import images
from pipekit.builtin import filters
from pipekit.builtin.filters import FilterParams, FiltersParams
from pipekit.errors import UserError
from pipekit.testing import Project

PHOTO = Path(__file__).parents[2] / "sample_data" / "photos" / "cat.jpg"


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return images.read(PHOTO)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("sobel_x", lambda gray: cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=3)),
        ("sobel_y", lambda gray: cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=3)),
        ("scharr_x", lambda gray: cv2.Scharr(gray, cv2.CV_32F, 1, 0)),
        ("scharr_y", lambda gray: cv2.Scharr(gray, cv2.CV_32F, 0, 1)),
        ("laplacian", lambda gray: cv2.Laplacian(gray, cv2.CV_32F, ksize=1)),
        ("canny", lambda gray: cv2.Canny(gray, 100, 200)),
    ],
)
def test_edges_are_opencvs(photo: NDArray[np.uint8], name: Any, reference: Any) -> None:
    expected = reference(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    np.testing.assert_allclose(filters.apply(photo, FilterParams(filter=name)), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("params", "reference"),
    [
        (FilterParams(filter="gaussian", size_px=5), lambda image: cv2.GaussianBlur(image, (5, 5), 0)),
        (FilterParams(filter="gaussian", size_px=9, sigma_px=2), lambda image: cv2.GaussianBlur(image, (9, 9), 2)),
        (FilterParams(filter="mean", size_px=7), lambda image: cv2.blur(image, (7, 7))),
        (FilterParams(filter="median", size_px=5), lambda image: cv2.medianBlur(image, 5)),
    ],
)
def test_smoothing_is_opencvs(photo: NDArray[np.uint8], params: FilterParams, reference: Any) -> None:
    assert np.abs(filters.apply(photo, params) - reference(photo).astype(np.float32)).max() <= 1


@pytest.mark.parametrize("name", ["sharpen", "emboss"])
def test_a_flat_image_keeps_its_brightness(name: Any) -> None:
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_allclose(filters.apply(flat, FilterParams(filter=name)), 77)


@settings(max_examples=40, deadline=None)
@given(
    image=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    sides=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5])),
    data=st.data(),
)
def test_the_patch_times_the_kernel_is_the_feature_map(image: Any, sides: tuple[int, int], data: st.DataObject) -> None:
    kernel = data.draw(arrays(np.float32, sides, elements=st.integers(-9, 9).map(float)))
    y, x = data.draw(st.integers(0, image.shape[0] - 1)), data.draw(st.integers(0, image.shape[1] - 1))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if image.shape[0] <= sides[0] // 2 or image.shape[1] <= sides[1] // 2:
        return  # the window is more than twice the image: OpenCV mirrors again and again
    expected = cv2.filter2D(gray, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)[y, x]
    assert (filters.patch_at(image, (x, y), sides) * kernel).sum() == pytest.approx(expected, abs=1e-3)


def test_relu_and_pooling() -> None:
    values = np.array([[1, -2, 3, 9], [4, 0, -1, -5], [-7, -8, 2, 2]], np.float32)
    np.testing.assert_array_equal(filters.max_pool(filters.relu(values)), [[4, 9]])
    np.testing.assert_array_equal(filters.relu(values), [[1, 0, 3, 9], [4, 0, 0, 0], [0, 0, 2, 2]])
    np.testing.assert_array_equal(filters.max_pool(np.ones((1, 5), np.float32)), np.ones((1, 5)))


@pytest.mark.parametrize("name", [*filters.KERNELS, "gaussian", "mean", *filters.NO_KERNEL])
def test_every_filter_has_a_picture(photo: NDArray[np.uint8], name: Any) -> None:
    picture, caption = filters.show(photo, FiltersParams(filter=name), 240)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert name in caption


@pytest.mark.parametrize("shape", [(1, 1), (2, 300)])
def test_tiny_images_have_a_picture(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert filters.show(image, FiltersParams(kernel=[[1] * 7] * 7), 240)[0].ndim == 3


def test_the_animation_has_a_frame_for_each_place(photo: NDArray[np.uint8]) -> None:
    data = filters.animation(photo, FiltersParams(filter="sobel_x", animate_px=8))
    with Image.open(io.BytesIO(data)) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 8 * 5  # 451 x 300 with 8 px on the longer side


def test_what_is_no_convolution_has_no_window(photo: NDArray[np.uint8]) -> None:
    with pytest.raises(UserError, match="not a single convolution"):
        filters.animation(photo, FiltersParams(filter="median"))


def test_a_place_outside_the_image_is_refused(photo: NDArray[np.uint8]) -> None:
    with pytest.raises(UserError, match="outside an image of 451 x 300"):
        filters.show(photo, FiltersParams(at_px=(451, 0)), 240)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": [[1, 2]]}, "odd numbers"),
        ({"kernel": [[1, 2, 3], [1]]}, "one length"),
        ({"kernel": []}, "at least 1"),
        ({"size_px": 4}, "odd"),
        ({"filter": "prewitt"}, "sobel_x"),
    ],
)
def test_wrong_parameters(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterParams(**values)


def test_the_stage_shows_and_animates(pipekit_project: Project) -> None:
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "filters": {"use": "filters", "filter": "emboss", "max_images": 3, "animate": True, "animate_px": 4, "preview_px": 240},
    }
    outcome = pipekit_project.run(stages)
    assert outcome.status == "finished"
    folder = outcome.run_dir
    assert images.read(folder / "filters.png").ndim == 3
    assert len(list(folder.rglob("*.gif"))) == 2
