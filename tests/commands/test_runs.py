"""``pipekit.runs``, ``show_run`` and ``diff_runs`` against ``pipekit runs``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.commands.runs import Difference
from pipekit.errors import UserError
from tests.cli.pictures import class_folders


def test_the_verbs_have_what_the_command_prints(pipekit, tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "images", {"cat": 4, "dog": 4})
    package.run_stage("split", dataset=photos, mode="hash", name="first")
    package.run_stage("split", dataset=photos, mode="hash", duplicates="off", name="second")
    found = package.runs()
    assert [run["name"] for run in found] == ["second", "first"]
    assert json.loads(pipekit("runs", "--json").out) == list(found)
    assert package.show_run("runs/first") == package.show_run(found[1]["id"]) == found[1]
    assert json.loads(pipekit("runs", "show", "first", "--json").out) == found[1]
    different = package.diff_runs("first", "second")
    assert Difference("stages.split.duplicates", "near", "off") in different
    rows = json.loads(pipekit("runs", "compare", "first", "second", "--json").out)
    assert [(row["what"], row["first"], row["second"]) for row in rows] == [(d.what, d.first, d.second) for d in different]
    assert package.diff_runs("first", "first") == ()
    with pytest.raises(UserError, match="no run called 'frist'"):
        package.show_run("frist")
    (tmp_path / "elsewhere").mkdir()
    assert package.runs("elsewhere") == ()
