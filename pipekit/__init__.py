"""pipekit: from a folder of images to a classifier that you can trust.

Public names are loaded on first use (PEP 562), so that ``import pipekit`` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

# From version 1.29 on, ONNX Runtime sends telemetry unless this is set before it is loaded. Worker processes inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOME = {
    "API_VERSION": "hookspecs",
    "hookimpl": "hookspecs",
    "ImageError": "errors",
    "PipekitError": "errors",
    "StageError": "errors",
    "UserError": "errors",
    "Call": "params",
    "InputPath": "params",
    "Params": "params",
    "Uses": "params",
    "param": "params",
    "Artifact": "contract",
    "Box": "contract",
    "Categories": "contract",
    "Category": "contract",
    "Context": "contract",
    "Dataset": "contract",
    "Embeddings": "contract",
    "Failure": "contract",
    "Figure": "contract",
    "Files": "contract",
    "Finding": "contract",
    "Keypoint": "contract",
    "Model": "contract",
    "Picture": "contract",
    "Rejected": "contract",
    "Report": "contract",
    "RunInfo": "contract",
    "Sample": "contract",
    "SampleContext": "contract",
    "Section": "contract",
    "ShardResult": "contract",
    "ShardTask": "contract",
    "SplitUnit": "contract",
    "StageInfo": "contract",
    "StudioContext": "contract",
    "Table": "contract",
    "Targets": "contract",
    "depends_on": "contract",
    "sample_stage": "contract",
    "stage": "contract",
    "Rng": "rng",
    "rng_for": "rng",
}

VERBS = (
    "add_corrections",
    "augment",
    "check_augmentation",
    "check_plugin",
    "compare",
    "component",
    "components",
    "correct",
    "corrections",
    "diff_runs",
    "docs",
    "doctor",
    "embed",
    "evaluate",
    "explain",
    "export",
    "features",
    "filters",
    "forecast",
    "gc",
    "inspect",
    "match",
    "model_summary",
    "models",
    "new_plugin",
    "plugins",
    "predict",
    "preview",
    "replay",
    "run",
    "run_stage",
    "runs",
    "scaffold",
    "schema",
    "show_run",
    "similar",
    "sniff",
    "split",
    "stability",
    "suggest_corrections",
    "train",
    "undo_corrections",
    "verify",
)
"""What a person can ask for: ``pipekit.inspect("photos")`` is ``pipekit.commands.inspect.inspect``."""

_BESIDE = {
    "add_corrections": "corrections",
    "check_plugin": "plugins",
    "component": "components",
    "correct": "corrections",
    "diff_runs": "runs",
    "forecast": "run",
    "model_summary": "models",
    "show_run": "runs",
    "suggest_corrections": "corrections",
    "undo_corrections": "corrections",
}
"""Verbs that lie in the module of another one."""

_IN_PYTHON = {
    "Recipe": "recipe",
    "dataset": "dataset",
    "feed": "feed",
    "load": "load",
    "near_duplicates": "near_duplicates",
}
"""For Python code and notebooks, without a command: name -> the module below ``pipekit.commands``."""

__all__ = ["VERBS", "__version__", *_HOME, *VERBS, *_IN_PYTHON]


def __getattr__(name: str) -> Any:
    if name in VERBS:
        return getattr(import_module(f"pipekit.commands.{_BESIDE.get(name, name)}"), name)
    if name in _IN_PYTHON:
        return getattr(import_module(f"pipekit.commands.{_IN_PYTHON[name]}"), name)
    if name not in _HOME:
        raise AttributeError(f"module 'pipekit' has no attribute {name!r}")
    return getattr(import_module(f"pipekit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
