"""``pipekit plugins check``: a readable verdict on a plugin, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.cli import main

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
import sklearn

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
    assert "bad_ops.py imports sklearn" in out
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
