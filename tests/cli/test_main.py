"""The command line as a whole: help, exit codes, errors in one form."""

from __future__ import annotations

import errno
import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pipekit as package
from pipekit import cli
from pipekit.cli import app as cli_app
from pipekit.cli import building
from pipekit.errors import PipekitError, PlanError, Problem, StageError, UserError, of_the_machine


def test_help_lists_every_command_in_80_columns(pipekit) -> None:
    result = pipekit("--help")
    assert result.code == 0
    assert result.err == ""
    for name, summary in cli.commands().items():
        assert f"  {name} " in result.out
        assert summary in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    assert pipekit().out == pipekit("-h").out == result.out


def test_the_static_help_names_the_real_options(pipekit) -> None:
    """The table that answers --help without Typer against what Typer would say."""
    from typer.testing import CliRunner

    shown = CliRunner().invoke(building.build([], every=True), ["--help"]).output
    for flag in " ".join(cli.OPTIONS).replace(",", "").split():
        assert flag in shown
    for name in cli.commands():
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("name", list(cli.commands()))
def test_each_command_has_its_module_and_says_what_it_does(name: str) -> None:
    module = import_module(f"pipekit.cli.{name.replace('-', '_')}")
    function = getattr(module, name.replace("-", "_"))
    assert inspect.getdoc(function), "the docstring is what --help says"
    summary = cli.commands()[name]
    assert summary[0].isupper()
    assert not summary.endswith(".")


@pytest.mark.parametrize("name", list(cli.commands()))
def test_each_command_explains_every_option(pipekit, name: str) -> None:
    result = pipekit(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: pipekit {name}")
    options = result.out.partition("Options:\n")[2].partition("\n\n")[0]
    entries = re.split(r"\n(?=  -)", options)  # an entry and, below it, what did not fit on its line
    assert entries
    for entry in entries:
        assert re.match(r"\s+-\S.*?\s{2,}\S", entry, re.DOTALL), f"{name}: {entry} lacks a help text"


def test_the_version(pipekit) -> None:
    assert pipekit("--version").out == f"pipekit {package.__version__}\n"


@pytest.mark.parametrize("words", [("rnu",), ("run", "--dry-rnu"), ("runs", "shwo", "x"), ("--nothing",)])
def test_a_misspelt_word_is_answered_in_one_form(pipekit, words: tuple[str, ...]) -> None:
    result = pipekit(*words)
    assert result.code == 2
    assert result.out == ""
    first, second = result.err.splitlines()
    assert first.startswith("error: no such ")
    assert second.startswith("  See: pipekit")


def test_a_value_without_the_name_of_its_option_is_answered_with_the_options(pipekit) -> None:
    refused = pipekit("export", "runs/pets", "onnx")
    assert refused.code == 2
    assert "pipekit export takes MODEL; options need their names, such as --to FORMAT, --out FOLDER" in refused.err
    assert "takes [KIND] [NAME]; options" in pipekit("components", "a", "b", "c").err


def test_a_misspelt_command_is_guessed(pipekit) -> None:
    assert "Did you mean 'components'" in pipekit("componets").err


def break_command(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Make `pipekit schema` fail in a chosen way."""

    def schema() -> None:
        raise failure

    monkeypatch.setattr(building, "load_command", lambda name, words=(): schema)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UserError("the lid is open", "Close it.", "in box 3"), 2),
        (PipekitError("the lid fell off", "Close it.", "in box 3"), 1),
        (StageError("the lid broke", "Close it.", "in box 3"), 1),
    ],
)
def test_our_errors_say_what_where_and_what_next(pipekit, monkeypatch, failure: PipekitError, code: int) -> None:
    break_command(monkeypatch, failure)
    result = pipekit("schema")
    assert result.code == code
    assert result.err == f"error: {failure.message}\n  in box 3.  Close it.\n"


def test_all_problems_of_a_plan_are_printed_each_with_its_place(pipekit, monkeypatch) -> None:
    problems = [
        Problem("stages.train.ops[2].op", "no op called 'hflp'", "Did you mean 'hflip'? List them: pipekit components op", 18),
        Problem("stages", "a pipeline needs at least one stage"),
    ]
    break_command(monkeypatch, PlanError(problems, "pipeline.toml"))
    result = pipekit("schema")
    assert result.code == 2
    assert result.err.splitlines() == [
        "error: stages.train.ops[2].op: no op called 'hflp'. Did you mean 'hflip'?",
        "  in pipeline.toml, line 18.  List them: pipekit components op",
        "error: stages: a pipeline needs at least one stage",
        "  in pipeline.toml",
        "2 problems in pipeline.toml; nothing was run",
    ]


def test_an_unforeseen_exception_is_one_line_and_debug_adds_the_traceback(pipekit, monkeypatch) -> None:
    break_command(monkeypatch, ZeroDivisionError("by zero"))
    result = pipekit("schema")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert result.err.startswith("error: ZeroDivisionError: by zero\n")
    assert "--debug" in result.err
    for words in (("--debug", "schema"), ("schema", "--debug")):
        assert "Traceback" in pipekit(*words).err
    monkeypatch.setenv("PIPEKIT_DEBUG", "1")
    assert "Traceback" in pipekit("schema").err


def test_debug_shows_the_traceback_of_a_user_error_too(pipekit, monkeypatch) -> None:
    break_command(monkeypatch, UserError("the lid is open"))
    assert "Traceback" in pipekit("--debug", "schema").err
    assert "Traceback" not in pipekit("schema").err


def test_after_a_double_dash_debug_is_a_word_like_any_other(pipekit) -> None:
    result = pipekit("components", "--", "--debug")
    assert result.code == 2
    assert "no kind of component called '--debug'" in result.err


def test_interrupted_is_130(pipekit, monkeypatch) -> None:
    break_command(monkeypatch, KeyboardInterrupt())
    result = pipekit("schema")
    assert result.code == 130
    assert "Traceback" not in result.err


def test_interrupted_while_it_starts_is_130_too(pipekit, monkeypatch) -> None:
    def stop(words: list[str], started: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_main", stop)
    result = pipekit("schema")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_what_looks_like_markup_is_printed_as_it_is(pipekit, monkeypatch) -> None:
    break_command(monkeypatch, UserError("no such file: [red]a[/red] :smile:"))
    assert "no such file: [red]a[/red] :smile:" in pipekit("schema").err


@pytest.mark.parametrize("command", ["--help", "--version", "components", "plugins --json"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_no_traceback(tmp_path: Path, command: str, unbuffered: str) -> None:
    """`pipekit components | head -1`; here the reader is gone before the first word."""
    script = f"{sys.executable} -m pipekit {command} | true"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_a_full_disk_behind_the_help_is_one_line(tmp_path: Path, command: str) -> None:
    script = f"{sys.executable} -m pipekit {command} > /dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: can't write to stdout: No space left on device\n"


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pipekit components > /dev/full"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: No space left on device"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_the_terminal_can_not_show_is_escaped(encoding: str, tmp_path: Path) -> None:
    """Such a name is in a folder of images sooner or later; printing it must not end the run."""
    (tmp_path / "images" / "a").mkdir(parents=True)
    for name in (b"\xff.jpg", "ü中.jpg".encode()):
        (Path(os.fsdecode(bytes(tmp_path / "images" / "a") + b"/" + name))).write_bytes(b"no picture")
    (tmp_path / "pipeline.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "images"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipekit", "run"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode in (1, 2)
    assert b"\\udcff.jpg" in done.stderr
    assert b"Error" not in done.stderr


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (MemoryError(), "has too little memory"),
        (RuntimeError("can't start new thread"), "has too little memory"),
        (_caused(ImportError("READ THIS"), ImportError("x.so: failed to map segment from shared object")), "too little memory"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000),
            "a path of 5,000 letters is too long for this disk: aaa",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "photos/cat"), "permission denied: 'photos/cat'"),
    ],
)
def test_errors_of_the_machine_are_said_in_words(failure: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_app.report(failure) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed
    assert len(printed) < 500
    assert "bug in pipekit" not in printed
    assert "--debug" not in printed


def test_a_path_of_5000_letters_is_one_sentence(pipekit) -> None:
    result = pipekit("inspect", "a" * 5000)
    assert result.code in (1, 2)
    assert "is too long for this disk" in result.err
    assert len(result.err) < 600


def test_an_error_that_is_its_own_cause_ends_the_search() -> None:
    error = ValueError("odd")
    error.__cause__ = error  # as `raise error from error` makes it
    assert of_the_machine(error) is None
