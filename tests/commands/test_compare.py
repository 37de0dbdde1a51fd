"""``pipekit.compare`` against the command of that name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.commands.compare import compared_in
from pipekit.errors import PlanError, UserError


@pytest.fixture
def two_runs(colours: Any) -> list[str]:
    colours.model("unsure", sureness=1.0)
    colours.run(name="first")
    colours.run(name="second", model="unsure")
    return ["runs/first", "runs/second"]


def test_the_verb_finds_what_the_command_finds(pipekit, two_runs: list[str], tmp_path: Path, monkeypatch) -> None:
    result = pipekit("compare", *two_runs, "--json", "--pictures", "20", "--plugin", "by_colour.py")
    assert result.code == 0, result.err
    found = package.compare(two_runs, "page.html", pictures=20, plugins=["by_colour.py"])
    assert found.data == json.loads(result.out)
    assert found.names == ("first", "second")
    assert found.verdicts == tuple(pair["verdict"] for pair in found.data["pairs"])
    assert Path("page.html").read_text("utf-8") == found.page
    assert not Path("compare.html").exists()
    base = Path.cwd()
    monkeypatch.chdir(tmp_path)  # a server may run in another folder
    assert compared_in(str(base), two_runs).verdicts == found.verdicts


def test_what_can_not_be_compared(pipekit, two_runs: list[str]) -> None:
    with pytest.raises(PlanError) as raised:
        package.compare(two_runs, pictures=-1)
    assert [problem.path for problem in raised.value.problems] == ["pictures"]
    assert "error: --pictures: " in pipekit("compare", *two_runs, "--pictures=-1").err
    with pytest.raises(UserError, match="at least two runs"):
        package.compare(two_runs[:1])
    with pytest.raises(UserError, match="no report in images"):
        package.compare([*two_runs, "images"])
