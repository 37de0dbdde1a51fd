"""Whatever the history of a dataset: ``split`` and ``inspect`` make of it what they make of it from nothing."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan

STAGES: dict[str, Any] = {
    "data": {"use": "import.folders", "path": "photos", "verify": "none", "max_failed": 1.0},
    "split": {"use": "split"},
    "inspect": {"use": "inspect", "max_failed": 1.0},
}
CLASSES = "abc"
START = 24


@cache
def picture(number: int) -> bytes:
    """The bytes of a picture. Every fourth is nearly the one before it, every seventh the same, every thirteenth is damaged."""
    if number % 13 == 12:
        return b"\xff\xd8\xff\xe0" + bytes(number)
    if number % 7 == 6:
        return picture(number - 1)
    grey = np.random.default_rng(number - (number % 4 == 3)).integers(0, 255, (8, 8, 3), np.uint8)
    side = 80 if number % 4 == 3 else 64
    return images.encode(images.resize(grey, (side, side)), "jpg", quality=90)


def results(project: Path) -> dict[str, Any]:
    plan = load_plan(table={"name": "t", "seed": 3, "workers": 1, "shard_size": 8, "stages": STAGES}, base_dir=project)
    outcome = run_plan(plan, publish=False)
    made = outcome.artifact("inspect").path
    return {
        "digests": [outcome.artifact(name).digest for name in ("data", "split")],
        "meta": dict(outcome.artifact("split").meta),
        "rows": [(sample.id, sample.label, sample.split) for sample in outcome.artifact("split")],
        "split.csv": (project / "split.csv").read_text("utf-8"),
        "found": json.loads((made / "inspect.json").read_text("utf-8")),
        "page": (made / "inspect.html").read_bytes(),
        "warnings": [stage.warnings for stage in outcome.stages],
    }


steps = st.lists(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "relabel", "rename"]), st.integers(0, 999)), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


def do(photos: Path, what: str, number: int) -> None:
    files = sorted(path for path in photos.rglob("*.jpg"))
    chosen = files[number % len(files)]
    if what == "add":
        target = photos / CLASSES[number % 3] / f"{number:03}.{'aug1.' if number % 5 == 0 else ''}jpg"
        target.write_bytes(picture(number % 40))
    elif what == "remove" and len(files) > 12:
        chosen.unlink()
    elif what == "relabel":
        chosen.rename(photos / CLASSES[number // 7 % 3] / chosen.name)
    elif what == "rename":
        chosen.rename(chosen.with_name(f"n{number:03}, {chosen.name}" if number % 11 == 0 else f"n{number:03}{chosen.name}"))


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_results_are_the_same_whatever_the_history(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, history: list[list[tuple[str, int]]]
) -> None:
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)
    project = tmp_path_factory.mktemp("project")
    for number in range(START):
        path = project / "photos" / CLASSES[number % 3] / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    results(project)
    for changes in history:
        for what, number in changes:
            do(project / "photos", what, number)
        fresh = project.with_name(f"{project.name}-fresh")
        shutil.copytree(project, fresh, ignore=shutil.ignore_patterns(".pipekit"))
        found, expected = results(project), results(fresh)
        shutil.rmtree(fresh)
        assert found == expected
