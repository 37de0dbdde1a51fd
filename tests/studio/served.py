"""A model that is served in tests: an ONNX file that needs neither TensorFlow nor training."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipekit.commands.serve import Wanted
from pipekit.learning.onnx_file import FLOAT, Graph
from pipekit.studio.model_server import ModelServer, serve

SIZE = 16


def write_model(folder: Path, activation: str = "Softmax", output: str = "probabilities", **info: Any) -> Path:
    """Three outputs: the mean of each channel, scaled."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = Graph("channels")
    kernel = np.zeros((SIZE * SIZE, 3, 3), np.float32)
    kernel[:, range(3), range(3)] = 1 / SIZE / SIZE / 32
    flat = graph.node("Flatten", ["image"], "flat", axis=1)
    logits = graph.node("MatMul", [flat, graph.constant("kernel", kernel.reshape(-1, 3))], "logits")
    attributes = {"axis": 1} if activation == "Softmax" else {}
    graph.node(activation, [logits], output, **attributes)
    (folder / "model.onnx").write_bytes(graph.to_bytes(("image", FLOAT, (-1, SIZE, SIZE, 3)), (output, FLOAT, (-1, 3))))
    about = {"classes": ["red", "green", "blue"], "input_shape_hwc": [SIZE, SIZE, 3], "template": "made", **info}
    (folder / "model.json").write_text(json.dumps(about), "utf-8")
    return folder


@contextmanager
def running(folder: Path, token: str = "", batch_size: int = 8) -> Iterator[ModelServer]:
    """A server that answers on a socket, in a thread."""
    server, ready = serve(Wanted(str(folder)), port=0, token=token, batch_size=batch_size), threading.Event()
    thread = threading.Thread(target=server.run, args=(ready.set,))
    thread.start()
    assert ready.wait(60)
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
