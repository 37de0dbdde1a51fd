"""The names of Keras' losses and metrics, known without importing Keras, so that a misspelt one is found before anything runs.

``keras_names.json`` has them for one version of Keras. ``python -m pipekit.builtin.train.keras_names`` writes it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipekit.errors import did_you_mean

FILE = Path(__file__).with_name("keras_names.json")

OWN_METRICS = ("accuracy", "precision", "recall", "f1", "auc", "rmse")
"""Metrics that ``train`` makes by itself."""


@cache
def table() -> dict[str, list[str]]:
    """The names by ``loss`` and ``metric``; none where another minor version of Keras is installed, which may have others."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    try:
        installed = version("keras")
    except PackageNotFoundError:
        installed = found["version"]  # the error about the missing library comes when it is needed
    same = installed.split(".")[:2] == str(found["version"]).split(".")[:2]
    return {kind: list(found[kind]) for kind in ("loss", "metric")} if same else {}


def problem_of(kind: str, name: str) -> tuple[str, str]:
    """The message and the hint about a name that Keras does not know; two empty texts if it may know it.

    >>> problem_of("loss", "hinged")
    ("Keras has no loss called 'hinged'", "Did you mean 'hinge'?")
    >>> problem_of("metric", "f1")
    ('', '')
    """
    known = table().get(kind, [])
    own = OWN_METRICS if kind == "metric" else ()
    if not known or name in known or name in own or ">" in name:  # package>Name is registered by a plugin
        return "", ""
    usual = ", ".join(own or USUAL_LOSSES)
    return f"Keras has no {kind} called {name!r}", did_you_mean(name, [*own, *known]) or f"For example: {usual}"


USUAL_LOSSES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mean_squared_error")


def read_keras() -> dict[str, Any]:
    """The same, read from Keras itself."""
    from importlib import import_module

    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    losses, metrics = (import_module(f"keras.src.{name}").ALL_OBJECTS_DICT for name in ("losses", "metrics"))
    return {"version": keras.__version__, "loss": sorted(losses), "metric": sorted(metrics)}


if __name__ == "__main__":
    FILE.write_text(json.dumps(read_keras(), indent=1) + "\n", encoding="utf-8")
