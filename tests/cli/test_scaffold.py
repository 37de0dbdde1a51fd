"""``pipekit scaffold``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images, ui
from tests.cli.conftest import Pipekit


def photos(folder: Path) -> Path:
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(40):
        name = folder / f"{'dog' if number % 2 else 'cat'}_{number}.png"
        images.write(name, images.resize(chance.integers(0, 255, (14, 14, 3), np.uint8), (40, 40)))
    return folder


def test_it_shows_a_tree_with_counts(pipekit: Pipekit, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    dry = pipekit("scaffold", "pets", "--from", "photos", "--dry-run")
    assert dry.code == 0
    assert not (tmp_path / "pets").exists()
    assert "40 images would be copied. Nothing was done (--dry-run)." in dry.out
    done = pipekit("scaffold", "pets", "--from", "photos")
    assert "40 images copied." in done.out
    assert [line.split()[-1] for line in done.out.splitlines() if "dog/" in line] == ["14", "3", "3"]
    assert pipekit("run", "pets/pipeline.toml", "--until", "split", "--quiet").code == 0


def test_too_few_images_are_told_in_the_commands_own_words(pipekit: Pipekit, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for path in sorted(photos(tmp_path / "photos").iterdir())[::20]:
        path.rename(tmp_path / "few" / path.name)
    found = pipekit("scaffold", "pets", "--from", "few", "--format", "names")
    assert found.code == 2
    assert "no image is left for val: 2 images, 2 classes" in found.err
    assert "other --fractions (0.8,0.2,0 makes no test), or --layout flat" in found.err
    assert "stage" not in found.err
    assert not (tmp_path / "pets").exists()
    assert pipekit("scaffold", "pets", "--from", "few", "--format", "names", "--layout", "flat").code == 0


def test_files_that_are_no_images_are_counted(pipekit: Pipekit, tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    for name in ("IMG_1.HEIC", "IMG_2.heic", "clip.mp4"):
        (source / name).touch()
    found = pipekit("scaffold", "pets", "--from", "photos", "--dry-run")
    assert "passed over 3 files that are not images pipekit reads: 2 .heic, 1 .mp4 (e.g. IMG_1.HEIC)" in found.err
    assert "heif-convert" in found.err


def test_it_never_asks_without_a_terminal(pipekit: Pipekit) -> None:
    found = pipekit("scaffold", "pets")
    assert found.code == 2
    assert "a project needs classes" in found.err


@pytest.mark.parametrize("named", [True, False])
def test_on_a_terminal_it_asks(pipekit: Pipekit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    photos(tmp_path / "photos")
    answers = iter([*([] if named else ["pets"]), "photos", "dog", "0.5,0.25,0.25"])
    monkeypatch.setattr(ui, "can_ask", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    found = pipekit("scaffold", *(["pets"] if named else []))
    assert found.code == 0
    assert (tmp_path / "pets" / "pipeline.toml").is_file()
    assert [line.split()[-1] for line in found.out.splitlines() if "dog/" in line] == ["10", "5", "5"]
    assert "cat/" not in found.out


@pytest.mark.parametrize("text", ["1", "a,b,c", "0.5,0.5,0.5", "-0.5,1,0.5"])
def test_shares_that_make_no_sense_are_refused(pipekit: Pipekit, text: str) -> None:
    found = pipekit("scaffold", "pets", "--classes", "a", f"--fractions={text}")
    assert found.code == 2
    assert "three shares that sum to 1" in found.err
