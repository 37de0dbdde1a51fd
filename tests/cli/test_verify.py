"""``pipekit verify``."""

from __future__ import annotations

import json
from pathlib import Path

import pipekit as package
from tests.cli.conftest import Pipekit
from tests.cli.pictures import class_folders

PIPELINE = '[stages.data]\nuse = "import.folders"\npath = "images"\n[stages.augment]\nuse = "augment"\ncopies = 1\n'


def project(folder: Path, pipekit: Pipekit) -> Path:
    class_folders(folder / "images", {"cat": 4, "dog": 4})
    (folder / "pipeline.toml").write_text(PIPELINE)
    assert pipekit("run", str(folder / "pipeline.toml"), "-q").code == 0
    return folder


def test_damage_is_listed_repaired_and_made_anew(pipekit: Pipekit, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", pipekit)
    well = pipekit("verify", str(folder))
    assert (well.code, "are whole" in well.out) == (0, True)
    picture = next(iter(sorted((folder / ".pipekit/shards").rglob("files/**/*.jpg"))), None) or next(
        iter(sorted((folder / ".pipekit/shards").rglob("files/**/*.png")))
    )
    data = bytearray(picture.read_bytes())
    data[-9] ^= 1
    picture.chmod(0o644)
    picture.write_bytes(bytes(data))
    bad = pipekit("verify", str(folder), "--json")
    assert bad.code == 1
    (damage,) = json.loads(bad.out)["damage"]
    assert damage["problem"].endswith("has changed")
    assert package.verify(folder).damage[0].place == damage["place"]
    repaired = pipekit("verify", str(folder), "--repair")
    assert (repaired.code, "the next run recomputes them" in repaired.out) == (0, True)
    assert pipekit("verify", str(folder)).code == 0
    assert pipekit("run", str(folder / "pipeline.toml"), "-q").code == 0


def test_nothing_to_verify(pipekit: Pipekit, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    assert "nothing to verify" in pipekit("verify", str(tmp_path)).err
    assert "no such folder" in pipekit("verify", str(tmp_path / "none")).err
