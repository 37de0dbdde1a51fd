"""The registry: one bad plugin is a line in a table, and every name is answered."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pipekit import Params, hookspecs, param
from pipekit.errors import PluginError, UserError
from pipekit.registry.component import Component
from pipekit.registry.registry import KINDS, PluginRecord, Registry, load_registry

GOOD = """
import pipekit

@pipekit.hookimpl
def register_ops(register):
    register("dots", "nowhere:dots", summary="Dots")
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIPEKIT_PLUGINS", "PIPEKIT_DISABLE", "PIPEKIT_TRACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def plugin(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(textwrap.dedent(text))
    return name


def record(registry: Registry, name: str) -> PluginRecord:
    return next(record for record in registry.plugins if record.name == name)


def works(registry: Registry) -> bool:
    """Whether the built-in components are all there."""
    return registry.get("stage", "import.folders").plugin == "builtin" and record(registry, "builtin").status == "ok"


# --- what is broken is kept and named ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name' (mine.py, line 1)"),
        ("def broken(:\n", "SyntaxError: invalid syntax (line 1)"),
        ("x = 1\n\nraise ValueError('no\\nmore')", "ValueError: no (mine.py, line 3)"),
        ("raise ValueError", "ValueError: no message (mine.py, line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 (mine.py, line 2)"),
        (
            "import pipekit\n@pipekit.hookimpl\ndef register_opps(register): pass",
            "there is no hook called 'register_opps'. Did you mean 'register_ops'?",
        ),
        ("import pipekit\n@pipekit.hookimpl\ndef make_tea(): pass", "there is no hook called 'make_tea'."),
        ("def register_opps(register): pass", "there is no hook called 'register_opps'. Did you mean 'register_ops'?"),
        (
            "def register_ops(register): pass",
            "'register_ops' is not marked with @pipekit.hookimpl, so it would never be called",
        ),
        ("def after_run(run): pass", "'after_run' is not marked with @pipekit.hookimpl, so it would never be called"),
        (
            "import pipekit\n@pipekit.hookimpl\ndef after_run(run, result): pass",
            "hook 'after_run' has no argument 'result'; it has: run",
        ),
        (
            "import pipekit\n@pipekit.hookimpl\ndef register_ops(registrar): pass",
            "hook 'register_ops' has no argument 'registrar'; it has: register",
        ),
        ("import pipekit\n@pipekit.hookimpl\ndef register_ops(register): register('a', '')", "op 'a' without a target"),
        (
            "import pipekit\n@pipekit.hookimpl\ndef register_ops(register):\n  register('a', 'x:y')\n  register('a', 'x:z')",
            "it registers op 'a' twice",
        ),
        ("PIPEKIT_API = 99", "it needs pipekit's plugin API 99, and this pipekit has 1; a newer pipekit is needed"),
        ("PIPEKIT_API = 'one'", "TypeError"),
        ("import pipekit\n@pipekit.hookimpl\ndef register_ops(register): register('a b/c', 'x:y')", "'a b/c'"),
        (
            "import pipekit\n@pipekit.hookimpl\ndef register_ops(register): register('a', 'x:y', version='2')",
            "the version '2', expected",
        ),
        ("import pipekit\n@pipekit.hookimpl\ndef register_ops(register): register('a')", "target"),
    ],
)
def test_a_broken_plugin_is_a_record_and_the_rest_works(tmp_path: Path, text: str, reason: str) -> None:
    registry = load_registry([plugin(tmp_path, text), plugin(tmp_path, GOOD, "good.py")], tmp_path)
    found = record(registry, "mine")
    assert found.status == "broken"
    assert reason in found.reason
    assert "\n" not in found.reason
    assert found.source == str(tmp_path / "mine.py")
    assert works(registry)
    assert registry.get("op", "dots").plugin == "good"
    with pytest.raises(UserError):
        registry.get("op", "a")


def test_a_plugin_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    text = """
        import pipekit

        @pipekit.hookimpl
        def register_ops(register):
            register("dots", "nowhere:dots")
            register("dots", "nowhere:dots")

        @pipekit.hookimpl
        def before_stage(stage):
            raise RuntimeError
    """
    registry = load_registry([plugin(tmp_path, text)], tmp_path)
    assert record(registry, "mine").status == "broken"
    assert not list(registry.observers("before_stage"))
    with pytest.raises(UserError, match="no op called 'dots'") as caught:
        registry.get("op", "dots")
    assert caught.value.hint.startswith("Plugin 'mine' has it and is broken: it registers op 'dots' twice")


def test_files_and_modules_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    registry = load_registry(["nowhere.py", "no_such_module", "folder.py"], tmp_path)
    assert record(registry, "nowhere").reason.startswith("no such plugin: there is no file ")
    assert record(registry, "no_such_module").reason.startswith("no such plugin: ")
    assert record(registry, "folder").reason.startswith("IsADirectoryError: ")
    assert works(registry)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing_of_this_name:x", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("os:no_such_thing", "AttributeError: module 'os' has no attribute 'no_such_thing'"),
        ("mine_broken:x", "ZeroDivisionError: division by zero (mine_broken.py, line 1)"),
        ("mine_leaves:x", "SystemExit: bye"),
    ],
)
def test_a_target_that_can_not_be_loaded_is_told_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, words: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_broken.py").write_text("1 / 0")
    (tmp_path / "mine_leaves.py").write_text("import sys; sys.exit('bye')")
    registry = load_registry([plugin(tmp_path, GOOD.replace("nowhere:dots", target))], tmp_path)
    assert record(registry, "mine").status == "ok"
    with pytest.raises(PluginError) as caught:
        registry.get("op", "dots").load()
    assert caught.value.message.startswith(f"op 'dots' of plugin 'mine' can't be loaded from {target!r}: {words}")


def test_a_stage_that_is_not_marked_is_told(tmp_path: Path) -> None:
    text = """
        import pipekit

        def plain(ctx): ...

        @pipekit.hookimpl
        def register_stages(register):
            register("plain", plain)
    """
    registry = load_registry([plugin(tmp_path, text)], tmp_path)
    with pytest.raises(PluginError, match=r"stage 'plain' of plugin 'mine' lacks @pipekit\.stage"):
        registry.get("stage", "plain").contract()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("@pipekit.stage\ndef f(ctx, thing: int) -> pipekit.Dataset: ...", "argument 'thing' must be 'ctx', 'params' or"),
        ("@pipekit.stage\ndef f(ctx): ...", "its return annotation must be an Artifact class, not None"),
        ("@pipekit.stage\ndef f(ctx, params: dict) -> pipekit.Dataset: ...", "'params' must be annotated with a subclass of"),
        (
            "@pipekit.stage\ndef f(ctx, params: 'Nothing') -> pipekit.Dataset: ...",
            "its annotations can't be read: name 'Nothing'",
        ),
        ("@pipekit.sample_stage\ndef f(sample, ctx): ...", "takes (sample, params, ctx), not (sample, ctx)"),
    ],
)
def test_a_stage_with_a_wrong_signature_is_told(tmp_path: Path, code: str, words: str) -> None:
    registry = load_registry([plugin(tmp_path, f"import pipekit\n{code}\n")], tmp_path)
    assert words in record(registry, "mine").reason


# --- which plugins are loaded --------------------------------------------------------------------------------------------


def test_plugins_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("good.py", "other.py"):
        plugin(tmp_path, GOOD.replace("dots", name), name)
    registry = load_registry(["good.py", "other.py"], tmp_path, disabled=["other"])
    assert [record(registry, name).status for name in ("good", "other")] == ["ok", "disabled"]
    monkeypatch.setenv("PIPEKIT_DISABLE", "good, other ,builtin")
    registry = load_registry(["good.py", "other.py"], tmp_path)
    assert [record(registry, name).status for name in ("builtin", "good", "other")] == ["disabled"] * 3
    assert not {component.plugin for component in registry} & {"builtin", "good", "other"}
    assert "PIPEKIT_DISABLE" in record(registry, "good").reason


def test_plugins_may_be_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, GOOD)
    monkeypatch.setenv("PIPEKIT_PLUGINS", f"{tmp_path}/mine.py,nothing_of_this_name")
    registry = load_registry()
    assert registry.get("op", "dots").summary == "Dots"
    assert record(registry, "nothing_of_this_name").status == "missing"


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_every_call_of_a_hook_is_shown_where_that_is_asked_for(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
        import pipekit

        @pipekit.hookimpl
        def register_ops(register):
            register("dots", "nowhere:dots", summary="Dots")

        @pipekit.hookimpl
        def after_run(run):
            pass
    """
    monkeypatch.setenv("PIPEKIT_TRACE", value)
    registry = load_registry((plugin(tmp_path, text),), tmp_path, installed=False)
    for _, call in registry.observers("after_run"):
        call(run="the run")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("[pipekit] mine: register_ops(register)\n" in shown.err) == (value == "1")
    assert ("[pipekit] mine: after_run(run='the run')\n" in shown.err) == (value == "1")
    assert shown.err or value != "1"


def test_a_format_to_write_is_no_answer_for_one_to_read(registry: Registry) -> None:
    assert registry.get("stage", "export.webdataset")
    with pytest.raises(UserError) as caught:
        registry.get("stage", "import.webdataset")
    assert "'export.webdataset'" not in caught.value.hint
    assert "is the plugin that provides it not installed?" in caught.value.hint
    with pytest.raises(UserError, match="no stage called") as caught:
        registry.get("stage", "import.folder")
    assert caught.value.hint.startswith("Did you mean 'import.folders'?")


def test_a_module_without_hooks_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, "def register_nothing(): ...", "without_hooks.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = load_registry(("without_hooks",), installed=False)
    assert "the module has no function marked with @pipekit.hookimpl" in record(registry, "without_hooks").reason
    assert record(registry, "without_hooks").status == "broken"


def test_an_installed_plugin_may_be_asked_for_by_its_name(tmp_path: Path) -> None:
    registry = load_registry(("builtin",), installed=False)
    assert [(one.name, one.status) for one in registry.plugins] == [("builtin", "ok")]
    absent = load_registry(("pipekit_no_such_plugin",), installed=False)
    assert record(absent, "pipekit_no_such_plugin").reason.startswith("no such plugin: ")


def test_a_module_is_a_plugin_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, GOOD + "__version__ = '1.2'", "my_module_plugin.py")
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry(["my_module_plugin"])
    assert record(registry, "my_module_plugin").version == "1.2"
    assert registry.get("op", "dots").source_digest == ""
    sys.modules.pop("my_module_plugin")


def test_a_plugin_named_twice_is_loaded_once(tmp_path: Path) -> None:
    plugin(tmp_path, GOOD)
    registry = load_registry(["mine.py", "./mine.py", f"{tmp_path}{os.sep}mine.py"], tmp_path)
    assert [found.status for found in registry.plugins if "mine" in found.name] == ["ok"]
    assert registry.get("op", "dots").plugin == "mine"


def test_two_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    plugin(tmp_path, GOOD)
    plugin(tmp_path / "sub", GOOD.replace('"dots"', '"lines"'))
    registry = load_registry(["mine.py", "sub/mine.py"], tmp_path)
    assert [registry.get("op", name).plugin for name in ("dots", "lines")] == ["mine", "mine.py"]


def test_an_edited_file_is_another_version(tmp_path: Path) -> None:
    plugin(tmp_path, GOOD)
    first = load_registry(["mine.py"], tmp_path).get("op", "dots").identity()
    assert load_registry(["mine.py"], tmp_path).get("op", "dots").identity() == first
    plugin(tmp_path, GOOD + "# edited\n")
    assert load_registry(["mine.py"], tmp_path).get("op", "dots").identity() != first


def test_an_installed_plugin_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("dotted_plugin", GOOD), ("failing_plugin", "1 / 0")):
        plugin(tmp_path, text, f"{name}.py")
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[pipekit]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry()
    assert record(registry, "dotted_plugin").source == "dotted_plugin 1.5"
    assert record(registry, "dotted_plugin").components == (("op", "dots"),)
    assert record(registry, "failing_plugin").status == "broken"
    assert [found.name for found in registry.plugins].index("builtin") == 0
    again = load_registry(["dotted_plugin"])
    assert [found.status for found in again.plugins if found.name == "dotted_plugin"] == ["ok"]
    sys.modules.pop("dotted_plugin")


# --- looking up ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(installed=False)


def test_a_name_that_is_not_there_is_guessed(registry: Registry) -> None:
    for kind, name, hint in (
        ("op", "rotat", "Did you mean 'rotate'? List them: pipekit components op"),
        ("op", "HFLIP", "Did you mean 'hflip'? List them: pipekit components op"),
        ("stage", "folders", "Did you mean 'export.folders' or 'import.folders'? List them: pipekit components stage"),
        ("op", "zzz", "Is the plugin that provides it installed? `pipekit plugins`. List them: pipekit components op"),
        ("opp", "rotate", "Did you mean 'op'?"),
    ):
        with pytest.raises(UserError, match=f"called '{name if kind == 'op' or kind == 'stage' else kind}'") as caught:
            registry.get(kind, name)
        assert caught.value.hint == hint


def test_every_kind_has_its_hook() -> None:
    assert {name for name, found in vars(hookspecs).items() if name.startswith("register_")} == set(KINDS.values())


def test_components_come_by_name_and_all_have_a_summary(registry: Registry) -> None:
    for kind in registry.kinds:
        names = [component.name for component in registry.components(kind)]
        assert names == sorted(names)
    assert all(component.summary and component.plugin == "builtin" for component in registry)


def test_a_family_is_listed_one_by_one_when_asked(registry: Registry) -> None:
    assert "albu.*" in [component.name for component in registry.components("op")]
    names = {component.name for component in registry.components("op", wildcards=True)}
    assert "albu.*" not in names
    assert {"albu.GaussNoise", "rotate"} <= names
    with pytest.raises(UserError):
        registry.get("op", "albu.NoSuchTransform").load()


class ShapeParams(Params):
    """Parameters to check."""

    size_px: int = param(3, "Size", unit="px", ge=1)
    names: tuple[str, ...] = param((), "Names")


def test_parameters_are_checked_with_all_their_problems(registry: Registry) -> None:
    assert registry.check_params(ShapeParams, {"size_px": 4}).size_px == 4
    with pytest.raises(UserError) as caught:
        registry.check_params(ShapeParams, {"size_px": 0, "nams": []})
    assert (
        caught.value.message == "size_px: input should be greater than or equal to 1, got 0; nams: no parameter called 'nams'"
    )
    assert caught.value.hint == "Did you mean 'names'?"


def test_a_component_is_imported_on_use_and_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "counted_target.py").write_text(
        "import builtins\nbuiltins.counted = getattr(builtins, 'counted', 0) + 1\nx = 3\n"
    )
    component = Component("op", "x", "counted_target:x")
    assert "counted_target" not in sys.modules
    assert [component.load(), component.load()] == [3, 3]
    import builtins

    assert builtins.counted == 1  # type: ignore[attr-defined]
    del builtins.counted, sys.modules["counted_target"]  # type: ignore[attr-defined]


def test_observers_of_every_plugin_are_called_with_what_they_ask_for(tmp_path: Path) -> None:
    text = """
        import pipekit

        @pipekit.hookimpl
        def before_stage({names}):
            return ({names},)
    """
    for number, names in enumerate(("run, stage", "stage", "run")):
        plugin(tmp_path, text.format(names=names), f"observer{number}.py")
    registry = load_registry([f"observer{number}.py" for number in range(3)], tmp_path)
    values: dict[str, Any] = {"run": "r", "stage": "s"}
    assert [(name, call(**values)) for name, call in registry.observers("before_stage")] == [
        ("observer0", ("r", "s")),
        ("observer1", ("s",)),
        ("observer2", ("r",)),
    ]
