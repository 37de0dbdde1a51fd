"""Pipeline files: checked as a whole, every mistake with its place, its line and what to do next."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipekit import Dataset, Files
from pipekit.errors import PlanError, UserError
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.registry.registry import Registry, load_registry
from tests.conftest import Trial


@pytest.fixture(scope="module")
def registry(tmp_path_factory: Any) -> Registry:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "more.py").write_text(MORE)
    return load_registry(["more.py"], folder)


MORE = '''
"""Stages with all forms of slots."""
import pipekit

@pipekit.stage
def join(ctx: pipekit.Context, parts: tuple[pipekit.Dataset, ...]) -> pipekit.Dataset:
    """Several datasets as one."""

@pipekit.stage
def maybe(ctx: pipekit.Context, dataset: pipekit.Dataset, model: pipekit.Model | None = None) -> pipekit.Files:
    """A slot that may be left out."""

@pipekit.hookimpl
def register_stages(register):
    register("join", join)
    register("maybe", maybe)
'''

WRONG = """\
name = "wrong"
seed = -1

[stages.data]
use = "import.folderz"
path = "images"

[stages.split]
use = "split"
dataset = "data"
fractionz = { train = 1.0 }

[stages.train]
use = "train"
epochs = 0
augment = [
  { op = "hflip" },
  { op = "rotate", limit_deg = 400 },
]

[stages.report]
use = "evaluate"
model = "split"

[stages.one]
use = "split"
dataset = "two"

[stages.two]
use = "split"
dataset = "one"
"""


def problems(caught: Any) -> dict[str, tuple[int | None, str, str]]:
    return {problem.path: (problem.line, problem.message, problem.hint) for problem in caught.value.problems}


def check(table: dict[str, Any], registry: Registry, **options: Any) -> Plan:
    return load_plan(table=table, registry=registry, base_dir=Path.cwd(), **options)


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPEKIT_STORE", "PIPEKIT_PLUGINS", "PIPEKIT_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)


def test_all_mistakes_are_told_at_once(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(WRONG)
    with pytest.raises(PlanError) as caught:
        load_plan(file, registry=registry)
    found = problems(caught)
    assert {path: line for path, (line, _, _) in found.items()} == {
        "seed": 2,
        "stages.data.use": 5,
        "stages.split.fractionz": 11,
        "stages.train.epochs": 15,
        "stages.train.augment[1].limit_deg": 18,
        "stages.report.model": 23,
        "stages.one": 25,
    }
    assert found["stages.data.use"][1:] == (
        "no stage called 'import.folderz'",
        "Did you mean 'import.folders'? List them: pipekit components stage",
    )
    assert found["stages.split.fractionz"][1:] == (
        "stage 'split' has no parameter called 'fractionz'",
        "Did you mean 'fractions'?",
    )
    assert found["stages.train.epochs"][1].endswith("greater than or equal to 1, got 0")
    assert found["stages.report.model"][1:] == (
        "needs a model, and stage 'split' makes a dataset",
        "These make one: train",
    )
    assert found["stages.one"][1] == "stages depend on each other in a cycle: one -> two -> one"
    assert str(caught.value).startswith("7 problems in pipeline.toml; nothing was run")
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.glob(".pipekit/*/*"))


@pytest.mark.parametrize(
    ("stages", "place", "words"),
    [
        ({"a": {"use": "split", "dataset": "a"}}, "stages.a", "in a cycle: a -> a"),
        ({"a": {"use": "split", "dataset": "b"}}, "stages.a.dataset", "no stage called 'b'"),
        ({"a": {"use": "split", "dataset": 3}}, "stages.a.dataset", "expected the name of another stage, got 3"),
        ({"a": {"use": "split", "dataset": ["a", "a"]}}, "stages.a.dataset", "takes one stage, got 2"),
        ({"a": {"use": "split"}}, "stages.a", "needs a dataset as 'dataset', and no stage above makes one"),
        ({"a": {"use": 3}}, "stages.a.use", "is required: which stage this is"),
        ({"a": {}}, "stages.a.use", "is required: which stage this is"),
        ({"a": "split"}, "stages.a", "a stage is a table with `use`, got 'split'"),
        ({"a": []}, "stages.a", "a stage is a table with `use`, got []"),
        ({"a": {"use": "import.folders"}}, "stages.a.path", "is required"),
        ({"a": {"use": "import.folders", "path": "nowhere"}}, "stages.a.path", "no such file or folder: "),
        ({"a": {"use": "import.folders", "path": 3}}, "stages.a.path", "expected the path of a file or folder, got 3"),
        ({"../a": {"use": "import.folders", "path": "images"}}, "stages.../a", "can't be a stage's name"),
        ({"a": {"use": "import.folders", "path": "images", "max_failed": 2}}, "stages.a.max_failed", "less than or equal to 1"),
        ({}, "stages", "a pipeline needs at least one stage"),
        ([], "stages", "a pipeline needs at least one stage"),
        (3, "stages", "a pipeline needs at least one stage"),
    ],
)
def test_a_mistake_in_stages(registry: Registry, stages: Any, place: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        check({"stages": stages}, registry)
    assert place in problems(caught)
    assert words in problems(caught)[place][1]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"name": "../x"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"workers": 0}, "workers"),
        ({"workers": "two"}, "workers"),
        ({"shard_size": 0}, "shard_size"),
        ({"seed": 2**63}, "seed"),
        ({"max_failed": 1.5}, "max_failed"),
        ({"max_failed": float("nan")}, "max_failed"),
        ({"executor": "thread"}, "executor.use"),
        ({"executor": {"use": "threads", "workerz": 2}}, "executor.workerz"),
        ({"executor": {"use": "threads", "workers": 0}}, "executor.workers"),
        ({"plugins": "x.py"}, "plugins"),
        ({"seeed": 3}, "seeed"),
    ],
)
def test_a_mistake_at_the_top(registry: Registry, values: dict[str, Any], place: str) -> None:
    with pytest.raises(PlanError) as caught:
        check({"stages": {"a": {"use": "import.folders", "path": "images"}}, **values}, registry)
    assert list(problems(caught)) == [place]


def test_the_top_guesses_what_was_meant(registry: Registry) -> None:
    with pytest.raises(PlanError) as caught:
        check({"stages": {"a": {"use": "import.folders", "path": "images"}}, "seeed": 3, "executor": "thread"}, registry)
    assert problems(caught)["seeed"][1:] == ("no setting called 'seeed'", "Did you mean 'seed'?")
    assert "Did you mean 'threads'?" in problems(caught)["executor.use"][2]


# --- wiring --------------------------------------------------------------------------------------------------------------

DATA = {"use": "import.folders", "path": "images"}


def wiring(plan: Plan) -> dict[str, dict[str, tuple[str, ...]]]:
    return {stage.name: dict(stage.inputs) for stage in plan.stages}


def test_a_slot_left_out_takes_the_nearest_stage_above_that_fits(registry: Registry) -> None:
    stages = {
        "a": DATA,
        "b": {"use": "split"},
        "m": {"use": "train"},
        "c": {"use": "split", "dataset": "a"},
        "r": {"use": "maybe"},
    }
    plan = check({"stages": stages}, registry)
    assert wiring(plan) == {
        "a": {},
        "b": {"dataset": ("a",)},
        "m": {"dataset": ("b",)},
        "c": {"dataset": ("a",)},
        "r": {"dataset": ("c",)},
    }
    assert plan.upstream("r") == {"a", "c", "r"}
    named = {**stages, "r": {"use": "maybe", "model": "m"}}
    assert wiring(check({"stages": named}, registry))["r"] == {"dataset": ("c",), "model": ("m",)}


def test_a_slot_for_several_takes_all_above_or_those_that_are_named(registry: Registry) -> None:
    stages = {"a": DATA, "b": DATA, "all": {"use": "join"}, "some": {"use": "join", "parts": ["b"]}}
    assert wiring(check({"stages": stages}, registry)) == {
        "a": {},
        "b": {},
        "all": {"parts": ("a", "b")},
        "some": {"parts": ("b",)},
    }


def test_stages_may_stand_in_any_order(registry: Registry) -> None:
    stages = {"b": {"use": "split", "dataset": "a"}, "z": DATA, "a": {"use": "split", "dataset": "z"}}
    assert [stage.name for stage in check({"stages": stages}, registry).stages] == ["z", "a", "b"]


def test_a_long_cycle_is_shown_and_stages_that_depend_on_it_are_not(registry: Registry) -> None:
    stages = {
        "tail": {"use": "split", "dataset": "c"},
        "a": {"use": "split", "dataset": "c"},
        "b": {"use": "split", "dataset": "a"},
        "c": {"use": "split", "dataset": "b"},
    }
    with pytest.raises(PlanError) as caught:
        check({"stages": stages}, registry)
    ((place, (_, message, _)),) = problems(caught).items()
    assert place in ("stages.a", "stages.b", "stages.c")
    names = message.partition("cycle: ")[2].split(" -> ")
    assert names[0] == names[-1]
    assert sorted(names[1:]) == ["a", "b", "c"]
    needs = {"b": "a", "c": "b", "a": "c"}
    assert all(needs[one] == other for one, other in pairwise(names))


def test_one_mistake_does_not_raise_others(registry: Registry) -> None:
    stages = {"a": {"use": "import.folderz"}, "b": {"use": "split"}, "c": {"use": "split", "dataset": "a"}}
    with pytest.raises(PlanError) as caught:
        check({"stages": stages}, registry)
    assert list(problems(caught)) == ["stages.a.use"]


def test_artifacts_that_are_there_already_fill_slots(registry: Registry, tmp_path: Path) -> None:
    ready = Dataset(tmp_path, "0", {}, lambda path: iter(()), lambda path: iter(()))
    plan = check({"stages": {"b": {"use": "split"}}}, registry, given={"ready": ready})
    assert wiring(plan) == {"b": {"dataset": ("ready",)}}
    with pytest.raises(PlanError, match="needs a dataset"):
        check({"stages": {"b": {"use": "split"}}}, registry, given={"ready": Files(tmp_path, "0", {})})


# --- the file ------------------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file_and_a_folder_means_the_file_in_it(registry: Registry, tmp_path: Path) -> None:
    project = tmp_path / "some" / "project"
    (project / "photos").mkdir(parents=True)
    (project / "pipeline.toml").write_bytes(b'\xef\xbb\xbf[stages.a]\r\nuse = "import.folders"\r\npath = "photos"\r\n')
    for given_as in (project / "pipeline.toml", project, Path("some/project"), Path("some/project/pipeline.toml")):
        plan = load_plan(given_as, registry=registry)
        assert plan.base_dir == project
        assert plan.stage("a").params.path == project / "photos"  # type: ignore[attr-defined]
        assert plan.name == "project"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[stages.a\n", "not valid TOML: "),
        (b"a = 1\na = 2\n", "not valid TOML: "),
        (b"\xff\xfe", "can't read pipeline.toml: "),
        (None, "no such file: pipeline.toml"),
    ],
)
def test_a_file_that_is_no_toml(registry: Registry, tmp_path: Path, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / "pipeline.toml").write_bytes(data)
    with pytest.raises(UserError) as caught:
        load_plan(tmp_path / "pipeline.toml", registry=registry)
    assert words in str(caught.value)
    assert "pipeline.toml" in str(caught.value)


def test_the_table_given_is_not_changed(registry: Registry) -> None:
    table = {"stages": {"a": {**DATA}, "b": {"use": "split", "fractions": {"train": 0.5, "test": 0.5}}}, "seed": 1}
    before = repr(table)
    check(table, registry, overrides=["seed=2", "stages.b.fractions.train=0.25", "stages.b.fractions.test=0.75"])
    assert repr(table) == before


# --- --set ---------------------------------------------------------------------------------------------------------------


def test_values_from_the_command_line(registry: Registry) -> None:
    table = {"stages": {"a": {**DATA}, "m": {"use": "train", "augment": [{"op": "rotate"}, {"op": "hflip"}]}}}
    plan = check(
        table,
        registry,
        overrides=[
            "seed=7",
            "stages.m.epochs=2",
            "stages.m.model.template=simple_cnn",
            "m.model.dropout=0.25",
            "stages.m.augment[0].limit_deg=5",
            "name=trial-2",
            "executor.use=serial",
        ],
    )
    params: Any = plan.stage("m").params
    assert (plan.seed, plan.name, plan.executor.name, params.epochs) == (7, "trial-2", "serial", 2)
    assert (params.model.name, params.model.params.dropout) == ("simple_cnn", 0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed", "is not of the form name=value"),
        ("=3", "is not of the form name=value"),
        ("stages.trian.epochs=2", "no stage called 'trian'"),
        ("stages.a.path[0]=2", "there is no stages.a.path[0] to set"),
        ("stages.a.path.x=2", "there is no stages.a.path.x to set"),
        ("seeed=2", "no stage called 'seeed', and no setting"),
        ("stages=2", "a pipeline needs at least one stage"),
        ("stages.a=2", "a stage is a table"),
        ("stages.a.verifi=none", "has no parameter called 'verifi'"),
    ],
)
def test_a_mistake_on_the_command_line(registry: Registry, text: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        check({"stages": {"a": {**DATA}}}, registry, overrides=[text])
    assert any(words in message for _, message, _ in problems(caught).values())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["split", "a"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["use", "stages", "a", "b", "dataset", "plugins", "seed", "executor", "max_failed", "model", "é."]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    ),
    st.lists(st.text("abstge.=[]01 \"'{}", max_size=12), max_size=2),
)
def test_no_table_and_no_option_brings_the_checker_down(registry: Registry, value: Any, overrides: list[str]) -> None:
    table = value if isinstance(value, dict) else {"stages": value}
    try:
        check(table, registry, overrides=overrides)
    except PlanError as caught:
        found = caught
    else:
        return
    assert found.problems
    assert all(problem.path and problem.message for problem in found.problems)
    assert str(found)


# --- plugins of the file -------------------------------------------------------------------------------------------------


def test_a_broken_plugin_that_the_file_names_is_a_problem(trial: Trial) -> None:
    (trial.path / "broken.py").write_text("import nothing_of_this_name\n")
    file = trial.path / "pipeline.toml"
    text = 'plugins = [\n  "trial_plugin.py",\n  "broken.py",\n]\n[stages.a]\nuse = "import.folders"\npath = "images"\n'
    file.write_text(text)
    with pytest.raises(PlanError) as caught:
        load_plan(file)
    ((place, (line, message, hint)),) = problems(caught).items()
    assert (place, line, hint) == ("plugins[1]", 3, "See: pipekit plugins")
    assert message.startswith("plugin 'broken.py' is broken: ModuleNotFoundError: No module named 'nothing_of_this_name'")
    file.write_text(text.replace("broken.py", "nowhere.py"))
    with pytest.raises(PlanError, match=r"no such plugin: there is no file .*nowhere\.py"):
        load_plan(file)


def test_a_plugin_that_the_file_names_must_be_installed(trial: Trial) -> None:
    file = trial.path / "pipeline.toml"
    text = 'plugins = ["builtin"]\n[stages.a]\nuse = "import.folders"\npath = "."\n'
    file.write_text(text)
    assert load_plan(file).stages
    file.write_text(text.replace("builtin", "pipekit_not_here"))
    with pytest.raises(PlanError) as caught:
        load_plan(file)
    ((place, (_, message, hint)),) = problems(caught).items()
    assert (place, hint) == ("plugins[0]", "Is the distribution that provides it installed? See: pipekit plugins")
    assert "no such plugin: 'pipekit_not_here' is neither installed nor a module" in message


def test_a_plugin_named_in_the_file_and_on_the_command_line_is_loaded_once(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial.path / "pipeline.toml").write_text(
        'plugins = ["./trial_plugin.py"]\n[stages.a]\nuse = "import.folders"\npath = "images"\n[stages.b]\nuse = "keep"\n'
    )
    monkeypatch.chdir(trial.path.parent)
    plan = load_plan(trial.path / "pipeline.toml", plugins=[f"{trial.path.name}{os.sep}trial_plugin.py"])
    assert [record.status for record in plan.registry.plugins if "trial" in record.name] == ["ok"]


def test_the_recipe_of_train_may_still_be_called_augment(registry: Registry, tmp_path: Path) -> None:
    """Files from before ``ops``: the same parameters, so the same key; a mistake is reported by the name in the file."""

    def trained(**values: Any) -> Any:
        table = {"stages": {"a": DATA, "m": {"use": "train", **values}}}
        return load_plan(table=table, registry=registry, base_dir=tmp_path).stage("m").params

    assert trained(augment="hflip|rotate(20)") == trained(ops=["hflip", {"op": "rotate", "limit_deg": 20}])
    assert trained(augment=["hflip"]).ops == trained(ops="hflip").ops
    for wrong, path in (
        ({"augment": [{"op": "rotat"}]}, "stages.m.augment[0].op"),
        ({"ops": "hflip", "augment": "hflip"}, "stages.m"),
    ):
        with pytest.raises(PlanError) as caught:
            trained(**wrong)
        assert [problem.path for problem in caught.value.problems] == [path]
    assert "two names of the same recipe" in caught.value.problems[0].message


@pytest.mark.parametrize("use", ["import.csv", "import.metadata", "import.coco", "import.voc"])
@pytest.mark.parametrize("path", ["2026-11-27", "07:32:00", "12", "[1]", "{a = 'b.csv'}"])
def test_a_path_that_is_no_text_is_reported_with_the_other_mistakes(
    tmp_path: Path, registry: Registry, use: str, path: str
) -> None:
    """TOML has dates and times without quotes; what reads a path before its type is checked must not fail on them."""
    (tmp_path / "pipeline.toml").write_text(
        f'[stages.data]\nuse = "{use}"\npath = {path.replace("[1]", "[1]")}\n\n[stages.other]\nuse = "nothing"\n'
    )
    with pytest.raises(PlanError) as caught:
        load_plan(tmp_path / "pipeline.toml", registry=registry)
    assert {"stages.data.path", "stages.other.use"} <= set(problems(caught))


@pytest.mark.parametrize("name", ["ops", "augment"])
def test_a_wrong_parameter_of_an_op_in_a_text_is_named(name: str, tmp_path: Path) -> None:
    """The error said that the stage has no parameter 'ops', and suggested 'ops'."""
    table = {"name": "t", "stages": {"data": DATA, "m": {"use": "train", name: "hflip|rotate(limit=3)"}}}
    with pytest.raises(PlanError) as caught:
        load_plan(table=table, base_dir=tmp_path)
    (found,) = [problem for problem in caught.value.problems if problem.path == f"stages.m.{name}"]
    assert "'limit'" in found.message
    assert "rotate" in found.message
    assert "limit_deg" in found.hint
