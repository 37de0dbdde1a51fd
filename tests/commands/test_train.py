"""``pipekit.train`` against the command of that name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", {"cat": 8, "dog": 8})


def test_the_verb_makes_what_the_command_makes(pipekit, photos: Path, tmp_path: Path) -> None:
    words = ("--model", "mlp", "--set", "model.units=[4]", "--epochs", "1", "--ops", "hflip", "--input", "10x12")
    result = pipekit("train", "photos", *words, "--fractions", "{ train = 0.5, val = 0.25, test = 0.25 }", "--no-report")
    assert result.code == 0, result.err
    stages = json.loads((tmp_path / "runs" / "photos" / "run.json").read_text())["stages"]
    events: list[str] = []
    made = package.train(
        photos,
        model={"template": "mlp", "units": [4]},
        epochs=1,
        ops="hflip",
        input_hw=(10, 12),
        split={"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        report=False,
        listener=lambda event, **values: events.append(event),
    )
    assert [(stage.name, stage.artifact.digest) for stage in made.stages] == [(each["name"], each["digest"]) for each in stages]
    assert all(stage.cached for stage in made.stages)
    assert "stage_cached" in events
    assert (made.name, made.run_dir) == ("photos", tmp_path / "runs" / "photos")
    with pytest.raises(UserError, match="'photos' is finished"):
        package.train(photos, model={"template": "mlp", "units": [4]}, epochs=1, ops="hflip", resume=True, report=False,
                      input_hw=(10, 12), split={"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}})  # fmt: skip


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({"epochs": 0}, "epochs", "greater than or equal to 1"),
        ({"epoch": 3}, "epoch", "no parameter"),
        ({"ops": "rotato(3)"}, "ops", "no op called 'rotato'"),
        ({"split": {"fractions": {"train": 2}}}, "split.fractions", "share between 0 and 1"),
    ],
)
def test_a_wrong_value_is_named_by_its_parameter(photos: Path, given: dict[str, object], path: str, said: str) -> None:
    with pytest.raises(PlanError) as raised:
        package.train(photos, **given)
    (problem,) = raised.value.problems
    assert problem.path == path
    assert said in problem.message
    assert not Path("runs").exists()
