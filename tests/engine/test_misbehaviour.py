"""Stages and sample functions that misbehave: the stage fails or the sample is listed, in words, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from pipekit.errors import PipekitError
from tests.conftest import DATA, Trial, fill

BAD = """
import os
import sys
from pathlib import Path
from dataclasses import replace
import pipekit

class BadParams(pipekit.Params):
    how: str = pipekit.param("", "In which way")

@pipekit.stage
def bad(ctx: pipekit.Context, dataset: pipekit.Dataset, params: BadParams) -> pipekit.Dataset:
    if params.how == "returns nothing":
        return None
    if params.how == "returns its input":
        return dataset
    if params.how == "exits":
        sys.exit("I leave")
    if params.how == "missing file":
        (ctx.project_dir / "missing.txt").read_text()
    if params.how == "twins":
        sample = next(iter(dataset))
        return ctx.dataset([sample, replace(sample, label="other")])
    if params.how == "lambda":
        return ctx.dataset(ctx.map(lambda sample, params, ctx: [sample], dataset))
    if params.how == "nan":
        return ctx.dataset(replace(sample, extra={"x": float("nan")}) for sample in dataset)

@pipekit.sample_stage
def bad_sample(sample, params: BadParams, ctx):
    if params.how == "returns nothing":
        return None
    if params.how == "yields text":
        return ["text"]
    if params.how == "exits":
        sys.exit("I leave")
    if params.how == "one name":
        ctx.out_path("x.png").write_text(sample.id)
        return [replace(sample, image=str(ctx.out_path("./x.png")))]
    if params.how == "climbs":
        ctx.out_path("a/../../x.png")
    if params.how == "absolute":
        ctx.out_path("/x.png")
    if params.how == "unnamed":
        ctx.out_path("")
    if params.how == "not written":
        return [replace(sample, image=str(ctx.out_path(sample.id)))]
    if params.how == "not JSON":
        return [replace(sample, extra={"x": object()})]
    if params.how == "nan":
        return [replace(sample, extra={"x": float("nan")})]
    if params.how == "twins":
        return [sample, replace(sample, label="other")]
    if params.how == "folder":
        ctx.out_path(sample.id).mkdir(parents=True)
        raise ValueError("made a folder")
    if params.how == "disk full":
        raise OSError(28, "No space left on device", str(ctx.out_path(sample.id)))

@pipekit.hookimpl
def register_stages(register):
    register("bad", bad)
    register("bad-sample", bad_sample)
"""


def misbehave(trial: Trial, use: str, how: str, **settings: Any) -> PipekitError:
    fill(trial, 4)
    (trial.path / "bad.py").write_text(BAD)
    with pytest.raises(PipekitError) as caught:
        trial.run({"data": DATA, "bad": {"use": use, "how": how}}, plugins=["trial_plugin.py", "bad.py"], **settings)
    assert trial.told("stage_failed")[0]["stage"] == "bad"
    assert not list(trial.path.glob("runs/trial/bad*"))
    assert not list(trial.store.glob("tmp/*"))
    return caught.value


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("returns nothing", "must return the result of ctx.dataset() or ctx.artifact(), not NoneType"),
        ("returns its input", "must return the result of ctx.dataset() or ctx.artifact(), not Dataset"),
        ("exits", "SystemExit: I leave"),
        ("missing file", "No such file or directory"),
        ("twins", "two samples have the id 'a/000.png'"),
        ("lambda", "ctx.map needs a function at the top of a module"),
        ("nan", "Out of range float values"),
    ],
)
def test_a_stage_that_misbehaves(trial: Trial, how: str, words: str) -> None:
    error = misbehave(trial, "bad", how)
    assert words in error.message
    assert "PIPEKIT_STORE" not in error.hint


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("returns nothing", "4 of 4 samples can't be used"),
        ("yields text", "yielded str; expected a Sample, or a dict with an 'id'"),
        ("one name", "two outputs of this shard are called './x.png'"),
        ("climbs", "'a/../../x.png' can't be the name of an output file"),
        ("absolute", "'/x.png' can't be the name of an output file"),
        ("unnamed", "'' can't be the name of an output file"),
        ("not written", "No such file or directory"),
        ("not JSON", "Object of type object is not JSON serializable"),
        ("nan", "Out of range float values are not JSON compliant"),
        ("folder", "made a folder"),
        ("exits", "I leave"),
        ("twins", "two samples have the id"),
        ("disk full", "No space left on device"),
    ],
)
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_sample_function_that_misbehaves(trial: Trial, how: str, words: str, executor: str) -> None:
    error = misbehave(trial, "bad-sample", how, workers=2, executor=executor)
    assert words in error.message
    assert not list(trial.path.rglob("x.png"))
    if how == "disk full":
        assert "samples can't be used" not in error.message
        assert "`pipekit gc --min-age 0` frees" in error.message
        assert not trial.shards()
