"""What model templates promise."""

from __future__ import annotations

from pathlib import Path

from pipekit.promises.core import Subject, form_of, promise


@promise("model")
def _model_predicts(subject: Subject) -> str:
    """it takes images in 0..255, gives probabilities that sum to 1, learns, and says the same after saving and loading

    A model whose output has the shape of its input restores images instead, in 0..255.
    """
    import tempfile

    import numpy as np

    from pipekit.backend import load_keras

    keras = load_keras()
    size = getattr(subject.found, "input_hw", (64, 64))
    shape = tuple(subject.samples.get("input_shape_hwc", (*size, 3)))
    keras.utils.set_random_seed(5)
    model = subject.found(shape, 3, subject.params)
    if not isinstance(model, keras.Model):
        return f"expected a keras.Model, got {form_of(model)}"
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    restores = tuple(model.output_shape[1:]) == shape
    model.compile("sgd", "mean_squared_error" if restores else "sparse_categorical_crossentropy")
    before = [np.array(weight.numpy()) for weight in model.trainable_weights]
    for _ in range(2):
        loss = float(model.train_on_batch(batch, batch if restores else np.array([0, 2])))
    if not np.isfinite(loss):
        return f"its loss is {loss} after two steps of SGD"
    if all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_weights, strict=True)):
        return "two steps of SGD change none of its weights"
    said = np.asarray(model.predict(batch, verbose=0))
    if restores:
        if said.min() < 0 or said.max() > 255:
            return f"it restores images with values from {said.min():g} to {said.max():g}, not in 0..255"
    elif said.shape != (2, 3):
        return f"expected probabilities of shape (2, 3) for two images and three classes, got {said.shape}"
    elif not np.isfinite(said).all() or said.min() < 0 or not np.allclose(said.sum(axis=1), 1, atol=1e-4):
        return f"the outputs are no probabilities (softmax): {said.tolist()}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        again = np.asarray(keras.models.load_model(path).predict(batch, verbose=0))
    return "" if np.allclose(said, again, atol=1e-5) else "the loaded model predicts otherwise than the saved one"


@promise("model")
def _names_what_learns(subject: Subject) -> str:
    """where it names the first layer that learns, there is one, and nothing before it learns"""
    from pipekit.backend import load_keras

    name = subject.found.head(subject.params, 1) if hasattr(subject.found, "head") else ""
    if not name:
        return ""
    keras = load_keras()
    size = getattr(subject.found, "input_hw", (64, 64))
    model = subject.found(tuple(subject.samples.get("input_shape_hwc", (*size, 3))), 3, subject.params)
    if name not in [layer.name for layer in model.layers]:
        return f"its head begins at {name!r}, and its model has no such layer"
    learning = keras.Model(model.input, model.get_layer(name).input).trainable_weights
    return f"its head begins at {name!r}, and something before it learns: {learning[0].path}" if learning else ""
