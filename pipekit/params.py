"""Parameters: declared once, used for validation, ``--help``, the documentation, the JSON Schema and the cache key.

::

    class RotateParams(Params):
        limit_deg: float = param(40.0, "Largest rotation to either side", unit="deg", ge=0, le=180)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pipekit.errors import PipekitError, did_you_mean
from pipekit.files.urls import located, shown

P = TypeVar("P", bound=BaseModel)


class Params(BaseModel):
    """Base class of a component's parameters. Frozen; rejects unknown names, NaN and infinity; validates defaults too.

    >>> class RotateParams(Params):
    ...     limit_deg: float = param(40.0, "Largest rotation to either side", unit="deg", ge=0, le=180)
    >>> RotateParams().limit_deg
    40.0
    >>> RotateParams(limit=10)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: ...
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def described(cls) -> type[Params]:
        """The class that ``--help`` and documents show: this one, unless costly descriptions are computed on demand."""
        return cls


def param(
    default: Any = ...,
    description: str = "",
    *,
    unit: str = "",
    in_key: bool | Literal["changed"] = True,
    neutral: float | None = None,
    **bounds: Any,
) -> Any:
    """Declare a field of a :class:`Params`.

    Args:
        default: ``...`` for a required field. Lists and dicts are copied for each use.
        description: one line, shown in ``--help`` and the documents.
        unit: ``px``, ``deg``, ``s``, ``images`` …, shown beside the value.
        in_key: False for a parameter that never changes the output (a batch size for prediction); ``changed`` for one that is
            part of the key only where it differs from its default, so that results of before it was added are still found.
        neutral: for an op's parameter, the value at which the op changes nothing, so that a check can try the op at half
            its strength. For a pair, it applies to both values.
        bounds: Pydantic's constraints: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ``pattern`` …
    """
    extra: dict[str, Any] = {}
    if unit:
        extra["unit"] = unit
    if in_key is not True:
        extra["in_key"] = in_key
    if neutral is not None:
        extra["neutral"] = neutral
    if isinstance(default, (list, dict)):
        bounds["default_factory"] = default.copy
        return Field(description=description, json_schema_extra=extra or None, **bounds)
    return Field(default, description=description, json_schema_extra=extra or None, **bounds)


class InputPath(type(Path())):  # type: ignore[misc]
    """The type of a parameter that names a file or folder which the component reads.

    The path is resolved against the pipeline file's folder and must exist. Its *content* is part of the cache key, its
    location is not. A URL (``s3://bucket/photos``) becomes the path of its local copy; records and errors name the URL.

    Attributes:
        passed_over: suffixes of files that do not count as a folder's content.
    """

    passed_over: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._check, serialization=core_schema.plain_serializer_function_ser_schema(shown)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "path"}

    @classmethod
    def _check(cls, value: Any, info: core_schema.ValidationInfo) -> InputPath:
        if not isinstance(value, (str, os.PathLike)) or not str(value):
            raise PydanticCustomError("input_path", "expected the path of a file or folder, got {got}", {"got": repr(value)})
        base = Path((info.context or {}).get("base_dir") or Path.cwd())
        path = base / located(value)
        if not os.path.exists(path):  # noqa: PTH110 - False for a name that is too long, where Path.exists raises
            raise PydanticCustomError("input_path", "no such file or folder: {path}", {"path": str(path)})
        return cls(os.path.abspath(path))


class ImagesPath(InputPath):
    """A folder of images that a table lists. Text files and tables in it are ignored: a split file may be written there."""

    passed_over = (".csv", ".tsv", ".txt", ".md", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".xml", ".html", ".log")


@dataclass(frozen=True)
class Call:
    """A component chosen by name, with its validated parameters: the value of ``{ template = "simple_cnn", dropout = 0.3 }``.

    ``options`` are values that belong to the use and not to the component, such as an op's probability ``p``.
    """

    kind: str
    name: str
    params: Params
    options: Mapping[str, Any]
    component: Any = field(repr=False, compare=False)
    key: str = field(default="use", repr=False, compare=False)

    def load(self) -> Any:
        """The component itself: the function that takes ``params``."""
        return self.component.load()

    def to_plain(self) -> dict[str, Any]:
        return {self.key: self.name, **self.options, **self.params.model_dump(mode="json")}


class Uses:
    """Annotation for a parameter that names a component: ``model: Annotated[Call, Uses("model", key="template")]``.

    In the file, the value is a table with the component's own parameters beside the name, or the bare name. The table is
    validated against the component's ``Params``, with the same errors as everything else. The entry ``use`` holds the name.

    Args:
        kind: the component's kind.
        key: another name of that entry, under which records have it: ``template``, ``op``.
        options: a ``Params`` class for further entries that belong to the use, not to the component.
        names: names that mean no component but something of the stage's own, and stay text: ``Call | str``.
        known: ``known(name)`` for more such names than can be listed: a message and a hint about a name that the stage does not
            have, two empty texts for one that it has, None where that can't be said. Its own names come before components'.
    """

    def __init__(
        self,
        kind: str,
        key: str = "use",
        options: type[Params] | None = None,
        names: Sequence[str] = (),
        known: Callable[[str], tuple[str, str] | None] | None = None,
    ) -> None:
        self.kind = kind
        self.key = key
        self.options = options
        self.names = tuple(names)
        self.known = known

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda found: found if isinstance(found, str) else found.to_plain()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        options = {} if self.options is None else self.options.model_json_schema()["properties"]
        found = {"anyOf": [{"type": "string"}, {"type": "object"}], "x-pipekit-uses": [self.kind, self.key, options]}
        if not self.names:
            return found
        own: dict[str, Any] = {"type": "string"} if self.known else {"enum": list(self.names)}
        table = {"type": "object", "properties": {"use": own}, "required": ["use"], "additionalProperties": False}
        return {"anyOf": [own, table, found]}

    def _is_own(self, name: str, registry: Any) -> bool:
        """Whether a name is the stage's own. Raises for one that is neither that nor a component's."""
        if name in self.names:
            return True
        if ":" in name:
            return False
        components = {} if registry is None else {one.reference: one.name for one in registry.components(self.kind)}
        is_component = name in components.values()
        found = self.known(name) if self.known else (f"there is no {self.kind} called {name!r}", "")
        if found is None:
            return not is_component
        message, hint = found
        if message and not is_component:
            near = did_you_mean(name, list(components)) or hint or did_you_mean(name, self.names)
            nested_problem(((), message, near or f"There are: {', '.join(self.names)}"))
        return not message

    def _read(self, value: Any, info: core_schema.ValidationInfo) -> Call | str:
        name = self._named(value)
        if name is not None and self.names and self._is_own(name, (info.context or {}).get("registry")):
            if isinstance(value, Mapping) and len(value) > 1:
                given = ", ".join(repr(other) for other in value if other not in ("use", self.key))
                nested_problem(
                    ((), f"{name!r} is the stage's own {self.kind}, which has no parameters of its own; got {given}", "")
                )
            return name
        return self.validate(value, info)

    def _named(self, value: Any) -> str | None:
        """The name that a text, or the entry ``use`` of a table, gives."""
        if isinstance(value, Mapping):
            value = value.get("use", value.get(self.key))
        return value if isinstance(value, str) else None

    def validate(self, value: Any, info: core_schema.ValidationInfo) -> Call:
        """Resolve and validate one table. Names are looked up in ``info.context["registry"]``."""
        if isinstance(value, Call):
            return value
        registry = (info.context or {}).get("registry")
        if registry is None:
            raise PydanticCustomError(
                "no_registry", "parameters that name a {kind} are checked through registry.check_params()", {"kind": self.kind}
            )
        if isinstance(value, str):
            value = {self.key: value}
        if isinstance(value, Mapping) and "use" in value and self.key in value and self.key != "use":
            nested_problem(((self.key,), f"is the same as 'use', and {value['use']!r} is given already", "Leave one out."))
        key = "use" if isinstance(value, Mapping) and "use" in value else self.key
        if not isinstance(value, Mapping) or not isinstance(value.get(key), str):
            raise PydanticCustomError(
                "component",
                "expected the name of a component of kind '{kind}', or a table with 'use = \"…\"', got {got}",
                {"kind": self.kind, "got": repr(value)[:80]},
            )
        entries = dict(value)
        name = entries.pop(key)
        try:
            component = registry.get(self.kind, name)
            params_type = component.params_type()
        except PipekitError as error:
            nested_problem(((key,), error.message, error.hint))
        own = self.options.model_fields if self.options else {}
        placed = {name: entries.pop(name) for name in list(entries) if name in own and name not in params_type.model_fields}
        checked: list[Any] = []
        problems: list[Any] = []
        for model, part in ((self.options or Params, placed), (params_type, entries)):
            try:
                checked.append(check_nested(model, part, info))
            except PydanticCustomError as error:
                problems += (error.context or {})["problems"]
        if problems:
            nested_problem(*problems)
        options, params = checked
        return Call(self.kind, name, params, options.model_dump(), component, self.key)


SHOULD_BE = "Input should be "
"""Prefix of Pydantic's messages about types."""


# --- errors inside errors ------------------------------------------------------------------------------------------------


def check_nested(model: type[P], value: Any, info: core_schema.ValidationInfo) -> P:
    """Validate ``value`` inside another model's validator; its problems keep their locations, see :func:`problems_of`."""
    try:
        return model.model_validate(value, context=info.context)
    except ValidationError as error:
        raise PydanticCustomError("nested", "see below", {"problems": list(problems_of(error, model))}) from error


def nested_problem(*problems: tuple[tuple[str | int, ...], str, str]) -> NoReturn:
    """Raise, inside a validator, problems with their locations below the field."""
    raise PydanticCustomError("nested", "see below", {"problems": list(problems)})


def problems_of(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield every problem in a ValidationError as (location, message, hint), nested ones with their full location.

    For a union, Pydantic reports a problem for each member type. Here it becomes one problem: that of the best-matching
    type, or all in one sentence.
    """
    by_union: dict[tuple[str | int, ...], list[Any]] = {}
    for item in error.errors(include_url=False):
        tag = _branch_at(model, item["loc"])
        if tag is None:
            yield from _told(item, tuple(item["loc"]), model)
        else:
            by_union.setdefault(item["loc"][:tag], []).append(item)
    for place, items in by_union.items():
        deepest = max(len(item["loc"]) for item in items)
        if deepest > len(place) + 1:
            for item in items:
                if len(item["loc"]) == deepest:
                    yield from _told(item, (*place, *item["loc"][len(place) + 1 :]), model)
        else:
            fitting = [item for item in items if not item["msg"].startswith(SHOULD_BE)]  # the type matches, the value does not
            for item in fitting:
                yield from _told(item, place, model)
            if not fitting:
                either = ", or ".join(dict.fromkeys(item["msg"].removeprefix(SHOULD_BE) for item in items))
                yield place, f"input should be {either}, got {items[0]['input']!r}", ""


def _told(item: Any, place: tuple[str | int, ...], model: type[BaseModel]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Convert one of Pydantic's problems into (location, message, hint)."""
    from pipekit.errors import did_you_mean

    context = item.get("ctx") or {}
    if item["type"] == "nested":
        for inner, message, hint in context["problems"]:
            yield (*place, *inner), message, hint
    elif item["type"] == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        yield (
            place,
            f"no parameter called {place[-1]!r}",
            did_you_mean(str(place[-1]), known) or (f"There are: {', '.join(known)}" if known else ""),
        )
    elif item["type"] == "missing":
        yield place, "is required", ""
    elif item["type"] in ("tuple_type", "list_type") and isinstance(item["input"], str):
        yield place, f"expected a list, got {item['input']!r}", f'A list has brackets: ["{item["input"]}"]'
    else:
        got = "" if item["type"] in ("component", "input_path", "value_error") else f", got {item['input']!r}"
        message = item["msg"].removeprefix("Value error, ")
        yield place, message[:1].lower() + message[1:] + got, ""


def _branch_at(model: type[BaseModel], place: tuple[str | int, ...]) -> int | None:
    """The index within a location at which Pydantic names the tried member of a union; None if it names none."""
    annotation: Any = model
    for number, step in enumerate(place):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found = annotation.model_fields.get(str(step))
            if found is None:
                return None
            annotation = found.annotation
        else:
            inner = [option for option in get_args(annotation) if option is not Ellipsis]
            annotation = inner[-1] if inner else None
        while get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if get_origin(annotation) in (Union, UnionType):
            options = [option for option in get_args(annotation) if option is not type(None)]
            if len(options) > 1:
                return number + 1 if number + 1 < len(place) else None
            annotation = options[0]
        while get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
    return None


def _fields_at(model: type[BaseModel] | None, place: tuple[str | int, ...]) -> list[str]:
    """The field names of the model at location ``place`` below ``model``; empty if there is no model at that location."""
    for step in place:
        if isinstance(step, int):
            continue
        found = model.model_fields.get(step) if model else None
        model = _model_in(found.annotation) if found else None
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model class in an annotation: ``Inner``, ``Inner | None``, ``tuple[Inner, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for option in get_args(annotation) if (found := _model_in(option))), None)


# --- plain and canonical forms -------------------------------------------------------------------------------------------


def canonical(value: Any, digest_of: Callable[[Path], str], versions: Callable[[Any], Mapping[str, str]]) -> Any:
    """The JSON-like form of a parameter for a cache key: content instead of paths, versions beside component names.

    Args:
        digest_of: returns the hash of the content of an :class:`InputPath`.
        versions: returns the versions of the libraries that a component names with ``depends_on``.
    """
    if isinstance(value, InputPath):
        return {"content": digest_of(value)}
    if isinstance(value, Call):
        return {
            "component": value.component.identity(),
            "libraries": dict(versions(value.component)),
            "options": canonical(dict(value.options), digest_of, versions),
            "params": canonical(value.params, digest_of, versions),
        }
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: canonical(getattr(value, name), digest_of, versions)
            for name in sorted(fields)
            if _in_key(fields[name], getattr(value, name))
        }
    if isinstance(value, Mapping):
        return {str(name): canonical(value[name], digest_of, versions) for name in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item, digest_of, versions) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(item, digest_of, versions) for item in value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def calls_in(value: Any) -> Iterator[Call]:
    """Every component that parameters name, those inside of others included."""
    if isinstance(value, Call):
        yield value
        yield from calls_in(value.params)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from calls_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from calls_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from calls_in(inner)


def _in_key(field: FieldInfo, value: Any) -> bool:
    """Whether a parameter's value is part of a key; see :func:`param`."""
    extra = field.json_schema_extra
    wanted = extra.get("in_key", True) if isinstance(extra, dict) else True
    return value != field.get_default(call_default_factory=True) if wanted == "changed" else bool(wanted)


# --- TOML ----------------------------------------------------------------------------------------------------------------

MAX_TOML_DEPTH = 60
"""Maximum depth of tables and lists in TOML: what reads them afterwards is recursive too."""


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML; or it is nested more than :data:`MAX_TOML_DEPTH` deep or has a number of
            thousands of digits, for which ``tomllib`` raises others.
    """
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except ValueError as error:
        raise tomllib.TOMLDecodeError(str(error).partition(";")[0]) from None
    level: list[Any] = [table]
    for _ in range(MAX_TOML_DEPTH):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        level = [one for one in level if isinstance(one, (dict, list))]
        if not level:
            return table
    raise tomllib.TOMLDecodeError(f"nested more than {MAX_TOML_DEPTH} deep")
