"""Parse a recipe: a list of ops in a pipeline file, a preset's name, a ``.toml`` file, or one line of text.

Every form becomes checked :class:`~pipekit.params.Call` objects, and every error names its place.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pipekit.errors import UserError, did_you_mean
from pipekit.files import expanded
from pipekit.params import Call, Params, Uses, nested_problem, param, parse_toml

MAX_DEPTH = 8
"""Maximum depth of presets in presets and combinators in combinators; more is taken for a cycle."""

Place: TypeAlias = tuple[str | int, ...]


class OpOptions(Params):
    """Options of every op in a recipe, besides its own parameters."""

    p: float = param(1.0, "Probability that the op is applied", ge=0, le=1)


def probability(call: Call) -> float:
    """An op's ``p``; an op whose ``Params`` has its own ``p`` (a flip, with 0.5) sets its own default."""
    return float(getattr(call.params, "p", call.options.get("p", 1.0)))


def neutral_values(call: Call) -> Mapping[str, float]:
    """The parameters that set an op's strength, each with the value at which it changes nothing."""
    found = {}
    for name, field in type(call.params).model_fields.items():
        extra = field.json_schema_extra
        value = getattr(call.params, name)
        if isinstance(extra, dict) and "neutral" in extra and value is not None:
            neutral = float(extra["neutral"])  # type: ignore[arg-type]
            if any(one != neutral for one in (value if isinstance(value, tuple) else (value,))):
                found[name] = neutral
    return found


def changes_nothing(call: Call) -> bool:
    """Whether an op leaves every image unchanged: it is never applied, or its values are the neutral ones."""
    inner = getattr(call.params, "ops", ())
    if probability(call) == 0 or call.name == "identity" or (inner and all(map(changes_nothing, inner))):
        return True
    fields = type(call.params).model_fields
    extras = {name: field.json_schema_extra for name, field in fields.items()}
    strong = {name for name, extra in extras.items() if isinstance(extra, dict) and "neutral" in extra}
    if not strong or neutral_values(call):
        return False
    others = fields.keys() - strong - {"p", "fill_mode", "fill_value"}
    return all(getattr(call.params, name) == fields[name].default for name in others)


class OpsField:
    """Marks a parameter that is a recipe; use it through :data:`Ops`."""

    uses = Uses("op", key="op", options=OpOptions)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda ops: [c.to_plain() for c in ops]),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        entry = self.uses.__get_pydantic_json_schema__(core_schema.any_schema(), handler)
        return {"anyOf": [{"type": "string", "x-pipekit-uses": ["recipe", "", {}]}, {"type": "array", "items": entry}]}

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> tuple[Call, ...]:
        """Resolve and check a recipe. ``info.context["registry"]`` resolves its names."""
        if isinstance(value, Call):
            value = [value]
        if not isinstance(value, (str, Sequence)) or isinstance(value, bytes):
            raise PydanticCustomError(
                "component",
                "expected a list of ops, a preset's name, a .toml file or text like 'rotate(40)|hflip', got {got}",
                {"got": repr(value)[:80]},
            )
        if not isinstance(value, str) and all(isinstance(item, Call) for item in value):
            return tuple(value)
        context = info.context or {}
        if context.get("registry") is None:
            raise PydanticCustomError("no_registry", "a recipe is checked through registry.check_params()")
        problems: list[tuple[Place, str, str]] = []
        calls: list[Call] = []
        for place, table in _expand(value, (), context, problems, 0):
            try:
                calls.append(self.uses.validate(table, info))
            except PydanticCustomError as error:
                inner = (error.context or {}).get("problems") or [((), error.message(), "")]
                problems += [((*place, *where), message, _or_preset(hint, table, context)) for where, message, hint in inner]
        if calls and not problems and all(map(changes_nothing, calls)):
            reason = "never changes anything: every op has p = 0, or values that leave the image as it is"
            problems.append(((), reason, "Leave the recipe out, or raise a p or a value."))
        if problems:
            if isinstance(value, str) and not value.strip().endswith(".toml"):
                problems = [_as_typed(value, problem) for problem in problems]
            nested_problem(*problems)
        return tuple(calls)


Ops: TypeAlias = Annotated[tuple[Call, ...], OpsField()]
"""A parameter's type for a recipe: ``augment: Ops = param((), "Ops applied to each training image")``."""


def check_ops(registry: Any, value: Any, base_dir: Path | None = None) -> tuple[Call, ...]:
    """The checked ops of a recipe in any form.

    Raises:
        UserError: lists every error.

    >>> from pipekit.registry.registry import load_registry
    >>> [(op.name, op.params.limit_deg) for op in check_ops(load_registry(installed=False), "rotate(20)")]
    [('rotate', 20.0)]
    """
    checked: RecipeParams = registry.check_params(RecipeParams, {"ops": value}, base_dir)
    return checked.ops


class RecipeParams(Params):
    """A recipe by itself, the content of a ``.toml`` file."""

    ops: Ops = param(..., "The ops, in the order in which they are applied")


def _as_typed(text: str, problem: tuple[Place, str, str]) -> tuple[Place, str, str]:
    """A problem in a line of text: its place is the text that was typed, and not a table that was made of it."""
    place, message, hint = problem
    name = next((step for step in reversed(place) if isinstance(step, str)), "")
    named = f"{name}: {message}" if name and name not in ("op", "use", "ops") and repr(name) not in message else message
    return (), named if repr(text.strip()) in named or _short(text) in named else f"{named}, in {_short(text)}", hint


def _or_preset(hint: str, table: Any, context: Mapping[str, Any]) -> str:
    """Suggest a preset with a similar name."""
    name = table.get("use", table.get("op")) if isinstance(table, Mapping) else table
    if not isinstance(name, str) or "Did you mean" in hint or "pipekit components op" not in hint:
        return hint
    near = did_you_mean(name, [component.reference for component in context["registry"].components("recipe")])
    return f"{near} List them: pipekit components recipe" if near else hint


# --- from any form to tables ---------------------------------------------------------------------------------------------


def _expand(
    value: Any, place: Place, context: Mapping[str, Any], problems: list[tuple[Place, str, str]], depth: int
) -> Iterator[tuple[Place, Any]]:
    """(place, table or name) of each op, with texts, presets and files expanded."""
    if depth > MAX_DEPTH:
        problems.append((place, f"recipes inside recipes, more than {MAX_DEPTH} deep", "Does one use itself?"))
    elif not isinstance(value, str):
        if isinstance(value, Sequence):
            for number, item in enumerate(value):
                inner = (*place, number)
                yield from _expand(item, inner, context, problems, depth) if isinstance(item, str) else [(inner, item)]
        else:
            yield place, value
    else:
        try:
            found = _open_text(value, context)
        except UserError as error:
            problems.append((place, error.message, error.hint))
            return
        for number, item in enumerate(found):
            inner = (*place, number) if len(found) > 1 else place
            yield from _expand(item, inner, context, problems, depth + 1) if isinstance(item, str) else [(inner, item)]


def _open_text(text: str, context: Mapping[str, Any]) -> Sequence[Any]:
    """Expand one level: a file's ops, a preset's ops, or the tables of an expression."""
    if text.strip().endswith(".toml"):
        return _read_file(Path(text.strip()), context.get("base_dir"))
    registry = context["registry"]
    presets = {name for one in registry.components("recipe") for name in (one.name, f"{one.plugin}:{one.name}")}
    if text.strip() in presets:
        preset = registry.get("recipe", text.strip())
        found = preset.load()
        ops = list(found() if callable(found) else found)
        return list(registry.at_home("op", ops, preset.plugin))
    return [
        table["op"] if table.keys() == {"op"} and table["op"] in presets else table
        for table in parse_ops(text, registry, presets=list(presets))
    ]


def _read_file(path: Path, base_dir: Path | None) -> Sequence[Any]:
    path = (base_dir or Path.cwd()) / expanded(path)
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no such recipe file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the recipe file {path} can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    ops = table.pop("ops", None)
    if table:
        hint = did_you_mean(next(iter(table)), ["ops"]) or "A recipe file holds one list: ops = [{ op = …}, …]"
        raise UserError(f"{path}: no entry called {next(iter(table))!r} in a recipe", hint)
    if not isinstance(ops, list):
        raise UserError(f"{path} holds no list of ops", 'Write it as: ops = [{ op = "hflip" }, …]')
    return ops


# --- one line of text ----------------------------------------------------------------------------------------------------


def parse_ops(text: str, registry: Any, presets: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Parse ``rotate(40)|hflip|albu.GaussNoise(p=0.3)`` to tables. Nothing is evaluated: only names and plain values count.

    Values without a name fill the op's parameters in their order, then its options. ``one_of(blur|noise, hflip)`` takes ops as
    values. Bare words are texts: ``rotate(40, fill_mode=reflect)``.

    Raises:
        UserError: names the place of the error.

    >>> from pipekit.registry.registry import load_registry
    >>> parse_ops("rotate(40)|hflip(p=0.3)", load_registry(installed=False))
    [{'op': 'rotate', 'limit_deg': 40}, {'op': 'hflip', 'p': 0.3}]
    """
    try:
        tree = ast.parse(_QUALIFIED.sub(_joined, text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" at {text.strip()[error.offset - 1 :][:20]!r}" if isinstance(error, SyntaxError) and error.offset else ""
        raise UserError(
            f"can't read the ops {_short(text)}{place}", "Write them like: rotate(40)|hflip|albu.GaussNoise(p=0.3)"
        ) from None
    try:
        return [_table(node, text, registry, presets) for node in _branches(tree)]
    except RecursionError:
        raise UserError(f"the ops {_short(text)} are nested too deeply") from None


_QUALIFIED = re.compile(r"(?<![\w'\"])([A-Za-z_][\w.-]*):(?=[A-Za-z_])")
_COLON, _HYPHEN = "\ua4fd", "\ua7f7"
"""Letters that stand for a colon and a hyphen while Python's parser reads a qualified name: ``acme-ops:gentle``."""


def _joined(found: re.Match[str]) -> str:
    return found[1].replace("-", _HYPHEN) + _COLON


def _typed(text: str) -> str:
    """A text as it was typed."""
    return text.replace(_COLON, ":").replace(_HYPHEN, "-")


def _short(text: str) -> str:
    return repr(text.strip() if len(text) < 300 else f"{text.strip()[:200]}…")


def _branches(node: ast.expr) -> list[ast.expr]:
    """The parts between ``|``, from left to right."""
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def _table(node: ast.expr, text: str, registry: Any, presets: Sequence[str]) -> dict[str, Any]:
    function, arguments, keywords = (node.func, node.args, node.keywords) if isinstance(node, ast.Call) else (node, [], [])
    name = _name(function)
    if name is None:
        _refuse(node, text, "an op's name")
    if name in presets:
        if arguments or keywords:
            raise UserError(f"the preset {name!r} takes no values, got {_typed(ast.unparse(node))!r}")
        return {"op": name}
    if not arguments and not keywords:
        return {"op": name}
    params_type = registry.get("op", name).params_type()
    fields = _in_order(params_type)
    table: dict[str, Any] = {"op": name}
    if "ops" in params_type.model_fields and arguments:
        table["ops"] = [_group(argument, text, registry, presets) for argument in arguments]
        arguments = []
    if len(arguments) > len(fields):
        raise UserError(f"{name!r} takes at most {len(fields)} values ({', '.join(fields)}), got {len(arguments)}")
    table |= {field: _value(argument, text) for field, argument in zip(fields, arguments, strict=False)}
    for keyword in keywords:
        if keyword.arg is None:
            _refuse(keyword.value, text, "name=value")
        if keyword.arg in table:
            raise UserError(f"{name!r} is given {keyword.arg!r} twice, in {_typed(ast.unparse(node))!r}")
        in_ops = keyword.arg == "ops" and isinstance(keyword.value, ast.List)
        table[keyword.arg] = (
            [_group(item, text, registry, presets) for item in keyword.value.elts]  # type: ignore[attr-defined]
            if in_ops
            else _value(keyword.value, text)
        )
    return table


def _in_order(params_type: type[Params]) -> list[str]:
    """The names that positional values fill: an op's own parameters, then inherited ones, then the options."""
    own = inspect.get_annotations(params_type)
    names = [*params_type.model_fields, *OpOptions.model_fields]
    return [*(name for name in names if name in own), *dict.fromkeys(name for name in names if name not in own)]


def _group(node: ast.expr, text: str, registry: Any, presets: Sequence[str]) -> dict[str, Any]:
    """One value of a combinator: an op, or several joined by ``|`` that stay together."""
    tables = [_table(branch, text, registry, presets) for branch in _branches(node)]
    return (
        tables[0] if len(tables) == 1 and tables[0]["op"] not in presets else {"op": "sequence", "ops": _bare(tables, presets)}
    )


def _bare(tables: Sequence[dict[str, Any]], presets: Sequence[str]) -> list[Any]:
    return [table["op"] if table["op"] in presets else table for table in tables]


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return _typed(node.id)
    if isinstance(node, ast.Attribute):
        outer = _name(node.value)
        return f"{outer}.{_typed(node.attr)}" if outer else None
    return None


_WORDS = {"true": True, "false": False, "none": None}


def _value(node: ast.expr, text: str) -> Any:
    """A number, a text, a bare word, or lists, tuples and tables of them."""
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id, _typed(node.id))
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, text) for item in node.elts]
    try:
        value = ast.literal_eval(node)
        return _typed(value) if isinstance(value, str) else value
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        _refuse(node, text, "a plain value: a number, a word, a list")


def _refuse(node: ast.expr, text: str, expected: str) -> NoReturn:
    raise UserError(f"expected {expected}, got {_typed(ast.unparse(node))!r}, in the ops {_short(text)}")
