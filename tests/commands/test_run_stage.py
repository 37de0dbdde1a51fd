"""``pipekit.run_stage`` against ``pipekit stage``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "images", {"cat": 4, "dog": 4})


def test_the_verb_makes_what_the_command_makes(pipekit, photos: Path, tmp_path: Path) -> None:
    fractions = {"train": 0.5, "val": 0.25, "test": 0.25}
    made = package.run_stage("split", dataset=photos, mode="hash", fractions=fractions)
    assert made.folder == tmp_path / "runs" / "stage-split"
    words = ("--mode", "hash", "--fractions", json.dumps(fractions))
    result = pipekit("stage", "split", "--dataset", "images", *words, "--out", "halves")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "halves"
    assert pipekit("stage", "split", "--dataset", "images", *words, "--name", "again").code == 0
    stages = json.loads((tmp_path / "runs" / "again" / "run.json").read_text())["stages"]
    assert stages[-1]["digest"] == made.artifact.digest
    assert package.run_stage("split", dataset="runs/again:dataset", mode="hash", fractions=fractions).outcome.stages[-1].cached


def test_a_parameter_that_is_called_like_an_argument(speckle: Path, tmp_path: Path) -> None:
    speckle.write_text(speckle.read_text().replace("title: str", "seed: str").replace("params.title", "params.seed"))
    made = package.run_stage("note", {"seed": "x"}, radius_px=7, seed=5, out=tmp_path / "notes", plugins=[str(speckle)])
    note = json.loads((made.folder / "note.txt").read_text())
    assert (made.folder, note["seed"], note["radius_px"]) == (tmp_path / "notes", "x", 7)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("values", "path", "said"),
    [
        ({"mode": "dice"}, "mode", "dice"),
        ({"modee": "hash"}, "modee", "has no parameter called"),
        ({"dataset": None}, "dataset", "is required: a dataset"),
    ],
)
def test_a_wrong_value_is_named_by_its_parameter(photos: Path, values: dict[str, object], path: str, said: str) -> None:
    with pytest.raises(PlanError) as raised:
        package.run_stage("split", {"dataset": photos, **values})
    assert [problem.path for problem in raised.value.problems] == [path]
    assert said in raised.value.problems[0].message


def test_what_can_not_be_run(photos: Path) -> None:
    with pytest.raises(UserError, match="no stage called 'splt'"):
        package.run_stage("splt", dataset=photos)
    with pytest.raises(UserError, match="images exists already"):
        package.run_stage("split", dataset=photos, out="images")
    with pytest.raises(PlanError) as raised:
        package.run_stage("evaluate", dataset=photos, model="images")
    assert (raised.value.problems[0].path, raised.value.problems[0].message) == ("model", "no model called 'images'")
