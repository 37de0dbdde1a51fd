"""Promises of components of every kind."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipekit.errors import UserError
from pipekit.registry.component import first_line
from pipekit.testing.checks.core import IN_FUNCTION, Subject, promise

HEAVY = (
    "tensorflow",
    "keras",
    "torch",
    "jax",
    "albumentations",
    "matplotlib",
    "sklearn",
    "skimage",
    "pandas",
    "polars",
    "pyarrow",
)
"""Libraries that take a second or more to import, or depend on one that does."""


@promise()
def _is_described(subject: Subject) -> str:
    """it (or its module) has a docstring, and it has a summary of one line"""
    module = sys.modules.get(getattr(subject.found, "__module__", "")) if isinstance(subject.component.target, str) else None
    if not inspect.getdoc(subject.found) and not inspect.getdoc(module) and not isinstance(subject.found, (list, tuple)):
        return "no docstring"
    summary = subject.component.summary or first_line(subject.found)
    if not summary:
        return "no summary: give register() one, or begin the docstring with one"
    return "" if "\n" not in summary and len(summary) <= 120 else f"the summary is longer than a line: {summary!r}"


@promise()
def _describes_its_parameters(subject: Subject) -> str:
    """every parameter has a description, and every number bounds"""
    found = []
    for name, info in subject.component.params_type().model_fields.items():
        if not info.description:
            found.append(f"{name!r} has no description")
        bounded = any(hasattr(limit, side) for limit in info.metadata for side in ("gt", "ge", "lt", "le", "multiple_of"))
        if info.annotation in (int, float) and not bounded:
            found.append(f"{name!r} is a number without bounds (ge, gt, le or lt)")
    return "; ".join(found)


@promise()
def _refuses_what_it_does_not_know(subject: Subject) -> str:
    """an unknown parameter is refused, by name"""
    try:
        subject.registry.check_params(subject.component.params_type(), {**_plain(subject), "no_such_parameter": 1})
    except UserError as error:
        return "" if "no_such_parameter" in str(error) else f"the error does not name it: {error}"
    return "an unknown parameter was accepted"


@promise()
def _has_a_schema(subject: Subject) -> str:
    """its parameters have a JSON Schema, for editors"""
    schema = subject.component.params_type().model_json_schema()
    json.dumps(schema)
    return "" if schema.get("additionalProperties") is False else "the schema allows unknown parameters"


@promise()
def _is_light(subject: Subject) -> str:
    """importing it loads no heavy library"""
    target = subject.component.target
    module = target.partition(":")[0] if isinstance(target, str) else getattr(target, "__module__", "")
    loaded = sys.modules.get(module)
    if loaded is not None and module.startswith("pipekit_plugin_"):  # a single-file plugin
        module = getattr(loaded, "__file__", "") or ""
    elif not module or importlib.util.find_spec(module) is None:
        return ""
    heavy = (heavy_imports([module]) if module not in _known else _known)[module]
    return f"{Path(module).name} imports {', '.join(heavy)}; {IN_FUNCTION}" if heavy else ""


_known: dict[str, list[str]] = {}


def heavy_imports(modules: Iterable[str]) -> dict[str, list[str]]:
    """Which of :data:`HEAVY` each module (or file) loads when imported, one after the other in one fresh interpreter.

    The result is cached for the promise: to test many components, pass all their modules at once.
    """
    script = (
        "import contextlib, importlib, json, runpy, sys\n"
        "names, heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])\n"
        "seen, found = set(sys.modules), {}\n"
        "for name in names:\n"
        "    with contextlib.suppress(Exception):\n"  # importing without an error is a separate promise
        "        runpy.run_path(name) if name.endswith('.py') else importlib.import_module(name)\n"
        "    new = [library for library in heavy if library in sys.modules and library not in seen]\n"
        "    found[name] = new\n"
        "    seen.update(sys.modules)\n"
        "print(json.dumps(found), flush=True)\n"
        "import os; os._exit(0)\n"  # threads that a plugin has started do not keep it
    )
    command = [sys.executable, "-c", script, json.dumps(list(modules)), json.dumps(HEAVY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.strip().rpartition("\n")[2])
    _known.update(found)
    return typing.cast("dict[str, list[str]]", found)


def _plain(subject: Subject) -> dict[str, Any]:
    return {name: getattr(subject.params, name) for name in subject.params.model_fields_set}
