"""``pipekit.evaluate`` and the command: a model measured on a run's own images, a folder, a run's dataset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.errors import PlanError, UserError

PLUGIN = ["by_colour.py"]


def test_a_run_is_measured_on_its_own_test_split_as_its_pipeline_did(pipekit, colours: Any) -> None:
    report = colours.report()
    assert pipekit("evaluate", "runs/trial", "--seed", "3", "--plugin", "by_colour.py", "--quiet").code == 0
    found = package.evaluate("runs/trial", seed=3, plugins=PLUGIN)
    assert found.metrics == json.loads((report / "metrics.json").read_text())
    assert found.folder == colours.path / "runs" / "evaluate-trial"
    assert (found.folder / "report.html").is_file()
    shown = json.loads((found.folder / "run.json").read_text())
    assert shown["stages"][-1]["digest"] == found.outcome.artifact("report").digest
    assert found.headline == "test accuracy 0.917 (95 % interval 0.730 to 0.990), 24 images"


def test_a_folder_without_splits_is_measured_whole(pipekit, colours: Any) -> None:
    shutil.copytree("images/val", "fresh")
    found = package.evaluate("model", "fresh", plugins=PLUGIN, out="measured", resamples=50)
    assert (found.metrics["split"], found.metrics["num_images"]) == ("test", 18)
    assert found.folder == Path("measured")
    assert (found.folder / "report.html").is_file()
    assert not Path("runs").exists(), "with out the report goes there alone"
    assert not Path("split.csv").exists()
    result = pipekit("evaluate", "model", "fresh", "-o", "again", "--plugin", "by_colour.py", "--resamples", "50")
    assert result.code == 0, result.err
    assert f"Report: {Path('again', 'report.html')}" in result.out
    assert found.headline in result.out
    assert Path("again/metrics.json").read_bytes() == Path("measured/metrics.json").read_bytes()


def test_a_split_is_named(colours: Any) -> None:
    found = package.evaluate("model", "images", plugins=PLUGIN, split="val", resamples=0)
    assert (found.metrics["split"], found.metrics["num_images"]) == ("val", 18)
    assert package.evaluate("model", "images", plugins=PLUGIN, resamples=0).metrics["num_images"] == 24


def test_a_baseline_is_compared_with(colours: Any) -> None:
    colours.model("weak", sureness=0.0)
    package.evaluate("weak", "images", plugins=PLUGIN, name="simple", resamples=50)
    found = package.evaluate("model", "images", plugins=PLUGIN, baseline="runs/simple", resamples=50)
    assert found.metrics["baseline_model"]


def test_what_can_not_be_measured(pipekit, colours: Any) -> None:
    with pytest.raises(PlanError) as raised:
        package.evaluate("model", "images", plugins=PLUGIN, bins=1)
    assert [problem.path for problem in raised.value.problems] == ["bins"]
    assert "error: --bins: " in pipekit("evaluate", "model", "images", "--plugin", "by_colour.py", "--bins", "1").err
    with pytest.raises(UserError, match="belongs to no run"):
        package.evaluate("model", plugins=PLUGIN)
    with pytest.raises(UserError, match="model exists already"):
        package.evaluate("model", "images", plugins=PLUGIN, out="model")
    with pytest.raises(UserError, match="no report in images"):
        package.evaluate("model", "images", plugins=PLUGIN, baseline="images")
    shutil.rmtree("images/test")
    with pytest.raises(UserError, match="the split 'test' has no images; there are: train 36, val 18"):
        package.evaluate("model", "images", plugins=PLUGIN)
