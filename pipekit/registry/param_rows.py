"""A component's parameters as rows of text, read from its ``Params``: for tables, ``--help`` and documents."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipekit.params import Call, InputPath, Params, Uses

Seen = tuple[type[BaseModel], ...]


@dataclass(frozen=True, slots=True)
class ParamRow:
    """One parameter in words.

    Attributes:
        name: as written in the file; ``noise.sigma`` for a field of a table.
        type: ``int``, ``float or none``, ``"a" or "b"``, ``list of op``.
        default: as TOML writes it; ``required`` or ``none``.
        bounds: ``0 to 180``, ``above 0``, ``1 to 3 items``; empty if there are none.
        unit: ``px``, ``deg``, …, or empty.
        in_key: False for a parameter that never changes the output.
    """

    name: str
    type: str
    default: str
    bounds: str
    unit: str
    description: str
    required: bool
    in_key: bool = True

    @property
    def details(self) -> str:
        """Type, bounds and unit in one phrase: ``float, 0 to 180, in deg``."""
        unit = f"in {self.unit}" if self.unit else ""
        return ", ".join(part for part in (self.type, self.bounds, unit) if part)


def param_rows(params_type: type[Params]) -> list[ParamRow]:
    """The rows of all parameters, in the order of their definition; fields of tables follow their table."""
    shown = params_type.described()
    return list(_rows(shown, "", (shown,)))


def _rows(model: type[BaseModel], prefix: str, seen: Seen) -> Iterator[ParamRow]:
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}
        yield ParamRow(
            name=prefix + name,
            type=type_text(field.annotation, field.metadata),
            default=_default(field),
            bounds=bounds_text(field),
            unit=str(extra.get("unit", "")),
            description=" ".join((field.description or "").split()),
            required=field.is_required(),
            in_key=bool(extra.get("in_key", True)),
        )
        for inner, many in _tables(field.annotation):
            if inner not in seen:
                yield from _rows(inner, f"{prefix}{name}{'[]' if many else ''}.", (*seen, inner))


def _tables(annotation: Any, many: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models inside an annotation, and whether there may be several of each."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, many
    origin = typing.get_origin(annotation)
    for option in typing.get_args(annotation):
        yield from _tables(option, many or origin in (list, tuple, dict, set, frozenset))


# --- types ---------------------------------------------------------------------------------------------------------------

_WORDS: dict[Any, str] = {str: "text", bool: "true or false", int: "int", float: "float", Any: "any value", type(None): "none"}


def type_text(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    """An annotation in words."""
    uses = next((item for item in metadata if isinstance(item, Uses)), None)
    if uses is not None:
        few = () if uses.known else uses.names
        return " or ".join([*(json.dumps(name) for name in few), *(["text"] if uses.known else []), uses.kind])
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(options[0], options[1:])
    if origin is Literal:
        return " or ".join(json.dumps(option) for option in options)
    if origin in (typing.Union, types.UnionType):
        shown = [option for option in options if option is not type(None)]  # TOML has no null: it is omitted
        return " or ".join(dict.fromkeys(type_text(option, metadata) for option in shown))
    if origin in (list, tuple, set, frozenset):
        return _sequence_text(origin, options)
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return f"table of {type_text(options[1])}"
    return _class_text(annotation)


def _sequence_text(origin: Any, options: tuple[Any, ...]) -> str:
    if origin is tuple and options and options[-1] is not Ellipsis:
        texts = [type_text(option) for option in options]
        same = len(set(texts)) == 1
        return f"{len(texts)} × {texts[0]}" if same else f"[{', '.join(texts)}]"
    return f"list of {type_text(options[0])}" if options else "list"


def _class_text(annotation: Any) -> str:
    if not isinstance(annotation, type):
        return str(annotation)
    if issubclass(annotation, Enum):
        return " or ".join(json.dumps(member.value) for member in annotation)
    if issubclass(annotation, InputPath):
        return "path that exists"
    if issubclass(annotation, Path):
        return "path"
    if issubclass(annotation, Call):
        return "component"
    if issubclass(annotation, (BaseModel, dict)):
        return "table"
    return "list" if issubclass(annotation, (list, tuple)) else annotation.__name__


# --- bounds and defaults -------------------------------------------------------------------------------------------------


def bounds_text(field: FieldInfo) -> str:
    """The bounds of a field: ``0 to 1``, ``above 0``, ``at least 1``, ``1 to 3 items``."""
    low, above, high, below, shortest, longest = (_bound(field, name) for name in ("ge", "gt", "le", "lt", *_LENGTHS))
    parts = []
    least = _plain(low) if low is not None else f"above {_plain(above)}" if above is not None else ""
    most = _plain(high) if high is not None else f"below {_plain(below)}" if below is not None else ""
    if least and most:
        parts.append(f"{least} to {most}")
    elif least or most:
        word = "at least " if low is not None else "at most " if high is not None else ""
        parts.append(word + (least or most))
    unit = "characters" if field.annotation is str else "items"
    if shortest is not None and shortest == longest:
        parts.append(f"exactly {shortest} {unit}")
    elif shortest is not None or longest is not None:
        text = (
            f"{shortest} to {longest}" if shortest and longest else f"at least {shortest}" if shortest else f"at most {longest}"
        )
        parts.append(f"{text} {unit if longest or shortest != 1 else unit[:-1]}")
    for name, text in (("multiple_of", "a multiple of {}"), ("pattern", "like {}")):
        value = _bound(field, name)
        if value is not None:
            parts.append(text.format(_plain(value)))
    return ", ".join(parts)


_LENGTHS = ("min_length", "max_length")


def _bound(field: FieldInfo, name: str) -> Any:
    """pydantic keeps a bound as an attribute of one of the field's metadata."""
    for item in field.metadata:
        value = getattr(item, name, None)
        if value is not None and not callable(value):
            return value
    return None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return toml_text(field.get_default(call_default_factory=True))


def toml_text(value: Any) -> str:
    """A value on one line as TOML writes it, so that it can be copied into a pipeline file; None is ``none``."""
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Call):
        value = value.to_plain()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        entries = [f"{name} = {toml_text(item)}" for name, item in value.items() if item is not None]
        return "{ " + ", ".join(entries) + " }" if entries else "{}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False)
