"""The engine: what runs, what is taken from the store, and what people are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipekit.engine.run import KEPT, run_plan
from pipekit.engine.run import forecast as engine_forecast
from pipekit.errors import StageError, UserError
from pipekit.pipeline.plan import load_plan
from tests.conftest import DATA, Trial, fill

CHAIN = {"data": DATA, "stamp": {"use": "stamp", "amount": 2}, "measure": {"use": "measure"}}


def digests(outcome: Any) -> list[str]:
    return [stage.artifact.digest for stage in outcome.stages]


def states(outcome: Any) -> dict[str, bool]:
    return {stage.name: stage.cached for stage in outcome.stages}


# --- the same bytes, whoever makes them ----------------------------------------------------------------------------------


def test_workers_shard_sizes_and_executors_change_nothing(trial: Trial) -> None:
    fill(trial, 24)
    seen = []
    for settings in (
        {"workers": 1, "shard_size": 1},
        {"workers": 2, "shard_size": 5, "executor": "threads"},
        {"workers": 2, "shard_size": 128, "executor": "serial"},
        {"workers": 2, "shard_size": 7, "executor": "processes"},
    ):
        outcome = trial.run(CHAIN, seed=3, choice={"again": ["data", "stamp", "measure"]}, **settings)
        assert not any(states(outcome).values())
        assert len(trial.done()) == 24 + 48
        seen.append(digests(outcome))
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert digests(trial.run(CHAIN, seed=4, shard_size=7))[1] != seen[0][1], "another seed makes other files"


def test_where_and_how_it_runs_is_in_no_key(trial: Trial) -> None:
    fill(trial, 4)
    trial.run(CHAIN)
    for settings in ({"workers": 3}, {"shard_size": 2}, {"executor": "processes"}, {"name": "other"}, {"max_failed": 0.5}):
        assert all(states(trial.run(CHAIN, **settings)).values()), settings
        assert trial.done() == []


def test_one_file_more_redoes_one_shard_and_back_again_none(trial: Trial) -> None:
    fill(trial, 200)
    first = trial.run(CHAIN, shard_size=16)
    assert len(trial.done()) == 200 + 400
    before = trial.shards()
    trial.write("a/new.png")
    trial.run({name: CHAIN[name] for name in ("data", "stamp")}, shard_size=16)
    added = trial.shards() - before
    assert 1 <= len(added) <= 2, "one shard, or the two that it was split into"
    assert "a/new.png" in trial.done()
    assert len(trial.done()) <= 17
    (trial.path / "images/a/new.png").unlink()
    again = trial.run(CHAIN, shard_size=16)
    assert trial.done() == []
    assert all(states(again).values())
    assert digests(again) == digests(first)


def test_an_unchanged_run_does_nothing_and_writes_nothing(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)  # the hash of a file of this moment is kept
    fill(trial, 5)
    trial.run(CHAIN)

    def snapshot() -> dict[str, int]:
        files = [path for folder in (trial.store, trial.path / "runs") for path in folder.rglob("*") if path.is_file()]
        # The time of a part of an index is that of its last use.
        return {str(path): 0 if "parts" in path.parts else path.stat().st_mtime_ns for path in files}

    before = snapshot()
    outcome = trial.run(CHAIN)
    assert trial.done() == []
    assert [event for event, _ in trial.events] == [
        "run_started",
        "stage_cached",
        "stage_cached",
        "stage_cached",
        "run_finished",
    ]
    assert snapshot() == before
    assert outcome.headline == "10 files"
    assert outcome.stages[-1].facts == {"files": "10"}


def test_a_cached_run_imports_no_heavy_library(trial: Trial) -> None:
    script = """
        import sys
        from pathlib import Path
        from pipekit.engine.run import run_plan
        from pipekit.pipeline.plan import load_plan
        outcome = run_plan(load_plan(Path("pipeline.toml")))
        print(sum(not stage.cached for stage in outcome.stages), *sys.modules)
    """
    from pipekit.testing.checks import write_tiny_dataset

    write_tiny_dataset(trial.path / "images", 4)
    (trial.path / "pipeline.toml").write_text(
        """
        [stages.data]
        use = "import.folders"
        path = "images"
        [stages.split]
        use = "split"
        [stages.augment]
        use = "augment"
        ops = [{ op = "hflip" }, { op = "rotate" }]
        [stages.train]
        use = "train"
        epochs = 1
        """
    )
    first = run_plan(load_plan(trial.path / "pipeline.toml"), until="augment")
    assert not any(states(first).values())
    trimmed = (trial.path / "pipeline.toml").read_text().partition("[stages.train]")[0]
    (trial.path / "pipeline.toml").write_text(trimmed)
    out, error = trial.start(script).communicate()
    assert out, error
    count, *modules = out.split()
    assert count == "0"
    assert not {"tensorflow", "keras", "albumentations", "matplotlib", "sklearn", "torch", "pandas"} & set(modules)


# --- what is redone ------------------------------------------------------------------------------------------------------


def test_equal_bytes_from_a_changed_stage_stop_the_cascade(trial: Trial) -> None:
    fill(trial, 6)
    stages = {"data": DATA, "keep": {"use": "keep"}, "stamp": {"use": "stamp"}}
    first = trial.run(stages)
    second = trial.run({**stages, "keep": {"use": "keep", "words": ["a/", "b/"]}})
    assert states(second) == {"data": True, "keep": False, "stamp": True}
    assert trial.done() == ["stage keep"]
    assert digests(second) == digests(first)
    third = trial.run({**stages, "keep": {"use": "keep", "words": ["a/"]}})
    assert states(third) == {"data": True, "keep": False, "stamp": False}


def test_a_parameter_outside_the_key_and_a_renamed_stage_redo_nothing(trial: Trial) -> None:
    fill(trial, 3)
    trial.run({"data": DATA, "stamp": {"use": "stamp"}})
    outcome = trial.run({"images": DATA, "other": {"use": "stamp", "seconds": 0.01}})
    assert all(states(outcome).values())


def test_a_plugin_file_that_was_edited_is_another_version(trial: Trial) -> None:
    fill(trial, 3)
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    first = trial.run(stages)
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text().replace("bytes(8)", "bytes(9)"))
    second = trial.run(stages)
    assert states(second) == {"data": True, "stamp": False}
    assert digests(second)[1] != digests(first)[1]


def test_again_redoes_a_stage_and_its_shards(trial: Trial) -> None:
    fill(trial, 4)
    first = trial.run(CHAIN)
    outcome = trial.run(CHAIN, choice={"again": ["stamp"]})
    assert states(outcome) == {"data": True, "stamp": False, "measure": True}
    assert len(trial.done()) == 4
    assert digests(outcome) == digests(first)


def test_again_forgets_the_failures_of_a_stage_that_never_finished(trial: Trial) -> None:
    """A sample that failed for a reason of the moment is kept as failed; --again is the way to try it anew."""
    fill(trial, 4)
    (trial.path / "flaky").touch()
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text().replace("time.sleep(params.seconds)", FLAKY))
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    with pytest.raises(StageError, match="network"):
        trial.run(stages)
    (trial.path / "flaky").unlink()
    with pytest.raises(StageError, match="network"):
        trial.run(stages)
    assert trial.done() == []
    outcome = trial.run(stages, choice={"again": ["stamp"]})
    assert outcome.stages[1].artifact.meta["num_samples"] == 4


FLAKY = """
    if (Path(__file__).parent / "flaky").exists():
        raise ConnectionError("the network drive is gone")
"""


def test_until_and_only(trial: Trial) -> None:
    fill(trial, 3)
    with pytest.raises(UserError, match="not in the store") as caught:
        trial.run(CHAIN, choice={"only": "measure"})
    assert caught.value.hint == "Run it first: --until data"
    outcome = trial.run(CHAIN, choice={"until": "stamp"})
    assert states(outcome) == {"data": False, "stamp": False}
    outcome = trial.run(CHAIN, choice={"only": "measure"})
    assert states(outcome) == {"data": True, "stamp": True, "measure": False}
    with pytest.raises(UserError, match="can't be combined"):
        trial.run(CHAIN, choice={"only": "stamp", "until": "stamp"})
    for option in ("until", "only"):
        with pytest.raises(UserError, match="stamq") as caught:
            trial.run(CHAIN, choice={option: "stamq"})
        assert caught.value.hint == "Did you mean 'stamp'?"
    with pytest.raises(UserError, match="stamq"):
        trial.run(CHAIN, choice={"again": ["stamq"]})


def test_until_leaves_out_what_the_stage_does_not_need(trial: Trial) -> None:
    fill(trial, 3)
    stages = {"data": DATA, "aside": {"use": "stamp"}, "keep": {"use": "keep", "dataset": "data"}}
    assert states(trial.run(stages, choice={"until": "keep"})) == {"data": False, "keep": False}


# --- the forecast --------------------------------------------------------------------------------------------------------


def forecast(trial: Trial, stages: Any, **choice: Any) -> dict[str, tuple[str, str]]:
    return {step.stage: (step.state, step.reason) for step in engine_forecast(trial.plan(stages), **choice)}


def test_the_forecast_says_what_would_run_and_why(trial: Trial) -> None:
    fill(trial, 4)
    assert forecast(trial, CHAIN) == {
        "data": ("run", "never run before"),
        "stamp": ("depends", "on the result of data"),
        "measure": ("depends", "on the result of stamp"),
    }
    assert not trial.shards()
    trial.run(CHAIN)
    assert [state for state, _ in forecast(trial, CHAIN).values()] == ["cached"] * 3
    assert forecast(trial, {**CHAIN, "stamp": {"use": "stamp", "amount": 3}})["stamp"] == ("run", "amount: 2 -> 3")
    trial.write("a/000.png", text="other")
    assert forecast(trial, CHAIN)["data"] == ("run", "path has changed")
    assert forecast(trial, CHAIN, again=["data"])["data"] == ("run", "asked for with --again")
    assert list(forecast(trial, CHAIN, until="stamp")) == ["data", "stamp"]


def test_the_forecast_of_failures_above_the_limit(trial: Trial) -> None:
    fill(trial, 4)
    stages = {"data": DATA, "stamp": {"use": "stamp", "fail": "000", "max_failed": 0.5}, "measure": {"use": "measure"}}
    trial.run(stages)
    state, reason = forecast(trial, {**stages, "stamp": {**stages["stamp"], "max_failed": 0}})["stamp"]
    assert state == "fails"
    assert reason.startswith("1 of 4 samples can't be used (25.0%), and max_failed allows 0.0%")


# --- samples that fail ---------------------------------------------------------------------------------------------------


def test_failed_samples_are_listed_and_held_against_the_limit(trial: Trial) -> None:
    fill(trial, 20)
    stages = {"data": DATA, "stamp": {"use": "stamp", "fail": "007", "amount": 3}, "keep": {"use": "keep"}}
    outcome = trial.run(stages)
    dataset = outcome.artifact("keep")
    assert len(dataset) == 57
    assert [(f.id, f.reason[:25]) for f in dataset.failed()] == [("b/007.png", "ValueError: asked to fail")]
    assert trial.told("failed_samples")[0]["count"] == 1
    assert trial.told("failed_samples")[0]["total"] == 20
    with pytest.raises(StageError, match=r"1 of 20 samples can't be used \(5.0%\), and max_failed allows 2.0%") as caught:
        trial.run(stages, max_failed=0.02)
    assert "b/007.png: ValueError: asked to fail" in caught.value.message
    assert caught.value.hint.startswith("Fix or remove them: pipekit inspect FOLDER --quarantine bad.csv lists them"), "no file"
    assert caught.value.hint.endswith(KEPT)
    with pytest.raises(StageError) as caught:
        run_plan(replace(trial.plan(stages, max_failed=0.02), file=trial.path / "pipeline.toml"))
    assert caught.value.hint == "Fix or remove them, or allow it: --set stages.stamp.max_failed=0.06\n  " + KEPT
    assert trial.done() == [], "the limit is held against what is in the store, too"
    assert trial.told("stage_failed")[0]["stage"] == "stamp"
    assert all(states(trial.run(stages)).values())


def test_copies_do_not_dilute_the_share_of_failures(trial: Trial) -> None:
    fill(trial, 10)
    with pytest.raises(StageError, match=r"1 of 10 samples can't be used \(10.0%\)"):
        trial.run({"data": DATA, "stamp": {"use": "stamp", "fail": "007", "amount": 9}})


def test_files_that_went_away_after_listing_are_failures(trial: Trial) -> None:
    fill(trial, 10)
    (trial.path / "images/a/gone.png").symlink_to("nowhere.png")
    with pytest.raises(StageError, match=r"a/gone\.png: No such file or directory"):
        trial.run({"data": DATA})
    outcome = trial.run({"data": {**DATA, "max_failed": 0.2}})
    assert [f.id for f in outcome.artifact("data").failed()] == ["a/gone.png"]
    assert trial.told("failed_samples")[0]["total"] == 11


# --- people are told -----------------------------------------------------------------------------------------------------


def test_warnings_are_repeated_for_a_cached_stage(trial: Trial) -> None:
    fill(trial, 2)
    stages = {"data": DATA, "keep": {"use": "keep", "words": ["warn", "a/"]}}
    for _ in range(2):
        outcome = trial.run(stages)
        assert [values["message"] for values in trial.told("warning")] == ["this is a warning"]
        assert outcome.stages[1].warnings == ("this is a warning",)
    assert all(states(outcome).values())


OBSERVER = """
import os
from pathlib import Path
import pipekit

def note(word):
    with open(Path(__file__).parent / "observed.txt", "a") as log:
        log.write(word + "\\n")

@pipekit.hookimpl
def before_stage(run, stage):
    note(f"before {stage.name} {run.status}")

@pipekit.hookimpl
def after_stage(run, stage, artifact):
    note(f"after {stage.name} cached={stage.cached} {artifact.kind}")

@pipekit.hookimpl
def on_stage_error(run, stage, error):
    note(f"error {stage.name} {type(error).__name__}")

@pipekit.hookimpl
def after_run(run):
    note(f"end {run.status} {(run.run_dir / 'run.json').exists()}")
"""

LOUD = """
import pipekit

@pipekit.hookimpl
def before_stage(stage):
    raise RuntimeError("the tracker is down")

@pipekit.hookimpl
def after_run(run):
    raise SystemExit(3)
"""


EVENTS = """
from pathlib import Path
import pipekit

@pipekit.hookimpl
def on_event(run, event, values):
    with open(Path(__file__).parent / "events.txt", "a") as log:
        log.write(f"{event} {values.get('stage', '')} {run.name} {run.status}\\n")
"""

FAILING = """
import pipekit

@pipekit.hookimpl
def on_event(event, values):
    if event == "stage_started":
        values["stage"] = "another"
"""


def test_observers_of_events_get_each_and_one_that_raises_is_left_out(trial: Trial) -> None:
    fill(trial, 2)
    (trial.path / "events.py").write_text(EVENTS)
    (trial.path / "failing.py").write_text(FAILING)
    plugins = ["trial_plugin.py", "failing.py", "events.py"]
    trial.run({"data": DATA, "keep": {"use": "keep"}}, plugins=plugins)
    (warning,) = [values["message"] for values in trial.told("warning")]
    assert warning.startswith("observer on_event of plugin 'failing' failed: TypeError: 'mappingproxy' object does not support")
    assert warning.endswith("it gets no further event of this run")
    lines = (trial.path / "events.txt").read_text().splitlines()
    assert lines[0] == "run_started  trial running"
    assert lines[-1] == "run_finished  trial finished"
    told = [line for line in lines if line.startswith("stage_")]
    assert told == [
        f"{event} {stage} trial running" for stage in ("data", "keep") for event in ("stage_started", "stage_finished")
    ]


def test_observers_are_told_in_order_and_stop_nothing(trial: Trial) -> None:
    fill(trial, 2)
    (trial.path / "observer.py").write_text(OBSERVER)
    (trial.path / "loud.py").write_text(LOUD)
    plugins = ["trial_plugin.py", "loud.py", "observer.py"]
    stages = {"data": DATA, "keep": {"use": "keep"}}
    trial.run(stages, plugins=plugins)
    warnings = [values["message"] for values in trial.told("warning")]
    assert warnings == [
        "observer before_stage of plugin 'loud' failed: RuntimeError: the tracker is down (loud.py, line 6)",
        "observer before_stage of plugin 'loud' failed: RuntimeError: the tracker is down (loud.py, line 6)",
        "observer after_run of plugin 'loud' failed: SystemExit: 3 (loud.py, line 10)",
    ]
    trial.run(stages, plugins=plugins)
    with pytest.raises(StageError):
        trial.run({"data": DATA, "stamp": {"use": "stamp", "fail": "a"}}, plugins=plugins)
    assert (trial.path / "observed.txt").read_text().splitlines() == [
        "before data running",
        "after data cached=False dataset",
        "before keep running",
        "after keep cached=False dataset",
        "end finished True",
        "after data cached=True dataset",
        "after keep cached=True dataset",
        "end finished True",
        "after data cached=True dataset",
        "before stamp running",
        "error stamp StageError",
        "end failed True",
    ]


def test_the_events_of_a_run(trial: Trial) -> None:
    fill(trial, 3)
    trial.run({"data": DATA, "stamp": {"use": "stamp"}})
    names = [event for event, _ in trial.events if event != "progress"]
    assert names == ["run_started", *["stage_started", "stage_finished"] * 2, "run_finished"]
    assert trial.events[0][1] == {"name": "trial", "file": "", "stages": ["data", "stamp"]}
    last = trial.told("progress")[-1]
    assert (last["stage"], last["done"], last["total"], last["unit"]) == ("stamp", 3, 3, "images")
    assert trial.events[-1][1]["status"] == "finished"
    assert json.dumps(trial.events, default=str)


def test_a_stage_may_map_over_files_that_it_writes_itself(trial: Trial) -> None:
    stages = {"frames": {"use": "frames"}, "measure": {"use": "measure"}}
    outcome = trial.run(stages)
    texts = {sample.id: Path(sample.image).read_text() for sample in outcome.artifact("frames")}
    assert texts == {
        **{str(number): str(number) for number in range(3)},
        **{f"{number}-twice": f"{number}{number}" for number in range(3)},
        **{f"{number}-same": str(number) for number in range(3)},
    }
    assert all(states(trial.run(stages)).values())
    moved = Trial(trial.path.rename(trial.path.with_name("elsewhere")))
    outcome = moved.run(stages)
    assert all(states(outcome).values())
    assert all(Path(sample.image).is_file() for sample in outcome.artifact("frames"))


# --- moving --------------------------------------------------------------------------------------------------------------


def test_a_project_folder_may_move(trial: Trial) -> None:
    fill(trial, 6)
    stages = {"data": DATA, "stamp": {"use": "stamp"}, "keep": {"use": "keep", "dataset": "data"}}
    trial.run(stages)
    moved = Trial(trial.path.rename(trial.path.with_name("elsewhere")))
    outcome = moved.run(stages)
    assert all(states(outcome).values())
    assert moved.done() == []
    for stage in ("data", "stamp", "keep"):
        for sample in outcome.artifact(stage):
            assert sample.image.startswith(str(moved.path))
            assert Path(sample.image).is_file()


def test_an_image_folder_outside_the_project_may_move(trial: Trial) -> None:
    fill(trial, 6)
    place = (trial.path / "images").rename(trial.path.parent / "photos")
    stages = {"data": {**DATA, "path": str(place)}, "keep": {"use": "keep"}}
    trial.run(stages)
    moved = place.rename(trial.path.parent / "other photos")
    outcome = trial.run({**stages, "data": {**DATA, "path": str(moved)}})
    assert all(states(outcome).values())
    assert all(Path(sample.image).parent.parent == moved for sample in outcome.artifact("keep"))
    third = trial.run({**stages, "data": {**DATA, "path": str(moved)}, "stamp": {"use": "stamp"}})
    assert len(third.artifact("stamp")) == 6


def test_a_store_may_be_kept_elsewhere(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 3)
    monkeypatch.setenv("PIPEKIT_STORE", str(trial.path.parent / "cache"))
    trial.run(CHAIN)
    assert not trial.store.exists()
    assert all(states(trial.run(CHAIN)).values())


def test_a_store_that_can_not_be_written(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 3)
    (trial.path.parent / "file").touch()
    monkeypatch.setenv("PIPEKIT_STORE", str(trial.path.parent / "file" / "store"))
    with pytest.raises(UserError, match="Not a directory"):
        trial.run(CHAIN)


def test_a_disk_that_is_full_fails_the_run_and_keeps_what_is_finished(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 12)
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    first = trial.run(stages, choice={"again": ["data", "stamp"]}, shard_size=3)
    trial.run(stages, choice={"again": ["stamp"]}, shard_size=3)
    import pipekit.engine.worker

    write, count = pipekit.engine.worker._write, iter(range(1000))

    def full(path: Path, data: bytes) -> str:
        if next(count) >= 6:
            raise OSError(28, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(pipekit.engine.worker, "_write", full)
    with pytest.raises(StageError, match="No space left on device"):
        trial.run(stages, choice={"again": ["stamp"]}, shard_size=3)
    monkeypatch.undo()
    monkeypatch.setenv("TRIAL_LOG", str(trial.log_file))
    outcome = trial.run(stages, shard_size=3)
    assert 0 < len(trial.done()) < 12
    assert digests(outcome) == digests(first)
