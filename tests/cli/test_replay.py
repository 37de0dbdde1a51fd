"""``pipekit replay``: an augmented image made again, bit for bit, from its manifest and its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.testing.checks import write_tiny_dataset
from tests.cli.conftest import Pipekit

PIPELINE = """
name = "t"
seed = 11

[stages.data]
use = "import.folders"
path = "images"

[stages.more]
use = "augment"
ops = ["medium", "albu.GaussNoise(p=0.5)"]
copies = 3
size_hw = [20, 24]
format = "jpg"
"""


@pytest.fixture
def images_folder(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "images")


def test_copies_of_the_command(pipekit: Pipekit, images_folder: Path, tmp_path: Path) -> None:
    assert pipekit("augment", "images", "out", "--ops", "heavy", "--copies", "2", "--seed", "5").code == 0
    copies = sorted(Path("out").rglob("*.aug*.png"))
    assert len(copies) == 36
    for path in copies[::5]:
        done = pipekit("replay", str(path), "--out", f"again-{path.name}")
        assert done.code == 0, done.err
        assert "identical, bit for bit" in done.out
        assert Path(f"again-{path.name}").read_bytes() == path.read_bytes()


def test_copies_of_a_run(pipekit: Pipekit, images_folder: Path) -> None:
    Path("pipeline.toml").write_text(PIPELINE)
    assert pipekit("run", "--quiet").code == 0
    copies = sorted(Path("runs/t/more").rglob("*.aug*.jpg"))
    assert len(copies) == 54
    for path in copies[::9]:
        done = pipekit("replay", str(path))
        assert "identical" in done.out, done.err
        assert done.code == 0


def test_what_it_refuses(pipekit: Pipekit, images_folder: Path) -> None:
    assert pipekit("augment", "images", "out", "--ops", "hflip", "--copies", "1").code == 0
    copy = str(next(Path("out").rglob("*.aug1.png")))
    original = copy.replace(".aug1", "")
    assert "no such file" in pipekit("replay", "nothing.jpg").err
    assert "no metadata.csv" in pipekit("replay", str(next(images_folder.rglob("*.png")))).err
    assert "no augmented copy" in pipekit("replay", original).err
    Path("elsewhere").mkdir()
    assert "was not found" in pipekit("replay", copy, "--source", "elsewhere").err
    other = sorted(images_folder.rglob("*.png"))
    for path in other:
        path.write_bytes(path.read_bytes() + b"\0")
    assert "has changed since" in pipekit("replay", copy).err
