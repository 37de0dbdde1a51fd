"""Promises of model templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.learning.templates import candidates_of, input_hw_of
from pipekit.testing.checks.core import Subject, form_of, promise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LABEL_MODES = {
    "sparse": (3, "sparse_categorical_crossentropy"),
    "categorical": (3, "categorical_crossentropy"),
    "binary": (2, "binary_crossentropy"),
    "input": (3, "mean_squared_error"),
}
"""Number of classes and loss for each encoding of the labels; with ``input``, the image itself is the target."""


@promise("model")
def _model_predicts(subject: Subject) -> str:
    """it takes images in 0..255, gives probabilities that sum to 1, learns, and predicts the same after saving and loading

    Tested with integer labels, with one-hot labels, and with two classes. A model whose output has the shape of its input is
    an autoencoder and must restore images in 0..255 instead. A template that chooses among others is held to this by each of
    them.
    """
    if candidates_of(subject.found, subject.params):
        return ""
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    size = input_hw_of(subject.found, subject.params) or (64, 64)
    shape = tuple(subject.samples.get("input_shape_hwc", (*size, 3)))
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    for num_classes, modes in ((3, ("sparse", "categorical")), (2, ("binary",))):
        keras.utils.set_random_seed(5)
        model = subject.found(shape, num_classes, subject.params)
        if not isinstance(model, keras.Model):
            return f"expected a keras.Model, got {form_of(model)}"
        if reconstructs := tuple(model.output_shape[1:]) == shape:  # an autoencoder needs no labels
            modes = ("input",)
        for mode in modes:
            if problem := _learns(model, batch, mode):
                return problem if mode in ("sparse", "input") else f"with label_mode {mode!r}, {problem}"
        if num_classes == 3 and (problem := _lasts(model, batch)):  # once: saving does not go by the number of classes
            return problem
        if reconstructs:
            break
    return ""


def _learns(model: Any, batch: NDArray[np.float32], mode: str) -> str:
    """Two steps of SGD, and the predictions afterwards."""
    import numpy as np

    num_classes, loss = LABEL_MODES[mode]
    numbers = np.array([0, 2] if num_classes == 3 else [1, 1])  # not balanced: biases alone must learn something too
    targets = {"sparse": numbers, "input": batch}.get(mode, np.eye(num_classes, dtype=np.float32)[numbers])
    model.compile("sgd", loss, run_eagerly=True)  # for two steps, compiling takes longer than running eagerly
    before = [np.array(weight.numpy()) for weight in model.trainable_weights]
    for _ in range(2):
        found = float(model.train_on_batch(batch, targets))
    if not np.isfinite(found):
        return f"its loss is {found} after two steps of SGD"
    if all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_weights, strict=True)):
        return "two steps of SGD change none of its weights"
    said = np.asarray(model(batch, training=False))
    if mode == "input":
        if said.min() < 0 or said.max() > 255:
            return f"it restores images with values from {said.min():g} to {said.max():g}, not in 0..255"
    elif said.shape != (2, num_classes):
        return f"expected probabilities of shape (2, {num_classes}) for 2 images and {num_classes} classes, got {said.shape}"
    elif not np.isfinite(said).all() or said.min() < 0 or not np.allclose(said.sum(axis=1), 1, atol=1e-4):
        return f"the outputs are no probabilities (softmax): {said.tolist()}"
    return ""


def _lasts(model: Any, batch: NDArray[np.float32]) -> str:
    """Saving and loading."""
    import tempfile

    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    said = np.asarray(model(batch, training=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        again = np.asarray(load_keras().models.load_model(path)(batch, training=False))
    return "" if np.allclose(said, again, atol=1e-5) else "the loaded model's predictions differ from those of the saved one"


@promise("model")
def _names_what_learns(subject: Subject) -> str:
    """if it names its first trainable layer, that layer exists, and nothing before it is trainable"""
    from pipekit.learning.keras_backend import load_keras

    name = subject.found.head(subject.params, 1) if hasattr(subject.found, "head") else ""
    if not name:
        return ""
    keras = load_keras()
    size = input_hw_of(subject.found, subject.params) or (64, 64)
    model = subject.found(tuple(subject.samples.get("input_shape_hwc", (*size, 3))), 3, subject.params)
    if name not in [layer.name for layer in model.layers]:
        return f"its head begins at {name!r}, and its model has no such layer"
    learning = keras.Model(model.input, model.get_layer(name).input).trainable_weights
    return f"its head begins at {name!r}, and a weight before it is trainable: {learning[0].path}" if learning else ""
