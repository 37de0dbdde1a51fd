"""A component's ``Params`` as Typer options, so that any stage has a ``--help`` of its own."""

from __future__ import annotations

import inspect
import json
import tomllib
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipekit.params import Params
from pipekit.registry.param_rows import ParamRow, param_rows

PREFIX = "param_"
"""Before the names of Python arguments that hold parameters, so that they can't meet the command's own."""


def param_options(params_type: type[Params], taken: Collection[str] = ()) -> list[inspect.Parameter]:
    """One keyword argument for each parameter, annotated for Typer.

    Args:
        taken: options that the command has already; a parameter of that name is given as ``--param-<name>``.
    """
    rows = {row.name: row for row in param_rows(params_type)}
    return [_option(name, rows[name], field.annotation, taken) for name, field in params_type.model_fields.items()]


def _option(name: str, row: ParamRow, annotation: Any, taken: Collection[str]) -> inspect.Parameter:
    flag = flag_of(name, taken)
    metavar = _metavar(row, annotation)
    text = f"{row.description}  [{_limits(row, metavar, annotation)}]".strip()
    if annotation is bool:
        kind: Any = bool | None
        option = typer.Option(f"--{flag}/--no-{flag}", help=text, show_default=False)
    else:
        kind = str | None
        option = typer.Option(f"--{flag}", metavar=metavar, help=text, show_default=False)
    return inspect.Parameter(PREFIX + name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _limits(row: ParamRow, metavar: str, annotation: Any) -> str:
    """What the name and the metavar do not say: ``0 to 15 px, default 10``."""
    kind = row.type if metavar in ("LIST", "TABLE", "VALUE") else ""
    bounds = f"{row.bounds} {row.unit}" if row.bounds else f"in {row.unit}" if row.unit else ""
    plain = row.default.strip('"') if _is_text(annotation) else row.default
    default = "required" if row.required else f"default: {plain}" if plain else "no default"
    return ", ".join(part for part in (kind, bounds.strip(), default) if part)


def flag_of(name: str, taken: Collection[str]) -> str:
    """``image_size_px`` -> ``image-size-px``."""
    flag = name.replace("_", "-")
    return f"param-{flag}" if flag in taken else flag


def _metavar(row: ParamRow, annotation: Any) -> str:
    """What stands after the option: ``INT``, ``TEXT``, ``TABLE``, ``a|b``."""
    if typing.get_origin(annotation) is Literal:
        return "|".join(str(option) for option in typing.get_args(annotation))
    word = row.type.split(" ")[0]
    if row.type.startswith("list of") or "×" in row.type or word.startswith("["):
        return "LIST"
    return word.upper() if word.isalpha() else "VALUE"


def given(arguments: Mapping[str, Any], params_type: type[Params]) -> dict[str, Any]:
    """The parameters that were typed, as values: text as it is where text is meant, else read as TOML or JSON."""
    return {
        name: read_value(arguments[PREFIX + name], field.annotation)
        for name, field in params_type.model_fields.items()
        if arguments.get(PREFIX + name) is not None
    }


def read_value(text: Any, annotation: Any = None) -> Any:
    """``"0.3"`` -> 0.3, ``"[1, 2]"`` -> [1, 2], ``"{ op = 'hflip' }"`` and its JSON form -> a table, other words as text."""
    if not isinstance(text, str) or _is_text(annotation):
        return text
    with_json: Callable[[str], Any] = json.loads
    for read in (_toml, with_json):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _toml(text: str) -> Any:
    return tomllib.loads(f"value = {text}")["value"]


def _is_text(annotation: Any) -> bool:
    """Whether only text is meant, so that ``--title 5`` is ``"5"``."""
    options = [option for option in typing.get_args(annotation) if option is not type(None)]
    if typing.get_origin(annotation) is Literal:
        return all(isinstance(option, str) for option in options)
    if options:
        return typing.get_origin(annotation) not in (list, tuple, dict, set, frozenset) and all(map(_is_text, options))
    return isinstance(annotation, type) and issubclass(annotation, (str, Path))
