"""HOG + linear SVM: the Keras graph against the plain arithmetic, the solved layer against scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit.builtin.models import hog_svm
from pipekit.builtin.models.hog_svm import HogSvmParams, best_temperature, build, fit
from pipekit.errors import UserError
from pipekit.keypoints.hog import blocks, cells
from pipekit.learning.keras_backend import load_keras


def stripes(count: int, seed: int, angles_deg: tuple[float, ...] = (0, 60, 120), channels: int = 1) -> tuple[Any, Any]:
    """Noisy stripes of 28 x 28 px; the class is their direction."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % len(angles_deg)
    y, x = np.mgrid[:28, :28]
    turn = np.deg2rad(np.array(angles_deg)[numbers] + rng.normal(0, 5, count))[:, None, None]
    wave = np.sin(
        (x * np.cos(turn) + y * np.sin(turn)) * rng.uniform(0.5, 0.9, (count, 1, 1)) + rng.uniform(0, 6, (count, 1, 1))
    )
    pixels = np.clip(128 + 60 * wave + rng.normal(0, 25, wave.shape), 0, 255).astype(np.uint8)
    return np.repeat(pixels[..., None], channels, axis=3), numbers


def batches(pixels: NDArray[Any], numbers: NDArray[Any], size: int = 16) -> Iterator[Any]:
    for start in range(0, len(pixels), size):
        part = slice(start, start + size)
        yield pixels[part], numbers[part], np.ones(len(numbers[part]), np.float32)


def features_of(model: Any, pixels: NDArray[Any]) -> NDArray[np.float32]:
    keras = load_keras()
    hog = keras.Model(model.input, model.get_layer("hog").output)
    return np.asarray(hog.predict(pixels.astype(np.float32), verbose=0))


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((28, 28, 1), HogSvmParams()),
        ((33, 20, 1), HogSvmParams(cell_px=(5, 16), block_cells=3)),
        ((40, 64, 1), HogSvmParams(cell_px=(8,), block_cells=1, orientations=7, signed=False, block_norm="l2_hys")),
    ],
)
def test_the_graph_computes_the_histograms(shape: tuple[int, int, int], params: HogSvmParams) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    gray = pixels[..., 0]
    expected = [
        blocks(cells(gray, cell, params.orientations, signed=params.signed, shared=True), params.block_cells, params.block_norm)
        for cell in hog_svm.cell_sizes(shape, params)
    ]
    np.testing.assert_allclose(features_of(build(shape, 2, params), pixels), np.concatenate(expected, axis=1), atol=1e-4)


@pytest.mark.parametrize("norm", ["l1_sqrt", "l2_hys"])
def test_the_graph_normalises_nearly_plain_images_alike(norm: Any) -> None:
    """Gradients of about 1e-5, as large as the number that keeps plain blocks from a division by 0."""
    gray = np.random.default_rng(0).uniform(0, 2e-5, (2, 28, 28)).astype(np.float32)
    params = HogSvmParams(cell_px=(7,), block_norm=norm)
    expected = blocks(cells(gray, 7, params.orientations, signed=True, shared=True), params.block_cells, norm)
    np.testing.assert_allclose(features_of(build((28, 28, 1), 2, params), gray[..., None]), expected, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("angles", [(0, 60, 120), (0, 90)])
def test_the_layer_is_the_machine_of_scikit_learn(angles: tuple[float, ...]) -> None:
    from sklearn.svm import LinearSVC

    params = HogSvmParams(c=0.5)
    pixels, numbers = stripes(90, 1, angles)
    others, _ = stripes(60, 2, angles)
    model = build((28, 28, 1), len(angles), params)
    said = fit(model, batches(pixels, numbers), batches(*stripes(30, 3, angles)), params, seed=5)
    features = features_of(model, pixels)
    machine = LinearSVC(C=0.5, dual=len(features) < features.shape[1], max_iter=10_000, tol=1e-3, random_state=5)
    machine.fit(features, numbers)
    probabilities = np.asarray(model.predict(others.astype(np.float32), verbose=0))
    np.testing.assert_array_equal(probabilities.argmax(axis=1), machine.predict(features_of(model, others)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert said["accuracy"] == pytest.approx(machine.score(features, numbers))
    assert said["val_accuracy"] > 0.9


def test_it_is_saved_and_loaded_as_any_keras_model(tmp_path: Path) -> None:
    keras = load_keras()
    pixels, numbers = stripes(60, 1, channels=3)
    model = build((28, 28, 3), 3, HogSvmParams())
    fit(model, batches(pixels, numbers), [], HogSvmParams(), seed=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    first, second = (np.asarray(m.predict(pixels.astype(np.float32), verbose=0)) for m in (model, again))
    np.testing.assert_array_equal(first, second)
    assert (first.argmax(axis=1) == numbers).mean() > 0.95


def test_the_same_seed_gives_the_same_weights() -> None:
    pixels, numbers = stripes(50, 1)
    made = []
    for _ in range(2):
        model = build((28, 28, 1), 3, HogSvmParams())
        fit(model, batches(pixels, numbers), [], HogSvmParams(), seed=3)
        made.append(model.get_layer("probabilities").get_weights())
    np.testing.assert_array_equal(made[0][0], made[1][0])
    np.testing.assert_array_equal(made[0][1], made[1][1])


def test_a_class_without_images_is_never_named() -> None:
    pixels, numbers = stripes(40, 1, (0, 90))
    model = build((28, 28, 1), 3, HogSvmParams())
    fit(model, batches(pixels, numbers * 2), [], HogSvmParams(), seed=0)  # classes 0 and 2
    probabilities = np.asarray(model.predict(pixels.astype(np.float32), verbose=0))
    assert probabilities[:, 1].max() < 1e-6
    assert (probabilities.argmax(axis=1) == numbers * 2).mean() > 0.95


def test_a_class_without_images_has_a_score_of_minus_30() -> None:
    """Beside two classes that validation images of random classes make equally likely: exp(-30) / 2."""
    pixels, numbers = stripes(40, 1, (0, 90))
    others, _ = stripes(40, 2, (0, 90))
    model = build((28, 28, 1), 3, HogSvmParams())
    fit(model, batches(pixels, numbers), batches(others, np.arange(40) // 2 % 2), HogSvmParams(), seed=0)  # classes 0 and 1
    probabilities = np.asarray(model.predict(others.astype(np.float32), verbose=0), np.float64)
    np.testing.assert_allclose(np.log(probabilities[:, 2]), -30 - np.log(2), atol=0.5)


def test_one_hot_labels_are_as_good() -> None:
    pixels, numbers = stripes(40, 1)
    first, second = (build((28, 28, 1), 3, HogSvmParams()) for _ in range(2))
    fit(first, batches(pixels, numbers), [], HogSvmParams(), seed=0)
    fit(second, batches(pixels, np.eye(3)[numbers]), [], HogSvmParams(), seed=0)
    np.testing.assert_array_equal(*(m.get_layer("probabilities").get_weights()[0] for m in (first, second)))


def test_one_class_can_not_be_learnt() -> None:
    pixels, numbers = stripes(10, 1)
    with pytest.raises(UserError, match="at least two classes"):
        fit(build((28, 28, 1), 2, HogSvmParams()), batches(pixels, numbers * 0), [], HogSvmParams(), seed=0)


def test_cells_larger_than_the_image_are_refused() -> None:
    with pytest.raises(UserError, match="cells of 40 px needs images of at least that size, got 28 x 28"):
        build((28, 28, 1), 2, HogSvmParams(cell_px=(40,)))


def test_the_temperature_is_the_most_likely_one() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (20_000, 3))
    likely = np.exp(2.5 * scores)
    likely /= likely.sum(axis=1, keepdims=True)
    numbers = (rng.random((len(scores), 1)) > likely.cumsum(axis=1)).sum(axis=1)
    assert best_temperature(scores.astype(np.float32), numbers) == pytest.approx(2.5, rel=0.06)
