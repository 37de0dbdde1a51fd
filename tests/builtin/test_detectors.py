"""Detectors: against the reference libraries, and on images with nothing or far too much in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage import feature

from pipekit import images
from pipekit.builtin.detectors import akaze, blobs, common, corners, lbp
from pipekit.errors import UserError
from pipekit.keypoints.detection import Features, features_of, peaks
from pipekit.keypoints.hog import blocks, cells
from pipekit.registry.registry import Registry, load_registry

PHOTOS = Path(__file__).parents[2] / "sample_data" / "photos"
DETECTORS = [component.name for component in load_registry().components("detector")]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return images.read(PHOTOS / "coffee.jpg")


def chessboard(squares: int = 8, side_px: int = 24, border_px: int = 40) -> NDArray[np.uint8]:
    """A chessboard on grey; its inner corners lie between two pixels, at half numbers."""
    y, x = np.mgrid[: squares * side_px, : squares * side_px] // side_px
    board = np.where((x + y) % 2, 220, 30).astype(np.uint8)
    return cv2.copyMakeBorder(board, border_px, border_px, border_px, border_px, cv2.BORDER_CONSTANT, value=128).astype(
        np.uint8
    )


def inner_corners(squares: int = 8, side_px: int = 24, border_px: int = 40) -> NDArray[np.float64]:
    line = border_px + side_px * np.arange(1, squares) - 0.5
    return np.array([(x, y) for y in line for x in line])


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def distances(wanted: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """From each wanted place to the nearest one that was found."""
    return np.linalg.norm(wanted[:, None] - found[None], axis=2).min(axis=1)


# --- Harris, Shi and Tomasi ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "aperture", "k"), [(2, 3, 0.04), (5, 5, 0.06), (3, 7, 0.15)])
def test_harris_is_opencvs(photo: NDArray[np.uint8], block: int, aperture: Any, k: float) -> None:
    params = corners.HarrisParams(
        window="box", block_size_px=block, aperture_px=aperture, k=k, sub_pixel="none", max_points=10_000
    )
    found = corners.harris(photo, params)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    response = cv2.cornerHarris(gray.astype(np.float32) / 255, block, aperture, k)
    assert found.response_map is not None
    np.testing.assert_allclose(found.response_map, response, rtol=1e-4, atol=1e-6 * response.max())
    peak = (response > 0.01 * response.max()) & (response == cv2.dilate(response, np.ones((3, 3))))
    expected = np.argwhere(peak)[:, ::-1]
    whole = found.points[:, :2] % 1 == 0  # the others stand between neighbours of equal response
    np.testing.assert_array_equal(distances(found.points[whole.all(axis=1), :2], expected), 0)
    assert distances(expected, found.points[:, :2]).max() <= 0.5


@pytest.mark.parametrize(("sigma", "k"), [(1.0, 0.05), (2.5, 0.04)])
def test_harris_with_a_gaussian_window_is_scikit_images(photo: NDArray[np.uint8], sigma: float, k: float) -> None:
    params = corners.HarrisParams(window="gaussian", sigma_px=sigma, k=k)
    found = corners.harris(photo, params).response_map
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    expected = feature.corner_harris(gray, k=k, sigma=sigma)
    inner = slice(16, -16)  # the two libraries continue the image differently beyond its border
    assert found is not None
    np.testing.assert_allclose(found[inner, inner], expected[inner, inner], rtol=1e-3, atol=1e-5 * expected.max())


@pytest.mark.parametrize("params", [corners.HarrisParams(), corners.HarrisParams(aperture_px=7, sigma_px=3)])
@pytest.mark.parametrize("height", [61, 200, 241])
def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch, params: corners.HarrisParams, height: int) -> None:
    image = noise(height, 60)
    whole = corners.harris(image, params)
    monkeypatch.setattr(common, "_STRIP_PX", 1)
    found = corners.harris(image, params)
    np.testing.assert_array_equal(found.points, whole.points)
    np.testing.assert_array_equal(found.response_map, whole.response_map)


@pytest.mark.parametrize("name", ["harris", "shi_tomasi"])
def test_the_corners_of_a_chessboard(registry: Registry, name: str) -> None:
    component = registry.get("detector", name)
    found = component.load()(chessboard(), component.params_type()()).points[:, :2]
    assert distances(inner_corners(), found).max() <= 0.1
    refined = component.load()(chessboard(), component.params_type()(sub_pixel="gradients")).points[:, :2]
    assert distances(inner_corners(), refined).max() <= 0.1


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(0, 360), side_px=st.integers(10, 40))
def test_a_rotated_chessboard_gives_the_rotated_corners(angle: float, side_px: int) -> None:
    board = chessboard(side_px=side_px)
    size = board.shape[0]
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, 1.0)
    turned = cv2.warpAffine(board, turn, (size, size), flags=cv2.INTER_LINEAR, borderValue=128).astype(np.uint8)
    wanted = inner_corners(side_px=side_px)
    wanted = np.column_stack([wanted, np.ones(len(wanted))]) @ turn.T
    found = corners.harris(turned, corners.HarrisParams()).points[:, :2]
    assert distances(wanted, found).max() <= 1.0
    refined = corners.harris(turned, corners.HarrisParams(sub_pixel="gradients", sub_pixel_radius_px=3)).points[:, :2]
    assert distances(wanted, refined).max() <= 0.2


def test_a_response_is_at_its_top_between_the_pixels() -> None:
    y, x = np.mgrid[:30, :40]
    hill = np.exp(-((x - 20.3) ** 2 + (y - 11.8) ** 2) / 8).astype(np.float32)
    board = hill + np.exp(-((x - 39) ** 2 + (y - 29) ** 2) / 8).astype(np.float32)  # and one in the image's own corner
    found = corners._at_the_top(board, peaks(board, 0.5))
    np.testing.assert_allclose(sorted(found[:, :2].tolist()), [(20.3, 11.8), (39, 29)], atol=0.03)


def test_shi_tomasi_is_good_features_to_track(photo: NDArray[np.uint8]) -> None:
    found = corners.shi_tomasi(photo, corners.ShiTomasiParams(quality_level=0.1, max_points=10_000, sub_pixel="none")).points[
        :, :2
    ]
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    expected = cv2.goodFeaturesToTrack(gray, 10_000, 0.1, 0)[:, 0]
    inside = found[(found.min(axis=1) > 0) & (found[:, 0] < photo.shape[1] - 1) & (found[:, 1] < photo.shape[0] - 1)]
    assert len(expected) > 50
    np.testing.assert_array_equal(np.unique(inside, axis=0), np.unique(expected, axis=0))


# --- HOG, LBP, blobs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "block", "bins"), [(8, 3, 9), (16, 2, 6), (7, 1, 12)])
def test_hog_is_scikit_images(photo: NDArray[np.uint8], cell: int, block: int, bins: int) -> None:
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    found = cells(gray, cell, bins)
    for norm, name in (("l2_hys", "L2-Hys"), ("l1_sqrt", "L1-sqrt")):
        expected = feature.hog(gray, bins, (cell, cell), (block, block), block_norm=name)
        np.testing.assert_allclose(blocks(found, block, norm), expected, atol=2e-6)


@pytest.mark.parametrize(("norm", "name"), [("l2_hys", "L2-Hys"), ("l1_sqrt", "L1-sqrt")])
def test_hog_of_a_nearly_plain_image_is_scikit_images(norm: Any, name: str) -> None:
    """Gradients of about 1e-5, as large as the number that keeps plain blocks from a division by 0."""
    gray = np.random.default_rng(0).uniform(0, 2e-5, (32, 32)).astype(np.float32)
    expected = feature.hog(gray, 9, (8, 8), (2, 2), block_norm=name)
    np.testing.assert_allclose(blocks(cells(gray, 8, 9), 2, norm), expected, rtol=1e-4)


@pytest.mark.parametrize("signed", [False, True])
def test_a_gradient_between_two_bins_counts_in_both(signed: bool) -> None:
    span, bins = (360 if signed else 180), 12
    y, x = np.mgrid[:9, :9]
    for place in np.arange(0, bins, 0.3):
        turn = np.deg2rad(place * span / bins)
        ramp = 100 * (x * np.cos(turn) + y * np.sin(turn))
        expected = np.zeros(bins)
        low = int(np.floor(place - 0.5))
        expected[low % bins], expected[(low + 1) % bins] = low + 1.5 - place, place - 0.5 - low
        middle = cells(ramp[None], 3, bins, signed=signed, shared=True)[0, 1, 1]
        np.testing.assert_allclose(middle, 200 * expected, atol=0.5)


def test_hog_of_a_batch_is_that_of_each_image() -> None:
    batch = noise(5, 32 * 24, 1).reshape(5, 32, 24)
    together = blocks(cells(batch, 8, 9), 2)
    np.testing.assert_array_equal(together, np.stack([blocks(cells(image, 8, 9), 2) for image in batch]))


def test_hog_shows_the_direction_of_edges(registry: Registry) -> None:
    component = registry.get("detector", "hog")
    stripes = np.repeat(np.where(np.arange(64) % 8 < 4, 40, 200).astype(np.uint8)[None], 64, axis=0)
    upright = component.load()(stripes, component.params_type()(orientations=9))
    level = component.load()(stripes.T, component.params_type()(orientations=9))
    np.testing.assert_allclose(upright.angle_deg, 100)  # the bin from 90 to 110 degrees holds upright edges
    np.testing.assert_allclose(level.angle_deg, 0)


@pytest.mark.parametrize(("neighbours", "radius"), [(8, 1.0), (16, 2.5), (24, 3.0)])
def test_lbp_is_scikit_images(photo: NDArray[np.uint8], neighbours: int, radius: float) -> None:
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    expected = feature.local_binary_pattern(gray, neighbours, radius, "uniform")
    found = lbp.uniform_patterns(gray, neighbours, radius)
    # An interpolated neighbour that equals its centre exactly is above or below it by the last bit of the sum.
    assert (found == expected).mean() > 0.995


def test_blobs_find_discs_with_their_size() -> None:
    image = np.full((200, 260), 40, np.uint8)
    discs = np.array([(60, 60, 10), (150, 70, 18), (200, 150, 6)])
    for x, y, radius in discs:
        cv2.circle(image, (int(x), int(y)), int(radius), 230, -1)
    found = blobs.blobs(image, blobs.BlobParams(num_sigma=20, threshold=0.2, polarity="bright"))
    assert found.scale_px is not None
    assert len(found) == 3
    for x, y, radius in discs:
        nearest = np.hypot(found.points[:, 0] - x, found.points[:, 1] - y).argmin()
        assert np.hypot(found.points[nearest, 0] - x, found.points[nearest, 1] - y) <= 1
        assert found.scale_px[nearest] == pytest.approx(2 * radius, rel=0.15)


def test_the_blob_response_is_scikit_images() -> None:
    from scipy import ndimage

    unit = noise(80, 90, 1)[:, :, 0].astype(np.float32) / 255
    expected = np.abs(ndimage.gaussian_laplace(unit, 4.0)) * 16
    found = blobs.laplacian_of_gaussian(unit, 4.0)
    # A Gaussian followed by differences over one pixel is the derivative of a Gaussian to about 1 / (12 sigma^2).
    np.testing.assert_allclose(found[20:-20, 20:-20], expected[20:-20, 20:-20], atol=0.02 * expected.max())


# --- AKAZE -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coffee.jpg", "cat.jpg", "chessboard.png"])
def test_akaze_finds_what_opencv_4_finds(registry: Registry, name: str) -> None:
    # x_px, y_px, size_px, angle_deg of the 60 strongest of cv2.AKAZE_create().detect(gray), OpenCV 4.12.0.
    golden = json.loads(Path(__file__).with_name("akaze_opencv_4.12.json").read_text())[name]
    expected = np.array(golden)
    component = registry.get("detector", "akaze")
    found = component.load()(images.read(PHOTOS / name), component.params_type()(max_points=5000))
    assert found.scale_px is not None
    assert found.angle_deg is not None
    away = np.linalg.norm(expected[:, None, :2] - found.points[None, :, :2], axis=2)
    nearest = away.argmin(axis=1)
    again = away.min(axis=1) < 1.5
    assert again.mean() > 0.9
    same_size = np.abs(np.log2(found.scale_px[nearest] / expected[:, 2])) < 0.3
    assert same_size[again].mean() > 0.9
    if name != "chessboard.png":  # the angle at a crossing of four squares is as good as drawn by lot
        turned = np.abs((found.angle_deg[nearest] - expected[:, 3] + 180) % 360 - 180)
        assert (turned[again] < 15).mean() > 0.9


@pytest.mark.parametrize(("low", "share_of_top"), [(0.65, 1), (0.75, 151 / 300)])
def test_akazes_contrast_is_the_seventieth_percentile_in_300_bins(low: float, share_of_top: float) -> None:
    """Alcantarilla et al. 2013, section 2.1. A share of the gradients is 0.5017 of the others: in bin 151 of 300."""
    slopes = np.where(np.arange(2000) < low * 2000, 0.5017, 1) / 2000
    unit = np.tile(np.cumsum(slopes), (7, 1)).astype(np.float32)
    scharr = 32  # the sum of the kernel's weights times their distances
    assert akaze._contrast(unit) == pytest.approx(scharr / 2000 * share_of_top, rel=3e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_akazes_diffusion_takes_the_papers_time_steps(count: int) -> None:
    """Grewenig et al. 2010, equation 9, with the longest stable step of 0.25 (Alcantarilla et al. 2013, section 2.2)."""
    expected = [0.25 / (2 * np.cos(np.pi * (2 * n + 1) / (4 * count + 2)) ** 2) for n in range(count)]
    steps = akaze._time_steps(0.25 * count * (count + 1) / 3)
    assert sorted(steps) == pytest.approx(expected)


@pytest.mark.parametrize(("column", "seen"), [(40, True), (41, False)])
def test_akazes_descriptor_reaches_ten_steps_to_each_side(column: int, seen: bool) -> None:
    """OpenCV 4's pattern size; the middles of the outermost steps are 9.5 steps from the point. Here a step is a pixel."""
    image = np.zeros((61, 61), np.float32)
    image[:, column] = 1
    flat = np.zeros_like(image)
    level = akaze.Level(image, flat, flat, flat, sigma=0.7, step=1)
    assert akaze._descriptors(level, np.array([[30.5, 30.5]]), np.zeros(1)).any() == seen


# --- every detector ------------------------------------------------------------------------------------------------------


ODD = {
    "one pixel": noise(1, 1),
    "two rows": noise(2, 9),
    "a strip": noise(300, 3),
    "five by five": noise(5, 5),
    "twenty by twenty": noise(20, 20),
    "black": np.zeros((120, 90, 3), np.uint8),
    "grey, two dimensions": noise(80, 70, 1)[:, :, 0],
    "grey, one channel": noise(80, 70, 1),
    "alpha": noise(80, 70, 4),
    "16 bits": noise(80, 70).astype(np.uint16) * 257,
    "floats": noise(80, 70).astype(np.float32) / 255,
    "not contiguous": noise(160, 140)[::2, ::-2],
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("name", DETECTORS)
def test_odd_images(registry: Registry, name: str, what: str) -> None:
    component = registry.get("detector", name)
    image = ODD[what]
    found = features_of(component.load()(image, component.params_type()()), image.shape[:2], name)
    assert len(found) > 0 or found.note.startswith("nothing found: ")
    if what in ("one pixel", "black"):
        assert len(found) == 0


@pytest.mark.parametrize("name", DETECTORS)
def test_sixteen_bits_are_as_eight(registry: Registry, name: str, photo: NDArray[np.uint8]) -> None:
    component = registry.get("detector", name)
    params = component.params_type()()
    first, second = component.load()(photo, params), component.load()(photo.astype(np.uint16) * 257, params)
    assert len(first) > 0
    np.testing.assert_array_equal(first.points, second.points)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_large_image_is_shrunk_and_answered_in_its_own_pixels(
    registry: Registry, name: str, photo: NDArray[np.uint8]
) -> None:
    component = registry.get("detector", name)
    image = cv2.resize(photo, (1200, 800), interpolation=cv2.INTER_AREA)
    large = np.kron(image, np.ones((2, 2, 1), np.uint8))
    small = component.load()(image, component.params_type()(max_megapixels=100))
    found = features_of(component.load()(large, component.params_type()(max_megapixels=0.96)), large.shape[:2], name)
    assert "1200 x 800 of 2400 x 1600" in found.note
    np.testing.assert_allclose(found.points[:, :2], small.points[:, :2] * 2 + 0.5, atol=1e-3)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_strongest_are_kept(registry: Registry, name: str, photo: NDArray[np.uint8]) -> None:
    component = registry.get("detector", name)
    found = component.load()(photo, component.params_type()(max_points=10))
    if not found.dense:
        assert len(found) <= 10
        assert (np.diff(found.points[:, 2]) <= 0).all()


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 4, 2), (4,), (2, 4, 4, 3)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="an image is"):
        corners.harris(np.zeros(shape, np.uint8), corners.HarrisParams())


# --- what a detector returns ---------------------------------------------------------------------------------------------


def test_a_response_map_becomes_its_peaks() -> None:
    response = np.zeros((20, 30), np.float32)
    response[5, 7], response[12, 20], response[12, 21] = 2.0, 1.0, 1.0
    found = features_of(response, (20, 30))
    np.testing.assert_array_equal(found.points, [(7, 5, 2), (20.5, 12, 1)])
    assert found.response_map is not None


@settings(max_examples=60, deadline=None)
@given(response=arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3).map(float)))
def test_a_plateau_is_one_peak_at_its_centre(response: NDArray[np.float32]) -> None:
    peak = (response >= cv2.dilate(response, np.ones((3, 3)))) & (response > 0)
    count, labels, _, centres = cv2.connectedComponentsWithStats(peak.astype(np.uint8), connectivity=8)
    expected = [(float(response[labels == label].max()), *centres[label][::-1].round(4)) for label in range(1, count)]
    found = [(value, round(y, 4), round(x, 4)) for x, y, value in peaks(response, 0.0).tolist()]
    np.testing.assert_allclose(np.array(sorted(found)), np.array(sorted(expected)), atol=2e-4)


def test_peaks_of_a_flat_or_negative_map() -> None:
    assert len(peaks(np.zeros((9, 9)))) == 0
    assert len(peaks(np.full((9, 9), -1.0))) == 0
    assert len(peaks(np.zeros((0, 0)))) == 0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((4, 2), np.float32), "not float32 of shape"),
        (np.zeros((4, 3), np.int64), "not int64"),
        ("points", "not str"),
        (np.array([[1, 1, np.nan]], np.float32), "not finite"),
        (np.array([[50, 1, 1]], np.float32), "outside the image of 20 x 10"),
        (Features(np.zeros((2, 3), np.float32), scale_px=np.zeros(3, np.float32)), "scale_px has 3 rows for 2 points"),
        (Features(np.zeros((2, 3), np.float32), outlines=(np.zeros((4, 2), np.float32),)), "outlines has 1 shapes"),
        (Features(np.zeros((2, 3))), "must be"),  # type: ignore[arg-type]
    ],
)
def test_malformed_output_is_refused(output: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        features_of(output, (10, 20))
