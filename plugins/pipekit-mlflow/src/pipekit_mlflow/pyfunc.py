"""A logged model as MLflow's ``python_function``: takes image files, returns what the model predicts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pipekit
from pipekit.learning.predictions import Prediction, answering, prediction_of
from pipekit.learning.predictor import Predictor, load_predictor
from pipekit.registry.registry import load_registry

BATCH_SIZE = 32


class Classifier:
    """The object that ``mlflow.pyfunc.load_model`` wraps."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = answering(predictor)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Predict each image.

        Args:
            model_input: paths of image files, or their bytes as ``data:image/jpeg;base64,…``, as a list or as the first column
                of a data frame. Without MLflow's wrapper, which holds inputs against the signature, also an array
                ``(N, H, W, 3) uint8`` RGB of any size.

        Returns:
            For each image ``{"label": …, "confidence": …, "probabilities": {class: …}}``, and ``"unknown"``, whether it is none
            of the classes, if the model can tell. A model of several labels returns ``"labels"``, those above their thresholds,
            and ``"probabilities"``; one of a number ``"value"``, ``"unit"``, and ``"low"`` and ``"high"`` if it has intervals.

        Raises:
            UserError: an image can't be read, or the array has another form.
        """
        prepared = list(self._prepared(model_input))
        found: list[dict[str, Any]] = []
        for first in range(0, len(prepared), BATCH_SIZE):
            for row in self._predictor.probabilities(np.stack(prepared[first : first + BATCH_SIZE])):
                found.append(_plain(prediction_of(self._predictor, row, ""), self._predictor.classes))
        return found

    def _prepared(self, model_input: Any) -> Iterable[Any]:
        if isinstance(model_input, np.ndarray) and model_input.dtype != object:
            if model_input.ndim != 4 or model_input.shape[-1] != 3 or model_input.dtype != np.uint8:
                raise pipekit.UserError(
                    f"expected images as (N, H, W, 3) uint8, got {model_input.shape} {model_input.dtype}",
                    "You can also pass paths of image files.",
                )
            if self._predictor.input_shape_hwc[2] != 3:
                raise pipekit.UserError("this model takes grey images", "Pass the paths of the files instead of an array.")
            return (self._predictor.prepare(image) for image in model_input)
        if hasattr(model_input, "iloc"):  # a pandas data frame
            model_input = model_input.iloc[:, 0].tolist()
        return (self._predictor.prepare(_file(text)) for text in model_input)


def _plain(found: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    if found.value is not None:
        bounds = dict(zip(("low", "high"), found.interval or (), strict=False))
        return {"value": found.value, "unit": found.unit, **bounds}
    by_class = dict(found.probabilities)
    probabilities = {"probabilities": {name: by_class[name] for name in classes}}
    if found.labels is not None:
        return {"labels": list(found.labels), **probabilities}
    unknown = {} if found.unknown is None else {"unknown": found.unknown}
    return {"label": found.predicted, "confidence": found.confidence, **probabilities, **unknown}


def _file(text: str) -> Path | bytes:
    """A path, or the bytes of a data URL (RFC 2397)."""
    if not text.startswith("data:"):
        return Path(text)
    head, comma, data = text.partition(",")
    if not head.endswith(";base64") or not comma:
        raise pipekit.UserError(f"{text[:40]!r}… is no image in base64", "Write data:image/jpeg;base64,… or a path.")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise pipekit.ImageError(f"its base64 is damaged: {error}") from error


def _load_pyfunc(path: str) -> Classifier:
    """Load a model; MLflow calls this with the logged folder."""
    return Classifier(load_predictor(Path(path), load_registry().get))
