"""Promises, the subjects they are tested on, and verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipekit.contract import Files, Params, RunInfo, StageInfo
from pipekit.errors import PipekitError, StageError, UserError
from pipekit.registry.component import Component, error_text, first_line

if TYPE_CHECKING:
    from pipekit.registry.registry import PluginRecord, Registry


UNDER_TEST = "(under test)"
"""The plugin name of a component that a test supplies."""


@dataclass(frozen=True)
class Subject:
    """The subject of a test: a component, its validated parameters and its inputs.

    Attributes:
        samples: inputs by name: ``path`` (an importer's folder), ``input_shape_hwc`` (a model's input), ``before`` (the tables
            of the stages before a stage); ``values`` are the parameters as given.
    """

    registry: Registry
    component: Component
    params: Params
    samples: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> Any:
        return self.component.load()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one promise of one component: kept if ``problem`` and ``untried`` are empty.

    Attributes:
        problem: why the promise is broken.
        untried: why it was not tested.
    """

    kind: str
    name: str
    promise: str
    problem: str = ""
    untried: str = ""


class Skipped(Exception):  # noqa: N818 (it is no error)
    """Raised by a promise that can't be tested here, with the reason."""


Check = Callable[[Subject], str]
PROMISES: list[tuple[tuple[str, ...], str, Check]] = []


def promise(*kinds: str) -> Callable[[Check], Check]:
    """Register a check for ``kinds``, or for every kind."""

    def add(check: Check) -> Check:
        PROMISES.append((kinds, first_line(check), check))
        return check

    return add


def run_checks(
    registry: Registry, component: Component, values: Mapping[str, Any] | None = None, **samples: Any
) -> Iterator[Verdict]:
    """Test a component against all promises of its kind.

    Args:
        values: its parameters; omitted ones take their defaults. If a required one is missing, the component is not run.
        samples: the inputs to test with, see :class:`Subject`.
    """

    def verdict(promise: str, problem: str = "", untried: str = "") -> Verdict:
        return Verdict(component.kind, component.name, promise, problem, untried)

    loads = "it loads, and its parameters are valid"
    try:
        missing = required_parameters(component) if values is None else []
        params = Params() if missing else registry.check_params(component.params_type(), values or {})
    except Exception as error:
        yield verdict(loads, in_short(error))
        return
    yield verdict(loads)
    subject = Subject(registry, component, params, {"values": dict(values or {}), **samples})
    for kinds, promise, check in PROMISES:
        if kinds and component.kind not in kinds:
            continue
        if kinds and missing:
            yield verdict(promise, untried=f"{missing[0]!r} has no default; try it in a test of your own")
            continue
        try:
            yield verdict(promise, check(subject))
        except Skipped as reason:
            yield verdict(promise, untried=str(reason))
        except Exception as error:
            yield verdict(promise, in_short(error))


def check_plugin(what: str) -> tuple[PluginRecord, Iterator[Verdict]]:
    """Test every component of a plugin, with default parameters.

    Args:
        what: a file or module, or the name of an installed plugin or distribution.

    Raises:
        UserError: there is no such plugin, or it could not be loaded.
    """
    from pipekit.registry.registry import load_registry

    registry = load_registry()
    record = _named(registry, what)
    if record is None:
        registry = load_registry((what,))
        record = registry.plugins[-1]
    if record.status != "ok":
        raise UserError(f"plugin {record.name!r} is {record.status}: {record.reason}", "All plugins: pipekit plugins")
    found = [registry.get(kind, f"{record.name}:{name}") for kind, name in record.components if not name.endswith(".*")]
    return record, chain(
        (verdict for component in found for verdict in run_checks(registry, component)),
        _observer_verdicts(registry, record.name),
        () if record.components or _watches(registry, record.name) else (_nothing(record.name),),
    )


OBSERVERS = ("before_stage", "after_stage", "on_stage_error", "after_run")


def _watches(registry: Registry, plugin: str) -> bool:
    return any(name == plugin for hook in OBSERVERS for name, _ in registry.observers(hook))


def _observer_verdicts(registry: Registry, plugin: str) -> Iterator[Verdict]:
    """Call each observer of a plugin as a run would."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunInfo("trial", "pipeline.toml", 0, Path(folder), "finished")
        stage = StageInfo("data", "import.folders", "0" * 64, {})
        values = {"run": run, "stage": stage, "artifact": Files(Path(folder), "0" * 64, {}), "error": StageError("a trial")}
        for hook in OBSERVERS:
            for name, call in registry.observers(hook):
                if name == plugin:
                    yield Verdict("observer", hook, CALLED, _problem_of_call(call, values))


CALLED = "it can be called, and returns nothing"


def _problem_of_call(call: Callable[..., Any], values: Mapping[str, Any]) -> str:
    try:
        returned = call(**values)
    except (Exception, SystemExit) as error:
        return in_short(error)
    return "" if returned is None else f"it returned a value of type {type(returned).__name__}"


def _nothing(plugin: str) -> Verdict:
    return Verdict("plugin", plugin, "it brings a component or an observer", "no hook of it registers or observes anything")


def _named(registry: Registry, what: str) -> PluginRecord | None:
    return next((record for record in registry.plugins if what in (record.name, record.source.partition(" ")[0])), None)


def required_parameters(component: Component) -> list[str]:
    """The required parameters."""
    return [name for name, info in component.params_type().model_fields.items() if info.is_required()]


def register_under_test(registry: Registry, kind: str, found: Any) -> str:
    """Add a component that no plugin registers to a registry; returns its name there."""
    from pipekit.hookspecs import hookimpl
    from pipekit.registry.registry import KINDS

    def implementation(register: Any) -> None:
        register(name, found)

    name = f"{getattr(found, '__name__', kind).rpartition('.')[2]}-under-test"
    implementation.__name__ = KINDS[kind]
    registry.add(SimpleNamespace(**{KINDS[kind]: hookimpl(implementation)}), UNDER_TEST, "a test")
    return name


def form_of(value: Any) -> str:
    """``ndarray (4, 4, 3) float32``, or the type's name."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", "")
    return f"{type(value).__name__} {shape} {dtype}".strip() if shape is not None else type(value).__name__


def in_short(error: BaseException) -> str:
    return str(error) if isinstance(error, PipekitError) else error_text(error)
