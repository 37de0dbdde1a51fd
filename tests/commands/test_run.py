"""``pipekit.run`` and ``pipekit.forecast`` against ``pipekit run``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.engine.matrix import MatrixOutcome
from pipekit.engine.outcome import Outcome
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders

PIPELINE = """
name = "pets"
[stages.data]
use = "import.folders"
path = "images"
[stages.split]
use = "split"
mode = "hash"
"""

MATRIX = """
[matrix]
select = "split.train"
values = { "split.mode" = ["hash", "stratified"] }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    class_folders(tmp_path / "images", {"cat": 6, "dog": 6})
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    return tmp_path / "pipeline.toml"


def test_the_verb_makes_what_the_command_makes(pipekit, file: Path, tmp_path: Path) -> None:
    foreseen = package.forecast(file)
    assert [(step.stage, step.state) for step in foreseen.steps] == [("data", "run"), ("split", "depends")]
    assert not (tmp_path / "runs").exists()
    made = package.run(tmp_path, {"stages.split.duplicates": "exact"})
    assert isinstance(made, Outcome)
    assert made.run_dir == tmp_path / "runs" / "pets"
    result = pipekit("run", "--set", "stages.split.duplicates=exact")
    assert result.code == 0, result.err
    stages = json.loads((made.run_dir / "run.json").read_text())["stages"]
    assert [stage.artifact.digest for stage in made.stages] == [stage["digest"] for stage in stages]
    assert result.out.count("cached") == 2
    again = package.run(file, ["stages.split.duplicates=exact"], until="data")
    assert isinstance(again, Outcome)
    assert [(stage.name, stage.cached) for stage in again.stages] == [("data", True)]
    with pytest.raises(UserError, match="is finished"):
        package.run(file, {"stages.split.duplicates": "exact"}, resume=True)


def test_a_matrix_returns_its_combinations(pipekit, file: Path) -> None:
    file.write_text(PIPELINE + MATRIX, encoding="utf-8")
    assert package.forecast(file).num_combinations == 2
    made = package.run(file)
    assert isinstance(made, MatrixOutcome)
    assert [row.values["split.mode"] for row in made.combinations] == ["hash", "stratified"]
    assert made.best is not None
    result = pipekit("run")
    assert result.code == 0, result.err
    assert "1 of 2: split.mode = " in result.out
    assert "Best by split.train: " in result.out
    assert isinstance(package.run(file, only="data"), Outcome)


def test_mistakes_name_their_place_in_the_file(file: Path) -> None:
    with pytest.raises(PlanError) as raised:
        package.run(file, {"stages.split.mode": "dice"})
    assert [problem.path for problem in raised.value.problems] == ["stages.split.mode"]
    with pytest.raises(UserError, match="no plugin of that name"):
        package.forecast(file, disable=["nothing"])
