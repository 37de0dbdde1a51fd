"""Damage that a stage would meet without pipekit's functions for reading: it is found, and recomputed in the same run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, Trial

PLUGIN = '''


def mark_one(sample, params, ctx):
    path = ctx.out_path(sample.id + ".txt")
    path.write_text(f"mark of {sample.id}")
    yield replace(sample, image=str(path), sha256="")


@pipekit.stage
def marks(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """A file made of files of shards, and links to them."""
    texts = []
    for number, row in enumerate(ctx.map(mark_one, dataset)):
        os.link(row.image, ctx.out_dir / f"{number}.mark")
        texts.append(Path(row.image).read_text())
        assert texts[-1].startswith("mark of"), "a stage may stumble over damage"
    (ctx.out_dir / "marks.txt").write_text("/".join(texts))
    return ctx.artifact(pipekit.Files)


@pipekit.stage
def weigh(ctx: pipekit.Context, files: pipekit.Files) -> pipekit.Files:
    (ctx.out_dir / "weight.txt").write_text(str(sum((files.path / "marks.txt").read_bytes())))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl(specname="register_stages")
def register_more(register):
    register("marks", marks)
    register("weigh", weigh)
'''
STAGES: dict[str, Any] = {
    "data": DATA,
    "marks": {"use": "marks", "dataset": "data"},
    "weigh": {"use": "weigh", "files": "marks"},
}


@pytest.fixture
def marked(trial: Trial) -> Trial:
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text() + PLUGIN)
    trial.write(*(f"cat/{number}.png" for number in range(4)))
    return trial


def spoil(path: Path, at: int) -> None:
    """Change one bit of a file that may be read-only, in place: a hard link to it changes too."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    with path.open("r+b") as file:
        file.write(data)


def shown(trial: Trial) -> dict[str, bytes]:
    run_dir = trial.path / "runs/trial"
    files = (
        path for path in run_dir.rglob("*") if path.is_file() and path.name not in ("run.json", "pipeline.toml", ".view.json")
    )
    return {path.relative_to(run_dir).as_posix(): path.read_bytes() for path in files}


def told_damage(trial: Trial) -> list[str]:
    return [values["message"] for values in trial.told("warning") if "is damaged" in values["message"]]


@pytest.mark.parametrize("at", [0, -1])
def test_damage_in_a_shard_that_a_stage_opens_itself_is_recomputed(marked: Trial, at: int) -> None:
    """At the first letter the stage stumbles over it; at the last one it would make another file of it."""
    marked.run(STAGES)
    expected = shown(marked)
    spoil(next(iter(sorted(marked.store.glob("shards/**/*.txt")))), at)
    shutil.rmtree(marked.store / "artifacts")
    shutil.rmtree(marked.path / "runs")
    marked.run(STAGES)
    assert shown(marked) == expected
    assert told_damage(marked)


def test_damage_in_files_that_a_stage_is_given_is_recomputed(marked: Trial) -> None:
    expected = marked.run(STAGES).artifact("weigh").digest
    marks = marked.run(STAGES).artifact("marks").path
    spoil(marks / "marks.txt", -1)
    assert marked.run(STAGES, choice={"again": ["weigh"]}).artifact("weigh").digest == expected
    assert any(marks.name in message for message in told_damage(marked))


def test_damage_that_is_found_when_results_are_shown_is_recomputed_in_the_same_run(marked: Trial) -> None:
    outcome = marked.run(STAGES)
    expected = shown(marked)
    spoil(outcome.artifact("weigh").path / "weight.txt", 0)
    shutil.rmtree(marked.path / "runs")
    marked.run(STAGES)
    assert shown(marked) == expected
    assert told_damage(marked)


@pytest.mark.parametrize("packed", [False, True])
def test_what_an_earlier_run_made_is_compared_before_it_is_linked(trial: Trial, packed: bool) -> None:
    trial.write("cat/1.png", "cat/2.png")
    stages = {"data": DATA, "stamp": {"use": "stamp", "packed": packed}}
    trial.run(stages)
    expected = shown(trial)
    made = next(iter(sorted(trial.store.glob("shards/**/*.tar" if packed else "shards/**/*.png"))))
    spoil(made, 0)
    os.utime(made, (1, 1))
    shutil.rmtree(trial.path / "runs")
    trial.run(stages)
    assert shown(trial) == expected
    assert told_damage(trial)


MASKED = '''


def outline_one(sample, params, ctx):
    yield {"id": sample.id, "mask": Path(sample.targets.mask).read_text()}


@pipekit.stage
def outline(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Reads masks without pipekit's functions."""
    (ctx.out_dir / "masks.txt").write_text("".join(row["mask"] for row in ctx.map(outline_one, dataset)))
    return ctx.artifact(pipekit.Files)


def mask_one(sample, params, ctx):
    path = ctx.out_path(sample.id + ".mask")
    path.write_text("a mask")
    yield replace(sample, targets=pipekit.Targets(mask=str(path)))


@pipekit.stage
def mask(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Dataset:
    return ctx.dataset(ctx.map(mask_one, dataset))


@pipekit.hookimpl(specname="register_stages")
def register_masks(register):
    register("mask", mask)
    register("outline", outline)
'''


def test_a_damaged_mask_that_a_function_opens_itself_is_recomputed(trial: Trial) -> None:
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text() + MASKED)
    trial.write("cat/1.png")
    stages = {"data": DATA, "mask": {"use": "mask"}, "outline": {"use": "outline", "dataset": "mask"}}
    expected = trial.run(stages).artifact("outline").digest
    spoil(next(iter(trial.store.glob("shards/**/*.mask"))), 0)
    assert trial.run(stages, choice={"again": ["outline"]}).artifact("outline").digest == expected
    assert told_damage(trial)
