"""An augment run that is killed ten times ends with the very files of an undisturbed one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipekit import engine, images
from pipekit.pipeline import load_plan
from tests.conftest import Trial

SCRIPT = """
from pathlib import Path
from pipekit import engine
from pipekit.pipeline import load_plan

print("digest", engine.run(load_plan(Path("pipeline.toml"))).artifact("augment").digest)
"""

PIPELINE = """
name = "killed"
seed = 5
workers = 2
executor = "threads"
shard_size = 2

[stages.data]
use = "import.folders"
path = "images"
verify = "none"

[stages.augment]
use = "augment"
ops = "heavy"
copies = 3
size_hw = [160, 160]
"""

IMAGES, KILLS = 120, 10


@pytest.fixture
def project(trial: Trial) -> Trial:
    chance = np.random.default_rng(0)
    for number in range(IMAGES):
        path = trial.path / "images" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.resize(chance.integers(0, 256, (6, 8, 3), np.uint8), (180, 240)))
    (trial.path / "pipeline.toml").write_text(PIPELINE)
    return trial


def shown(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_ten_kills_change_nothing(project: Trial) -> None:
    calm = project.path.parent / "calm"
    shutil.copytree(project.path, calm)
    expected = engine.run(load_plan(calm / "pipeline.toml")).artifact("augment").digest
    chance = random.Random(1)
    for _ in range(KILLS):
        before = len(project.shards())
        process = project.start(SCRIPT)
        more = chance.randrange(4)
        while len(project.shards()) < before + more and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.random() / 20)
        assert process.poll() is None, process.communicate()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (project.path / "runs").exists()
    assert 0 < len(project.shards()) < IMAGES / 2
    out, error = project.start(SCRIPT).communicate(timeout=120)
    assert out.split() == ["digest", expected], error
    assert not list(project.store.glob("tmp/*"))
    assert shown(project.path / "runs/killed/augment") == shown(calm / "runs/killed/augment")
    assert len(shown(calm / "runs/killed/augment")) == 4 * IMAGES
