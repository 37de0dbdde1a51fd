"""Exported models as predictors: ``model.onnx`` on ONNX Runtime, without TensorFlow; ``model.tflite``; a SavedModel.

An export has ``model.json`` beside it, so `pipekit predict` opens it as it opens a run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ONNX, TFLITE, SAVED = "model.onnx", "model.tflite", "1/saved_model.pb"
INPUT, PROBABILITIES, VALUE = "image", "probabilities", "value"
MAIN = {CLASSES: PROBABILITIES, MULTILABEL: PROBABILITIES, NUMBER: VALUE}
"""The name of the main output, by task."""
SCORE = "unknown_score"
"""The output of models that can tell images of none of their classes, see :mod:`pipekit.learning.unknown`."""


@dataclass(frozen=True)
class Exported:
    """An opened export.

    Attributes:
        outputs: the names of its outputs.
        run: ``(N, H, W, C) uint8`` images and names of outputs to the values of each, ``(N, columns)``.
    """

    outputs: tuple[str, ...]
    run: Callable[[NDArray[np.uint8], Sequence[str]], Mapping[str, Any]] = field(repr=False)

    def answers(self, *names: str) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """The function from images to these outputs, side by side."""
        return lambda batch: side_by_side(self.run(batch, names), names)


def side_by_side(answers: Mapping[str, Any], outputs: Sequence[str]) -> NDArray[np.float32]:
    """A runtime's outputs by name as one array, a row for each image."""
    import numpy as np

    return np.concatenate([np.asarray(answers[name], np.float32) for name in outputs], axis=1)


def open_exported(folder: Path) -> Exported | None:
    """Open the exported model in ``folder``; None if there is none.

    Raises:
        UserError: its file is broken, was not exported by pipekit, or needs TensorFlow, which is not installed.
    """
    for name, opened in ((ONNX, _open_onnx), (TFLITE, _open_tflite), (SAVED, _open_saved)):
        if (folder / name).is_file():
            return opened(folder / name)
    return None


def _open_onnx(file: Path) -> Exported:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # warnings of the runtime are not about the person's images
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        inputs = [one.name for one in session.get_inputs()]
        outputs = tuple(one.name for one in session.get_outputs())
    except Exception as error:  # the runtime's exceptions have no common class
        raise _broken(file, error) from error
    if inputs != [INPUT] or not {PROBABILITIES, VALUE} & {*outputs}:
        raise UserError(
            f"{file} has no input {INPUT!r} or no output {PROBABILITIES!r} or {VALUE!r}: it was not exported by pipekit",
            "Export a run: pipekit export runs/NAME --to onnx",
        )

    def run(batch: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, Any]:
        return dict(zip(names, session.run(list(names), {INPUT: batch.astype(np.float32)}), strict=True))

    return Exported(outputs, run)


def _open_tflite(file: Path) -> Exported:
    try:
        return tflite(file.read_bytes())
    except (ValueError, RuntimeError, OSError) as error:
        raise _broken(file, error) from error


def tflite(data: bytes) -> Exported:
    """Open a TensorFlow Lite model, which takes one image of float32 or uint8 at a time.

    LiteRT's own package ``ai-edge-litert`` runs it where it is installed, else TensorFlow.
    """
    import numpy as np

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
        (into,), runner = interpreter.get_input_details(), interpreter.get_signature_runner()

    def run(batch: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, Any]:
        found = [runner(**{INPUT: image[None].astype(into["dtype"])}) for image in batch]
        return {name: np.concatenate([np.array(one[name]) for one in found]) for name in names}

    return Exported(tuple(runner.get_output_details()), run)


def _open_saved(file: Path) -> Exported:
    import numpy as np

    from pipekit.learning.keras_backend import load_keras

    load_keras()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(file.parent))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # the exceptions of TensorFlow's loader have no common class
        raise _broken(file.parent, error) from error

    def run(batch: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, Any]:
        assert loaded is not None  # its variables live as long as it does
        return dict(serve(**{INPUT: tf.constant(batch.astype(np.float32))}))

    return Exported(tuple(serve.structured_outputs), run)


def _broken(file: Path, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(f"{file} can't be opened: {reason}", "Copy it again, or export the model again.")
