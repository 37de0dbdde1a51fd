"""``pipekit.train`` against the command of that name."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

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


SMALL = ("--model", "mlp", "--set", "model.units=[4]", "--epochs", "1", "--input", "8x8", "--no-report")


def _listed(file: Path) -> dict[str, str]:
    with file.open(newline="") as lines:
        return {row["id"]: row["split"] for row in csv.DictReader(lines)}


def test_the_split_is_kept_in_the_folder_of_the_run(pipekit, photos: Path, tmp_path: Path) -> None:
    """Two datasets don't share a file, the terminal says where it is, and it survives what is published later."""
    class_folders(tmp_path / "birds", {"crow": 8, "owl": 8})
    first = pipekit("train", "photos", *SMALL)
    assert first.code == 0, first.err
    assert "the split is kept in runs/photos/split.csv" in first.out + first.err
    assert pipekit("train", "birds", *SMALL, "--quiet").code == 0
    assert not (tmp_path / "split.csv").exists()
    before = _listed(tmp_path / "runs/photos/split.csv")
    assert (len(before), len(_listed(tmp_path / "runs/birds/split.csv"))) == (16, 16)
    for number in range(3):
        image = photos / "cat" / f"new-{number}.png"
        Image.new("RGB", (24, 24), (90 * number, 200, 30)).save(image)
    assert pipekit("train", "photos", *SMALL).code == 0
    after = _listed(tmp_path / "runs/photos/split.csv")
    assert len(after) == 19
    assert {name: after[name] for name in before} == before
    assert (tmp_path / "runs/photos/run.json").is_file()
    assert pipekit("stage", "split", "--dataset", "photos").code == 0
    assert not (tmp_path / "split.csv").exists()


def test_a_split_file_that_is_there_or_is_named_is_used(pipekit, photos: Path, tmp_path: Path) -> None:
    assert pipekit("split", "photos", "--fractions", "0.5,0.25,0.25").code == 0
    before = (tmp_path / "split.csv").read_bytes()
    assert pipekit("train", "photos", *SMALL).code == 0
    assert (tmp_path / "split.csv").read_bytes() == before
    assert not (tmp_path / "runs/photos/split.csv").exists()
    assert pipekit("train", "photos", *SMALL, "--set", "split.file=mine.csv").code == 0
    assert len(_listed(tmp_path / "mine.csv")) == 16


def test_a_run_that_was_stopped_after_its_split_leaves_a_place_for_the_next(pipekit, photos: Path, tmp_path: Path) -> None:
    def stop(event: str, **values: object) -> None:
        if event == "stage_started" and values["stage"] == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package.train("photos", model="mlp", name="t", report=False, listener=stop)
    assert [path.name for path in (tmp_path / "runs/t").iterdir()] == ["split.csv"]
    assert pipekit("inspect", "t:split").code == 0
    assert pipekit("train", "photos", *SMALL, "--name", "t").code == 0
    assert {"split.csv", "run.json"} <= {path.name for path in (tmp_path / "runs/t").iterdir()}


def test_what_is_wrong_with_folds_is_said_with_all_other_mistakes(pipekit, photos: Path) -> None:
    with pytest.raises(PlanError) as raised:
        package.train(photos, folds=2, report=False, epochs=0, fold=1, split={"folds": 3, "fractions": {"train": 2}})
    found = {problem.path: problem.message for problem in raised.value.problems}
    assert list(found) == ["split.folds", "fold", "folds", "split.fractions", "epochs"]
    assert "set with `folds`" in found["fold"]
    assert [problem.message for problem in raised.value.problems if problem.path == "folds"] == [
        "cross-validation needs at least 3 folds, got 2: one is held out, one is val, one is learned from",
        "cross-validation measures, and the report is what it measures for",
    ]
    assert not Path("runs").exists()
    said = pipekit("train", "photos", "--folds", "2", "--epochs", "0").err
    assert "--folds: cross-validation needs at least 3 folds" in said
    assert "--epochs: input should be greater" in said


def test_folds_measure_every_image_and_keep_a_model_of_all(pipekit, photos: Path, tmp_path: Path) -> None:
    """Whatever the number of workers; and what is cached isn't trained again."""
    small = {"model": {"template": "mlp", "units": [4]}, "epochs": 1, "input_hw": [8, 8]}
    words = ("--model", "mlp", "--set", "model.units=[4]", "--epochs", "1", "--input", "8x8")
    result = pipekit("train", "photos", *words, "--folds", "3", "--workers", "1")
    assert result.code == 0, result.err
    assert "16 images in 3 folds" in result.out
    run = tmp_path / "runs/photos"
    with (run / "predictions.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 16
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    assert set(_listed(run / "folds.csv").values()) == {"train"}
    info = json.loads((run / "model.json").read_text())
    assert info["images"] == {"train": 16, "val": 0}
    assert [row["images"] for row in info["cross_validation"]["folds"]] == [6, 5, 5]
    notes: list[str] = []
    again = package.train(photos, folds=3, workers=2, **small, listener=lambda event, **values: notes.append(event))
    assert all(stage.cached for stage in again.stages)
    assert "epoch" not in notes


def test_what_is_wrong_with_seeds_is_said_before_anything_runs(photos: Path) -> None:
    with pytest.raises(PlanError) as raised:
        package.train(photos, seeds=5, folds=5, report=False)
    found = [problem.message.partition(":")[0] for problem in raised.value.problems]
    assert found == [
        "folds and seeds can't be combined",
        "seeds are compared by the report",
        "cross-validation measures, and the report is what it measures for",
    ]
    with pytest.raises(PlanError, match="expected 1 to 100 seeds, got 0"):
        package.train(photos, seeds=0)
    assert not Path("runs").exists()


def test_the_trainings_of_several_seeds_share_the_split_and_end_in_one_report(photos: Path) -> None:
    from pipekit.commands.train import _add_seeds
    from pipekit.commands.working import new_pipeline

    pipeline = new_pipeline(name="t", seed=7)
    divided = pipeline.add("split", "split", dataset=pipeline.dataset(photos), remember=False)
    pipeline.add("train", "train", dataset=divided, model="mlp")
    _add_seeds(pipeline, divided, range(7, 10))
    stages = {stage.name: stage for stage in pipeline.plan().stages}
    names = list(stages)
    assert names.index("train") > names.index("train_2") > names.index("train_3"), "the first seed's model is the run's"
    assert [stages[name].params.seed for name in ("train", "train_2", "train_3")] == [None, 8, 9]
    assert {stages[name].inputs["dataset"] for name in names if name.startswith(("train", "report_"))} == {("split",)}
    assert stages["report"].inputs["reports"] == ("report_1", "report_2", "report_3")
    assert stages["report"].params.seeds == (7, 8, 9)
