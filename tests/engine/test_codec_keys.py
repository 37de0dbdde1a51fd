"""The codec of a plugin is part of the keys of what it decodes, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.files import use_codecs
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.testing import write_tiny_dataset

PLUGIN = """
import numpy as np
import pipekit


class Plain:
    suffixes = staticmethod(lambda: (".plain",))
    reads = staticmethod(lambda data: data.startswith(b"plain"))
    decode = staticmethod(lambda data: np.full((40, 40, 3), data[5] + {more}, np.uint8))


@pipekit.hookimpl
def register_codecs(register):
    register("plain", Plain, version={version})
"""

STAGES = {
    "data": {"use": "import.folders", "path": "images"},
    "inspect": {"use": "inspect", "dataset": "data"},
    "copies": {"use": "augment", "dataset": "data", "ops": ["hflip"], "copies": 1, "format": "png"},
}


@pytest.fixture(autouse=True)
def _codecs_as_before():
    yield
    use_codecs([])
    load_registry()


def run(folder: Path, plugin: str = "") -> Outcome:
    if plugin:
        (folder / "plain_codec.py").write_text(plugin)
    registry = load_registry(["plain_codec.py"] if plugin else [], folder)
    return run_plan(load_plan(table={"name": "t", "stages": STAGES}, base_dir=folder, registry=registry), silent, publish=False)


def test_another_version_of_a_codec_leaves_no_stale_results(tmp_path: Path) -> None:
    for kind, level in (("a", 50), ("b", 90)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        (tmp_path / "images" / kind / "1.plain").write_bytes(b"plain" + bytes([level]))

    def darkest(outcome: Outcome) -> float:
        found = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))
        return float(found["measures"]["dark_level"]["0.0"])

    first = run(tmp_path, PLUGIN.format(more=0, version=1))
    assert first.artifact("data").meta["codecs"] == first.artifact("copies").meta["codecs"] == ["plain"]
    assert all(stage.cached for stage in run(tmp_path, PLUGIN.format(more=0, version=1)).stages)
    second = run(tmp_path, PLUGIN.format(more=100, version=2))
    assert (darkest(first), darkest(second)) == (50, 150)
    assert first.artifact("copies").digest != second.artifact("copies").digest


def test_a_codec_that_decodes_nothing_here_makes_no_stage_run_again_but_the_import(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images")
    first = run(tmp_path)
    again = run(tmp_path, PLUGIN.format(more=0, version=1))
    assert {stage.name: stage.cached for stage in again.stages} == {"data": False, "inspect": True, "copies": True}
    assert again.artifact("data").digest == first.artifact("data").digest
    assert "codecs" not in again.artifact("copies").meta
