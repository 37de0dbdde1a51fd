"""The JSON Schema of the pipeline file: a schema, true to what the checker accepts and refuses."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipekit.errors import PlanError
from pipekit.pipeline.json_schema import json_schema
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import Registry, load_registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: Any) -> Registry:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "mine.py").write_text(MINE)
    return load_registry(["mine.py"], folder)


@pytest.fixture(scope="module")
def validator(registry: Registry) -> Any:
    return jsonschema.Draft202012Validator(json_schema(registry))


MINE = """
import pipekit

class MineParams(pipekit.Params):
    size_px: int = pipekit.param(..., "Size", unit="px", ge=1)

@pipekit.stage
def mine(ctx: pipekit.Context, parts: tuple[pipekit.Dataset, ...], params: MineParams) -> pipekit.Files: ...

@pipekit.hookimpl
def register_stages(register):
    register("mine", mine, summary="My stage")
    register("lost", "nowhere:lost")
"""


def test_it_is_a_schema_and_plain_json(registry: Registry, validator: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(validator.schema)
    assert json.loads(json.dumps(validator.schema)) == validator.schema
    assert json_schema(registry) == validator.schema, "the same every time"


def test_every_reference_leads_somewhere(validator: Any) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for inner in value.values() for found in references(inner)]
        return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

    names = {f"#/$defs/{name}" for name in validator.schema["$defs"]}
    assert set(references(validator.schema)) <= names


def test_stages_and_their_parameters_are_described(registry: Registry, validator: Any) -> None:
    stages = validator.schema["properties"]["stages"]["additionalProperties"]
    names = stages["properties"]["use"]["enum"]
    assert names == [component.name for component in registry.components("stage") if component.name != "lost"]
    rules = {rule["if"]["properties"]["use"]["const"]: rule["then"] for rule in stages["allOf"]}
    assert rules["mine"]["properties"]["size_px"]["description"] == "Size"
    assert rules["mine"]["required"] == ["use", "size_px"]
    assert rules["mine"]["properties"]["use"]["description"] == "My stage"


def pipelines() -> list[Path]:
    return sorted([*ROOT.glob("sample_data/*/*.toml"), *ROOT.glob("docs/**/pipeline*.toml")])


@pytest.mark.parametrize("file", pipelines(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_pipelines_that_we_ship_are_valid(validator: Any, file: Path) -> None:
    validator.validate(tomllib.loads(file.read_text(encoding="utf-8")))


GOOD: dict[str, Any] = {
    "name": "x",
    "workers": 2,
    "executor": {"use": "processes", "workers": 2},
    "stages": {
        "data": {"use": "import.folders", "path": "images", "max_failed": 0.1},
        "split": {"use": "split", "dataset": "data"},
        "train": {
            "use": "train",
            "model": {"template": "simple_cnn", "dropout": 0.3},
            "ops": [{"op": "rotate", "limit_deg": 40, "p": 0.5}, {"op": "hflip"}],
        },
        "mine": {"use": "mine", "parts": ["data", "split"], "size_px": 3},
    },
}


TEXTS = (
    "light",
    "rotate(40)|hflip",
    " rotate( 40 , p = 0.5,fill_mode=reflect) | light|hflip() ",
    "one_of(blur|noise, hflip)|rotate(limit_deg=5.5)",
    "shift(0.1, 0.2)|brightness(range=[0.5,1.5])|albu.GaussNoise(p=0.3)|brightness((0.5, 1.5))",
)


def changed(*place: Any, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(GOOD)
    target: Any = found
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return found


def test_what_is_right_is_accepted(validator: Any, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for table in (
        GOOD,
        changed("executor", value="serial"),
        changed("stages", "train", "model", value="simple_cnn"),
        changed("stages", "train", value={"use": "train", "augment": [{"op": "hflip"}]}),
        changed("stages", "train", "model", value={"use": "simple_cnn", "dropout": 0.3}),
        changed("stages", "train", "ops", 0, value={"use": "rotate", "limit_deg": 4, "p": 0.5}),
        changed("stages", "train", "ops", 0, value={"use": "albu.GaussNoise", "p": 0.5}),
        *(changed("stages", "train", "ops", value=text) for text in TEXTS),
        changed("stages", "train", "ops", value=["rotate(40)", "light", {"use": "hflip"}]),
    ):
        validator.validate(table)
        load_plan(table=table, registry=registry, base_dir=tmp_path)


@pytest.mark.parametrize(
    "table",
    [
        changed("seeed", value=3),
        changed("workers", value=0),
        changed("workers", value="two"),
        changed("name", value="a/b"),
        changed("executor", value="thread"),
        changed("executor", "use", value="thread"),
        changed("executor", "workers", value=0),
        changed("stages", value={}),
        changed("stages", "split", "use", value="splt"),
        changed("stages", "split", "dataset", value=["data", "data"]),
        changed("stages", "split", "fractionz", value={}),
        changed("stages", "data", "max_failed", value=2),
        changed("stages", "mine", value={"use": "mine"}),
        changed("stages", "mine", "size_px", value=0),
        changed("stages", "train", "epochs", value=0),
        changed("stages", "train", "model", "template", value="simple_cnm"),
        changed("stages", "train", "model", "dropout", value=3),
        changed("stages", "train", "ops", 0, "op", value="rotat"),
        changed("stages", "train", "ops", 0, "limit_deg", value=400),
        changed("stages", "train", value={"use": "train", "augment": [{"op": "rotate", "limit_deg": 400}]}),
        changed("stages", "train", "model", value={"template": "simple_cnn", "dropot": 0.3}),
        changed("stages", "train", "model", value={"use": "simple_cnn", "dropot": 0.3}),
        changed("stages", "train", "model", value={"use": "simple_cnn", "template": "mlp"}),
        changed("stages", "train", "model", value={"dropout": 0.3}),
        changed("stages", "train", "ops", 0, value={"op": "rotate", "limit": 3}),
        changed("stages", "train", "ops", 0, value={"use": "albu.GaussNoise", "bogus": 3}),
        changed("stages", "train", "ops", 0, value={"op": "albu.GausNoise"}),
        changed("stages", "train", value={"use": "train", "augment": "lihgt"}),
        changed("stages", "train", "ops", value="rotate(limit=3)"),
        changed("stages", "train", "ops", value="albu.GaussNoise(bogus=3)"),
        changed("stages", "train", "ops", value="rotate(40)|hflp"),
        changed("stages", "train", "ops", value=["rotat(40)"]),
        changed("executor", value={"use": "processes", "wrokers": 2}),
    ],
)
def test_what_is_wrong_is_refused_here_and_there(validator: Any, registry: Registry, tmp_path: Path, table: Any) -> None:
    (tmp_path / "images").mkdir()
    assert not validator.is_valid(table)
    with pytest.raises(PlanError):
        load_plan(table=table, registry=registry, base_dir=tmp_path)
