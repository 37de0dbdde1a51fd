"""The test kit for plugin authors; pytest finds it by itself where pipekit is installed.

::

    from pipekit.testing import check_op
    from my_plugin.ops import speckle

    def test_speckle():
        check_op(speckle, amount=0.2)

Each ``check_*`` takes a component (the function itself, or the name that it is registered under) and its parameters, tries
everything that its kind promises, and fails with the list of what is broken. The fixtures: ``pipekit_registry``,
``pipekit_project`` and ``tiny_dataset``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipekit.component import Component
    from pipekit.registry import Registry

__all__ = [
    "check_component",
    "check_detector",
    "check_executor",
    "check_importer",
    "check_model",
    "check_op",
    "check_recipe",
    "check_report_section",
    "pipekit_registry",
    "tiny_dataset",
]


@pytest.fixture(scope="session")
def pipekit_registry() -> Registry:
    """The registry with the built-ins and every installed plugin."""
    return _registry()


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A folder of three class folders with six images of 32 x 32 each, drawn, not photographed; private to the test."""
    from pipekit.promises import write_tiny_dataset

    return write_tiny_dataset(tmp_path / "tiny_dataset")


def check_component(
    kind: str, component: Any, params: Mapping[str, Any] | None = None, registry: Registry | None = None, **samples: Any
) -> None:
    """Try a component of any kind against what the kind promises.

    Args:
        kind: ``op``, ``model``, ``importer`` …
        component: the function or object itself, or the name that it is registered under.
        params: its parameters; defaults where left out.
        samples: what to try it on: ``path`` for an importer, ``input_shape_hwc`` for a model.

    Raises:
        AssertionError: with every promise that is broken, and how.
    """
    __tracebackhide__ = True
    from pipekit.promises import examine

    registry = registry or _registry()
    found = _component(registry, kind, component)
    broken = [verdict for verdict in examine(registry, found, params, **samples) if verdict.problem]
    if broken:
        lines = [f"  {verdict.promise}\n    but: {verdict.problem}" for verdict in broken]
        raise AssertionError("\n".join([f"{kind} {found.name!r} breaks {len(broken)} of its promises:", *lines]))


def check_op(op: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A pixel or geometric op: shape and dtype, same seed same bytes, input unchanged, parameters described and checked."""
    __tracebackhide__ = True
    check_component("op", op, params, registry)


def check_recipe(recipe: Any, *, registry: Registry | None = None) -> None:
    """A recipe: every op in it exists and its parameters are right."""
    __tracebackhide__ = True
    check_component("recipe", recipe, None, registry)


def check_model(
    model: Any, *, input_shape_hwc: tuple[int, int, int] = (64, 64, 3), registry: Registry | None = None, **params: Any
) -> None:
    """A model template: images in 0..255 in, probabilities out; saved and loaded it says the same."""
    __tracebackhide__ = True
    check_component("model", model, params, registry, input_shape_hwc=input_shape_hwc)


def check_importer(importer: Any, path: Path, *, registry: Registry | None = None, **params: Any) -> None:
    """An importer, on a folder of its format: unique stable ids, existing images, nothing changed, other formats refused."""
    __tracebackhide__ = True
    check_component("importer", importer, params, registry, path=path)


def check_detector(detector: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A feature detector: points inside the image or a response map, the same twice, on blank images too."""
    __tracebackhide__ = True
    check_component("detector", detector, params, registry)


def check_report_section(section: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A report section: its signature and its parameters."""
    __tracebackhide__ = True
    check_component("report_section", section, params, registry)


def check_executor(executor: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """An executor: every task once, in any order; no tasks, no results."""
    __tracebackhide__ = True
    check_component("executor", executor, params, registry)


@functools.cache
def _registry() -> Registry:
    from pipekit.registry import load_registry

    return load_registry()


def _component(registry: Registry, kind: str, component: Any) -> Component:
    from pipekit.component import Component

    if isinstance(component, Component):
        return component
    if isinstance(component, str):
        return registry.get(kind, component)
    return Component(kind, getattr(component, "__name__", kind).rpartition(".")[2], component, plugin="(under test)")
