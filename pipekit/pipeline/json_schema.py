"""The JSON Schema of the pipeline file with every installed stage, op and model, for completion and validation in editors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices

from pipekit.errors import PipekitError
from pipekit.params import Params
from pipekit.pipeline.matrix_table import Matrix
from pipekit.pipeline.plan import Settings, StageSettings
from pipekit.registry.component import Component
from pipekit.registry.registry import Registry

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry) -> dict[str, Any]:
    """The schema of a pipeline file. A component that can't be loaded is omitted."""
    return _Builder(registry).build()


class _Builder:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._definitions: dict[str, Any] = {}
        self._known: dict[str, dict[str, Component]] = {}

    def build(self) -> dict[str, Any]:
        top = self._model(Settings, "settings")
        stages = [self._stage(component) for component in self._usable("stage")]
        top["properties"]["stages"] = {
            "type": "object",
            "description": "The stages by name",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["use"],
                "properties": {"use": {"enum": [name for name, _ in stages]}},
                "allOf": [
                    {"if": {"properties": {"use": {"const": name}}, "required": ["use"]}, "then": schema}
                    for name, schema in stages
                ],
            },
        }
        top["properties"]["matrix"] = self._model(Matrix, "matrix")
        top["required"] = ["stages"]
        return {
            "$schema": DRAFT,
            "title": "A pipekit pipeline",
            **top,
            "$defs": dict(sorted(self._definitions.items())),
        }

    def _usable(self, kind: str) -> list[Component]:
        usable = []
        for component in self._registry.components(kind):
            try:
                component.params_type() if not component.reference.endswith(".*") else component.load()
            except PipekitError:
                continue
            usable.append(component)
        return usable

    def _stage(self, component: Component) -> tuple[str, dict[str, Any]]:
        schema = self._model(component.params_type(), f"stage.{component.reference}")
        common = self._model(StageSettings, "stage")
        common["properties"]["use"] = {"const": component.reference, "description": component.summary}
        slots = {
            slot.name: {
                "description": f"The stage that makes this {slot.artifact.kind}; default: the nearest one above",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                if slot.many
                else [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}],
            }
            for slot in component.contract().slots
        }
        schema["properties"] = {**common["properties"], **slots, **schema.get("properties", {})}
        schema["required"] = ["use", *schema.get("required", [])]
        return component.reference, schema

    def _model(self, params_type: type[Params], name: str) -> dict[str, Any]:
        """A model's schema; nested models move to the top level under their own names."""
        schema = params_type.model_json_schema(ref_template=f"#/$defs/{name}:{{model}}")
        for inner, definition in schema.pop("$defs", {}).items():
            self._definitions[f"{name}:{inner}"] = self._resolve(definition)
        schema.pop("title", None)
        _add_other_names(schema, params_type)
        resolved: dict[str, Any] = self._resolve(schema)
        resolved.setdefault("properties", {})
        return resolved

    def _resolve(self, value: Any) -> Any:
        """Insert the definitions of components wherever a schema refers to a kind."""
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        uses = value.get("x-pipekit-uses")
        if uses:
            rest = {name: item for name, item in value.items() if name in ("description", "default", "title")}
            return {**rest, "$ref": f"#/$defs/{self._choice(*uses)}"}
        return {name: self._resolve(item) for name, item in value.items() if name != "title" or not isinstance(item, str)}

    def _choice(self, kind: str, key: str, options: dict[str, Any]) -> str:
        """The definition of "a component of this kind": its bare name, or a table with its parameters."""
        place = f"{kind}:{key or 'name'}"
        if place in self._definitions:
            return place
        self._definitions[place] = {}  # a combinator of ops takes ops
        members = self._members(kind)
        names = {"anyOf": [*_names(members), *self._unlisted(kind)]}
        if kind in ("op", "recipe"):
            names["anyOf"] += [{"type": "string", "pattern": self._text_pattern()}]
        names["anyOf"] = names["anyOf"] or [{"not": {}}]  # no plugin has one
        if not key:
            told = "A name, a .toml file, or ops as text: rotate(40)|hflip"
            self._definitions[place] = {"type": "string", "description": told, **names}
            return place
        keys = list(dict.fromkeys(("use", key)))
        own = self._resolve(options)
        tables = []
        for name, component in members.items():
            schema = self._model(component.params_type(), f"{kind}.{name}")
            schema["properties"] = {**dict.fromkeys(keys, True), **own, **schema["properties"]}
            tables.append(
                {
                    "if": {"anyOf": [{"properties": {one: {"const": name}}, "required": [one]} for one in keys]},
                    "then": {**schema, "description": component.summary},
                }
            )
        first = {one: names if one == "use" else {**names, "description": "Another name of use"} for one in keys}
        table = {
            "type": "object",
            "oneOf": [{"required": [one]} for one in keys],
            "properties": first,
            **({"allOf": tables} if tables else {}),
        }
        self._definitions[place] = {"anyOf": [names, table]}
        return place

    def _members(self, kind: str) -> dict[str, Component]:
        """The components of a kind by name, those of families one by one, where these can be listed."""
        if kind not in self._known:
            usable = {one.reference: one for one in self._usable(kind) if not one.name.endswith(".*")}
            for family in [one for one in self._registry.components(kind) if one.name.endswith(".*")]:
                with contextlib.suppress(Exception):  # its library is not installed
                    usable |= {one.reference: one for one in self._registry.members(family)}
            self._known[kind] = dict(sorted(usable.items()))
        return self._known[kind]

    def _unlisted(self, kind: str) -> list[dict[str, Any]]:
        """Patterns for the families whose members can't be listed."""
        families = [one.name[:-1] for one in self._registry.components(kind) if one.name.endswith(".*")]
        listed = self._members(kind)
        return [
            {"type": "string", "pattern": f"^{_escaped(prefix)}"}
            for prefix in families
            if not any(name.startswith(prefix) for name in listed)
        ]

    def _text_pattern(self) -> str:
        """The pattern of ops as one line of text, with their names and those of their parameters; or of a file's name."""
        ops = []
        for name, component in self._members("op").items():
            fields = [*component.params_type().model_fields, "p"]
            values = r"\(.*\)" if "ops" in fields else rf"\(\s*(?:{_values(fields)})?\s*\)"
            ops.append(f"{_escaped(name)}(?:{values})?")
        ops += [_escaped(one["pattern"].strip("^").replace("\\", "")) + r"\w+(?:\(.*\))?" for one in self._unlisted("op")]
        ops += [_escaped(name) for name in self._members("recipe")]
        one = rf"(?:[A-Za-z_][\w.-]*:)?(?:{'|'.join(ops)})"
        return rf"^\s*{one}(?:\s*\|\s*{one})*\s*$|\.toml\s*$"


def _escaped(name: str) -> str:
    return name.replace(".", "\\.")


def _values(fields: list[str]) -> str:
    """The pattern of a list of values, some of them named."""
    value = r"""(?:"[^"]*"|'[^']*'|\[[^()|=]*\]|\([^()|=]*\)|[^=,()|"'\[\]]+)"""
    argument = rf"(?:(?:{'|'.join(dict.fromkeys(fields))})\s*=\s*)?{value}"
    return rf"{argument}(?:\s*,\s*{argument})*,?"


def _add_other_names(schema: dict[str, Any], params_type: type[Params]) -> None:
    """Let a parameter that has several names (``AliasChoices``) be given by each; the first is the one to complete."""
    for field in params_type.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            first, *others = (str(name) for name in field.validation_alias.choices)
            for name in others:
                told = {"description": f"Another name of {first}", "deprecated": True}
                schema["properties"][name] = {**schema["properties"][first], **told}


def _names(names: Iterable[str]) -> list[dict[str, Any]]:
    listed = list(names)
    return [{"enum": listed}] if listed else []
