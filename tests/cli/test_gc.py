from __future__ import annotations

from pathlib import Path

import pytest

from pipekit import ui
from tests.cli.pictures import class_folders

PIPELINE = """
name = "pets"
[stages.data]
use = "import.folders"
path = "images"
"""


@pytest.fixture
def project(pipekit, tmp_path: Path) -> Path:
    """A project whose first run's work is of no use any more."""
    class_folders(tmp_path / "images", {"cat": 3, "dog": 3})
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    pipekit("run")
    class_folders(tmp_path / "images" / "more", {"bird": 2})
    pipekit("run")
    return tmp_path


def files(project: Path) -> set[Path]:
    return {path for path in (project / ".pipekit").rglob("*") if path.is_file() and "runs" not in path.parts}


def test_where_nothing_was_run(pipekit) -> None:
    result = pipekit("gc")
    assert result.code == 0
    assert result.out.startswith("Nothing to free")


def test_what_recent_runs_use_is_kept(pipekit, project: Path) -> None:
    before = files(project)
    assert "is in use" in pipekit("gc", "--yes").out
    assert files(project) == before


def test_a_dry_run_frees_nothing(pipekit, project: Path) -> None:
    before = files(project)
    result = pipekit("gc", "--min-age", "0", "--keep", "1", "--dry-run")
    assert result.code == 0
    assert result.out.startswith("Would free ")
    assert files(project) == before


def test_without_a_person_to_ask_nothing_is_freed(pipekit, project: Path) -> None:
    before = files(project)
    result = pipekit("gc", "--min-age", "0", "--keep", "1")
    assert result.code == 2
    assert "--yes" in result.err
    assert files(project) == before


def test_yes_frees_what_no_recent_run_uses(pipekit, project: Path) -> None:
    before = files(project)
    result = pipekit("gc", "--min-age", "0", "--keep", "1", "--yes")
    assert result.code == 0
    assert result.out.startswith("Freed ")
    assert files(project) < before
    again = pipekit("run")
    assert "cached" in again.out, "the newest run's work is still there"
    assert len(list((project / "images").rglob("*.png"))) == 8, "source images are never touched"


@pytest.mark.parametrize(("answer", "freed"), [(True, True), (False, False)])
def test_a_person_is_asked(pipekit, project: Path, monkeypatch, answer: bool, freed: bool) -> None:
    asked = []
    monkeypatch.setattr(ui, "can_ask", lambda: True)
    monkeypatch.setattr(ui, "confirm", lambda question: asked.append(question) or answer)
    before = files(project)
    result = pipekit("gc", "--min-age", "0", "--keep", "1")
    assert result.code == 0
    assert asked[0].startswith("Free ")
    assert (files(project) < before) == freed


def test_a_folder_that_is_not_there(pipekit, tmp_path: Path) -> None:
    assert pipekit("gc", tmp_path / "nowhere").code == 2
