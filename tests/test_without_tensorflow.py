"""Where TensorFlow and Keras are not installed: all but training works, and training names the command that installs them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
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
    commands = {
        "inspect photos --out inspect.html": 0,
        "augment photos out --ops hflip --copies 1": 0,
        "embed photos --out features.npz": 0,
        "features photos": 0,
        "predict exported photos --batch-size 8 --out found.csv": 0,
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
    rows = (tmp_path / "found.csv").read_text("utf-8").splitlines()
    assert sum("bright,bright" in row.replace("photos/", "").replace("/", ",") or ",bright," in row for row in rows) == 4, rows
