"""A project with a model that needs no training, for tests of what comes after training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}

PLUGIN = '''
import json
import numpy as np
import pipekit


class MadeParams(pipekit.Params):
    folder: pipekit.InputPath = pipekit.param(..., "The model's folder")


@pipekit.stage
def made_model(ctx: pipekit.Context, params: MadeParams) -> pipekit.Model:
    """A model that is there already."""
    for file in params.folder.iterdir():
        (ctx.out_dir / file.name).write_bytes(file.read_bytes())
    return ctx.artifact(pipekit.Model)


def build(input_shape_hwc, num_classes, params):
    raise NotImplementedError("it is not trained")


def load(folder):
    """The strongest of the colours blue, green, red; how sure is ``sureness`` in model.json."""
    info = json.loads((folder / "model.json").read_text())
    sureness, count = info["params"]["sureness"], len(info["classes"])

    def probabilities(batch):
        mean = batch.astype(np.float64).mean(axis=(1, 2))[:, ::-1][:, :count] / 255
        powers = np.exp(sureness * mean)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    return probabilities


build.load = load


@pipekit.hookimpl
def register_stages(register):
    register("made_model", made_model)


@pipekit.hookimpl
def register_models(register):
    register("by_colour", build)
'''


@dataclass(frozen=True)
class ColourProject:
    """A folder with ``images/<split>/<colour>/*.png`` and a model without training that tells the colours apart.

    Two test images are painted in another colour than their folder says, so the model is wrong there.
    """

    path: Path

    def model(self, name: str = "model", sureness: float = 8.0, **entries: Any) -> Path:
        """A model's folder; ``entries`` change ``model.json``."""
        info = {
            "classes": list(COLOURS),
            "input_shape_hwc": [8, 8, 3],
            "template": "by_colour",
            "params": {"sureness": sureness},
            **entries,
        }
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.json").write_text(json.dumps(info), "utf-8")
        return folder

    def run(self, evaluate: Mapping[str, Any] | None = None, *, model: str = "model", **settings: Any) -> Outcome:
        table = {
            "name": "trial",
            "seed": 3,
            "plugins": ["./by_colour.py"],
            **settings,
            "stages": {
                "data": {"use": "import.folders", "path": "images"},
                "train": {"use": "made_model", "folder": model},
                "report": {"use": "evaluate", "model": "train", "dataset": "data", **(evaluate or {})},
            },
        }
        return run_plan(load_plan(table=table, base_dir=self.path))

    def report(self, evaluate: Mapping[str, Any] | None = None, **settings: Any) -> Path:
        """Run, and the report's folder."""
        return self.run(evaluate, **settings).stages[-1].artifact.path


def paint(path: Path, colour: tuple[int, int, int], seed: int, size: int = 24) -> None:
    """A noisy picture of one colour, unlike any other of another seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(-35, 36, (6, 6, 1)).repeat(size // 6, 0).repeat(size // 6, 1)
    pixels = np.clip(np.array(colour) + coarse + rng.integers(-10, 11, (size, size, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, pixels)


@pytest.fixture
def colour_project(tmp_path: Path) -> ColourProject:
    """12 train, 6 val and 8 test images of each of three colours; two test images are painted wrong: 22 of 24 are right."""
    project = ColourProject(tmp_path / "colours")
    seed = 0
    for split, count in (("train", 12), ("val", 6), ("test", 8)):
        for name, colour in COLOURS.items():
            for number in range(count):
                seed += 1
                wrong = split == "test" and (name, number) in (("red", 0), ("green", 1))
                file = project.path / "images" / split / name / f"{name}_{number}.png"
                paint(file, COLOURS["blue"] if wrong else colour, seed)
    (project.path / "by_colour.py").write_text(PLUGIN, "utf-8")
    project.model()
    return project
