"""Local plugins of a project are loaded only when the person has trusted them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.cli import main
from pipekit.errors import UserError
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.registry.trust import config_file, local_plugins, refuse_untrusted, trust, untrusted
from pipekit.testing.checks import write_tiny_dataset

PLUGIN = """
from pathlib import Path
import pipekit

Path(__file__).with_name("loaded.txt").write_text("loaded")


def tip_over(image, params: pipekit.Params, rng):
    return image[::-1]


@pipekit.hookimpl
def register_ops(register):
    register("tip_over", tip_over)
"""

PIPELINE = """
name = "t"
plugins = ["./my_ops.py"]
[stages.data]
use = "import.folders"
path = "images"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a local plugin that nobody has trusted."""
    for name in ("PIPEKIT_PLUGINS", "PIPEKIT_DISABLE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "300")
    folder = tmp_path / "project"
    (folder / "images").mkdir(parents=True)
    (folder / "my_ops.py").write_text(f"{PLUGIN}# {folder}", encoding="utf-8")  # other content is another module
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def is_loaded(project: Path) -> bool:
    file = project / "loaded.txt"
    was = file.exists()
    file.unlink(missing_ok=True)
    return was


def test_what_a_pipeline_file_names_is_refused_until_it_is_trusted(project: Path) -> None:
    with pytest.raises(UserError, match=r"the pipeline file loads ./my_ops.py: code that runs with all your rights") as caught:
        load_plan(project / "pipeline.toml")
    assert caught.value.hint == f"Read {project / 'my_ops.py'} first. Then: pipekit run {project} --trust"
    (project / "other.toml").write_text(PIPELINE, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_plan(project / "other.toml")
    assert caught.value.hint.endswith(f"Then: pipekit run {project / 'other.toml'} --trust")
    assert not is_loaded(project)
    trust(local_plugins(["./my_ops.py"], project))
    load_plan(project / "pipeline.toml")
    assert is_loaded(project)


def test_trust_is_of_the_path_in_the_project_and_is_kept_outside_of_it(project: Path, tmp_path: Path) -> None:
    plugin = local_plugins(["./my_ops.py"], project)
    config_file().parent.mkdir(parents=True)
    config_file().write_text("# mine", encoding="utf-8")
    trust(plugin)
    trust(plugin)  # once is enough
    text = config_file().read_text("utf-8")
    assert text.startswith("# mine\n")
    assert text.count("[[trusted]]") == 1
    assert json.dumps(str(project / "my_ops.py")) in text
    (project / "my_ops.py").write_text("# edited", encoding="utf-8")
    assert untrusted(plugin) == []
    (project / "other.py").write_text("", encoding="utf-8")
    assert len(untrusted(local_plugins(["./other.py", "./my_ops.py"], project))) == 1
    moved = project.rename(tmp_path / "moved")
    assert len(untrusted(local_plugins(["./my_ops.py"], moved))) == 1
    assert sorted(path.name for path in moved.iterdir()) == ["images", "my_ops.py", "other.py", "pipeline.toml"]


def test_a_line_of_the_configuration_trusts_a_plugin_or_all_below_a_folder(project: Path, tmp_path: Path) -> None:
    plugins = local_plugins(["./my_ops.py"], project)
    config_file().parent.mkdir(parents=True)
    for table, is_enough in (
        ({"project": str(project), "plugin": "my_ops.py"}, True),
        ({"project": str(project), "plugin": "other.py"}, False),
        ({"project": str(tmp_path), "plugin": str(project / "my_ops.py")}, False),
        ({"below": str(tmp_path)}, True),
        ({"below": str(project / "images")}, False),
        ({"below": str(project)[:-3]}, False),
    ):
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
        config_file().write_text(f"[[trusted]]\n{lines}", encoding="utf-8")
        assert (untrusted(plugins) == []) is is_enough, table
    config_file().write_text("trusted = 3", encoding="utf-8")
    with pytest.raises(UserError, match=r"'trusted' must be tables"):
        refuse_untrusted(plugins)
    config_file().write_text("trusted = [", encoding="utf-8")
    with pytest.raises(UserError, match="can't read your configuration"):
        refuse_untrusted(plugins)


def test_a_module_of_the_project_is_local_and_an_installed_one_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "package").mkdir()
    (project / "package" / "__init__.py").write_text("raise AssertionError", encoding="utf-8")
    monkeypatch.syspath_prepend(str(project))
    names = ["package.ops", "my_ops", "builtin", "numpy", "no_such_module", "./nowhere.py", 3]
    assert [one.name for one in local_plugins(names, project)] == ["package.ops", "my_ops"]


@pytest.mark.parametrize("name", ["9" * 400 + ".py", "." + "ß" * 300 + ".py", "./a\0b.py", "a\0b", "9" * 400, "/", "./", "~/"])
def test_a_name_that_no_file_can_have_is_no_local_plugin(project: Path, name: str) -> None:
    """Whoever loads it reports it, with the other mistakes of the pipeline file."""
    assert [one.path for one in local_plugins([name], project) if one.path.is_file()] == []
    records = {record.status for record in load_registry([name], project, installed=False).plugins if record.name != "builtin"}
    assert records <= {"missing", "broken"}


def test_naming_it_on_the_command_line_is_consent(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_plugins(["./my_ops.py"], project, named=["my_ops.py"]) == ()
    assert local_plugins(["./my_ops.py"], project, disabled=["my_ops"]) == ()
    monkeypatch.setenv("PIPEKIT_PLUGINS", "x, ./my_ops.py")
    assert local_plugins(["./my_ops.py"], project) == ()


def test_run_and_a_forecast_ask_and_say_what_they_load(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_dataset(project / "images", 1)
    for words in (["run"], ["run", "-n"], ["run", "--json"], ["stage", "split", "--dataset", "pipeline.toml:data"]):
        assert main(words) == 2, words
        assert "you have not trusted yet" in capsys.readouterr().err
        assert not is_loaded(project)
    monkeypatch.setattr("pipekit.ui.can_ask", lambda: True)
    answers = iter(["n", "y"])
    asked = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return next(answers) == "y"

    monkeypatch.setattr("pipekit.ui.confirm", confirm)
    monkeypatch.setenv("CI", "1")
    assert main(["run", "-n"]) == 2
    assert asked == []
    monkeypatch.delenv("CI")
    assert main(["run", "-n"]) == 2
    assert asked == ["Trust and load it?"]
    assert "pipeline.toml loads ./my_ops.py, which you have not trusted yet" in capsys.readouterr().out
    assert not is_loaded(project)
    assert main(["run", "-n"]) == 0
    assert is_loaded(project)
    assert len(asked) == 2
    assert "loads ./my_ops.py\n" in capsys.readouterr().out
    assert main(["run", "--json"]) == 0
    assert len(asked) == 2
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"event": "loads", "plugin": "./my_ops.py", "path": str(project / "my_ops.py")}


def test_trust_on_the_command_line_is_remembered_where_that_is_possible(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_dataset(project / "images", 1)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "my_ops.py"))  # no folder
    assert main(["run", "-n", "--trust"]) == 0
    assert "that you trust ./my_ops.py can't be kept" in capsys.readouterr().out
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.parent / "config"))
    assert main(["run", "-n", "--trust"]) == 0
    assert main(["run", "-n"]) == 0


@pytest.mark.parametrize("words", [["schema"], ["components", "op"], ["plugins"], ["stage"]], ids=lambda words: words[0])
def test_commands_that_run_no_pipeline_load_no_plugin_of_a_project(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    names = lambda registry: {"plugins": [record.name for record in registry.plugins]}  # noqa: E731
    monkeypatch.setattr("pipekit.pipeline.json_schema.json_schema", names)  # the whole schema takes seconds
    trust(local_plugins(["./my_ops.py"], project))
    assert main(words) == 0
    assert "tip_over" not in capsys.readouterr().out
    assert not is_loaded(project)


def test_completion_loads_no_plugin_of_a_project(project: Path) -> None:
    from pipekit.cli.complete import components_of, stages_of_file

    assert "tip_over" not in [name for name, _ in components_of("op")]
    assert stages_of_file("") == [("data", "import.folders")]
    assert not is_loaded(project)


def test_a_job_of_the_studio_loads_no_plugin_of_a_project(project: Path, tmp_path: Path) -> None:
    from pipekit.studio import jobs

    job = jobs.start(tmp_path / "jobs", "run", ["run", "pipeline.toml"], project, ["run", "pipeline.toml", "--json"])
    assert jobs._children[-1].wait(timeout=300) == 2
    lines, _ = job.read(0)
    assert [json.loads(line)["event"] for line in lines] == ["error"]
    assert "code that runs with all your rights" in lines[0]
    assert f"pipekit run {project} --trust" in job.errors
    assert not is_loaded(project)
