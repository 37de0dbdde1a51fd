"""``pipekit.split`` in Python and on the command line: counts, the split file, folders, and what it refuses."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import pipekit
from pipekit.cli import main
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return class_folders(tmp_path / "pets", {"cat": 10, "dog": 20}, size_px=32)


def content(place: Path) -> dict[str, bytes]:
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def test_the_table_the_file_and_the_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(folder)
    assert main(["split", "pets", "--fractions", "0.6,0.2,0.2", "--out", "shell", "--file", "shell.csv", "--quiet"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-6:-2] == [
        ["class", "train", "val", "test"],
        ["cat", "6", "2", "2"],
        ["dog", "12", "4", "4"],
        ["all", "18", "6", "6"],
    ]
    made = pipekit.split(folder, fractions={"train": 0.6, "val": 0.2, "test": 0.2}, out="python", file="python.csv")
    assert made.counts == {"train": {"cat": 6, "dog": 12}, "val": {"cat": 2, "dog": 4}, "test": {"cat": 2, "dog": 4}}
    assert (made.file, made.path) == (folder.parent / "python.csv", Path("python"))
    assert content(Path("python")) == content(Path("shell"))
    assert Path("python.csv").read_bytes() == Path("shell.csv").read_bytes()
    with Path("python.csv").open(newline="") as file:
        listed = {row["id"]: row["split"] for row in csv.DictReader(file)}
    shown = {path.name: path.parts[1] for path in Path("python").rglob("*.png")}
    assert {Path(name).name: where for name, where in listed.items()} == shown
    assert content(folder) == before


def test_files_that_can_t_be_read_are_left_out_by_the_list_that_inspect_wrote(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (folder / "cat" / f"broken{number}.jpg").write_bytes(b"nothing")
    assert main(["split", "pets", "--quiet"]) == 1
    assert "pipekit inspect FOLDER --quarantine bad.csv lists them, and --exclude bad.csv" in capsys.readouterr().err
    assert main(["inspect", "pets", "--only", "corrupt", "--quarantine", "bad.csv"]) == 0
    made = pipekit.split("pets", exclude="bad.csv")
    assert sum(sum(of.values()) for of in made.counts.values()) == 30
    with pytest.raises(PlanError, match="no such file"):
        pipekit.split("pets", exclude="other.csv")


def test_images_that_are_added_move_none(folder: Path) -> None:
    """The split file is that of ``train`` in the same folder."""
    first = pipekit.split(folder)
    assert first.file == folder.parent / "split.csv"
    where = {sample.id: sample.split for sample in first.dataset}
    more = class_folders(folder.parent / "more", {"x": 1, "cat": 5}, size_px=40)
    for path in (more / "cat").iterdir():
        shutil.copy(path, folder / "cat" / f"new-{path.name}")
    second = {sample.id: sample.split for sample in pipekit.split(folder).dataset}
    assert len(second) == 35
    assert {name: second[name] for name in where} == where


def test_what_is_not_remembered_has_no_file(folder: Path) -> None:
    made = pipekit.split(folder, mode="hash", fractions={"train": 0.5, "val": 0.5})
    assert (made.file, sum(map(len, made.counts.values()))) == (None, 4)
    assert not Path("split.csv").exists()


def test_what_it_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanError) as caught:
        pipekit.split(folder, fractions={"train": 0.5, "val": 0.4}, folds=-1)
    assert {problem.path for problem in caught.value.problems} == {"fractions", "folds"}
    with pytest.raises(UserError, match="lies inside the source"):
        pipekit.split(folder, out=folder / "halves")
    with pytest.raises(UserError, match="exists already"):
        pipekit.split(folder, out=folder.parent)
    assert main(["split", "pets", "--folds", "1000"]) == 2
    assert "error: --folds: " in capsys.readouterr().err
    monkeypatch.chdir(folder)
    assert main(["split", "."]) == 2
    assert "split.csv lies inside the source" in capsys.readouterr().err
    assert not (folder / "split.csv").exists()
    assert main(["split", ".", "--file", "../split.csv"]) == 0
    assert not any(path.suffix == ".csv" for path in folder.rglob("*") if ".pipekit" not in path.parts)


def test_a_class_that_a_spreadsheet_would_run(folder: Path) -> None:
    """In the file it is text, and pipekit reads its own name back."""
    (folder / "cat").rename(folder / '=HYPERLINK("x")')
    first = pipekit.split(folder)
    assert first.file is not None
    with first.file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "+", "-", "@")]
    assert sum(row["id"].startswith("'=HYPERLINK") for row in rows) == 10
    before = first.file.read_bytes()
    more = class_folders(folder.parent / "more", {"x": 1, "cat": 1}, size_px=40)
    shutil.copy(next((more / "cat").iterdir()), folder / '=HYPERLINK("x")' / "new.png")
    second = pipekit.split(folder)
    where = {sample.id: sample.split for sample in first.dataset}
    assert {sample.id: sample.split for sample in second.dataset}.items() >= where.items()
    assert len(first.file.read_bytes().splitlines()) == len(before.splitlines()) + 1
