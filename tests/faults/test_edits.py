"""Edits of what some commands wrote; ``edits.py`` tries all that write into a folder."""

from __future__ import annotations

from pathlib import Path

from tests.faults.edits import Editing


def test_edits_of_outputs_change_no_source(tmp_path: Path) -> None:
    editing = Editing(tmp_path, seed=1)
    results = [editing.try_command(name) for name in ("run", "augment", "scaffold")]
    assert [result.wrong for result in results] == [(), (), ()]
    assert all(result.num_files > 40 for result in results)


def test_an_edit_of_a_source_would_be_seen(tmp_path: Path) -> None:
    editing = Editing(tmp_path, seed=1)
    source = next(iter(editing.project.glob("images/grass/*.jpg")))
    before = editing.state()
    (editing.project / "view.jpg").hardlink_to(source)
    (path,) = editing.outputs()
    editing.edit(path)
    assert editing.state() != before
