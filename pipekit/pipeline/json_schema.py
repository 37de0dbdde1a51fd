"""The JSON Schema of the pipeline file with every installed stage, op and model, for completion and validation in editors."""

from __future__ import annotations

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

    def _choice(self, kind: str, key: str) -> str:
        """The definition of "a component of this kind": its bare name, or a table with its parameters."""
        place = f"{kind}:{key or 'name'}"
        if place in self._definitions:
            return place
        self._definitions[place] = {}  # a combinator of ops takes ops
        components = self._usable(kind)
        names = {
            "anyOf": [
                *_names([component.reference for component in components if not component.reference.endswith(".*")]),
                *(
                    {"type": "string", "pattern": f"^{component.reference[:-2]}\\."}
                    for component in components
                    if component.reference.endswith(".*")
                ),
                *([{"type": "string", "pattern": r"[(|]|\.toml$"}] if kind == "op" else []),
            ]
        }
        if not key:
            self._definitions[place] = {
                "type": "string",
                "description": "A name, a .toml file, or ops as text: rotate(40)|hflip",
            }
            return place
        tables = []
        for component in components:
            if component.reference.endswith(".*"):
                continue
            schema = self._model(component.params_type(), f"{kind}.{component.reference}")
            schema.pop("additionalProperties", None)  # the use may add options (an op's p)
            tables.append(
                {
                    "if": {"properties": {key: {"const": component.reference}}, "required": [key]},
                    "then": {**schema, "description": component.summary},
                }
            )
        table = {"type": "object", "required": [key], "properties": {key: names}, "allOf": tables}
        self._definitions[place] = {"anyOf": [names, table]}
        return place


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
