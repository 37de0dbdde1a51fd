"""The plugin of API 1 in ``tests/frozen`` runs for ever, under every later API too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import hookspecs, images
from pipekit.engine.run import run_plan, silent
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for
from pipekit.testing.checks import make_tiny_evaluation, write_tiny_dataset
from pipekit.testing.checks.examples import pictures

FILE = Path(__file__).parents[1] / "frozen" / "api_1.py"
DIGEST = "27d23e9b1ebcf7b255f6bf6069eab078e2c031d893c105571cbd61419fa58df0"
STAGES = {
    "data": {"use": "import.api_1_names", "path": "images"},
    "first": {"use": "api_1_head"},
    "small": {"use": "api_1_thumbnail"},
    "copies": {"use": "augment", "ops": "api_1_gentle|api_1_slide", "copies": 1},
    "checked": {"use": "inspect", "dataset": "first", "checks": ["api_1_wide"]},
    "listed": {"use": "export.api_1_list", "dataset": "small"},
}


def test_nobody_has_edited_it() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == DIGEST, "write another plugin for another API"


@pytest.mark.parametrize("api", [hookspecs.API_VERSION, hookspecs.API_VERSION + 1])
def test_it_runs_under_this_api_and_the_next(api: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hookspecs, "API_VERSION", api)
    registry = load_registry((str(FILE),), installed=False)
    record = registry.plugins[-1]
    assert (record.name, record.status, record.api, record.reason) == ("api_1", "ok", 1, "")
    assert record.observers == ("before_stage", "after_stage", "after_run")
    write_tiny_dataset(tmp_path / "images", 2)
    (tmp_path / "images" / "gray_0.api1gray").write_bytes(b"API1GRAY 2 1\n\x01\x02")
    table = {"name": "t", "seed": 3, "executor": "api_1_in_turn", "stages": STAGES}
    seen = registry.get("op", "api_1_dim").load().__globals__["SEEN"]
    seen.clear()
    outcome = run_plan(load_plan(table=table, base_dir=tmp_path, registry=registry), silent, publish=False)
    assert outcome.artifact("listed").path.joinpath("ids.txt").read_text("utf-8").split()[:2] == ["discs_0", "discs_1"]
    assert outcome.artifact("small").meta["num_samples"] == 4
    found = json.loads((outcome.artifact("checked").path / "inspect.json").read_text("utf-8"))["findings"]
    assert [one["message"] for one in found if one["check"] == "api_1_wide"] == ["wide images"]
    assert ("before", "copies") in seen
    assert seen[-1] == ("run", "t")
    assert images.read(tmp_path / "images" / "gray_0.api1gray").tolist() == [[[1] * 3, [2] * 3]]


def test_its_other_components_are_called_as_ever(tmp_path: Path) -> None:
    registry = load_registry((str(FILE),), installed=False)
    params = registry.get("detector", "api_1_brightest").params_type()()
    points = registry.get("detector", "api_1_brightest").load()(pictures()["black"], params)
    assert points.shape == (1, 3)
    places = registry.get("projection", "api_1_half").load()(np.ones((3, 1), np.float32), params, rng_for(1, "a"))
    assert places.shape == (3, 2)
    evaluation = make_tiny_evaluation(write_tiny_dataset(tmp_path / "images", 2))
    assert registry.get("report_section", "api_1_counted").load()(None, evaluation).tables[0].rows == ((6,),)
