"""An augment run that is killed ten times ends with the very files of an undisturbed one."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan
from tests.conftest import Trial

SCRIPT = """
import os
import signal
import sys
import time
from pathlib import Path
from pipekit.engine.run import run_plan
from pipekit.builtin import executors
from pipekit.pipeline.plan import load_plan

bounded = executors._bounded


def killed(*given):
    # The process kills itself so many seconds after so many shards, while its threads work on others.
    for number, result in enumerate(bounded(*given)):
        if number == int(sys.argv[1]):
            time.sleep(float(sys.argv[2]))
            os.kill(os.getpid(), signal.SIGKILL)
        yield result


if sys.argv[1:]:
    executors._bounded = killed
print("digest", run_plan(load_plan(Path("pipeline.toml"))).artifact("augment").digest)
"""

IMAGES, KILLS, WORKERS, SHARD_SIZE = 120, 10, 2, 2

PIPELINE = f"""
name = "killed"
seed = 5
workers = {WORKERS}
executor = "threads"
shard_size = {SHARD_SIZE}

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
    expected = run_plan(load_plan(calm / "pipeline.toml")).artifact("augment").digest
    chance = random.Random(1)
    most = 0
    for _ in range(KILLS):
        shards = chance.randrange(4)
        most += shards + 2 * WORKERS  # so many shards more are in the pool's hands
        process = project.start(SCRIPT, str(shards), str(chance.random() / 20))
        error = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, error
        assert not (project.path / "runs").exists()
    assert most < IMAGES / SHARD_SIZE, "it can't have been finished before the last kill"
    assert 0 < len(project.shards()) <= most
    out, error = project.start(SCRIPT).communicate()
    assert out.split() == ["digest", expected], error
    assert not list(project.store.glob("tmp/*"))
    assert shown(project.path / "runs/killed/augment") == shown(calm / "runs/killed/augment")
    assert len(shown(calm / "runs/killed/augment")) == 4 * IMAGES
