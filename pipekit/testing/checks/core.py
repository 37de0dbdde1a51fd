"""Promises, the subjects they are tested on, and verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipekit.contract import Params
from pipekit.errors import PipekitError
from pipekit.registry.component import Component, error_text, first_line

if TYPE_CHECKING:
    from pipekit.registry.registry import Registry


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


LOADS = "it loads, and its parameters are valid"

Check = Callable[[Subject], str]
PROMISES: list[tuple[tuple[str, ...], str, Check]] = []


def once(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """The verdicts, without those that tell a fault again: one at the same line of code, or in the same words."""
    known: set[str] = set()
    for verdict in verdicts:
        if verdict.problem:
            place = _PLACE.search(verdict.problem)
            text = place[0] if place else verdict.problem
            keys = {f"{_origin(verdict.name)}: {text}"} if not verdict.problem.endswith(IN_FUNCTION) else {text}
            if keys & known:
                continue
            known |= keys
        yield verdict


_PLACE = re.compile(r"\([^()]*, line \d+\)$")

IN_FUNCTION = "import it in the function that uses it"
"""How a problem ends that is one of a module, and not of each component in it."""


def _origin(name: str) -> str:
    """The importer or exporter that a stage is made of, or the name itself."""
    return name.removeprefix("import.").removeprefix("export.")


def own_promises() -> frozenset[str]:
    """The promises of single kinds: to test one of them, the component itself is called."""
    return frozenset(promise for kinds, promise, _ in PROMISES if kinds)


def promise(*kinds: str) -> Callable[[Check], Check]:
    """Register a check for ``kinds``, or for every kind."""

    def add(check: Check) -> Check:
        PROMISES.append((kinds, first_line(check), check))
        return check

    return add


def run_checks(
    registry: Registry,
    component: Component,
    values: Mapping[str, Any] | None = None,
    announce: Callable[[str], object] = lambda promise: None,
    **samples: Any,
) -> Iterator[Verdict]:
    """Test a component against all promises of its kind.

    Args:
        values: its parameters; omitted ones take their defaults. If a required one is missing, the component is not run.
        announce: called with each promise before it is tested.
        samples: the inputs to test with, see :class:`Subject`.
    """

    def verdict(promise: str, problem: str = "", untried: str = "") -> Verdict:
        return Verdict(component.kind, component.name, promise, problem, untried)

    announce(LOADS)
    try:
        missing = required_parameters(component) if values is None else []
        params = Params() if missing else registry.check_params(component.params_type(), values or {})
    except (Exception, SystemExit) as error:
        yield verdict(LOADS, in_short(error))
        return
    yield verdict(LOADS)
    subject = Subject(registry, component, params, {"values": dict(values or {}), **samples})
    broken = False
    for kinds, promise, check in PROMISES:
        if kinds and component.kind not in kinds:
            continue
        if kinds and missing:
            yield verdict(promise, untried=f"{missing[0]!r} has no default; try it in a test of your own")
            continue
        if broken and component.kind == "stage":  # one fault breaks all of its promises: say it once, and soon
            yield verdict(promise, untried="another promise is broken")
            continue
        announce(promise)
        try:
            found = verdict(promise, check(subject))
        except Skipped as reason:
            found = verdict(promise, untried=str(reason))
        except (Exception, SystemExit) as error:
            found = verdict(promise, in_short(error))
        broken = broken or bool(kinds and found.problem)
        yield found


def required_parameters(component: Component) -> list[str]:
    """The required parameters."""
    return [name for name, info in component.params_type().model_fields.items() if info.is_required()]


def register_under_test(registry: Registry, kind: str, found: Any, plugin: str = UNDER_TEST) -> str:
    """Add a component that no plugin registers to a registry; returns its name there."""
    from pipekit.hookspecs import hookimpl
    from pipekit.registry.registry import KINDS

    def implementation(register: Any) -> None:
        register(name, found)

    name = f"{getattr(found, '__name__', kind).rpartition('.')[2]}-under-test"
    implementation.__name__ = KINDS[kind]
    registry.add(SimpleNamespace(**{KINDS[kind]: hookimpl(implementation)}), plugin, "a test")
    return name


def form_of(value: Any) -> str:
    """``ndarray (4, 4, 3) float32``, or the type's name."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", "")
    return f"{type(value).__name__} {shape} {dtype}".strip() if shape is not None else type(value).__name__


def in_short(error: BaseException) -> str:
    return str(error) if isinstance(error, PipekitError) else error_text(error)
