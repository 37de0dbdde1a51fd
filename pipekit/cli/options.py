"""A component's ``Params`` as Typer options, so that each stage has its own ``--help``."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipekit.params import Call, Params, parse_toml
from pipekit.registry.param_rows import ParamRow, param_rows

PREFIX = "param_"
"""Prefix of Python arguments that hold parameters, so that their names can't clash with the command's own."""


def param_options(
    params_type: type[Params], taken: Collection[str] = (), flags: Mapping[str, str] | None = None
) -> list[inspect.Parameter]:
    """One keyword argument for each parameter, annotated for Typer.

    Args:
        taken: options that the command has already; a parameter of that name becomes ``--param-<name>``.
        flags: custom flags: ``{"size_hw": "--size"}``.
    """
    rows = {row.name: row for row in param_rows(params_type)}
    return [
        _option(name, rows[name], field.annotation, (flags or {}).get(name) or f"--{flag_of(name, taken)}")
        for name, field in params_type.model_fields.items()
    ]


def with_options_of(
    stage: str, leave_out: Collection[str] = (), flags: Mapping[str, str] | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command an option for each parameter of a stage that it has no argument for.

    The command receives the options that were typed as ``**params``. Problems of the pipeline name the options that were typed.

    Args:
        leave_out: parameters that the command sets itself.
        flags: custom flags, in Typer's form: ``{"size_hw": "--size"}``.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        from pipekit.registry.registry import load_registry

        params_type = load_registry(installed=False).get("stage", stage).contract().params_type
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        without = {*leave_out, *(each.name for each in own)}
        options = [
            option for option in param_options(params_type, flags=flags) if option.name.removeprefix(PREFIX) not in without
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> int:
            chosen = {each.name: arguments[each.name] for each in own}
            with problems_as_options(params_type, flags):
                return command(**chosen, **given(arguments, params_type))

        parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *options]
        run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
        del run.__wrapped__
        return run

    return decorate


@contextlib.contextmanager
def problems_as_options(params_type: type[Params], flags: Mapping[str, str] | None = None) -> Iterator[None]:
    """Name the problems of a pipeline by what was typed: ``--fill-mode`` for ``fill_mode``."""
    from pipekit.errors import PlanError

    try:
        yield
    except PlanError as error:
        problems = []
        names = {name: f"--{flag_of(name, ())}" for name in params_type.model_fields} | dict(flags or {})
        for problem in error.problems:
            name = next((name for name in sorted(names, key=len, reverse=True) if _begins(problem.path, name)), None)
            if name is not None:
                problem = replace(problem, path=names[name] + problem.path.removeprefix(name))
            problems.append(problem)
        raise PlanError(problems, ran=error.ran) from error


@contextlib.contextmanager
def problems_as_set(values: Collection[str]) -> Iterator[None]:
    """Name the problems of values that were given with ``--set NAME=VALUE``: ``--set check`` for ``check``."""
    from pipekit.errors import PlanError

    try:
        yield
    except PlanError as error:
        problems = []
        for problem in error.problems:
            typed = any(_begins(problem.path, name) for name in values)
            problems.append(replace(problem, path=f"--set {problem.path}") if typed else problem)
        raise PlanError(problems, ran=error.ran) from error


def _begins(path: str, name: str) -> bool:
    """``ops[0].angle`` begins with ``ops``, ``opsin`` does not."""
    return path.startswith(name) and path[len(name) :][:1] in ("", ".", "[")


def _option(name: str, row: ParamRow, annotation: Any, flag: str) -> inspect.Parameter:
    metavar = _metavar(row, annotation)
    limits = _limits(row, metavar, annotation)
    text = f"{row.description}  [{limits}]".strip() if limits else row.description
    if annotation is bool:
        kind: Any = bool | None
        option = typer.Option(f"{flag}/--no-{flag.removeprefix('--')}", help=text, show_default=False)
    else:
        kind = str | None
        option = typer.Option(flag, metavar=metavar, help=text, show_default=False)
    return inspect.Parameter(PREFIX + name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _limits(row: ParamRow, metavar: str, annotation: Any) -> str:
    """The limits and the default, as far as the metavar does not show them: ``0 to 15 px, default: 10``."""
    kind = row.type if metavar in ("LIST", "TABLE", "VALUE") else ""
    bounds = f"{row.bounds} {row.unit}" if row.bounds else f"in {row.unit}" if row.unit else ""
    plain = row.default.strip('"') if _is_text(annotation) else row.default
    default = "required" if row.required else f"default: {plain}" if plain else "no default"
    if plain in ("", "none") and not row.required and "default" in row.description.lower():
        default = ""  # the description says what is done without it
    return ", ".join(part for part in (kind, bounds.strip(), default) if part)


def flag_of(name: str, taken: Collection[str]) -> str:
    """``image_size_px`` -> ``image-size-px``."""
    flag = name.replace("_", "-")
    return f"param-{flag}" if flag in taken else flag


def _metavar(row: ParamRow, annotation: Any) -> str:
    """The placeholder after the option: ``INT``, ``TEXT``, ``TABLE``, ``a|b``."""
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


def names_in(text: str) -> tuple[str, ...]:
    """``"cat, dog"`` -> ("cat", "dog")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def read_fractions(text: str) -> dict[str, float]:
    """``"0.7,0.15,0.15"`` -> {"train": 0.7, "val": 0.15, "test": 0.15}."""
    from pipekit.errors import UserError

    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != 3 or min(shares) < 0 or not 0.999 < sum(shares) < 1.001:
        raise UserError(f"--fractions {text!r}: expected three shares that sum to 1", "For example: --fractions 0.7,0.15,0.15")
    return dict(zip(("train", "val", "test"), shares, strict=True))


NAMES = re.compile(r"[\w.:/-]+(\s*,\s*[\w.:/-]+)*,?")
"""Plain words with commas between them."""


def read_value(text: Any, annotation: Any = None) -> Any:
    """``"0.3"`` -> 0.3, ``"[1, 2]"`` -> [1, 2], ``"{ op = 'hflip' }"`` and its JSON form -> a table, other words as text.

    Where the annotation is a list, plain words are the names between commas.
    """
    if not isinstance(text, str) or _is_text(annotation):
        return text
    with_json: Callable[[str], Any] = json.loads
    for read in (_toml, with_json):
        try:
            return read(text)
        except ValueError:
            continue
    is_list = typing.get_origin(annotation) in (list, tuple) and Call not in typing.get_args(annotation)  # ops have a notation
    return list(names_in(text)) if is_list and NAMES.fullmatch(text.strip()) else text


def _toml(text: str) -> Any:
    return parse_toml(f"value = {text}")["value"]


def _is_text(annotation: Any) -> bool:
    """Whether the annotation allows only text, so that ``--title 5`` is ``"5"``."""
    options = [option for option in typing.get_args(annotation) if option is not type(None)]
    if typing.get_origin(annotation) is Literal:
        return all(isinstance(option, str) for option in options)
    if options:
        return typing.get_origin(annotation) not in (list, tuple, dict, set, frozenset) and all(map(_is_text, options))
    return isinstance(annotation, type) and issubclass(annotation, (str, Path))
