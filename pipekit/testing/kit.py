"""The checks and fixtures of the test kit; heavy libraries are imported inside the functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipekit.engine.outcome import Outcome
    from pipekit.learning.evaluation import Evaluation
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

__all__ = [
    "Project",
    "check_callback",
    "check_check",
    "check_codec",
    "check_command",
    "check_compare_metric",
    "check_component",
    "check_detector",
    "check_embedder",
    "check_executor",
    "check_exporter",
    "check_importer",
    "check_loss",
    "check_metric",
    "check_model",
    "check_op",
    "check_optimizer",
    "check_page",
    "check_projection",
    "check_recipe",
    "check_report_section",
    "check_sampler",
    "check_schedule",
    "check_search",
    "check_splitter",
    "check_stage",
    "pipekit_project",
    "pipekit_registry",
    "tiny_dataset",
    "tiny_evaluation",
    "write_tiny_dataset",
]


@pytest.fixture(scope="session")
def pipekit_registry() -> Registry:
    """The registry with the built-ins and every installed plugin."""
    return _registry()


def write_tiny_dataset(folder: Path, per_class: int = 6) -> Path:
    """Write the tiny dataset: three class folders with ``per_class`` images of 32 x 32 each. Returns ``folder``."""
    from pipekit.testing.checks.examples import write_tiny_dataset

    return write_tiny_dataset(folder, per_class)


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A folder of three class folders with six images of 32 x 32 each, drawn, not photographed; private to the test."""
    return write_tiny_dataset(tmp_path / "tiny_dataset")


@pytest.fixture
def tiny_evaluation(tiny_dataset: Path) -> Evaluation:
    """Synthetic predictions on the tiny dataset, two thirds of them correct; for testing a report section."""
    from pipekit.testing.checks import make_tiny_evaluation

    return make_tiny_evaluation(tiny_dataset)


@dataclass(frozen=True)
class Project:
    """A private project folder with the tiny dataset in ``images/``.

    Attributes:
        path: the folder.
    """

    path: Path
    registry: Registry

    def run(self, stages: Mapping[str, Mapping[str, Any]], **settings: Any) -> Outcome:
        """Run a pipeline: ``run({"data": {"use": "import.folders", "path": "images"}}, seed=7)``."""
        from pipekit.engine.run import run_plan
        from pipekit.pipeline.plan import load_plan

        table = {"name": "trial", **settings, "stages": stages}
        return run_plan(load_plan(table=table, base_dir=self.path, registry=self.registry))


@pytest.fixture
def pipekit_project(tmp_path: Path, pipekit_registry: Registry) -> Project:
    """A private project folder with the tiny dataset in ``images/``, for running pipelines."""
    folder = tmp_path / "project"
    write_tiny_dataset(folder / "images")
    return Project(folder, pipekit_registry)


def check_component(
    kind: str, component: Any, params: Mapping[str, Any] | None = None, registry: Registry | None = None, **samples: Any
) -> None:
    """Test a component of any kind against the promises of its kind.

    Args:
        kind: ``op``, ``model``, ``importer`` …
        component: the function or object itself, or its registered name.
        params: its parameters; omitted ones take their defaults.
        samples: the inputs to test with: ``path`` for an importer, ``input_shape_hwc`` for a model.

    Raises:
        AssertionError: lists every broken promise with the reason.
    """
    __tracebackhide__ = True
    from pipekit.testing.checks import run_checks

    registry = registry or _registry()
    found = _component(registry, kind, component)
    broken = [verdict for verdict in run_checks(registry, found, params or {}, **samples) if verdict.problem]
    if broken:
        lines = [f"  {verdict.promise}\n    but: {verdict.problem}" for verdict in broken]
        raise AssertionError("\n".join([f"{kind} {found.name!r} breaks {len(broken)} of its promises:", *lines]))


def check_op(op: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A pixel or geometric op: shape and dtype, same seed same bytes, input unchanged, parameters described and bounded."""
    __tracebackhide__ = True
    check_component("op", op, params, registry)


def check_recipe(recipe: Any, *, registry: Registry | None = None) -> None:
    """A recipe: every op in it exists and its parameters are valid."""
    __tracebackhide__ = True
    check_component("recipe", recipe, None, registry)


def check_model(
    model: Any, *, input_shape_hwc: tuple[int, int, int] = (64, 64, 3), registry: Registry | None = None, **params: Any
) -> None:
    """A model template: images in 0..255 in, probabilities out; the same predictions after saving and loading."""
    __tracebackhide__ = True
    check_component("model", model, params, registry, input_shape_hwc=input_shape_hwc)


def check_loss(loss: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A loss of ``train``: it builds a Keras loss that is lower for right predictions; Keras has none of its name."""
    __tracebackhide__ = True
    check_component("loss", loss, params, registry)


def check_metric(metric: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A metric of ``train``: it builds a Keras metric that is one finite number, the same after a reset."""
    __tracebackhide__ = True
    check_component("metric", metric, params, registry)


def check_optimizer(optimizer: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """An optimizer of ``train``: it builds a Keras optimizer whose steps lower a loss."""
    __tracebackhide__ = True
    check_component("optimizer", optimizer, params, registry)


def check_schedule(schedule: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A learning rate schedule of ``train``: finite factors from 0 on, the same each time."""
    __tracebackhide__ = True
    check_component("schedule", schedule, params, registry)


def check_sampler(sampler: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A sampler of ``train``: a position for each image, within the list, the same with the same generator."""
    __tracebackhide__ = True
    check_component("sampler", sampler, params, registry)


def check_splitter(splitter: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A splitter of ``split``: a split for each unit, the same with the same generator; no split is empty."""
    __tracebackhide__ = True
    check_component("splitter", splitter, params, registry)


def check_compare_metric(metric: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A metric of ``compare``: a finite number for each image, the same each time."""
    __tracebackhide__ = True
    check_component("compare_metric", metric, params, registry)


def check_search(search: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A search of ``[matrix]``: values that are among those given, the same with the same results, also if all runs fail."""
    __tracebackhide__ = True
    check_component("search", search, params, registry)


def check_callback(callback: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A callback of ``train``: it builds a Keras callback, anew each time, that can be called."""
    __tracebackhide__ = True
    check_component("callback", callback, params, registry)


def check_importer(importer: Any, path: Path, *, registry: Registry | None = None, **params: Any) -> None:
    """An importer, on a folder of its format: unique stable ids, existing images, nothing changed, other formats rejected.

    Its stage is tested too, see :func:`check_stage`.
    """
    __tracebackhide__ = True
    if not isinstance(importer, str):
        registry, importer = _registry_with("importer", importer)
    check_component("importer", importer, params, registry, path=path)
    check_stage(f"import.{importer}", registry=registry, path=str(path), **params)


def check_exporter(
    exporter: Any,
    *,
    before: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    **params: Any,
) -> None:
    """An exporter, run as its stage: the same bytes every time, wherever the project is.

    Args:
        before, inputs: see :func:`check_stage`; an exporter of models needs a ``train`` stage before it.
    """
    __tracebackhide__ = True
    if not isinstance(exporter, str):
        registry, exporter = _registry_with("exporter", exporter)
    check_component("exporter", exporter, params, registry)
    check_stage(f"export.{exporter}", before=before, inputs=inputs, registry=registry, **params)


def check_embedder(embedder: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """An embedder: its facts are stated; finite features that do not depend on the other images, within float16."""
    __tracebackhide__ = True
    check_component("embedder", embedder, params, registry)


def check_projection(projection: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A projection: finite ``(N, 2)`` numbers, the same with the same generator, for few and for equal rows too."""
    __tracebackhide__ = True
    check_component("projection", projection, params, registry)


def check_detector(detector: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A feature detector: points inside the image or a response map, deterministic, on blank images too."""
    __tracebackhide__ = True
    check_component("detector", detector, params, registry)


def check_report_section(section: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A report section: its signature and its parameters."""
    __tracebackhide__ = True
    check_component("report_section", section, params, registry)


def check_check(check: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A dataset check: it accepts rows of broken images, is deterministic, and its findings are well formed."""
    __tracebackhide__ = True
    if not isinstance(check, str):
        registry, check = _registry_with("check", check)
    check_component("check", check, params, registry)


def check_codec(codec: Any, *, data: bytes = b"", registry: Registry | None = None) -> None:
    """A codec: suffixes in lower case; a file of its format, given as ``data``, decodes to RGB, the same every time."""
    __tracebackhide__ = True
    check_component("codec", codec, None, registry, data=data)


def check_command(command: Any, *, registry: Registry | None = None) -> None:
    """A command: its own name; ``--help`` shows its help; an unknown option is refused."""
    __tracebackhide__ = True
    check_component("command", command, None, registry)


def check_page(page: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """A page of the studio: ``page(studio, params)`` returns a well-formed Section or None."""
    __tracebackhide__ = True
    check_component("page", page, params, registry)


def check_executor(executor: Any, *, registry: Registry | None = None, **params: Any) -> None:
    """An executor: every task once, in any order; no tasks, no results."""
    __tracebackhide__ = True
    check_component("executor", executor, params, registry)


def check_stage(
    stage: Any,
    *,
    before: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    **params: Any,
) -> None:
    """A stage, run on the tiny dataset: the same digest with any workers, any shards and after a kill; images unchanged.

    It also runs in separate processes, which import it by name: define it at the top level of a module.

    Args:
        before: the stages before it, as in a pipeline file; default: an ``import.folders`` of ``images``.
        inputs: slot -> stage, for slots that the nearest fitting stage should not fill.
    """
    __tracebackhide__ = True
    if callable(stage):
        registry, stage = _registry_with("stage", stage)
    given = {"before": before} if before is not None else {}
    check_component("stage", stage, params, registry, inputs=inputs or {}, **given)


@functools.cache
def _registry() -> Registry:
    from pipekit.registry.registry import load_registry

    return load_registry()


def _component(registry: Registry, kind: str, component: Any) -> Component:
    from pipekit.registry.component import Component
    from pipekit.testing.checks.core import UNDER_TEST

    if isinstance(component, Component):
        return component
    if isinstance(component, str):
        return registry.get(kind, component)
    return Component(kind, getattr(component, "__name__", kind).rpartition(".")[2], component, plugin=UNDER_TEST)


def _registry_with(kind: str, found: Any) -> tuple[Registry, str]:
    """A separate registry that also contains ``found``, and its name there."""
    from pipekit.registry.registry import load_registry
    from pipekit.testing.checks.core import register_under_test

    registry = load_registry()
    return registry, register_under_test(registry, kind, found)
