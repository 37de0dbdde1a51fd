"""HOG + linear SVM: the classic baseline that a network must beat.

N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005; the histograms are those of
:mod:`pipekit.keypoints.hog`. The model is a Keras model: a fixed part computes the histograms with Keras operations, and one
dense layer classifies them. It can be saved, loaded, exported and explained like every other model.

Gradient descent does not train the dense layer: ``build.fit`` solves for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.templates import TENSORFLOW_S, Work

Cell = Annotated[int, Field(ge=2, le=1024)]
Float = NDArray[np.float32]
Batch = tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]

_EPS = 1e-5
_HYSTERESIS = 0.2
_ABSENT = -30.0
"""The score of a class without training images; its probability is 0."""


class HogSvmParams(Params):
    cell_px: tuple[Cell, ...] | None = param(
        None,
        "Cell sizes; all of them are used. Default: a ninth and a quarter of the image's shorter side",
        unit="px",
        min_length=1,
    )
    block_cells: int = param(2, "Block size: cells per side that are normalised together", unit="cells", ge=1, le=8)
    block_norm: Literal["l1_sqrt", "l2_hys"] = param(
        "l1_sqrt", "Block normalisation: L1-sqrt (square root of the L1-normalised block), or L2-Hys (L2, clipped at 0.2)"
    )
    orientations: int = param(12, "Number of orientation bins, over 360 degrees if signed, else 180", ge=2, le=36)
    signed: bool = param(True, "Signed gradients (360 degrees): distinguish dark-to-light from light-to-dark")
    c: float = param(0.1, "Regularisation parameter C of the SVM: the cost of a misclassified training image", gt=0, le=1e4)


def build(input_shape_hwc: tuple[int, int, int], num_classes: int, params: HogSvmParams) -> Any:
    """Build the Keras model: histograms of oriented gradients in blocks, and a dense layer with softmax.

    Raises:
        UserError: the image is smaller than a cell.
    """
    keras = load_keras()
    layers = keras.layers
    height, width, channels = input_shape_hwc
    cells = cell_sizes(input_shape_hwc, params)
    inputs = keras.Input(input_shape_hwc, name="image")
    gray = layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey")
    bins = _oriented(keras, gray(inputs), params)
    blocks = [_blocks(keras, bins, cell, params, (height, width)) for cell in cells]
    hog = layers.Concatenate(name="hog")(blocks) if len(blocks) > 1 else layers.Identity(name="hog")(blocks[0])
    outputs = layers.Dense(num_classes, "softmax", dtype="float32", name="probabilities")(hog)
    model = keras.Model(inputs, outputs, name="hog_svm")
    luma = np.array([0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels, np.float32)
    gray.set_weights([luma.reshape(1, 1, channels, 1)])
    return model


def cell_sizes(input_shape_hwc: tuple[int, int, int], params: HogSvmParams) -> tuple[int, ...]:
    """The cell sizes for this image size."""
    side = min(input_shape_hwc[:2])
    cells = params.cell_px or tuple(sorted({max(2, side // 9), max(2, side // 4)}))
    if max(cells) > side:
        raise UserError(
            f"hog_svm with cells of {max(cells)} px needs images of at least that size, got "
            f"{input_shape_hwc[0]} x {input_shape_hwc[1]}",
            "Set a smaller cell_px or a larger input_hw.",
        )
    return cells


def _oriented(keras: Any, gray: Any, params: HogSvmParams) -> Any:
    """``(N, H, W, orientations)``: each pixel's gradient magnitude, divided between the two bins nearest to its angle."""
    layers, ops = keras.layers, keras.ops

    def difference(crop: tuple[tuple[int, int], tuple[int, int]], back: tuple[tuple[int, int], tuple[int, int]]) -> Any:
        pad = tuple((1, 1) if sum(side) else (0, 0) for side in crop)
        return layers.ZeroPadding2D(pad)(layers.Subtract()([layers.Cropping2D(crop)(gray), layers.Cropping2D(back)(gray)]))

    dy = difference(((2, 0), (0, 0)), ((0, 2), (0, 0)))
    dx = difference(((0, 0), (2, 0)), ((0, 0), (0, 2)))
    span = math.pi * (2 if params.signed else 1)
    place = ops.mod(ops.arctan2(dy, dx), span) * (params.orientations / span)
    away = ops.abs(place - (np.arange(params.orientations, dtype=np.float32) + 0.5))
    away = ops.minimum(away, params.orientations - away)  # the last bin is the first one's neighbour
    return ops.sqrt(dy * dy + dx * dx) * ops.relu(1.0 - away)


def _blocks(keras: Any, bins: Any, cell_px: int, params: HogSvmParams, size_hw: tuple[int, int]) -> Any:
    """``(N, D)``: overlapping blocks of cells, each normalised."""
    layers, ops = keras.layers, keras.ops
    rows, columns = size_hw[0] // cell_px, size_hw[1] // cell_px
    side = min(params.block_cells, rows, columns)
    cells = layers.AveragePooling2D(cell_px)(bins)
    shifted = [
        layers.Cropping2D(((y, side - 1 - y), (x, side - 1 - x)))(cells) if side > 1 else cells
        for y in range(side)
        for x in range(side)
    ]
    block = layers.Concatenate()(shifted) if side > 1 else cells
    if params.block_norm == "l1_sqrt":
        return layers.Flatten()(ops.sqrt(block / (ops.sum(block, axis=-1, keepdims=True) + _EPS)))
    for clip in (True, False):
        block = block / ops.sqrt(ops.sum(block * block, axis=-1, keepdims=True) + _EPS**2)
        block = ops.minimum(block, _HYSTERESIS) if clip else block
    return layers.Flatten()(block)


# --- solving for the dense layer -----------------------------------------------------------------------------------------


def fit(model: Any, train: Iterable[Batch], val: Iterable[Batch], params: HogSvmParams, seed: int) -> dict[str, float]:
    """Set the model's last layer to the linear support vector machine (SVM) of the training images.

    There is one SVM for each class against the rest (squared hinge loss, scikit-learn's ``LinearSVC``). A softmax with one
    temperature turns their scores into probabilities. The temperature maximises the likelihood of the ``val`` images (Guo et
    al., "On calibration of modern neural networks", ICML 2017); without ``val``, it is fitted on a held-out fifth of ``train``.

    Args:
        train: batches of images ``(N, H, W, C)`` in 0..255, class numbers ``(N,)``, sample weights ``(N,)``.
        val: the same, or empty.

    Returns:
        ``accuracy`` and, if ``val`` has images, ``val_accuracy``.
    """
    keras = load_keras()
    hog = keras.Model(model.input, model.get_layer("hog").output)
    features, numbers, weights = _features(hog, train)
    if len(np.unique(numbers)) < 2:
        raise UserError("hog_svm needs training images of at least two classes", "Check the split 'train'.")
    num_classes = int(model.output_shape[-1])
    held_features, held_numbers, _ = _features(hog, val)
    solved = _solve(features, numbers, weights, num_classes, params.c, seed)
    if len(held_numbers):
        scores, y_true = _scores(held_features, solved), held_numbers
    else:
        out = np.random.default_rng(seed).permutation(len(numbers)) % 5 == 0
        out &= np.isin(numbers, np.unique(numbers[~out])) if out.any() else False
        if out.any() and len(np.unique(numbers[~out])) > 1:
            partial = _solve(features[~out], numbers[~out], weights[~out], num_classes, params.c, seed)
            scores, y_true = _scores(features[out], partial), numbers[out]
        else:  # too few images to hold any out
            scores, y_true = _scores(features, solved), numbers
    temperature = best_temperature(scores, y_true)
    kernel, bias = (part * temperature for part in solved)
    bias = np.where(np.isin(np.arange(num_classes), np.unique(numbers)), bias, _ABSENT * max(1.0, temperature))
    model.get_layer("probabilities").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    metrics = {"accuracy": float((_scores(features, (kernel, bias)).argmax(axis=1) == numbers).mean())}
    if len(held_numbers):
        metrics["val_accuracy"] = float((_scores(held_features, (kernel, bias)).argmax(axis=1) == held_numbers).mean())
    return metrics


def cost_s(work: Work, params: HogSvmParams) -> float:
    """The histograms of the training and validation images, twice, and the solver.

    Raises:
        UserError: the images are smaller than a cell.
    """
    cells = cell_sizes(work.shape_hwc, params)
    blocks = sum((work.shape_hwc[0] // cell) * (work.shape_hwc[1] // cell) for cell in cells)
    features = blocks * params.block_cells**2 * params.orientations
    histograms = 2 * 1.5e-7 * work.pixels * (work.train + work.val)
    return TENSORFLOW_S + histograms + 5e-8 * work.train * features * work.classes


build.fit = fit  # type: ignore[attr-defined]
build.cost_s = cost_s  # type: ignore[attr-defined]


def _features(hog: Any, batches: Iterable[Batch]) -> tuple[Float, NDArray[np.int64], Float]:
    made: list[tuple[Float, NDArray[Any], Float]] = []
    for pixels, numbers, weights in batches:
        numbers = np.asarray(numbers)
        numbers = numbers.argmax(axis=1) if numbers.ndim == 2 and numbers.shape[1] > 1 else numbers.reshape(-1)
        made.append(
            (
                np.asarray(hog.predict_on_batch(np.asarray(pixels, np.float32)), np.float32),
                numbers,
                np.asarray(weights, np.float32),
            )
        )
    if not made:
        return np.empty((0, int(hog.output_shape[-1])), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    features, numbers, weights = (np.concatenate(column) for column in zip(*made, strict=True))
    return features, numbers.astype(np.int64), weights


def _solve(
    features: Float, numbers: NDArray[np.int64], weights: Float, num_classes: int, c: float, seed: int
) -> tuple[Float, Float]:
    """Kernel ``(D, num_classes)`` and bias ``(num_classes,)``; zeros for a class without images."""
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=c, dual=len(features) < features.shape[1], max_iter=10_000, tol=1e-3, random_state=seed % 2**32)
    machine.fit(features, numbers, sample_weight=weights)
    coefficients, intercepts = np.asarray(machine.coef_), np.asarray(machine.intercept_)
    if len(machine.classes_) == 2:  # for two classes, scikit-learn fits a single SVM
        coefficients, intercepts = np.concatenate([-coefficients, coefficients]), np.concatenate([-intercepts, intercepts])
    kernel, bias = np.zeros((features.shape[1], num_classes), np.float32), np.zeros(num_classes, np.float32)
    kernel[:, machine.classes_], bias[machine.classes_] = coefficients.T, intercepts
    return kernel, bias


def _scores(features: Float, solved: tuple[Any, Any]) -> Float:
    return np.asarray(features @ solved[0] + solved[1], np.float32)


def best_temperature(scores: Float, numbers: NDArray[np.int64]) -> float:
    """The factor, 0.05 to 50, that maximises the likelihood of the true classes under the softmax of the scores."""
    factors = np.geomspace(0.05, 50, 200)
    rows = np.arange(len(numbers))

    def loss(factor: float) -> float:
        scaled = scores.astype(np.float64) * factor
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, numbers]).mean())

    return float(factors[int(np.argmin([loss(factor) for factor in factors]))])
