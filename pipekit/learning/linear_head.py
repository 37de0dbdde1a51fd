"""The head of a model on frozen features: one layer with softmax, sigmoid or a number, kept beside ``model.keras`` as arrays.

Where the features are in the store, probabilities need no network and no TensorFlow: a product of matrices. They agree with
those of ``model.keras`` up to the rounding of features to float16, and of two runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Call, Params
from pipekit.errors import PipekitError
from pipekit.images.choices import Fit
from pipekit.learning.embedders import describe
from pipekit.learning.predictor import fit_of
from pipekit.learning.unknown import Unknown, load_unknown

if TYPE_CHECKING:
    from pipekit.contract import ComponentLike

FILE, FORMER_FILE = "model.head.npz", "head.npz"


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier of features.

    Attributes:
        embedder: makes the features.
        kernel: ``(D, C) float32``.
        bias: ``(C,) float32``.
        dataset: the digest of the dataset that it was trained on, whose features the store is likely to have.
        unknown: tells images that are none of the classes; None if the model can't.
        fit: how an image of another aspect ratio is brought to the embedder's size.
        activation: ``softmax``, ``sigmoid`` for several labels, or ``linear`` for a number.
    """

    embedder: Call
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    dataset: str = ""
    unknown: Unknown | None = None
    fit: Fit = "stretch"
    activation: str = "softmax"

    def answers(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """The probabilities, and in one more column the score for *none of these*, if there is one."""
        rows = self.probabilities(features)
        return rows if self.unknown is None else np.column_stack([rows, self.unknown.scores(features)])

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """``(N, D)`` features to ``(N, C)`` probabilities."""
        scores = features.astype(np.float32) @ self.kernel + self.bias
        if self.activation == "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(scores / 2)), np.float32)
        if self.activation == "linear":
            return np.asarray(scores, np.float32)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def write_head(folder: Path, head: Any, embedder: Call, dataset: str) -> dict[str, Any] | None:
    """Write the arrays of a head, a Keras model from features to probabilities; returns the entry for ``model.json``.

    None, if the head is more than one layer with one of these activations, and for a number its scaling.
    """
    layers = [layer for layer in head.layers if layer.weights or type(layer).__name__ != "InputLayer"]
    scaling = layers.pop() if len(layers) > 1 and type(layers[-1]).__name__ == "Rescaling" else None
    if len(layers) != 1 or type(layers[0]).__name__ != "Dense":
        return None
    activation = getattr(layers[0].activation, "__name__", "")
    if activation not in ("softmax", "sigmoid", "linear") or (activation == "linear") != (scaling is not None):
        return None
    kernel, *biases = (np.asarray(value, np.float32) for value in layers[0].get_weights())
    bias = biases[0] if biases else np.zeros(kernel.shape[1], np.float32)
    if scaling is not None:
        kernel, bias = kernel * np.float32(scaling.scale), bias * np.float32(scaling.scale) + np.float32(scaling.offset)
    np.savez(folder / FILE, kernel=kernel, bias=bias)
    return {
        **({} if activation == "softmax" else {"activation": activation}),
        "embedder": embedder.name,
        "params": embedder.params.model_dump(mode="json"),
        "identity": _identity(embedder.component, embedder.params),
        "dataset": dataset,
    }


def read_head(folder: Path, info: Mapping[str, Any], component: Callable[[str, str], ComponentLike]) -> LinearHead | None:
    """The head of the model in a folder; None if it has none, or if its embedder is not the one that is installed.

    Args:
        info: ``model.json``.
        component: finds a component by kind and name.

    Raises:
        UserError: the file that tells images of none of the classes is missing or damaged.
    """
    entry = info.get("features")
    file = next((folder / name for name in (FILE, FORMER_FILE) if (folder / name).exists()), None)
    if not isinstance(entry, Mapping) or file is None:
        return None
    try:
        found = component("embedder", entry["embedder"])
        params = found.params_type()(**entry["params"])
        if _identity(found, params) != entry["identity"]:
            return None
        with np.load(file) as saved:
            kernel, bias = saved["kernel"], saved["bias"]
    except (PipekitError, KeyError, TypeError, ValueError, OSError):
        return None
    call = Call("embedder", found.name, params, {}, found)
    activation = str(entry.get("activation", "softmax"))
    return LinearHead(call, kernel, bias, str(entry.get("dataset", "")), load_unknown(folder, info), fit_of(info), activation)


def _identity(component: ComponentLike, params: Params) -> dict[str, Any]:
    """What must be equal for two machines to compute the same features."""
    facts = describe(component, params)
    return {name: facts[name] for name in ("version", "dimensions", "input_hw", "weights_sha256")}
