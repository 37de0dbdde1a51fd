"""Exported models are opened like trained ones; ONNX without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import UserError
from pipekit.contract import Model
from pipekit.engine.adhoc import find_artifact
from pipekit.learning.exported import PROBABILITIES
from pipekit.learning.onnx_file import FLOAT, Graph
from pipekit.learning.predictor import load_predictor
from pipekit.registry.registry import load_registry

REGISTRY = load_registry(installed=False)
INFO = {"classes": ["dark", "bright"], "input_shape_hwc": [4, 4, 3], "template": "made"}


def write_export(folder: Path, output: str = PROBABILITIES, num_classes: int = 2) -> Path:
    """``model.onnx`` says how bright an image is: a softmax of its mean."""
    folder.mkdir(exist_ok=True)
    graph = Graph("brightness")
    flat = graph.node("Flatten", ["image"], "flat", axis=1)
    kernel = np.zeros((48, num_classes), np.float32)
    kernel[:, 1] = 1 / 48 / 16
    logits = graph.node("MatMul", [flat, graph.constant("kernel", kernel)], "logits")
    bias = graph.constant("bias", np.array([0, -8, -9][:num_classes], np.float32))
    graph.node("Softmax", [graph.node("Add", [logits, bias], "moved")], output, axis=1)
    data = graph.to_bytes(("image", FLOAT, (8, 4, 4, 3)), (output, FLOAT, (8, num_classes)))
    (folder / "model.onnx").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(INFO), "utf-8")
    return folder


def test_onnx_answers_by_name(tmp_path: Path) -> None:
    predictor = load_predictor(write_export(tmp_path), REGISTRY.get)
    batch = np.zeros((8, 4, 4, 3), np.uint8)
    batch[5:] = 255
    found = predictor.probabilities(batch)
    assert [predictor.classes[place] for place in found.argmax(axis=1)] == ["dark"] * 5 + ["bright"] * 3
    np.testing.assert_allclose(found[7, 1], 1 / (1 + np.exp(8 - 255 / 16)), rtol=1e-5)


def test_a_file_stands_for_its_folder(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "out")
    found = find_artifact("out/model.onnx", Model, tmp_path)
    assert found is not None
    assert found.path == folder
    before = found.digest
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"\0")
    again = find_artifact("out", Model, tmp_path)
    assert again is not None
    assert again.digest != before


def test_the_weights_of_a_savedmodel_are_in_the_digest(tmp_path: Path) -> None:
    (tmp_path / "1" / "variables").mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "model.json").write_text(json.dumps(INFO), "utf-8")
    digests = set()
    for weights in (b"one", b"two"):
        (tmp_path / "1" / "variables" / "variables.data").write_bytes(weights)
        found = find_artifact(str(tmp_path), Model, tmp_path)
        assert found is not None
        digests.add(found.digest)
    assert len(digests) == 2


def test_what_is_no_export_of_ours_is_refused(tmp_path: Path) -> None:
    write_export(tmp_path, output="scores")
    with pytest.raises(UserError, match=r"model\.onnx has no input 'image' or no output 'probabilities'"):
        load_predictor(tmp_path, REGISTRY.get)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model\.onnx can't be opened: "):
        load_predictor(tmp_path, REGISTRY.get)


def test_a_model_with_other_outputs_than_classes_is_refused(tmp_path: Path) -> None:
    predictor = load_predictor(write_export(tmp_path, num_classes=3), REGISTRY.get)
    with pytest.raises(UserError, match=r"has 3 outputs, but model\.json beside it names 2 classes"):
        predictor.probabilities(np.zeros((8, 4, 4, 3), np.uint8))
