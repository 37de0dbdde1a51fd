"""A model for TensorFlow Lite (LiteRT): in floating point, or quantized to 8-bit integers."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.exporters.comparison import Comparison, within
from pipekit.builtin.exporters.models import (
    Answers,
    CheckParams,
    FloatParams,
    Pictures,
    Pixels,
    Trained,
    compare,
    held_out,
    open_trained,
    save,
    score_usage,
    training_pixels,
    translated,
    write_beside,
)
from pipekit.contract import Dataset, Model, Report, param
from pipekit.errors import StageError, UserError
from pipekit.learning.exported import tflite
from pipekit.owners import owned_prefix
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

TASKS = (CLASSES, MULTILABEL, NUMBER)

USAGE = """    interpreter = Interpreter("model.tflite")     # ai_edge_litert.interpreter, or tf.lite
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    {output} = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]

`pixels` is {kind} of (1, {height}, {width}, {channels}), values 0 to 255. `labels.txt` names the outputs."""


class Int8Params(CheckParams):
    """Parameters of tflite-int8."""

    calibrate: int = param(100, "Number of images that calibrate the value ranges", unit="images", ge=1, le=10_000)
    least_agreement: float = param(
        0.9,
        "Smallest share of images that must keep their predicted class, labels, or number (within a tenth of the targets' "
        "standard deviation)",
        ge=0,
        le=1,
    )


def write(
    artifact: Model, out_dir: Path, params: FloatParams, dataset: Dataset | None = None, report: Report | None = None
) -> Mapping[str, Any]:
    """``model.tflite``: one image at a time, float32 pixels 0..255 in and probabilities out; checked against the original."""
    trained = open_trained(artifact, params)
    data = _convert(trained)
    (out_dir / "model.tflite").write_bytes(data)
    found = compare(trained, _answers(data, trained.outputs), held_out(trained, dataset, params))
    return write_beside(trained, out_dir, within(found, params.tolerance), _usage(trained, "float32"), report)


@supports(*TASKS)
def write_int8(
    artifact: Model, out_dir: Path, params: Int8Params, dataset: Dataset | None = None, report: Report | None = None
) -> Mapping[str, Any]:
    """``model.tflite`` in 8-bit integers, uint8 pixels in and float32 probabilities out; the loss of accuracy is measured.

    The value ranges are calibrated on the train split, or on every second given image.
    """
    trained = open_trained(artifact, params)
    if layer := _recurrent(trained.keras_model):
        raise UserError(
            f"the layer {layer!r} is recurrent, and TensorFlow's converter to 8-bit integers fails on such layers",
            "Export it in floating point: tflite.",
        )
    calibration, pictures = _calibration(trained, dataset, params)
    data = _convert(trained, calibration)
    (out_dir / "model.tflite").write_bytes(data)
    answers = _enduring(_answers(data, trained.outputs))
    answers(np.stack([np.full(trained.shape_hwc, level, np.uint8) for level in (0, 128, 255)]))  # a flat image too
    found = _agreeing(compare(trained, answers, pictures), params.least_agreement)
    return write_beside(trained, out_dir, found, _usage(trained, "uint8"), report)


def _enduring(answers: Answers) -> Answers:
    """The same; it raises StageError where the interpreter fails, as at a division by the contrast of a flat image."""

    def enduring(pixels: Pixels) -> NDArray[np.float32]:
        try:
            return answers(pixels)
        except RuntimeError as error:
            raise StageError(
                f"in 8-bit integers, the model fails on an image: {' '.join(str(error).split())[:200]}",
                "A divisor may have been rounded to 0. Nothing was written. Export it in floating point: tflite.",
            ) from error

    return enduring


def _recurrent(model: Any) -> str:
    """The name of the first recurrent layer, also of one inside another; "" if there is none."""
    import keras

    for layer in model.layers:
        if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional)):
            return str(layer.name)
        if getattr(layer, "layers", None) and (found := _recurrent(layer)):
            return found
    return ""


def _calibration(trained: Trained, dataset: Dataset | None, params: Int8Params) -> tuple[Pixels, Pictures]:
    """Images for calibration, and other images for the check."""
    pixels = training_pixels(trained, dataset, params, params.calibrate)
    if pixels is not None:
        return pixels, held_out(trained, dataset, params)
    if params.images is None:
        raise UserError(
            "an export to 8-bit integers needs images for calibrating the ranges of the model's values",
            'Give a run with its dataset, or images: --data FOLDER, images = "FOLDER" in a pipeline.',
        )
    given = held_out(trained, None, params.model_copy(update={"check": params.check + params.calibrate}))
    if len(given.pixels) < 2:
        raise UserError("one image is too few: calibration and check need different images", "Give at least two.")
    checked = Pictures(given.pixels[1::2], f"{len(given.pixels[1::2])} of the given images, every other one")
    return given.pixels[::2], checked


def _agreeing(found: Comparison, least: float) -> Comparison:
    # An image whose score is close to the limit may change sides, so one of a few doesn't count.
    few_unknown = found.same_unknown is not None and found.same_unknown < int(least * found.count)
    if few_unknown or found.same_class < least * found.count:
        raise StageError(
            f"8-bit integers change too many predictions: {found.headline}; at least {least:.0%} must stay the same",
            "Nothing was written. Raise `calibrate` to use more images, or lower `least_agreement` to accept the change.",
        )
    return found


def _usage(trained: Trained, kind: str) -> str:
    height, width, channels = trained.shape_hwc
    usage = USAGE.format(kind=kind, height=height, width=width, channels=channels, output=trained.main)
    return usage + score_usage(trained, '`interpreter.get_signature_runner()(image=pixels)["unknown_score"]`')


def _convert(trained: Trained, calibration: Pixels | None = None) -> bytes:
    import tensorflow as tf

    try:
        with _quietly(), tempfile.TemporaryDirectory(prefix=owned_prefix()) as scratch:
            # A batch of one: devices predict single images, and recurrent layers can't be converted with an open size.
            save(trained, Path(scratch, "saved"), batch=1, label=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(scratch, "saved")))
            if calibration is not None:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in calibration)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
                converter.inference_input_type = tf.uint8
            return _in_order(bytes(converter.convert()), trained.outputs)
    except Exception as error:
        raise translated(error, "TensorFlow Lite") from error


def _in_order(data: bytes, outputs: tuple[str, ...]) -> bytes:
    """Put the outputs in their order, whatever the converter made of it: programs take them by their number."""
    if len(outputs) == 1:
        return data
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    place = {bytes(out.name).decode(): out.tensorIndex for out in model.signatureDefs[0].outputs}
    model.subgraphs[0].outputs = [place[name] for name in outputs]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _answers(data: bytes, outputs: tuple[str, ...]) -> Any:
    """The exported file's answers."""
    return tflite(data).answers(*outputs)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hide the converter's notices (deprecated in favour of LiteRT's package) on standard error."""
    from pipekit.learning.keras_backend import without_chatter

    with warnings.catch_warnings(), without_chatter():
        warnings.simplefilter("ignore")
        yield
