"""A small project for faults: a pipeline that uses every kind of stored file, commands run in it, and ways to damage a file."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_data/textures/images"

STAGES = """
name = "faults"
seed = 7
workers = 2
executor = "{executor}"
shard_size = 8
max_failed = 0.2
plugins = ["weigh.py"]

[stages.data]
use = "import.folders"
path = "images"

[stages.split]
use = "split"
fractions = {{ train = 0.6, val = 0.2, test = 0.2 }}

[stages.inspect]
use = "inspect"
dataset = "split"

[stages.augment]
use = "augment"
dataset = "split"
ops = "light"
copies = 2
size_hw = [32, 32]

[stages.packed]
use = "augment"
dataset = "split"
ops = "light"
packed = true
size_hw = [32, 32]

[stages.features]
use = "features"
dataset = "augment"
previews_per_class = 1
preview_px = 64

[stages.weigh]
use = "weigh"
files = "features"

[stages.out]
use = "export.folders"
dataset = "augment"

[stages.tar]
use = "export.webdataset"
dataset = "packed"
"""

EMBEDDING = """
[stages.embed]
use = "embed"
dataset = "split"
table = "npz"
"""

TRAINING = """
[stages.train]
use = "train"
dataset = "augment"
model = "simple_cnn"
input_hw = [16, 16]
epochs = 2
batch_size = 16
checkpoint_s = 0.0

[stages.report]
use = "evaluate"
model = "train"
dataset = "augment"
"""

WEIGH = '''"""A stage that reads every file that another stage made, without pipekit's functions."""

import pipekit


@pipekit.stage
def weigh(ctx: pipekit.Context, files: pipekit.Files) -> pipekit.Files:
    """The sum of the bytes of each file."""
    found = sorted(path for path in files.path.rglob("*") if path.is_file() and path.suffix in (".csv", ".npz", ".png"))
    (ctx.out_dir / "sizes.txt").write_text("".join(f"{path.name} {sum(path.read_bytes())}\\n" for path in found))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_stages(register):
    register("weigh", weigh)
'''


def make_project(
    folder: Path, num_images: int = 42, training: bool = False, executor: str = "threads", embedding: bool = False
) -> None:
    """Textures of three classes, one truncated image, and a pipeline.

    Args:
        embedding: with a stage that computes embeddings, which takes a second or two.
    """
    classes = ("brick", "grass", "gravel")
    for label in classes:
        taken = sorted(SAMPLES.rglob(f"{label}/*.jpg"))[: num_images // len(classes)]
        (folder / "images" / label).mkdir(parents=True)
        for path in taken:
            shutil.copy(path, folder / "images" / label / path.name)
    (folder / "images/brick/torn.jpg").write_bytes(taken[0].read_bytes()[:300])
    (folder / "weigh.py").write_text(WEIGH)
    text = STAGES.format(executor=executor) + EMBEDDING * embedding + TRAINING * training
    (folder / "pipeline.toml").write_text(text)


def add_picture(project: Path, number: int, name: str = "added") -> Path:
    """Put another image into the class grass: the next run amends what the last one has imported.

    Args:
        number: decides its pixels.
    """
    from pipekit import images

    pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
    path = project / "images/grass" / f"{name}.jpg"
    images.write(path, images.resize(pixels, (60, 80)))
    return path


def environment(folder: Path) -> dict[str, str]:
    """The environment of all commands: none of the person's settings, a folder for temporary files, a cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPEKIT_")}
    for name in ("tmp", "cache", "config/pipekit"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    trusts = f"[[trusted]]\nbelow = {json.dumps(folder.absolute().anchor)}\n"  # the project has a local plugin
    (folder / "config" / "pipekit" / "config.toml").write_text(trusts, encoding="utf-8")
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    own = {"TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
    return {**kept, **{name: str(folder / place) for name, place in own.items()}, "PYTHONPATH": path}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    text: str

    @property
    def last(self) -> str:
        return " / ".join(line for line in self.text.strip().splitlines()[-3:])[:300]

    @property
    def is_clear(self) -> bool:
        """Whether it succeeded, or failed with an exit code of its own and without a traceback."""
        return self.code in (0, 1, 2) and "Traceback" not in self.text


def pipekit(project: Path, environ: dict[str, str], *arguments: str, before: Callable[[], None] | None = None) -> Done:
    """Run a command of pipekit in a project.

    Args:
        before: called in the new process, to limit it.
    """
    command = [sys.executable, "-m", "pipekit", *arguments]
    done = subprocess.run(
        command,
        cwd=project,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=900,
        preexec_fn=before,
    )
    return Done(done.returncode, done.stdout)


def flip(path: Path, chance: random.Random) -> None:
    """Change one bit of a file in place."""
    _writable(path)
    with path.open("r+b") as file:
        at = chance.randrange(path.stat().st_size)
        file.seek(at)
        (value,) = file.read(1)
        file.seek(at)
        file.write(bytes([value ^ (1 << chance.randrange(8))]))


def truncate(path: Path, chance: random.Random) -> None:
    _writable(path)
    os.truncate(path, chance.randrange(1, path.stat().st_size) if path.stat().st_size > 1 else 0)


def empty(path: Path, chance: random.Random) -> None:
    _writable(path)
    os.truncate(path, 0)


def delete(path: Path, chance: random.Random) -> None:
    path.unlink()


def _writable(path: Path) -> None:
    path.chmod(0o644)


WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "flip": flip,
    "truncate": truncate,
    "empty": empty,
    "delete": delete,
}


def files_below(*folders: Path) -> list[Path]:
    """All files in folders that are not empty, in a fixed order; nothing of names is assumed."""
    found: Iterable[Path] = (path for folder in folders for path in folder.rglob("*"))
    return sorted(path for path in found if path.is_file() and path.stat().st_size)
