"""Two plugins with one name: only the clashing component is ambiguous, and a qualified name says which one is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.engine.run import run_plan
from pipekit.errors import PlanError, UserError
from pipekit.pipeline.plan import load_plan
from pipekit.recipe import compile_recipe
from pipekit.recipe.notation import check_ops
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import rng_for

PLUGIN = '''
"""{name}"""
from dataclasses import replace
import pipekit


def level(image, params: pipekit.Params, rng):
    return image * 0 + {level}


@pipekit.sample_stage
def mark(sample, params: pipekit.Params, ctx):
    op = ctx.component("op", "gentle")
    yield replace(sample, label=f"{name} {{op.plugin}} {{ctx.rng().integers(1000)}}")


@pipekit.hookimpl
def register_ops(register):
    register("gentle", level)
    register("{name}_alone", level)
    register("rotate", level)


@pipekit.hookimpl
def register_stages(register):
    register("mark", mark)


@pipekit.hookimpl
def register_recipes(register):
    register("own", [{{"op": "gentle"}}, "hflip"])


@pipekit.hookimpl
def register_models(register):
    register("{model}", "nowhere:build")
'''

STAGE = {"data": {"use": "import.folders", "path": "images", "verify": "none"}, "mark": {"use": "acme:mark"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clash")
    for name, level, model in (("acme", 10, "simple_cnn"), ("other", 20, "net")):
        (made / f"{name}.py").write_text(PLUGIN.format(name=name, level=level, model=model))
    for number in range(3):
        (made / "images" / "a").mkdir(parents=True, exist_ok=True)
        (made / "images" / "a" / f"{number}.png").write_bytes(b"%d" % number)
    return made


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return load_registry(["acme.py", "other.py"], folder, installed=False)


def test_both_are_loaded_and_only_the_name_of_both_is_ambiguous(registry: Registry) -> None:
    assert {record.status for record in registry.plugins} == {"ok"}
    assert registry.get("op", "acme_alone").reference == "acme_alone"
    with pytest.raises(UserError) as caught:
        registry.get("op", "gentle")
    assert caught.value.message == "op 'gentle' is in plugin 'acme' and in plugin 'other'"
    assert caught.value.hint == "Say which one: 'acme:gentle' or 'other:gentle'"
    assert [registry.get("op", f"{plugin}:gentle").plugin for plugin in ("acme", "other")] == ["acme", "other"]
    assert registry.get("op", "acme:acme_alone").plugin == "acme"
    assert [one.reference for one in registry.components("op") if one.name == "gentle"] == ["acme:gentle", "other:gentle"]


def test_a_name_of_the_box_that_a_plugin_has_too_is_ambiguous_and_nothing_else_of_the_box(registry: Registry) -> None:
    with pytest.raises(UserError, match="op 'rotate' is in plugin 'builtin' and in plugin 'acme' and in plugin 'other'"):
        registry.get("op", "rotate")
    assert registry.get("op", "builtin:rotate").plugin == "builtin"
    ops = check_ops(registry, "light")  # its ops are those of the box
    assert {call.component.plugin for call in ops} == {"builtin"}
    train = registry.get("stage", "train").params_type()
    assert registry.check_params(train, {}).model.component.plugin == "builtin"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="model 'simple_cnn' is in plugin"):
        registry.check_params(train, {"model": "simple_cnn"})


@pytest.mark.parametrize(
    ("text", "plugins"),
    [
        ("acme:gentle", ["acme"]),
        ("hflip(p=0.3)|other:gentle()|builtin:rotate(20, fill_mode=reflect)", ["builtin", "other", "builtin"]),
        ("one_of(acme:gentle, other:gentle)", ["builtin"]),
        ("acme:own", ["acme", "builtin"]),
        ("other:own", ["other", "builtin"]),
    ],
)
def test_a_recipe_may_say_which_one(registry: Registry, text: str, plugins: list[str]) -> None:
    ops = check_ops(registry, text)
    assert [call.component.plugin for call in ops] == plugins
    again = check_ops(registry, [call.to_plain() for call in ops])  # as a record or a worker has it
    assert [call.component.plugin for call in again] == plugins


def test_the_op_that_is_meant_is_applied(registry: Registry) -> None:
    image = np.full((4, 4, 3), 200, np.uint8)
    levels = [
        int(compile_recipe(check_ops(registry, f"{plugin}:gentle")).apply(image, rng_for(1)).image.max())
        for plugin in ("acme", "other")
    ]
    assert levels == [10, 20]


def test_a_stage_runs_in_workers_with_its_own_plugin_s_components(folder: Path) -> None:
    def labels(use: str, plugins: list[str]) -> set[Any]:
        table = {"name": use.replace(":", "-"), "workers": 1, "executor": "serial", "plugins": plugins}
        stages = {**STAGE, "mark": {"use": use}}
        outcome = run_plan(load_plan(table={**table, "stages": stages}, base_dir=folder), publish=False)
        return {sample.label for sample in outcome.artifact("mark")}

    qualified = labels("acme:mark", ["acme.py", "other.py"])
    assert {label.rpartition(" ")[0] for label in qualified} == {"acme acme"}
    assert {label.rpartition(" ")[0] for label in labels("other:mark", ["acme.py", "other.py"])} == {"other other"}
    assert labels("mark", ["acme.py"]) == qualified, "how a name is written changes no random number"


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("op", "acmee:gentle", "There is no plugin called 'acmee'. Did you mean 'acme'? See: pipekit plugins"),
        ("op", "acme:gentel", "Did you mean 'gentle'? List them: pipekit components op"),
        ("importer", "csv:label", "'csv' is an importer; its parameters follow as csv:PARAMETER=VALUE"),
        ("stage", "import.acme:csv", "Plugin 'acme' has no such stage."),
    ],
)
def test_a_qualified_name_that_is_not_there_is_explained(registry: Registry, kind: str, name: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.get(kind, name)
    assert caught.value.hint.startswith(words)


def test_a_broken_or_disabled_plugin_that_has_the_name_comes_before_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import a_library_that_nobody_has\nNAMES = ['rotato']\n")
    registry = load_registry(["broken.py"], tmp_path, installed=False)
    with pytest.raises(UserError) as caught:
        registry.get("op", "rotato")
    assert caught.value.hint.startswith("Plugin 'broken' has it and is broken: ModuleNotFoundError: No module named 'a_library")
    with pytest.raises(UserError) as caught:
        registry.get("op", "rotat")
    assert caught.value.hint.startswith("Did you mean 'rotate'?")
    off = load_registry(["broken.py"], tmp_path, disabled=["broken"], installed=False)
    with pytest.raises(UserError, match="no op called 'rotato'") as caught:
        off.get("op", "rotato")
    assert caught.value.hint.startswith("Plugin 'broken' has it and is disabled")


def test_a_name_has_no_colon(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import pipekit\n@pipekit.hookimpl\ndef register_ops(register): register('a:b', 'x:y')\n")
    record = load_registry(["mine.py"], tmp_path, installed=False).plugins[-1]
    assert "a name is a word without spaces, slashes or colons" in record.reason


def test_a_pipeline_file_is_told_both_forms(folder: Path) -> None:
    stages = {**STAGE, "mark": {"use": "mark"}}
    with pytest.raises(PlanError) as caught:
        load_plan(table={"plugins": ["acme.py", "other.py"], "stages": stages}, base_dir=folder)
    (problem,) = caught.value.problems
    assert problem.message == "stage 'mark' is in plugin 'acme' and in plugin 'other'"
    assert problem.hint == "Say which one: 'acme:mark' or 'other:mark'"


def test_two_distributions_may_call_their_plugins_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("acme_one", "acme_two"):
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, level=1, model="net"))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pipekit]\nacme = {name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry()
    for name in ("acme_one", "acme_two"):
        sys.modules.pop(name, None)
    assert [record.name for record in registry.plugins if record.module or "acme" in record.name] == ["acme", "acme_two"]
    assert registry.get("op", "acme_two_alone").plugin == "acme_two"
