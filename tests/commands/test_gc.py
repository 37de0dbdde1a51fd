"""``pipekit.gc`` against the command of that name."""

from __future__ import annotations

import os
from contextlib import ExitStack
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


def test_a_run_that_ends_while_the_records_are_read_keeps_its_results(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is there when gc begins, and gone when gc looks for what is old; its record was not read."""
    from pipekit.engine import run_folder
    from pipekit.store.leases import lease

    results = set((project / ".pipekit").glob("artifacts/*/*"))
    assert results
    with ExitStack() as run:
        run.enter_context(lease(project / ".pipekit"))
        for place in results:
            os.utime(place)
        monkeypatch.setattr(run_folder, "keys_in_use", lambda *args, **named: (run.close(), set())[1])
        package.gc(project, keep=0, min_age_hours=0)
    assert set((project / ".pipekit").glob("artifacts/*/*")) == results
    package.gc(project, keep=0, min_age_hours=0)
    assert not list((project / ".pipekit").glob("artifacts/*/*"))


def test_the_records_of_old_runs_go(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have 22 kB each; the newest stay, whatever their age, and young ones whatever their number."""
    monkeypatch.setattr("pipekit.commands.gc.RECORDS_KEPT", 2)
    package.gc(project, keep=1, min_age_hours=0)
    newest = max((project / ".pipekit/runs").rglob("*.json"))
    for number in range(3):
        older = newest.with_name(f"0{number}.json")
        older.write_text(newest.read_text().replace(newest.stem, older.stem))
        os.utime(older, (0, 0))
    known = [run["id"] for run in package.runs(project)]
    found = package.gc(project, keep=1, min_age_hours=10**7, dry_run=True)
    assert (found.num_files, [run["id"] for run in package.runs(project)]) == (0, known)
    found = package.gc(project, keep=1, min_age_hours=24)
    assert (found.num_folders, found.num_files, found.freed) == (0, 3, True)
    assert [run["id"] for run in package.runs(project)] == known[:2]


def test_what_can_not_be_freed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        package.gc(tmp_path / "nowhere")
    with pytest.raises(UserError, match="must be at least 0"):
        package.gc(tmp_path, keep=-1)
    assert package.gc(tmp_path).shared
