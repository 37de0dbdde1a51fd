"""``pipekit.inspect`` in Python finds what the command finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit
from pipekit.cli import main
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place = class_folders(tmp_path / "pets", {"cat": 3, "dog": 3}, size_px=48)
    (place / "dog" / "copy.png").write_bytes((place / "cat" / "cat_1.png").read_bytes())
    (place / "dog" / "bad.png").write_text("not an image", "utf-8")
    return place


def test_the_verb_finds_what_the_command_finds(folder: Path) -> None:
    looked = pipekit.inspect(folder, fail_on=["corrupt", "dark"], out="python", quarantine="python.csv", distance_bits=3)
    words = ["--fail-on", "corrupt,dark", "-o", "shell", "--quarantine", "shell.csv", "--distance-bits", "3"]
    assert main(["inspect", "pets", *words]) == 1
    assert looked.failing == ("corrupt",)
    assert (looked.folder, looked.found["num_images"]) == (Path("python"), 8)
    for name in ("inspect.html", "inspect.json"):
        assert Path("python", name).read_bytes() == Path("shell", name).read_bytes()
    assert Path("python.csv").read_bytes() == Path("shell.csv").read_bytes()
    assert json.loads(Path("python", "inspect.json").read_text("utf-8"))["summary"] == looked.found["summary"]


def test_checks_are_chosen_by_name_or_as_the_stage_takes_them(folder: Path) -> None:
    def made(**params: object) -> set[str]:
        return {finding["check"] for finding in pipekit.inspect(folder, **params).found["findings"]}

    assert made(only=["corrupt"]) == {"corrupt"}
    assert made(checks=["corrupt"]) == {"corrupt"}
    assert "corrupt" not in made(skip=["corrupt"])
    with pytest.raises(UserError, match="can't be combined"):
        pipekit.inspect(folder, only=["corrupt"], checks=["corrupt"])
    with pytest.raises(UserError, match="no check called 'leekage'"):
        pipekit.inspect(folder, fail_on=["leekage"])


def test_a_wrong_value_is_named_by_its_parameter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanError) as caught:
        pipekit.inspect(folder, distance_bits=99, max_shwon=3)
    assert {problem.path: problem.hint for problem in caught.value.problems}["max_shwon"] == "Did you mean 'max_shown'?"
    assert {problem.path for problem in caught.value.problems} == {"distance_bits", "max_shwon"}
    assert main(["inspect", "pets", "--distance-bits", "99"]) == 2
    assert "error: --distance-bits: " in capsys.readouterr().err
