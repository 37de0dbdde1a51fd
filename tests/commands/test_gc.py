"""``pipekit.gc`` against the command of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipekit as package
from pipekit import ui
from pipekit.commands.gc import Garbage
from pipekit.errors import UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose first run's work is of no use any more, if one run is kept."""
    (tmp_path / ".pipekit").mkdir()
    photos = class_folders(tmp_path / "images", {"cat": 3, "dog": 3})
    for mode in ("hash", "stratified"):
        package.run_stage("split", dataset=photos, mode=mode, remember=False)
    return tmp_path


def files(project: Path) -> set[Path]:
    return {path for path in (project / ".pipekit").rglob("*") if path.is_file() and "runs" not in path.parts}


def test_what_would_be_freed_is_what_the_command_says(pipekit, project: Path) -> None:
    before = files(project)
    found = package.gc(project, keep=1, min_age_hours=0, dry_run=True)
    assert files(project) == before
    assert (found.freed, found.shared, found.store) == (False, False, project / ".pipekit")
    size = f"{ui.plural(found.num_files, 'file')} in {ui.plural(found.num_folders, 'folder')}, {ui.size(found.size_bytes)}"
    assert pipekit("gc", "--min-age", "0", "--keep", "1", "--dry-run").out == f"Would free {size}.\n"
    asked: list[Garbage] = []
    assert not package.gc(project, keep=1, min_age_hours=0, agree=lambda garbage: bool(asked.append(garbage))).freed
    assert asked == [found]
    assert files(project) == before
    freed = package.gc(project, keep=1, min_age_hours=0)
    assert (freed.freed, freed.num_files) == (True, found.num_files)
    assert len(before) - len(files(project)) == found.num_files
    assert package.gc(project, keep=1, min_age_hours=0) == Garbage(found.store)


def test_what_can_not_be_freed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        package.gc(tmp_path / "nowhere")
    with pytest.raises(UserError, match="must be at least 0"):
        package.gc(tmp_path, keep=-1)
    assert package.gc(tmp_path).shared
