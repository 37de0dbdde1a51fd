"""Signatures of components, read: the inputs and the output of a stage, and the ``Params`` of any component."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pipekit.artifacts import Artifact, Dataset
from pipekit.errors import PluginError
from pipekit.params import Params


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of a stage: which artifact class, whether it may be left out, whether it takes several."""

    name: str
    artifact: type[Artifact]
    required: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class StageContract:
    """A stage's signature, read once. ``seeded`` is False where nothing is random: the seed is then not in its key."""

    slots: tuple[Slot, ...]
    params_type: type[Params]
    output: type[Artifact]
    per_sample: bool
    libraries: tuple[str, ...] = ()
    fingerprint: Callable[[Any], str] | None = None
    seeded: bool = True


def _hints(function: Callable[..., Any], *names: str) -> dict[str, Any]:
    """The annotations as objects; with ``names`` these alone, for what others name may be imported for type checkers only."""
    try:
        if not names:
            return typing.get_type_hints(function)
        wanted = {name: hint for name, hint in inspect.get_annotations(function).items() if name in names}
        return typing.get_type_hints(SimpleNamespace(__annotations__=wanted), getattr(function, "__globals__", {}))
    except Exception as error:
        raise PluginError(f"{function.__module__}.{function.__qualname__}: its annotations can't be read: {error}") from error


def _params_of(function: Callable[..., Any], hints: Mapping[str, Any]) -> type[Params]:
    """The annotated Params class, or the empty one for a function without ``params``."""
    if "params" not in inspect.signature(function).parameters:
        return Params
    found = hints.get("params")
    if not (isinstance(found, type) and issubclass(found, Params)):
        raise PluginError(
            f"{function.__module__}.{function.__qualname__}: 'params' must be annotated with a subclass of pipekit.Params, "
            f"not {found!r}"
        )
    return found


def params_type_of(function: Any) -> type[Params]:
    """The ``Params`` class that a component takes: a function, or an object with ``read`` (importer) or ``write``."""
    contract = getattr(function, "__pipekit_stage__", None)
    if contract is not None:
        return typing.cast("StageContract", contract).params_type
    function = getattr(function, "read", getattr(function, "write", function))
    return _params_of(function, _hints(function, "params")) if callable(function) else Params


def read_stage(
    function: Callable[..., Any], libraries: tuple[str, ...], fingerprint: Callable[[Any], str] | None
) -> StageContract:
    hints = _hints(function)
    name = f"{function.__module__}.{function.__qualname__}"
    slots = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("ctx", "params"):
            continue
        slot = _slot(parameter, hints.get(parameter.name))
        if slot is None:
            raise PluginError(
                f"{name}: argument {parameter.name!r} must be 'ctx', 'params' or annotated with an Artifact class, "
                f"not {hints.get(parameter.name)!r}"
            )
        slots.append(slot)
    output = hints.get("return")
    if not (isinstance(output, type) and issubclass(output, Artifact)):
        raise PluginError(f"{name}: its return annotation must be an Artifact class, not {output!r}")
    return StageContract(tuple(slots), _params_of(function, hints), output, False, libraries, fingerprint)


def _slot(parameter: inspect.Parameter, hint: Any) -> Slot | None:
    """``Dataset``, ``Dataset | None = None`` (may be left out) or ``tuple[Dataset, ...]`` (several)."""
    required = parameter.default is inspect.Parameter.empty
    options = [option for option in typing.get_args(hint) if option not in (type(None), Ellipsis)]
    many = typing.get_origin(hint) in (tuple, list)
    kind = options[0] if len(options) == 1 else hint
    if not (isinstance(kind, type) and issubclass(kind, Artifact)):
        return None
    return Slot(parameter.name, kind, required, many)


def read_sample_stage(function: Callable[..., Any], libraries: tuple[str, ...]) -> StageContract:
    names = list(inspect.signature(function).parameters)
    if names != ["sample", "params", "ctx"]:
        name = f"{function.__module__}.{function.__qualname__}"
        raise PluginError(f"{name}: a sample stage takes (sample, params, ctx), not ({', '.join(names)})")
    return StageContract(
        (Slot("dataset", Dataset),), _params_of(function, _hints(function, "params")), Dataset, True, libraries
    )
