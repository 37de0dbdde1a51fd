"""The test kit kills stages in the middle: which ones it finds wanting, and where the kills lie."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipekit import Context, Dataset, Files, Params, Sample, SampleContext, images, param, sample_stage, stage
from pipekit import testing as kit
from pipekit.cli import main
from pipekit.registry.registry import Registry, load_registry
from pipekit.testing.checks import killing, run_checks
from pipekit.testing.checks.core import register_under_test


@stage
def trusting(ctx: Context, dataset: Dataset) -> Files:
    """Take a file that is there for a whole one."""
    part = ctx.work_dir / "ids.txt"
    if not part.exists():
        with part.open("w") as file:
            for sample in dataset:
                file.write(sample.id + "\n")
    (ctx.out_dir / "ids.txt").write_text(part.read_text())
    return ctx.artifact(Files)


@stage
def careful(ctx: Context, dataset: Dataset) -> Files:
    """Write under another name first."""
    part = ctx.work_dir / "ids.txt"
    if not part.exists():
        draft = part.with_suffix(".draft")
        with draft.open("w") as file:
            for sample in dataset:
                file.write(sample.id + "\n")
        draft.rename(part)
    (ctx.out_dir / "ids.txt").write_text(part.read_text())
    return ctx.artifact(Files)


@stage
def remembering(ctx: Context, dataset: Dataset) -> Files:
    """Keep beside the pipeline file which samples are done."""
    seen = ctx.project_dir / "seen.txt"
    done = seen.read_text().split() if seen.exists() else []
    new = []
    for sample in dataset:
        if sample.id not in done:
            new.append(sample.id)
            with seen.open("a") as file:
                file.write(sample.id + "\n")
    seen.unlink(missing_ok=True)
    (ctx.out_dir / "ids.txt").write_text("\n".join(new))
    return ctx.artifact(Files)


@stage
def littering(ctx: Context, dataset: Dataset) -> Files:
    """Leave notes of every attempt beside the pipeline file."""
    number = len(list(ctx.project_dir.glob("attempt-*")))
    (ctx.project_dir / f"attempt-{number}").write_text("begun")
    for sample in dataset:
        (ctx.out_dir / sample.id.replace("/", "_")).write_text(sample.id)
    return ctx.artifact(Files)


@stage
def refusing(ctx: Context, dataset: Dataset) -> Files:
    """Never begin where it has begun before."""
    begun = ctx.work_dir / "begun"
    if begun.exists():
        raise RuntimeError("it has begun already")
    begun.touch()
    (ctx.out_dir / "count.txt").write_text(str(len(dataset)))
    return ctx.artifact(Files)


ENDS_HERE: list[bool] = []
"""Not empty in the tests' own process alone."""


@stage
def endless(ctx: Context, dataset: Dataset) -> Files:
    """Never end, in a process of its own."""
    while not ENDS_HERE:
        time.sleep(0.01)
    return ctx.artifact(Files)


class ShareParams(Params):
    share: float = param(0.5, "How much", ge=0, le=1)


@sample_stage
def darken(sample: Sample, params: ShareParams, ctx: SampleContext) -> Iterator[Sample]:
    """Make every image darker, by a random share."""
    path = ctx.out_path(f"{sample.id}.png")
    dark = images.read(sample.image) * (1 - params.share * ctx.rng().uniform())
    images.write(path, dark.astype("uint8"))
    yield Sample(sample.id, str(path), label=sample.label)


@pytest.fixture
def registry() -> Registry:
    return load_registry(installed=False)


def verdict(registry: Registry, found: Any) -> Any:
    """What the kit says of a stage that is killed."""
    name = register_under_test(registry, "stage", found)
    verdicts = list(run_checks(registry, registry.get("stage", name)))
    return next(verdict for verdict in verdicts if verdict.promise.startswith("killed in the middle"))


@pytest.mark.parametrize("found", [careful, darken], ids=lambda found: found.__name__)
def test_who_takes_care_passes(found: Any) -> None:
    kit.check_stage(found)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (trusting, "does it mistake a half-written file for a complete one"),
        (remembering, "makes another result"),
        (littering, "leaves other files in the project's folder"),
        (refusing, "it fails: stage 'tried' failed: RuntimeError: it has begun already"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_who_does_not_is_found_out(registry: Registry, found: Any, problem: str) -> None:
    broken = verdict(registry, found).problem
    assert problem in broken
    assert "killed at test_trial.py, line " in broken


def test_what_no_other_process_finds_is_not_tried(registry: Registry) -> None:
    @stage
    def hidden(ctx: Context, dataset: Dataset) -> Files:
        """Where no other process finds it."""
        return ctx.artifact(Files)

    found = verdict(registry, hidden)
    assert found.problem == ""
    assert "move it to the top" in found.untried


def test_a_trial_ends(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "LIMIT_S", 3.0)
    ENDS_HERE.append(True)
    assert re.search(r"did not end within \d+ s", verdict(registry, endless).problem)


def test_it_is_killed_in_the_middle_and_in_the_middle_of_a_change() -> None:
    assert killing.kill_points(10, []) == [5]
    assert killing.kill_points(1, []) == [1]
    assert killing.kill_points(100, [10, 20, 90]) == [21, 50]
    assert killing.kill_points(8, [3, 8]) == [4, 8]


PLUGIN = '''
"""A plugin whose one stage resumes from whatever is there."""
import pipekit


@pipekit.stage
def collect(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Collect the ids."""
    part = ctx.work_dir / "ids.txt"
    if not part.exists():
        with part.open("w") as file:
            for sample in dataset:
                file.write(sample.id)
    (ctx.out_dir / "ids.txt").write_text(part.read_text())
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_stages(register):
    register("collect", collect)
'''


def test_the_command_kills_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("collector.py").write_text(PLUGIN)
    assert main(["plugins", "check", "collector.py"]) == 1
    out = capsys.readouterr().out
    assert "broken  killed in the middle and run again, it makes what an undisturbed run makes" in out
    assert "killed at collector.py, line " in out
