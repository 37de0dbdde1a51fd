"""``pipekit.export`` against the command of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.errors import PlanError, UserError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_verb_writes_what_the_command_writes(pipekit, colours: Any) -> None:
    colours.run()
    result = pipekit("export", "runs/trial", "--to", "card", "--plugin", "by_colour.py", "--out", "command")
    assert result.code == 0, result.err
    made = package.export("runs/trial", "card", plugins=["by_colour.py"])
    assert made.folder == Path("trial-card")
    assert contents(made.folder) == contents(Path("command"))
    assert "model_card.md" in contents(made.folder)


def test_what_can_not_be_exported(pipekit, colours: Any) -> None:
    with pytest.raises(PlanError) as raised:
        package.export("model", "tflite", check=-1)
    assert [problem.path for problem in raised.value.problems] == ["check"]
    assert "error: --set check: " in pipekit("export", "model", "--to", "tflite", "--set", "check=-1").err
    with pytest.raises(UserError, match="images exists already"):
        package.export("model", "card", "images")
    with pytest.raises(UserError, match="takes a dataset, not a model"):
        package.export("model", "folders")
    with pytest.raises(UserError, match="takes no data"):
        package.export("model", "card", data="images")
