from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.cli import commands


def test_the_built_in_plugin_is_one_of_them(pipekit) -> None:
    result = pipekit("plugins")
    assert result.code == 0
    (row,) = [line for line in result.out.splitlines() if line.startswith("builtin")]
    assert row.endswith("ok")
    assert "stages" in row


def test_a_broken_plugin_is_named_with_its_reason_and_stops_nothing(pipekit, tmp_path: Path, monkeypatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import a_module_that_nobody_has\n")
    misspelt = tmp_path / "misspelt.py"
    misspelt.write_text("import pipekit\n@pipekit.hookimpl\ndef register_opps(register): ...\n")
    taken = tmp_path / "taken.py"
    taken.write_text("import pipekit\n@pipekit.hookimpl\ndef register_executors(register):\n    register('serial', 'a:b')\n")
    words = [word for file in (broken, misspelt, taken) for word in ("--plugin", file)]
    result = pipekit("plugins", *words)
    assert result.code == 0
    assert "broken: ModuleNotFoundError: No module named 'a_module_that_nobody_has'" in result.out
    assert "misspelt: there is no hook called 'register_opps'. Did you mean 'register_ops'?" in result.out
    assert "executor 'serial' is in 2 plugins: say builtin:serial or taken:serial" in result.out
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(broken))
    assert pipekit("components", "executor").code == 0


@pytest.mark.parametrize("words", [("components",), ("schema",), ("stage",), ("stage", "split", "--help"), ("run", "a.toml")])
def test_a_plugin_that_was_asked_for_must_load(pipekit, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "a.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "."\n')
    result = pipekit(words[0], "--plugin", "nowhere.py", *words[1:])
    assert result.code == 2
    assert result.err.startswith("error: --plugin nowhere.py: no such file\n")


def test_a_disabled_plugin_is_listed_as_such(pipekit, monkeypatch) -> None:
    monkeypatch.setenv("PIPEKIT_DISABLE", "builtin")
    result = pipekit("plugins")
    assert "disabled" in result.out
    assert result.code == 0


def test_a_plugin_is_left_out_for_one_command(pipekit, speckle: Path) -> None:
    words = ("--plugin", speckle, "--disable", "my_plugin")
    records = {record["name"]: record for record in json.loads(pipekit("plugins", "--json", *words).out)}
    assert (records["my_plugin"]["status"], records["my_plugin"]["components"]) == ("disabled", [])
    assert records["builtin"]["status"] == "ok"
    named = {entry["name"] for entry in json.loads(pipekit("components", "--json", *words).out)}
    assert "split" in named
    assert "note" not in named
    for shown in (pipekit("schema", *words), pipekit("stage", *words)):
        assert shown.code == 0
        assert "note" not in shown.out.split()
    assert "What stands on top" not in pipekit("schema", *words).out


OVER = """
import pipekit


def over(image, params: pipekit.Params, rng):
    return image[::-1]


@pipekit.hookimpl
def register_ops(register):
    register("over", over)
"""


def test_an_op_of_a_plugin_that_is_left_out_is_missed(pipekit) -> None:
    Path("ops.py").write_text(OVER)
    Path("photos").mkdir()
    images.write(Path("photos", "one.png"), np.zeros((8, 8, 3), np.uint8))
    assert pipekit("augment", "photos", "a", "--ops", "over", "--plugin", "ops.py").code == 0
    result = pipekit("augment", "photos", "b", "--ops", "over", "--plugin", "ops.py", "--disable", "ops")
    assert result.code == 2
    assert "no op called 'over'" in result.err
    assert not Path("b").exists()


@pytest.mark.parametrize("words", [("run", "a.toml"), ("stage", "note", "--title", "x"), ("components", "stage", "note")])
def test_what_needs_a_plugin_that_is_left_out_says_so(pipekit, speckle: Path, words: tuple[str, ...]) -> None:
    Path("a.toml").write_text('[stages.note]\nuse = "note"\ntitle = "x"\n')
    assert pipekit(words[0], "--plugin", speckle, *words[1:]).code == 0
    result = pipekit(words[0], "--plugin", speckle, "--disable=my_plugin", *words[1:])
    assert result.code == 2
    assert "no stage called 'note'" in result.err
    assert "Plugin 'my_plugin' has it and is disabled by PIPEKIT_DISABLE or --disable." in result.err


LOADING = [
    ("augment", "."),
    ("compare", "first", "second"),
    ("components",),
    ("docs",),
    ("embed", "."),
    ("evaluate", "model", "."),
    ("explain", "model", "a.toml"),
    ("export", "model", "--to", "card"),
    ("features", "a.toml"),
    ("inspect", "."),
    ("models",),
    ("models", "show", "mlp"),
    ("plugins",),
    ("predict", "model", "a.toml"),
    ("replay", "a.toml"),
    ("run", "a.toml"),
    ("schema",),
    ("serve", "model"),
    ("similar", "a.jpg", "."),
    ("sniff", "."),
    ("split", "."),
    ("stage",),
    ("stage", "split", "--help"),
    ("studio", "."),
    ("train", "."),
]
"""Command lines of all commands that take --plugin."""


def test_every_command_that_loads_plugins_leaves_them_out_too(pipekit) -> None:
    helped = {name: pipekit(name, "--help").out for name in commands()}
    loading = {name for name, text in helped.items() if "--plugin FILE" in text or "--plugin <" in text}
    assert loading == {words[0] for words in LOADING}
    assert {name for name in loading if "--disable NAME" not in helped[name]} == set()


@pytest.mark.parametrize("words", LOADING, ids="-".join)
def test_a_plugin_to_leave_out_must_be_there(pipekit, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "a.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "."\n')
    result = pipekit(words[0], "--disable", "biultin", *words[1:])
    assert result.code == 2
    assert result.err.startswith("error: --disable biultin: no plugin of that name")
    assert "Did you mean 'builtin'?" in result.err


def test_json(pipekit, speckle: Path) -> None:
    records = {record["name"]: record for record in json.loads(pipekit("plugins", "--json", "--plugin", speckle).out)}
    assert {"kind": "op", "name": "speckle"} in records["my_plugin"]["components"]
    assert records["builtin"]["status"] == "ok"


LOUD = """
import sys
print("imported")
import pipekit


def op(image, params: pipekit.Params, rng):
    return image


@pipekit.hookimpl
def register_ops(register):
    print("registered")
    register("loud_op", op)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("components", "--json"),
        ("components", "op", "loud_op", "--json"),
        ("plugins", "--json"),
        ("components", "--json", "op"),
    ],
)
def test_json_stays_json_where_a_plugin_prints(pipekit, tmp_path: Path, words: tuple[str, ...]) -> None:
    loud = tmp_path / f"loud_{len(words)}_{words[0]}.py"
    loud.write_text(LOUD + f"# {tmp_path} {words}")  # another text is another module
    result = pipekit(*words, "--plugin", loud)
    assert result.code == 0
    assert "loud" in str(json.loads(result.out))
    assert "imported" in result.err
    assert "registered" in result.err
    assert pipekit("--version").out.startswith("pipekit "), "what a command prints later is on stdout again"
