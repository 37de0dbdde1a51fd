"""``pipekit plugins check``: a readable verdict on a plugin, from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pipekit.testing
from pipekit.cli import main
from pipekit.testing import kit

GOOD = '''
"""A good plugin."""
import pipekit

class FlipParams(pipekit.Params):
    """Parameters of flip."""
    upside_down: bool = pipekit.param(False, "Top to bottom instead of left to right")

def flip(image, params: FlipParams, rng):
    """Turn the image over."""
    return image[::-1] if params.upside_down else image[:, ::-1]

@pipekit.hookimpl
def register_ops(register):
    register("turn_over", flip)
'''

BAD = '''
import pipekit
import matplotlib

class DimParams(pipekit.Params):
    share: float = 0.5

class NeedyParams(pipekit.Params):
    count: int = pipekit.param(..., "How many", ge=1)

def dim(image, params: DimParams, rng):
    image[:] = image * params.share
    return image

def needy(image, params: NeedyParams, rng):
    """Needs a count."""
    return image

@pipekit.hookimpl
def register_ops(register):
    register("dim", dim)
    register("needy", needy)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def test_a_good_plugin_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good_ops.py").write_text(GOOD)
    assert main(["plugins", "check", "good_ops.py", "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "op turn_over" in out
    assert "kept    the same seed gives the same result" in out
    assert "1 component, no promise broken." in out


def test_a_bad_plugin_is_told_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad_ops.py").write_text(BAD)
    assert main(["plugins", "check", "bad_ops.py"]) == 1
    out = capsys.readouterr().out
    assert "'share' has no description; 'share' is a number without bounds" in out
    assert "bad_ops.py imports matplotlib" in out
    assert "work on a copy" in out
    assert "not run 'count' has no default" in out
    assert "kept" not in out


def test_a_broken_plugin_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "half.py").write_text("import no_such_module_at_all")
    assert main(["plugins", "check", "half.py"]) == 2
    assert "No module named 'no_such_module_at_all'" in capsys.readouterr().err


def test_the_list_of_plugins_is_still_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    assert "builtin" in capsys.readouterr().out


WRONG = """
import pipekit


@pipekit.hookimpl
def after_stage(run, stage, artifact):
    return f"seen {stage.name}"


@pipekit.hookimpl
def after_run(run):
    raise RuntimeError("the tracker is down")
"""


def test_observers_are_called_and_one_fault_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (folder / "wrong.py").write_text(WRONG)
    assert main(["plugins", "check", "wrong.py"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "broken" in line]
    assert any("it can be called, and returns nothing: it returned a value of type str" in line for line in lines)
    assert any("RuntimeError: the tracker is down" in line for line in lines)
    assert lines[-1].startswith("Plugin 'wrong': 0 components, 2 broken promises")


def test_nothing_tried_is_no_success(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty.py").write_text("import pipekit\n")
    assert main(["plugins", "check", "empty.py"]) == 1
    assert "no hook of it registers or observes anything" in capsys.readouterr().out


def test_the_checks_need_no_pytest() -> None:
    """A person who only uses pipekit has none, and the README lets them check a plugin."""
    code = "import sys; sys.modules['pytest'] = None; import pipekit.testing.checks.separate, pipekit.testing.checks.plugin"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pytest_finds_the_fixtures_of_the_kit() -> None:
    assert {"pipekit_project", "tiny_dataset", "check_op"} <= {*dir(pipekit.testing)}
    assert pipekit.testing.tiny_dataset is kit.tiny_dataset
    with pytest.raises(AttributeError, match="no attribute 'chek_op'"):
        pipekit.testing.chek_op  # noqa: B018
