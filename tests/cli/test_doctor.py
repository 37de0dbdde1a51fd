from __future__ import annotations

import json

import pytest

from pipekit.commands import doctor
from pipekit.commands.doctor import Diagnosis

WELL = Diagnosis("Python", "ok", "3.11.7")
SLOW = Diagnosis("disk", "warning", "1.0 GB free", "pipekit gc")
BROKEN = Diagnosis("OpenCV", "broken", "libGL.so.1 is missing", "python -m pip install opencv-python-headless")


def pretend(monkeypatch: pytest.MonkeyPatch, *findings: Diagnosis) -> None:
    monkeypatch.setattr(doctor, "doctor", lambda timeout_s: iter(findings))


def test_all_is_well(pipekit, monkeypatch) -> None:
    pretend(monkeypatch, WELL)
    result = pipekit("doctor")
    assert result.code == 0
    assert result.out.splitlines() == ["✓ Python       3.11.7", "", "All is well."]


def test_a_warning_is_no_failure(pipekit, monkeypatch) -> None:
    pretend(monkeypatch, WELL, SLOW)
    result = pipekit("doctor")
    assert result.code == 0
    assert "! disk         1.0 GB free\n               pipekit gc\n" in result.out
    assert result.out.endswith("0 things broken, 1 warning.\n")


def test_what_is_broken_comes_with_what_to_do_and_exit_code_1(pipekit, monkeypatch) -> None:
    pretend(monkeypatch, WELL, BROKEN)
    result = pipekit("doctor")
    assert result.code == 1
    assert f"✗ OpenCV       {BROKEN.text}\n               {BROKEN.fix}\n" in result.out


def test_json(pipekit, monkeypatch) -> None:
    pretend(monkeypatch, WELL, BROKEN)
    result = pipekit("doctor", "--json")
    assert result.code == 1
    assert json.loads(result.out) == [
        {"what": "Python", "state": "ok", "text": "3.11.7", "fix": ""},
        {"what": "OpenCV", "state": "broken", "text": BROKEN.text, "fix": BROKEN.fix},
    ]
