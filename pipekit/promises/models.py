"""What model templates promise."""

from __future__ import annotations

from pathlib import Path

from pipekit.promises.core import Subject, form_of, promise


@promise("model")
def _model_predicts(subject: Subject) -> str:
    """it takes images in 0..255 and gives probabilities that sum to 1, and says the same after saving and loading"""
    import tempfile

    import numpy as np

    from pipekit.backend import load_keras

    keras = load_keras()
    shape = tuple(subject.samples.get("input_shape_hwc", (64, 64, 3)))
    keras.utils.set_random_seed(5)
    model = subject.found(shape, 3, subject.params)
    if not isinstance(model, keras.Model):
        return f"expected a keras.Model, got {form_of(model)}"
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    said = np.asarray(model.predict(batch, verbose=0))
    if said.shape != (2, 3):
        return f"expected probabilities of shape (2, 3) for two images and three classes, got {said.shape}"
    if not np.isfinite(said).all() or said.min() < 0 or not np.allclose(said.sum(axis=1), 1, atol=1e-4):
        return f"the outputs are no probabilities (softmax): {said.tolist()}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        again = np.asarray(keras.models.load_model(path).predict(batch, verbose=0))
    return "" if np.allclose(said, again, atol=1e-5) else "the loaded model predicts otherwise than the saved one"
