"""Commands of plugins: `pipekit acme` calls a plugin's function, Typer app or click command, and `--help` lists it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from pipekit import testing as kit
from pipekit.cli import commands, from_plugins
from pipekit.registry import registry as registry_module
from pipekit.registry.registry import load_registry
from pipekit.testing.checks.commands import COMMANDS

ACME = '''
"""Commands of {name}."""
from typing import Annotated
import typer
import pipekit

def {name}(
    word: Annotated[str, typer.Argument(help="A word")],
    loud: bool = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> int:
    """Say a word.

    More about it.
    """
    if word == "bad":
        raise pipekit.UserError("a bad word", "Say another.")
    if word == "bug":
        return 1 // 0
    typer.echo(word.upper() if loud else word)
    return 3 if word == "three" else 0

app = typer.Typer(help="Two commands.")

@app.command()
def one() -> None:
    """Say one."""
    typer.echo("one")

@app.command()
def two() -> None:
    """Say two."""
    raise typer.Exit(4)

@pipekit.hookimpl
def register_commands(register):
    register("{name}", {name})
    register("several", app)
    register("train", {name}, summary="Not pipekit's")
'''

CLICK = """
import click
import pipekit

@click.command(help="Ask for sure.")
@click.option("--count", type=int, default=1)
def sure(count):
    if not count:
        raise click.Abort
    click.echo("sure " * count)

@pipekit.hookimpl
def register_commands(register):
    register("sure", sure)
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "acme.py"
    file.write_text(ACME.format(name="acme"), encoding="utf-8")
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(file))
    return file


def test_a_function_is_a_command(pipekit, acme: Path) -> None:
    assert pipekit("acme", "hello", "--loud") == pipekit("acme:acme", "hello", "--loud")
    assert pipekit("acme", "hello", "--loud").out == "HELLO\n"
    assert pipekit("acme", "hello", "--json").out == "hello\n", "its output is its own"
    assert pipekit("acme", "three").code == 3
    shown = pipekit("acme", "-h").out
    assert shown.startswith("Usage: pipekit acme [OPTIONS] ")
    assert "More about it." in shown


def test_apps_of_typer_and_commands_of_click(pipekit, acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pipekit("several", "one").out == "one\n"
    assert pipekit("several", "two").code == 4
    assert "Two commands." in pipekit("several", "--help").out
    (tmp_path / "of_click.py").write_text(CLICK, encoding="utf-8")
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(tmp_path / "of_click.py"))
    assert pipekit("sure", "--count", "2").out == "sure sure \n"
    assert pipekit("sure", "--count", "0").code == 1
    refused = pipekit("sure", "--cuont", "2")
    assert (refused.code, refused.out) == (2, "")
    assert "no such option" in refused.err.lower()


def test_its_errors_are_told_as_all_others(pipekit, acme: Path) -> None:
    assert pipekit("acme", "bad").err == "error: a bad word\n  Say another.\n"
    failed = pipekit("acme", "bug")
    assert failed.code == 1
    assert failed.err.startswith("error: command 'acme' of plugin 'acme' failed: ZeroDivisionError")
    assert pipekit("acme").code == 2
    assert "no such option: --lod" in pipekit("acme", "a", "--lod").err


def test_a_name_of_pipekits_own_stays_pipekits_and_both_are_named(pipekit, acme: Path) -> None:
    assert pipekit("train", "--help").out.startswith("Usage: pipekit train [OPTIONS]")
    assert pipekit("acme:train", "hello").out == "hello\n"
    assert "command 'train' is in 2 plugins: say train or acme:train" in pipekit("plugins").out
    with pytest.raises(AssertionError, match="'train' is a command of pipekit, and one of plugin 'acme'"):
        kit.check_command("acme:train", registry=load_registry())


def test_one_name_in_two_plugins_is_an_error_that_names_both(pipekit, acme: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "other.py").write_text(ACME.format(name="other"), encoding="utf-8")
    monkeypatch.setenv("PIPEKIT_PLUGINS", f"{acme},{tmp_path / 'other.py'}")
    failed = pipekit("several", "one")
    assert failed.code == 2
    assert "command 'several' is in plugin 'acme' and in plugin 'other'" in failed.err
    assert "'acme:several' or 'other:several'" in failed.err
    assert pipekit("other:several", "one").out == "one\n"


def test_a_broken_plugin_is_named(pipekit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme.py").write_text(ACME.format(name="acme") + "\n1 / 0\n", encoding="utf-8")
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(tmp_path / "acme.py"))
    assert "Plugin 'acme' has it and is broken: ZeroDivisionError" in pipekit("acme", "hello").err
    assert "no such command 'acne'" in pipekit("acne").err


class Point:
    """An installed plugin's entry point."""

    name, value, module, dist = "installed", "pipekit_installed", "pipekit_installed", None

    def load(self) -> Any:
        import pipekit_installed

        return pipekit_installed


def test_the_help_lists_them_and_loads_no_plugin_again(pipekit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site"
    path.mkdir()
    (path / "pipekit_installed.py").write_text(ACME.format(name="acme"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setattr(from_plugins, "PATH", (str(path),))
    points = list(registry_module._entry_points())
    monkeypatch.setattr(registry_module, "_entry_points", lambda: [*points, (Point(), None)])
    monkeypatch.setattr(from_plugins, "_others", lambda: True)
    loads: list[int] = []
    monkeypatch.setattr(from_plugins, "_loaded", lambda loaded=from_plugins._loaded: loads.append(1) or loaded())
    text = pipekit("--help").out
    section = text.partition("\nPlugins:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split(maxsplit=1) for line in section] == [
        ["acme", "Say a word"],
        ["several", "Two commands"],
        ["installed:train", "Not pipekit's"],
    ]
    assert pipekit("--help").out == text
    assert len(loads) == 1, "the second help was printed from what was kept"
    (path / "another-1.dist-info").mkdir()
    assert pipekit("--help").out == text
    assert len(loads) == 2, "an installed distribution may bring a command"
    assert "Did you mean 'acme'" in pipekit("acmee").err


def test_the_commands_of_pipekit_are_those_that_plugins_can_not_take() -> None:
    assert sorted(COMMANDS) == sorted(commands())


def test_the_kit_names_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="must be a function"):
        kit.check_command(3)

    greedy = typer.Typer(help="Take all words.")
    greedy.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(lambda: None)
    with pytest.raises(AssertionError, match="it takes the option --no-such-option-of-a-command"):
        kit.check_command(greedy)

    def right(count: int = 1) -> None:
        """Do nothing."""

    kit.check_command(right)
