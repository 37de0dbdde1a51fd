"""Where TensorFlow and Keras are not installed: all but training works, and training names the command that installs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipekit import images
from pipekit.contract import Call
from pipekit.learning.linear_head import write_head
from pipekit.registry.registry import load_registry
from tests.learning.test_exported import write_export

ABSENT = ("tensorflow", "keras", "tf2onnx", "tensorboard")
ROOT = Path(__file__).parents[1]
SCRIPT = """
import importlib.util, sys
assert importlib.util.find_spec("tensorflow") is None and importlib.util.find_spec("keras") is None
from pipekit.cli import main
for line in open("commands", encoding="utf-8").read().splitlines():
    print("$", line, flush=True)
    try:
        code = main(line.split())
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    print("=", code, flush=True)
"""


class Dense:
    """The one layer of a head, as Keras' has it."""

    weights = (np.random.default_rng(3).normal(0, 0.1, (1280, 2)).astype(np.float32),)
    activation = SimpleNamespace(__name__="softmax")

    def get_weights(self) -> list[np.ndarray]:
        return list(self.weights)


def write_headed(folder: Path) -> Path:
    """A model on frozen features, as `train` writes it, without its ``model.keras``: its weights are random."""
    embedder = load_registry(installed=False).get("embedder", "efficientnet_lite0")
    params = embedder.params_type()()
    features = write_head(
        made(folder), SimpleNamespace(layers=[Dense()]), Call("embedder", embedder.name, params, {}, embedder), ""
    )
    info = {"classes": ["dark", "bright"], "input_shape_hwc": [224, 224, 3], "features": features}
    (folder / "model.json").write_text(json.dumps(info), "utf-8")
    return folder


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed packages without TensorFlow and Keras, as links."""
    folder = tmp_path_factory.mktemp("packages")
    for place in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        for found in Path(place).iterdir():
            if not found.name.lower().startswith(ABSENT) and found.suffix != ".pth" and not (folder / found.name).exists():
                (folder / found.name).symlink_to(found)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="the test makes symbolic links")
def test_all_but_training_works(tmp_path: Path, packages: Path) -> None:
    rng = np.random.default_rng(1)
    for name, level in (("dark", 20), ("bright", 200)):
        for number in range(4):
            file = tmp_path / "photos" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            images.write(file, (level + rng.integers(0, 50, (24, 24, 3))).astype(np.uint8))
    write_export(tmp_path / "exported")
    write_headed(tmp_path / "headed")
    commands = {
        "inspect photos --out inspect.html": 0,
        "augment photos out --ops hflip --copies 1": 0,
        "embed photos --out features.npz": 0,
        "features photos": 0,
        "predict exported photos --batch-size 8 --out found.csv": 0,
        "predict headed photos --out by_features.csv": 0,
        "train photos": 2,
    }
    (tmp_path / "commands").write_text("\n".join(commands), "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIPEKIT", "PYTEST"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(packages)]), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.stdout.count("\n= ") == len(commands), said
    codes = [int(line[2:]) for line in done.stdout.splitlines() if line.startswith("= ")]
    assert codes == list(commands.values()), said
    assert "this needs tensorflow and keras, not installed here" in done.stderr
    assert "pip install tensorflow" in done.stderr
    assert not (tmp_path / "runs" / "photos").exists(), "training is refused before anything runs"
    assert "ModuleNotFoundError" not in said
    assert len((tmp_path / "by_features.csv").read_text("utf-8").splitlines()) == 9
    rows = (tmp_path / "found.csv").read_text("utf-8").splitlines()
    assert sum("bright,bright" in row.replace("photos/", "").replace("/", ",") or ",bright," in row for row in rows) == 4, rows
