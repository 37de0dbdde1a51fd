"""``pipekit.explain`` against the command of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.errors import PlanError, UserError

IMAGE = "images/val/red/red_0.png"
PLUGIN = ["by_colour.py"]


def test_the_verb_makes_the_page_of_the_command(pipekit, colours: Any) -> None:
    result = pipekit("explain", "model", IMAGE, "--about", "green", "--plugin", "by_colour.py", "-o", "command.html")
    assert result.code == 0, result.err
    found = package.explain("model", Path(IMAGE), "verb.html", about="green", plugins=PLUGIN)
    assert found.page == Path("command.html").read_text("utf-8") == Path("verb.html").read_text("utf-8")
    assert (found.folder / "explain.html").is_file()


def test_what_can_not_be_explained(pipekit, colours: Any) -> None:
    with pytest.raises(PlanError) as raised:
        package.explain("model", IMAGE, layers=-1)
    assert [problem.path for problem in raised.value.problems] == ["layers"]
    assert "error: --layers: " in pipekit("explain", "model", IMAGE, "--layers", "-1").err
    with pytest.raises(UserError, match="no such image"):
        package.explain("model", "nowhere.png")
    with pytest.raises(UserError, match="no trained model in images"):
        package.explain("images", IMAGE)
