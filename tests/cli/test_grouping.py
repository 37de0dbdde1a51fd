"""The question about names that look like groups, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit import ui
from pipekit.cli.grouping import ask_for_groups


@pytest.fixture
def patients(tmp_path: Path) -> str:
    for number in range(160):
        path = tmp_path / ("well", "sick")[number // 8 % 2] / f"patient_{number // 8:03}_{number % 8}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return str(tmp_path)


@pytest.mark.parametrize(("answer", "pattern"), [(True, r"([^/]+)_\(?\d+\)?\.\w+$"), (False, "")])
def test_a_user_decides_whether_stems_are_groups(
    patients: str, answer: bool, pattern: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ui, "can_ask", lambda: True)
    monkeypatch.setattr(ui, "confirm", lambda question: asked.append(question) or answer)
    assert ask_for_groups(patients, "", "") == pattern
    assert len(asked) == 1
    assert "160 images share 20 stems" in " ".join(capsys.readouterr().out.split())


def test_nobody_is_asked_without_a_terminal_or_with_groups(patients: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "confirm", lambda question: pytest.fail("asked"))
    assert ask_for_groups(patients, "", "") == ""
    monkeypatch.setattr(ui, "can_ask", lambda: True)
    assert ask_for_groups(patients, "patient", "") == ""
    assert ask_for_groups(patients, "", "^x") == "^x"
    assert ask_for_groups(patients, "", "", ask=False) == ""
    assert ask_for_groups("runs/pets:split", "", "") == ""
