"""Views that are brought up to date by difference are those that a full build makes, also after a crash in the middle."""

from __future__ import annotations

import csv
import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.commands.contact_sheet import draw_sheet
from pipekit.engine import run_folder, view_tables, view_update, views
from pipekit.engine.contact_sheets import SHEET
from pipekit.engine.view_rows import MORE_ROWS, NAMES, ROWS
from pipekit.engine.view_update import RECORD, Update
from tests.conftest import DATA, Trial

PLUGIN = '''
"""Splits by the id alone; some samples get further values, and some fail."""
import hashlib
from dataclasses import replace

import pipekit


@pipekit.sample_stage
def halve(sample, params: pipekit.Params, ctx):
    if "bad" in sample.id:
        raise ValueError("a bad name")
    number = hashlib.sha256(sample.id.encode()).digest()[0]
    yield replace(sample, split=("train", "test", "")[number % 3], extra={"length": len(sample.id)} if number % 2 else {})


@pipekit.hookimpl
def register_stages(register):
    register("halve", halve)
'''

STAGES: dict[str, dict[str, Any]] = {
    "data": DATA,
    "halve": {"use": "halve"},
    "stamp": {"use": "stamp", "dataset": "halve"},
    "packed": {"use": "stamp", "dataset": "halve", "packed": True},
    "mixed": {"use": "keep", "dataset": "packed"},
}


def project(path: Path) -> Trial:
    found = Trial(path)
    (path / "images").mkdir(parents=True)
    return found


def run(trial: Trial, stages: dict[str, dict[str, Any]] = STAGES, **settings: Any) -> Path:
    (trial.path / "halve_plugin.py").write_text(PLUGIN)
    settings = {"shard_size": 4, "max_failed": 1.0, "plugins": ["trial_plugin.py", "halve_plugin.py"], **settings}
    folder: Path = trial.run(stages, **settings).run_dir
    return folder


def shown(trial: Trial) -> dict[str, bytes | str]:
    """All that a run shows, but the records of the run and of views. Paths are those of a project at one place."""
    found: dict[str, bytes | str] = {}
    for path in sorted((trial.path / "runs/trial").rglob("*")):
        name = path.relative_to(trial.path).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink()).replace(str(trial.path), "PROJECT")
        elif path.is_dir():
            found[f"{name}/"] = b""
        elif not path.name.startswith(".view.") and path.name != "run.json":
            found[name] = path.read_bytes().replace(str(trial.path).encode(), b"PROJECT")
    return found


def fresh(trial: Trial, **settings: Any) -> dict[str, bytes | str]:
    """What a project with the same images shows after its first run."""
    other = project(trial.path.parent / "fresh")
    shutil.copy(trial.path / "trial_plugin.py", other.path)
    shutil.copytree(trial.path / "images", other.path / "images", dirs_exist_ok=True)
    run(other, **settings)
    found = shown(other)
    shutil.rmtree(other.path)
    return found


class Changes:
    """Random changes to a folder of images."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance, self.count = folder, random.Random(seed), 0

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def add(self) -> None:
        self.count += 1
        self._write(f"{self.chance.choice(['cat', 'dog', 'Cow'])}/{self.chance.choice(['n', 'bad', 'é'])}{self.count}.png")

    def _write(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {self.count} {self.chance.random()}\n")

    def remove(self) -> None:
        self.chance.choice(self.files()).unlink()

    def edit(self) -> None:
        self._write(self.chance.choice(self.files()).relative_to(self.folder).as_posix())

    def relabel(self) -> None:
        file = self.chance.choice(self.files())
        self._move(file, f"{self.chance.choice(['cat', 'dog', 'ant'])}/{file.name}")

    def rename(self) -> None:
        self.count += 1
        file = self.chance.choice(self.files())
        self._move(file, f"{file.relative_to(self.folder).parts[0]}/m{self.count}.png")

    def _move(self, file: Path, name: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        file.rename(self.folder / name)

    def collide(self) -> None:
        """Files of one class in several folders, with one name."""
        self._write(f"cat/{self.chance.choice('xyz')}/same.png")

    def other_case(self) -> None:
        file = self.chance.choice(self.files())
        self._write(f"{file.relative_to(self.folder).parts[0]}/k/{file.name.swapcase().removesuffix('.PNG')}.png")

    def step(self) -> None:
        usual: list[Callable[[], None]] = [self.add, self.remove, self.edit, self.relabel, self.rename]
        for _ in range(self.chance.choice([1, 1, 1, 3])):
            change = self.chance.choice([*usual * 3, self.collide, self.other_case])
            if len(self.files()) < 12 or change in (self.collide, self.other_case):
                self.add()
            change()
        for path in self.files():  # so that collisions come and go
            if path.parent.parent != self.folder and self.chance.random() < 0.5:
                path.unlink()


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages whose views were changed by difference."""
    found: list[str] = []
    apply = Update.apply

    def noted(self: Update, place: Path) -> bool:
        if self.staged is not None:
            found.append(place.name)
        return apply(self, place)

    monkeypatch.setattr(Update, "apply", noted)
    return found


@pytest.mark.parametrize(("seed", "more", "settings"), [(1, 1, {}), (2, 3, {"views": "links"}), (3, 16, {"views_mb": 0})])
def test_after_any_changes_the_view_is_that_of_a_full_build(
    trial: Trial, applied: list[str], monkeypatch: pytest.MonkeyPatch, seed: int, more: int, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(views, "can_share_blocks", lambda folder: False)
    monkeypatch.setattr(view_tables, "CHUNK_BYTES", 300)  # some lines
    monkeypatch.setattr(view_tables, "MOST_MORE", more)
    changes = Changes(trial.path / "images", seed)
    for _ in range(20):
        changes.add()
    run(trial, **settings)
    for number in range(8):
        changes.step()
        run(trial, **settings)
        assert shown(trial) == fresh(trial, **settings), f"step {number}"
    assert set(applied) == {"data", *STAGES}
    assert len(applied) > 12, "else the test compares full builds"
    assert [*(trial.path / "runs").rglob(MORE_ROWS)] or more > 1
    sources = {(path.stat().st_dev, path.stat().st_ino) for path in changes.files()}
    for path in (trial.path / "runs").rglob("*"):
        if not path.is_symlink():
            assert (path.stat().st_dev, path.stat().st_ino) not in sources, "a hard link would let an edit change the source"


@pytest.mark.parametrize("error", [RuntimeError("crash"), OSError(28, "No space left on device")])
def test_after_a_crash_in_the_middle_the_next_view_is_that_of_a_full_build(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    changes = Changes(trial.path / "images", 4)
    for _ in range(20):
        changes.add()
    run(trial)
    move, crashes = view_update.move, 0
    for number in range(5):
        changes.add()
        changes.edit()
        moved: Iterator[int] = iter(range(100))

        def crash(source: Path, place: Path, moved: Iterator[int] = moved, number: int = number) -> None:
            if next(moved) == 3 * number:
                raise error
            move(source, place)

        with monkeypatch.context() as patched:
            patched.setattr(view_update, "move", crash)
            try:
                run(trial)
            except Exception:
                crashes += 1
        run(trial)
        assert shown(trial) == fresh(trial), f"after the crash at file {3 * number}"
    assert crashes > 2


def test_the_results_before_a_crash_are_shown_again_if_the_change_is_taken_back(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the last run has lost a view by then, though its record is that of the run."""
    trial.write("cat/1.png", "cat/2.png")
    run(trial)
    before = shown(trial)
    trial.write("cat/3.png")

    def crash(source: Path, place: Path) -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patched:
        patched.setattr(view_update, "move", crash)
        with pytest.raises(RuntimeError):
            run(trial)
    assert shown(trial) != before
    (trial.path / "images/cat/3.png").unlink()
    run(trial)
    assert shown(trial) == before


def test_unchanged_files_and_stages_are_not_touched(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write(*(f"cat/{number:02d}.png" for number in range(20)))
    folder = run(trial)

    def inodes() -> dict[str, int]:
        return {path.relative_to(folder).as_posix(): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}

    before, put = inodes(), []
    copied = views.copy_file
    monkeypatch.setattr(views, "copy_file", lambda source, place: put.append(place) or copied(source, place))
    trial.write("cat/20.png")
    run(trial)
    after = inodes()
    copies = [name for name in before if name.startswith("halve/") and name.endswith(".png")]
    assert [name for name in copies if after[name] != before[name]] == []
    assert {place.name for place in put} == {"20.png"}
    put.clear()
    run(trial, {**STAGES, "more": {"use": "keep", "dataset": "halve", "words": ["/0"]}})
    assert {name: inodes()[name] for name in after if name != "run.json"} == {
        name: inode for name, inode in after.items() if name != "run.json"
    }


def test_no_row_of_an_unchanged_part_is_parsed(trial: Trial, monkeypatch: pytest.MonkeyPatch, applied: list[str]) -> None:
    trial.write(*(f"cat/{number:02d}.png" for number in range(20)))
    stages = {"data": DATA, "halve": {"use": "halve"}}
    run(trial, stages)
    parsed, unpacked = list[int](), view_tables.unpacked_rows
    monkeypatch.setattr(view_tables, "unpacked_rows", lambda chunk: parsed.append(chunk.count(b"cat/")) or unpacked(chunk))
    trial.write("cat/20.png")
    run(trial, stages)
    assert sorted(applied) == ["data", "halve"]
    assert len(parsed) == 2, "one part of each view"
    applied.clear()

    def split_of(name: str) -> int:
        return hashlib.sha256(name.encode()).digest()[0] % 3

    names = (f"cat/{folder}/05.PNG" for folder in "abcdefgh")
    trial.write(next(name for name in names if split_of(name) == split_of("cat/05.png")))
    run(trial, stages)
    assert applied == ["data"], "on some file systems these are one name, so the other view is built again"
    updated = shown(trial)
    shutil.rmtree(trial.path / "runs")
    run(trial, stages)
    assert updated == shown(trial)


def test_a_link_that_somebody_put_into_a_view_is_not_followed(trial: Trial) -> None:
    trial.write("cat/1.png", "cat/2.png")
    stages = {"data": DATA, "keep": {"use": "keep"}}
    folder = run(trial, stages)
    mine = trial.path.parent / "mine"
    (folder / "keep/cat").rename(mine)
    (folder / "keep/cat").symlink_to(mine)
    (trial.path / "images/cat/1.png").unlink()
    trial.write("cat/3.png")
    run(trial, stages)
    assert sorted(path.name for path in mine.iterdir()) == ["1.png", "2.png"]
    assert sorted(path.name for path in (folder / "keep/cat").iterdir()) == ["2.png", "3.png"]
    assert not (folder / "keep/cat").is_symlink()


def test_a_link_to_a_damaged_result_is_replaced(trial: Trial) -> None:
    """A view has hard links into the store: an edit of one damages the result, which is recomputed, and shown anew."""
    trial.write("cat/1.png", "cat/2.png")
    stages = {"data": DATA, "stamp": {"use": "stamp"}, "measure": {"use": "measure"}}
    folder = run(trial, stages)
    before = shown(trial)
    file = folder / "stamp/cat/1.png-0.png"
    file.chmod(0o644)
    file.write_bytes(b"edited")
    run(trial, stages)
    run(trial, {**stages, "measure": {"use": "measure", "words": ["x"]}})
    assert {name: shown(trial)[name] for name in before if "/stamp/" in name} == {
        name: data for name, data in before.items() if "/stamp/" in name
    }


# --- large datasets ------------------------------------------------------------------------------------------------------


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((24, 32, 3), shade, np.uint8))


def test_a_large_dataset_gets_a_contact_sheet(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "can_share_blocks", lambda folder: False)
    for number in range(60):
        picture(trial.path / f"images/{('cat', 'dog')[number % 6 == 0]}/{number:02d}.png", number)
    drawn: list[list[str]] = []

    def draw(file: Path, chosen: Any) -> bool:
        drawn.append([image.caption for image in chosen])
        return draw_sheet(file, chosen)

    stages = {"data": DATA, "keep": {"use": "keep"}}
    choice = {"choice": {"draw": draw}, "views_mb": 0}
    folder = run(trial, stages, **choice)
    assert len(drawn) == 1, "an import is shown as a table only"
    assert (drawn[0].count("cat"), drawn[0].count("dog")) == (38, 10)
    height, width, _ = images.read(folder / "keep" / SHEET).shape
    assert width > 8 * 160
    assert height > 6 * 24
    (note,) = [v["message"] for v in trial.told("warning") if SHEET in v["message"]]
    assert "contact_sheet.jpg shows 48 of them" in note
    assert "--set views_mb=1" in note
    first = (folder / "keep" / SHEET).read_bytes()
    run(trial, {**stages, "more": {"use": "stamp"}}, **choice)
    assert len(drawn) == 1, "the view is moved"
    assert [v for v in trial.told("warning") if SHEET in v["message"]], "the note is repeated"
    for number in range(60):
        picture(trial.path / f"images/dog/{number:02d}-new.png", 100 + number)
    run(trial, stages, **choice)
    assert len(drawn) == 2
    assert (folder / "keep" / SHEET).read_bytes() != first
    run(trial, stages, choice={"draw": draw}, views_mb=200)
    assert not (folder / "keep" / SHEET).exists()


def test_a_dataset_without_a_readable_image_gets_no_contact_sheet(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "can_share_blocks", lambda folder: False)
    trial.write("cat/1.png", "cat/2.png")
    folder = run(trial, {"data": DATA, "keep": {"use": "keep"}}, choice={"draw": draw_sheet}, views_mb=0)
    assert sorted(path.name for path in (folder / "keep").iterdir()) == [RECORD, ROWS, "metadata.csv"]
    assert not [v for v in trial.told("warning") if SHEET in v["message"]]


def test_a_dataset_that_is_too_large_for_folders_is_streamed_and_moved(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_VIEW", 5)
    monkeypatch.setattr(view_update, "MAX_VIEW", 5)
    trial.write(*(f"cat/{number}.png" for number in range(4)))
    stages = {"data": DATA, "keep": {"use": "keep"}}
    run(trial, stages)
    for count in (8, 9, 3):
        shutil.rmtree(trial.path / "images/cat")
        trial.write(*(f"cat/{number}.png" for number in range(count)))
        folder = run(trial, stages)
        with (folder / "keep/metadata.csv").open(newline="") as table:
            assert len(list(csv.DictReader(table))) == count
        assert (folder / "keep/cat").exists() == (count <= 5)
        table_inode = (folder / "keep/metadata.csv").stat().st_ino
        run(trial, {**stages, "more": {"use": "stamp"}})
        assert (folder / "keep/metadata.csv").stat().st_ino == table_inode


@pytest.mark.parametrize("seed", range(3))
def test_the_table_of_a_large_dataset_is_spliced(trial: Trial, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """After changes at random a view is the one from nothing, byte for byte; and its former table is used."""
    for module in (views, view_update):
        monkeypatch.setattr(module, "MAX_VIEW", 25)
    chance, spliced = random.Random(seed), list[int]()
    splice = view_tables.splice
    monkeypatch.setattr(view_tables, "splice", lambda *given: spliced.append(1) or splice(*given))
    trial.write(*(f"{'ab'[number % 2]}/{number}.png" for number in range(40)))
    stages = {name: STAGES[name] for name in ("data", "halve", "packed", "mixed")}
    run(trial, stages)
    for step in range(5):
        before = len(spliced)
        there = sorted((trial.path / "images").rglob("*.png"))
        for path in chance.sample(there, chance.choice((0, 1, 3))):
            path.unlink()
        names = ("c.png", 'd "quoted", x.png', "é.png", "bad.png", "Z.png")
        trial.write(*(f"{chance.choice('abc')}/{step}{chance.choice(names)}" for _ in range(2)), text=f"{step}")
        run(trial, stages)
        assert len(spliced) > before
        updated = shown(trial)
        shutil.rmtree(trial.path / "runs")
        run(trial, stages)
        assert updated == shown(trial)


def test_the_rows_of_unchanged_parts_stay_where_they_are(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write(*(f"cat/{number:02d}.png" for number in range(40)))
    stages = {"data": DATA, "halve": {"use": "halve"}}
    folder = run(trial, stages)
    written = [(folder / name / ROWS).stat().st_ino for name in stages]
    monkeypatch.setattr(view_tables, "MOST_MORE", 4)
    for step in range(3):
        trial.write(f"cat/new{step}.png")
        run(trial, stages)
        is_kept = [(folder / name / ROWS).stat().st_ino for name in stages] == written
        assert is_kept is all((folder / name / MORE_ROWS).exists() for name in stages)
        assert is_kept or step, "one part of at least ten has changed"
    trial.write(*(f"cat/again{number}.png" for number in range(9)))
    run(trial, stages)
    assert not any((folder / name / MORE_ROWS).exists() for name in stages), "so many parts are worth a new file"


@pytest.mark.parametrize("edited", [NAMES, MORE_ROWS, ROWS, "train/metadata.csv"])
def test_a_view_of_folders_whose_hidden_files_were_edited_is_built_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    monkeypatch.setattr(view_tables, "MOST_MORE", 1)
    trial.write(*(f"cat/{number:02d}.png" for number in range(40)))
    stages = {"data": DATA, "halve": {"use": "halve"}}
    run(trial, stages)
    trial.write("cat/40.png")
    file = run(trial, stages) / "halve" / edited
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:-1] + bytes([data[-1] ^ 1]))
    trial.write(*(f"cat/{number:02d}.png" for number in range(41, 60)))
    run(trial, stages)
    updated = shown(trial)
    shutil.rmtree(trial.path / "runs")
    run(trial, stages)
    assert updated == shown(trial)


@pytest.mark.parametrize("edited", ["metadata.csv", ROWS])
def test_a_large_view_that_was_edited_is_built_again(trial: Trial, monkeypatch: pytest.MonkeyPatch, edited: str) -> None:
    for module in (views, view_update):
        monkeypatch.setattr(module, "MAX_VIEW", 5)
    trial.write(*(f"cat/{number}.png" for number in range(30)))
    stages = {"data": DATA, "keep": {"use": "keep"}}
    folder = run(trial, stages)
    file = folder / "keep" / edited
    file.write_bytes(file.read_bytes().replace(b"cat", b"dog"))
    trial.write("cat/new.png")
    run(trial, stages)
    with (folder / "keep/metadata.csv").open(newline="") as table:
        assert [row["label"] for row in csv.DictReader(table)] == ["cat"] * 31


def test_ids_of_several_lines_are_not_spliced(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (views, view_update):
        monkeypatch.setattr(module, "MAX_VIEW", 5)
    trial.write(*(f"cat/{number}.png" for number in range(30)), "cat/a\nb.png")
    stages = {"data": DATA, "keep": {"use": "keep"}}
    run(trial, stages)
    trial.write("cat/a\nc.png", "cat/d.png")
    folder = run(trial, stages)
    with (folder / "keep/metadata.csv").open(newline="") as table:
        ids = [row["id"] for row in csv.DictReader(table)]
    assert ids == sorted(ids)
    assert {"cat/a\nb.png", "cat/a\nc.png", "cat/d.png"} <= {*ids}


def test_showing_many_images_reports_progress_and_its_time(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png", "cat/2.png")
    stages = {"data": DATA, "keep": {"use": "keep"}}
    run(trial, stages)
    assert not [event for event in trial.told("progress") if event["label"] == "showing results"], "it took a moment"
    monkeypatch.setattr(run_folder, "SHOWN_AFTER_S", 0.0)
    trial.write("cat/3.png")
    run(trial, stages)
    told = [event for event in trial.told("progress") if event["label"] == "showing results"]
    assert told[-1] == {"stage": "", "label": "showing results", "done": 6, "total": 6, "unit": "images"}
    (end,) = trial.told("run_finished")
    assert 0 < end["showing_s"] < end["seconds"]
