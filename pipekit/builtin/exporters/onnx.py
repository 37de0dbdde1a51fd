"""A model as ONNX, through Keras' own exporter and tf2onnx; onnxruntime runs it for the check."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipekit.builtin.exporters.comparison import within
from pipekit.builtin.exporters.models import (
    FloatParams,
    Trained,
    compare,
    held_out,
    open_trained,
    score_usage,
    translated,
    write_beside,
)
from pipekit.contract import Dataset, Model, Report
from pipekit.errors import UserError
from pipekit.learning import decisions, temperature
from pipekit.learning.exported import side_by_side
from pipekit.learning.unknown import KEY
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

TASKS = (CLASSES, MULTILABEL, NUMBER)

STATED = (KEY, temperature.KEY, decisions.KEY, "thresholds", "value")
"""Entries of ``model.json`` that the metadata repeat."""

MADE = {
    CLASSES: "Image classifier: pixels 0..255 in, softmax probabilities out",
    MULTILABEL: "Several labels of an image: pixels 0..255 in, a sigmoid probability for each label out",
    NUMBER: "A number of an image: pixels 0..255 in, the number in its unit out",
}
NEEDED = ("onnx", "tf2onnx", "onnxruntime")

USAGE = """    session = onnxruntime.InferenceSession("model.onnx")
    {output} = session.run(["{output}"], {{"image": pixels}})[0]
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])

`pixels` is float32 of (N, {height}, {width}, {channels}), values 0 to 255."""


def write(
    artifact: Model, out_dir: Path, params: FloatParams, dataset: Dataset | None = None, report: Report | None = None
) -> Mapping[str, Any]:
    """``model.onnx``: ``image`` in, ``probabilities`` or ``value`` out, names in its metadata; checked against the original."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"an export to ONNX needs {', '.join(missing)}, not installed here",
            'pip install "pipekit-vision[onnx]", or: pip install ' + " ".join(missing),
        )
    import onnxruntime

    trained = open_trained(artifact, params)
    file = out_dir / "model.onnx"
    try:
        _convert(trained, file)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise translated(error, "ONNX") from error

    def exported(pixels: Any) -> Any:
        found = session.run(list(trained.outputs), {"image": pixels.astype(np.float32)})
        return side_by_side(dict(zip(trained.outputs, found, strict=True)), trained.outputs)

    found = within(compare(trained, exported, held_out(trained, dataset, params)), params.tolerance)
    height, width, channels = trained.shape_hwc
    usage = USAGE.format(height=height, width=width, channels=channels, output=trained.main)
    usage += score_usage(trained, '`session.run(["unknown_score"], {"image": pixels})[0]`')
    return write_beside(trained, out_dir, found, usage, report)


def _convert(trained: Trained, file: Path) -> None:
    import keras
    import onnx

    image = keras.Input(trained.shape_hwc, name="image")
    named = keras.Model(image, trained.exported(image), name="classifier")
    named(np.zeros((1, *trained.shape_hwc), np.float32))  # Keras exports only models that have been called
    log = logging.getLogger("tf2onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras and tf2onnx use names that NumPy has removed
            named.export(str(file), format="onnx", verbose=False)
    finally:
        log.setLevel(level)
    graph = onnx.load(str(file))
    _rename(graph, trained.outputs)
    graph.doc_string = f"{MADE[trained.task]}, in the order of `classes`."
    for key, value in {
        "classes": json.dumps(list(trained.classes), ensure_ascii=False),
        "input_shape_hwc": json.dumps(list(trained.shape_hwc)),
        "preprocessing": json.dumps(trained.info.get("preprocessing", {}), ensure_ascii=False),
        **{key: json.dumps(trained.info[key]) for key in STATED if trained.info.get(key)},
        **({} if trained.task == CLASSES else {"task": json.dumps(trained.info["task"])}),
    }.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(graph)
    onnx.save(graph, str(file))


def _rename(model: Any, outputs: tuple[str, ...]) -> None:
    """Name the outputs, and the open dimension ``batch``; the converter names both after layers."""
    named = {out.name: name for out, name in zip(model.graph.output, outputs, strict=True)}
    for node in model.graph.node:
        for names in (node.output, node.input):
            for place, name in enumerate(names):
                names[place] = named.get(name, name)
    for out in model.graph.output:
        out.name = named[out.name]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
