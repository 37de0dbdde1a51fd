"""Exported models as predictors: ``model.onnx`` on ONNX Runtime, without TensorFlow; ``model.tflite``; a SavedModel.

An export has ``model.json`` beside it, so `pipekit predict` opens it as it opens a run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Probabilities = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]

ONNX, TFLITE, SAVED = "model.onnx", "model.tflite", "1/saved_model.pb"
OUTPUT, INPUT = "probabilities", "image"


def exported_in(folder: Path) -> Callable[[Path], Probabilities] | None:
    """The function that opens the exported model in ``folder``; None if there is none."""
    openers = {ONNX: open_onnx, TFLITE: open_tflite, SAVED: open_saved}
    return next((opener for name, opener in openers.items() if (folder / name).is_file()), None)


def open_onnx(folder: Path) -> Probabilities:
    """Open ``model.onnx``, which takes ``image`` ``(N, H, W, C) float32`` and returns ``probabilities``.

    Raises:
        UserError: the file is broken, or has other inputs or outputs.
    """
    import numpy as np
    import onnxruntime

    file = folder / ONNX
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # warnings of the runtime are not about the person's images
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = {one.name for one in (*session.get_inputs(), *session.get_outputs())}
    except Exception as error:  # the runtime's exceptions have no common class
        raise _broken(file, error) from error
    if not {INPUT, OUTPUT} <= names:
        raise UserError(
            f"{file} has no input {INPUT!r} or no output {OUTPUT!r}: it was not exported by pipekit",
            "Export a run: pipekit export runs/NAME --to onnx",
        )

    def probabilities(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT], {INPUT: batch.astype(np.float32)})[0], np.float32)

    return probabilities


def open_tflite(folder: Path) -> Probabilities:
    """Open ``model.tflite``, which takes one image of float32 or uint8 and returns its probabilities.

    LiteRT's own package ``ai-edge-litert`` runs it where it is installed, else TensorFlow.

    Raises:
        UserError: the file is broken, or neither is installed.
    """
    file = folder / TFLITE
    try:
        interpreter = tflite_interpreter(file.read_bytes())
    except (ValueError, RuntimeError, OSError) as error:
        raise _broken(file, error) from error
    return tflite_probabilities(interpreter)


def tflite_interpreter(data: bytes) -> Any:
    """The interpreter of a TensorFlow Lite model, with its tensors allocated."""
    from pipekit.learning.keras_backend import load_keras, without_chatter

    with warnings.catch_warnings(), without_chatter():
        warnings.simplefilter("ignore")  # TensorFlow's interpreter is deprecated in favour of LiteRT's
        if find_spec("ai_edge_litert") is not None:
            from ai_edge_litert import interpreter as runtime
        else:
            load_keras()
            from tensorflow import lite as runtime
        interpreter = runtime.Interpreter(model_content=data)
        interpreter.allocate_tensors()
    return interpreter


def tflite_probabilities(interpreter: Any) -> Probabilities:
    """The probabilities of an interpreter's model, one image after another."""
    import numpy as np

    (into,) = interpreter.get_input_details()
    out = next((found for found in interpreter.get_output_details() if OUTPUT in found["name"]), None)
    target = (out or interpreter.get_output_details()[0])["index"]

    def probabilities(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = []
        for image in batch:
            interpreter.set_tensor(into["index"], image[None].astype(into["dtype"]))
            interpreter.invoke()
            rows.append(np.asarray(interpreter.get_tensor(target), np.float32)[0].copy())
        return np.stack(rows)

    return probabilities


def open_saved(folder: Path) -> Probabilities:
    """Open the SavedModel in the version folder ``1``, by its signature ``serving_default``.

    Raises:
        UserError: it is broken, or TensorFlow is not installed.
    """
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    load_keras()
    import tensorflow as tf

    place = (folder / SAVED).parent
    try:
        loaded = tf.saved_model.load(str(place))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # the exceptions of TensorFlow's loader have no common class
        raise _broken(place, error) from error

    def probabilities(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = serve(**{INPUT: tf.constant(batch.astype(np.float32))})
        assert loaded  # its variables live as long as it does
        return np.asarray(found[OUTPUT], np.float32)

    return probabilities


def _broken(file: Path, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(f"{file} can't be opened: {reason}", "Copy it again, or export the model again.")
