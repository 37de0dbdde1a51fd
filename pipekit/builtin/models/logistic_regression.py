"""Logistic regression on the features of a pretrained network: a linear probe, which needs few images and one pass.

The network of an embedder is frozen; scikit-learn's ``LogisticRegression`` (L2, L-BFGS) solves for the one layer on top of it.
The model is a Keras model with preprocessing, network and layer, so it can be saved, exported and explained like every other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Call, Params, Uses, depends_on, param
from pipekit.errors import UserError
from pipekit.learning.embedders import describe, facts_of
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.linear_solvers import choose_c as several_c
from pipekit.learning.linear_solvers import losses_of_labels, losses_of_numbers, numbers_along
from pipekit.learning.logistic_path import labels_along
from pipekit.learning.outputs import Outputs
from pipekit.learning.solver_cost import solver_s
from pipekit.learning.templates import TENSORFLOW_S, Work

Float = NDArray[np.float64]
Batch = tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]

CANDIDATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C from which one is chosen, from strong to weak regularisation."""
ENOUGH = 50
"""Validation images from which they decide alone; with fewer, images of train that are held out in turn decide too."""
FOLDS = 5
_ABSENT = -1e4
"""The score of a class without training images; its probability is 0."""


class LogisticRegressionParams(Params):
    embedder: Annotated[Call, Uses("embedder")] = param(
        "efficientnet_lite0", "The pretrained network: an embedder's name, or a table with its parameters"
    )
    c: float | None = param(
        None,
        "Inverse strength of the L2 regularisation, as in scikit-learn. Default: the one with the lowest loss on val",
        gt=0,
        le=1e6,
    )


@depends_on("scikit-learn", "keras")
def build(input_shape_hwc: tuple[int, int, int], outputs: Outputs | int, params: LogisticRegressionParams) -> Any:
    """The embedder's network, frozen, from the image to its features; a softmax layer on top.

    Raises:
        UserError: the embedder can't be built in Keras, or its weights are not installed.
    """
    facts = facts_of(params.embedder.load(), params.embedder.params)
    if facts.keras is None:
        raise UserError(
            f"the embedder {params.embedder.name!r} states no `keras`, so no model can be built on it",
            "Use another one: pipekit components embedder",
        )
    keras = load_keras()
    network = facts.keras(input_shape_hwc)
    features = network.outputs[0]  # not `output`, which a Sequential lacks that was never called
    return keras.Model(network.inputs[0], Outputs.of(outputs).layer(features), name="logistic_regression")


def on_features(dimensions: int, outputs: Outputs | int) -> Any:
    """The last layer alone, from features to probabilities."""
    keras = load_keras()
    inputs = keras.Input((dimensions,), name="features")
    return keras.Model(inputs, Outputs.of(outputs).layer(inputs), name="logistic_regression")


def fit(model: Any, train: Iterable[Batch], val: Iterable[Batch], params: LogisticRegressionParams, seed: int) -> None:
    """Set the last layer to the logistic regression of the training images.

    Args:
        train: batches of features ``(N, D)``, or of images ``(N, H, W, C)`` in 0..255; class numbers ``(N,)`` or one-hot;
            sample weights ``(N,)``.
        val: the same, or empty: it chooses the strength of the regularisation, unless ``c`` is given.

    For several labels, targets are ``(N, C)`` of 0 and 1, of numbers ``(N, 1)``; by the activation of the model's last layer.
    """
    features_of = _features_of(model)
    if (kind := model.get_layer("probabilities").activation.__name__) != "softmax":
        _fit_others(model, kind == "sigmoid", features_of, train, val, params, seed)
        return
    x, numbers, weights = _collected(features_of, train)
    if len(np.unique(numbers)) < 2:
        raise UserError("logistic_regression needs training images of at least two classes", "Check the split 'train'.")
    middle, spread = scale_of(x)
    x = (x - middle) / spread
    c = params.c
    if c is None:
        held, held_numbers, _ = _collected(features_of, val)
        c = choose_c(x, numbers, weights, (held - middle) / spread if len(held) else held, held_numbers, seed)
    classes, coefficients, intercepts = _solved(x, numbers, weights, c)
    dense = model.get_layer("probabilities")
    kernel, bias = np.zeros(dense.kernel.shape, np.float32), np.full(dense.bias.shape, _ABSENT, np.float32)
    kernel[:, classes] = coefficients.T / spread
    bias[classes] = intercepts - coefficients @ (middle / spread)
    dense.set_weights([kernel, bias])


def _fit_others(
    model: Any,
    are_labels: bool,
    features_of: Callable[[Any], Any],
    train: Iterable[Batch],
    val: Iterable[Batch],
    params: LogisticRegressionParams,
    seed: int,
) -> None:
    """Set the last layer to logistic regressions of several labels, or to the ridge regression of a number."""
    from threadpoolctl import threadpool_limits

    along, losses = (labels_along, losses_of_labels) if are_labels else (numbers_along, losses_of_numbers)
    scaling = None if are_labels else model.get_layer("value")
    x, y, weights = _with_targets(features_of, train, scaling)
    if not len(x):
        raise UserError("logistic_regression needs training images", "Check the split 'train'.")
    middle, spread = scale_of(x)
    x = (x - middle) / spread
    c = params.c
    held, held_y, _ = _with_targets(features_of, val, scaling) if c is None else (x[:0], y[:0], weights)
    with threadpool_limits(1):  # more threads would sum in another order
        if c is None:
            c = several_c(along, losses, x, y, weights, ((held - middle) / spread if len(held) else held, held_y), seed)
        kernel, bias = next(along(x, y, weights, (c,)))
        bias = bias - (middle / spread) @ kernel
    model.get_layer("probabilities").set_weights([(kernel / spread).astype(np.float32), bias.astype(np.float32)])


def _with_targets(features_of: Callable[[Any], Any], batches: Iterable[Batch], scaling: Any) -> tuple[Float, Float, Float]:
    """Features, targets as the layer ``probabilities`` has to compute them, and weights."""
    found = [(np.asarray(features_of(seen), np.float64), np.asarray(y, np.float64), counts) for seen, y, counts in batches]
    if not found:
        return np.empty((0, 0)), np.empty((0, 0)), np.empty(0)
    x, y, weights = (np.concatenate([np.asarray(one, np.float64) for one in column]) for column in zip(*found, strict=True))
    y = y.reshape(len(y), -1)
    return x, y if scaling is None else (y - float(scaling.offset)) / float(scaling.scale), weights


def scale_of(x: Float) -> tuple[Float, float]:
    """What is subtracted from the features, ``(D,)``, and the one number that they are divided by.

    One scale for all features: the spread of a single one is known badly from few images, and a division by it would lift the
    features that hardly vary to the level of those that tell the classes apart.
    """
    middle = x.mean(axis=0)
    return middle, float(np.sqrt(((x - middle) ** 2).mean())) + 1e-6


def choose_c(
    x: Float, numbers: NDArray[np.int64], weights: Float, held: Float, held_numbers: NDArray[np.int64], seed: int
) -> float:
    """The candidate with the lowest mean log loss on val; where val has few images, on held-out images of train too.

    Args:
        x: ``(N, D)`` standardised features of train.
        held: ``(M, D)`` those of val, by the same standardisation; ``M`` may be 0.
    """
    known = np.isin(held_numbers, np.unique(numbers))
    parts = [(x, numbers, weights, held[known], held_numbers[known])] if known.any() else []
    if known.sum() < ENOUGH:
        parts += list(_folds(x, numbers, weights, seed))
    if not parts:
        return 0.01
    losses = [np.concatenate([_losses(part, c) for part in parts]).mean() for c in CANDIDATES]
    return CANDIDATES[int(np.argmin(losses))]


Part = tuple[Float, NDArray[np.int64], Float, Float, NDArray[np.int64]]


def _folds(x: Float, numbers: NDArray[np.int64], weights: Float, seed: int) -> Iterator[Part]:
    """Train without a fold, and the fold; stratified. None, if a class has a single image."""
    from sklearn.model_selection import StratifiedKFold

    fewest = int(np.unique(numbers, return_counts=True)[1].min())
    if fewest < 2:
        return
    folds = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed % 2**32)
    for kept, out in folds.split(x, numbers):
        yield x[kept], numbers[kept], weights[kept], x[out], numbers[out]


def _losses(part: Part, c: float) -> Float:
    """The log loss of each held-out image."""
    x, numbers, weights, held, held_numbers = part
    classes, coefficients, intercepts = _solved(x, numbers, weights, c)
    scores = held @ coefficients.T + intercepts
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[np.arange(len(held)), np.searchsorted(classes, held_numbers)]
    return np.asarray(np.log(np.exp(scores).sum(axis=1)) - own)


def _solved(x: Float, numbers: NDArray[np.int64], weights: Float, c: float) -> tuple[NDArray[np.int64], Float, Float]:
    """The classes, and a row of coefficients and an intercept for each.

    For two classes scikit-learn has one score, the log-odds of the second: here each class gets a half of it, so that both have
    weights to explain. The probabilities are the same.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=c, max_iter=1000, tol=1e-5).fit(x, numbers, sample_weight=weights)
    coefficients, intercepts = np.asarray(fitted.coef_), np.asarray(fitted.intercept_)
    if len(fitted.classes_) == 2:
        coefficients, intercepts = (
            np.concatenate([-coefficients, coefficients]) / 2,
            np.concatenate([-intercepts, intercepts]) / 2,
        )
    return np.asarray(fitted.classes_), coefficients, intercepts


def _features_of(model: Any) -> Callable[[Any], Any]:
    """The function from a batch to features: the model's network, or the identity where the batch holds features already."""
    if len(model.input_shape) == 2:
        return lambda features: features
    network = load_keras().Model(model.input, model.get_layer("probabilities").input)
    return lambda images: network.predict_on_batch(np.asarray(images, np.float32))


def _collected(features_of: Callable[[Any], Any], batches: Iterable[Batch]) -> tuple[Float, NDArray[np.int64], Float]:
    features, numbers, weights = [], [], []
    for seen, targets, counts in batches:
        targets = np.asarray(targets)
        features.append(np.asarray(features_of(seen), np.float64))
        numbers.append(targets.argmax(axis=1) if targets.ndim == 2 and targets.shape[1] > 1 else targets.reshape(-1))
        weights.append(np.asarray(counts, np.float64))
    if not features:
        return np.empty((0, 0)), np.empty(0, np.int64), np.empty(0)
    return np.concatenate(features), np.concatenate(numbers).astype(np.int64), np.concatenate(weights)


def pretrained_on(params: LogisticRegressionParams) -> Mapping[str, Any]:
    """Source, licence and training data of the network."""
    return describe(params.embedder.component, params.embedder.params)


def finer_hw(params: LogisticRegressionParams) -> tuple[int, int] | None:
    """The embedder's finer size, unless its side is stated."""
    side = facts_of(params.embedder.load(), params.embedder.params).fine_side
    return None if side is None or getattr(params.embedder.params, "side", None) is not None else (side, side)


def cost_s(work: Work, params: LogisticRegressionParams) -> float:
    """The features of all images, whose shards every split shares, and the solver, also on folds where val is small.

    Raises:
        UserError: the images are grey, or the embedder can't be used.
    """
    facts = facts_of(params.embedder.load(), params.embedder.params)
    if work.shape_hwc[2] != 3:
        raise UserError(f"the embedder {params.embedder.name!r} needs colour images", "Set channels = 3.")
    if facts.keras is None:
        raise UserError(f"the embedder {params.embedder.name!r} states no `keras`, so no model can be built on it")
    if facts.weights is not None:
        facts.weights()
    embedded = 0.01 * work.images * (work.pixels / (224 * 224))
    return TENSORFLOW_S + embedded + _solving_s(work, facts.dimensions, params)


def _solving_s(work: Work, dimensions: int, params: LogisticRegressionParams) -> float:
    """Every candidate on val and, where val has few images, on the folds; then the chosen one."""
    last = solver_s(work.task, work.train, dimensions, work.classes, 1)
    if params.c is not None:
        return last
    solved = solver_s(work.task, work.train, dimensions, work.classes, len(CANDIDATES)) if work.val else 0.0
    if work.val < ENOUGH:
        part = work.train * (FOLDS - 1) // FOLDS
        solved += FOLDS * solver_s(work.task, part, dimensions, work.classes, len(CANDIDATES))
    return solved + last


build.fit = fit  # type: ignore[attr-defined]
build.head = lambda params, epochs: "probabilities"  # type: ignore[attr-defined]
build.input_hw = lambda params: facts_of(params.embedder.load(), params.embedder.params).input_hw  # type: ignore[attr-defined]
build.embedder = lambda params: params.embedder  # type: ignore[attr-defined]
build.on_features = on_features  # type: ignore[attr-defined]
build.finer_hw = finer_hw  # type: ignore[attr-defined]
build.cost_s = cost_s  # type: ignore[attr-defined]
build.pretrained_on = pretrained_on  # type: ignore[attr-defined]
