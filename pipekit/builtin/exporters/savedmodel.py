"""A model as a SavedModel in a version folder, the layout of TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipekit.builtin.exporters.models import (
    FloatParams,
    compare,
    held_out,
    labels_text,
    open_trained,
    save,
    translated,
    within,
    write_beside,
)
from pipekit.contract import Dataset, Model, Report

USAGE = """Serve it with TensorFlow Serving, with this folder as the model's base path (it holds the version folder `1/`):

    tensorflow_model_server --rest_api_port=8501 --model_name=classifier --model_base_path=THIS_FOLDER

or open it in Python:

    served = tf.saved_model.load("1").signatures["serving_default"]
    served(image=pixels)["probabilities"]     # pixels: float32 (N, {height}, {width}, {channels}), 0 to 255

`served(...)["label"]` is the name of the most probable class."""


def write(
    artifact: Model, out_dir: Path, params: FloatParams, dataset: Dataset | None = None, report: Report | None = None
) -> Mapping[str, Any]:
    """``1/``: a SavedModel that maps ``image`` to ``probabilities`` and ``label``; checked against the original."""
    trained = open_trained(artifact)
    import tensorflow as tf

    folder = out_dir / "1"
    try:
        save(trained, folder)
    except Exception as error:
        raise translated(error, "a SavedModel") from error
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "labels.txt").write_text(labels_text(trained.classes), "utf-8")
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]

    def exported(pixels: Any) -> Any:
        return np.asarray(served(image=tf.constant(pixels.astype(np.float32)))["probabilities"])

    found = within(compare(trained, exported, held_out(trained, dataset, params)), params.tolerance)
    height, width, channels = trained.shape_hwc
    usage = USAGE.format(height=height, width=width, channels=channels)
    return write_beside(trained, out_dir, found, usage, report)
