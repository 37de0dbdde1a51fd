"""Decisions: on the disk before they are answered, undone after a restart, the same bytes in any order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import pipekit
from pipekit.studio.edits import LABEL, LEAVE_OUT, Change, ConflictError, Edits
from pipekit.studio.project import Project
from tests.studio.asgi import Page


def relabel(number: int, after: str, before: str = "") -> Change:
    return Change(LABEL, f"a/{number}.png", f"{number:064x}", "cat", before, after)


@pytest.fixture
def edits(tmp_path: Path) -> Edits:
    return Edits(tmp_path, tmp_path / "state")


def test_decisions_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        numbers = list(range(50))
        random.Random(seed).shuffle(numbers)
        edits = Edits(folder, folder / "state")
        for number in numbers:
            edits.apply([relabel(number, "dog")])
            if number < 6:
                edits.apply([Change(LEAVE_OUT, f"a/{number}.png", f"{number:064x}", "cat", "", "dark", "dark")])
        made.append((edits.corrections.read_bytes(), edits.quarantine.read_bytes()))
    assert made[0] == made[1]
    assert made[0][0].count(b"\n") == 51


def test_undo_and_redo_after_a_restart(edits: Edits, tmp_path: Path) -> None:
    edits.apply([relabel(1, "dog"), relabel(2, "dog")])
    edits.apply([relabel(1, "horse", "dog")])
    again = Edits(tmp_path, tmp_path / "state")
    assert [change.after for change in again.undo()] == ["dog"]
    assert {one.new for one in again.labels().values()} == {"dog"}
    assert len(again.undo()) == 2
    assert again.labels() == {}
    assert again.undo() == ()
    assert len(Edits(tmp_path, tmp_path / "state").redo()) == 2
    again.apply([relabel(3, "dog")])
    assert again.redo() == (), "a new decision ends what could be redone"


def test_back_to_the_label_of_the_source_is_no_correction(edits: Edits) -> None:
    edits.apply([relabel(1, "dog")])
    edits.apply([relabel(1, "", "dog")])
    assert edits.labels() == {}


def test_what_another_program_has_changed_is_not_overwritten(edits: Edits) -> None:
    edits.apply([relabel(1, "dog")])
    edits.corrections.write_text(edits.corrections.read_text("utf-8").replace("dog", "horse"), "utf-8")
    with pytest.raises(ConflictError, match="'horse'"):
        edits.apply([relabel(1, "bird", "dog")])
    with pytest.raises(ConflictError):
        edits.undo()
    assert "horse" in edits.corrections.read_text("utf-8")


def test_a_line_of_the_log_that_a_kill_cut_short_costs_that_step_alone(edits: Edits, tmp_path: Path) -> None:
    edits.apply([relabel(1, "dog")])
    with (tmp_path / "state" / "clicks.jsonl").open("ab") as file:
        file.write(b'{"do": [{"wh')
    edits.apply([relabel(2, "dog")])
    assert [change.id for change in edits.undo()] == ["a/2.png"]
    assert [change.id for change in edits.undo()] == ["a/1.png"]


def test_a_class_called_remove_is_refused(edits: Edits) -> None:
    with pytest.raises(pipekit.UserError, match="remove"):
        edits.apply([relabel(1, "remove")])
    assert not edits.corrections.exists()


# --- by requests ---------------------------------------------------------------------------------------------------------


def decide(page: Page, **values: Any) -> Any:
    digest = page.get("/api/index").json["digest"]
    return page.post(f"/api/{digest}/decide", values)


def test_a_click_is_what_the_command_writes(page: Page, project: Project, work: Path) -> None:
    """``pipekit corrections add`` and ``undo`` write the same bytes."""
    row = project.catalog.rows["cat/02.png"]
    answer = decide(page, what="label", rows=[row], before=[""], after="dog")
    assert answer.json["labels"] == {str(row): "dog"}
    clicked = (work / "corrections.csv").read_bytes()
    (work / "corrections.csv").unlink()
    pipekit.correct("photos", ["cat/02.png"], "dog")
    assert (work / "corrections.csv").read_bytes() == clicked


def test_the_second_tab_sees_what_the_first_did(page: Page, project: Project) -> None:
    assert decide(page, what="label", rows=[3], before=[""], after="horse").status == 200
    answer = decide(page, what="label", rows=[3], before=[""], after="bird")
    assert answer.status == 409
    assert project.marks(project.catalog)["labels"] == {3: "horse"}


def test_what_is_left_out_is_a_quarantine_file_that_split_reads(page: Page, work: Path) -> None:
    assert decide(page, what="leave out", rows=[0, 1], before=["", ""], after="blurred", check="blurred").status == 200
    split = pipekit.split("photos", exclude=str(work / "quarantine.csv"), out=work / "divided")
    assert sum(sum(one.values()) for one in split.dataset.counts.values()) == 10


@pytest.mark.parametrize(
    "values",
    [
        {"what": "label", "rows": [99], "before": [""], "after": "dog"},
        {"what": "label", "rows": [-1], "before": [""], "after": "dog"},
        {"what": "format", "rows": [1], "before": [""], "after": "dog"},
        {"what": "label", "rows": [1], "before": [], "after": "dog"},
        {"what": "label", "rows": [1], "before": [""], "after": "a\nb"},
        {"what": "label", "rows": ["x"], "before": [""], "after": "dog"},
        {},
    ],
)
def test_what_can_not_be_decided_is_said_and_writes_nothing(page: Page, work: Path, values: dict[str, Any]) -> None:
    answer = decide(page, **values)
    assert answer.status in (400, 422)
    assert answer.json["message"]
    assert not (work / "corrections.csv").exists()
