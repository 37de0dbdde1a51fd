"""``pipekit.sniff`` in Python says what the command says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit
from pipekit.cli import main
from pipekit.errors import UserError
from tests.cli.pictures import class_folders


def test_the_verb_says_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "pets", {"cat": 1, "dog": 1})
    (tmp_path / "empty").mkdir()
    found = pipekit.sniff("pets")
    assert main(["sniff", "pets", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (
        (said["importer"], len(said["verdicts"])) == (found.importer, len(found.verdicts)) == ("folders", len(found.verdicts))
    )
    assert found.problem is None
    nothing = pipekit.sniff("empty")
    assert nothing.importer == ""
    assert nothing.problem is not None
    assert "no importer recognises" in nothing.problem.message
    with pytest.raises(UserError, match="no such file or folder"):
        pipekit.sniff("nowhere")
