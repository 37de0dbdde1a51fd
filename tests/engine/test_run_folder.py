"""What is shown under ``runs/``: whole or not at all, and never at the cost of somebody's own files."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pipekit import Sample, owners
from pipekit.engine import run_folder, views
from pipekit.engine.run_folder import find_run, keys_in_use, list_runs, take_out
from pipekit.engine.view_rows import _suffix, folded, view_name
from pipekit.errors import StageError, UserError
from tests.conftest import DATA, Trial

STAGES = {"data": DATA, "stamp": {"use": "stamp"}, "measure": {"use": "measure"}}


def below(folder: Path) -> list[str]:
    """The files of a folder, without the records of views."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".view.")
    )


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def test_what_a_run_shows(trial: Trial) -> None:
    trial.write("cat/1.png", "dog/2.png")
    outcome = trial.run(STAGES)
    assert outcome.run_dir == trial.path / "runs" / "trial"
    assert below(outcome.run_dir) == [
        "data/metadata.csv",
        "measure/sizes.txt",
        "run.json",
        "stamp/cat/1.png-0.png",
        "stamp/dog/2.png-0.png",
        "stamp/metadata.csv",
    ]
    assert table(outcome.run_dir / "stamp/metadata.csv")[0] == {
        "file_name": "cat/1.png-0.png",
        "label": "cat",
        "split": "",
        "id": "cat/1.png-0",
        "sha256": next(iter(outcome.artifact("stamp"))).sha256,
        "extra_of": "cat/1.png",
    }
    assert table(outcome.run_dir / "data/metadata.csv")[0]["file_name"] == str(trial.path / "images/cat/1.png")
    found = json.loads((outcome.run_dir / "run.json").read_text())
    assert (found["name"], found["status"], found["headline"]) == ("trial", "finished", "2 files")
    assert [stage["digest"] for stage in found["stages"]] == [stage.artifact.digest for stage in outcome.stages]


def test_a_run_takes_the_place_of_the_one_before(trial: Trial) -> None:
    trial.write("cat/1.png", "dog/2.png")
    trial.run(STAGES)
    (trial.path / "images/dog/2.png").unlink()
    outcome = trial.run(STAGES)
    assert "stamp/dog/2.png-0.png" not in below(outcome.run_dir)
    assert "stamp/cat/1.png-0.png" in below(outcome.run_dir)
    trial.write("dog/2.png")
    again = trial.run(STAGES)
    assert all(stage.cached for stage in again.stages)
    assert "stamp/dog/2.png-0.png" in below(again.run_dir), "results from the store are shown too"


def test_a_folder_that_is_no_run_is_left_alone(trial: Trial) -> None:
    trial.write("cat/1.png")
    mine = trial.path / "runs" / "trial" / "my notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("a month of work")
    with pytest.raises(UserError, match="is not the folder of a run, so it is not replaced"):
        trial.run(STAGES)
    assert trial.done() == [], "told before anything runs"
    assert below(trial.path / "runs") == ["trial/my notes.txt"]
    mine.unlink()
    assert trial.run(STAGES).status == "finished", "an empty one is in nobody's way"


def test_a_place_that_cannot_be_written_is_said_before_anything_runs(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png")

    def refused(*, dir: Path, prefix: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(dir / prefix))

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", refused)
        with pytest.raises(UserError, match=r"can't write the results into .*: Permission denied") as caught:
            trial.run(STAGES)
    assert "do you have write access?" in caught.value.hint
    assert trial.done() == []
    assert trial.run(STAGES).status == "finished"


def test_results_that_cannot_be_put_in_place_are_kept_in_the_store(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "_swap", full)
        with pytest.raises(UserError, match=r"can't write the results into .*/runs/trial: No space left on device"):
            trial.run(STAGES)
    assert all(stage.cached for stage in trial.run(STAGES).stages)


def test_a_failed_run_shows_nothing_and_leaves_the_last_one(trial: Trial) -> None:
    trial.write("cat/1.png")
    trial.run(STAGES)
    before = below(trial.path / "runs")
    with pytest.raises(Exception, match="can't be used"):
        trial.run({"data": DATA, "stamp": {"use": "stamp", "fail": "cat"}})
    assert below(trial.path / "runs") == before


def test_our_own_output_is_never_read_as_input(trial: Trial) -> None:
    trial.write("cat/1.png")
    stages = {"data": {**DATA, "path": "."}, "stamp": {"use": "stamp"}}
    first = trial.run(stages)
    second = trial.run(stages)
    assert all(stage.cached for stage in second.stages)
    assert len(first.artifact("data")) == 1


# --- source images are never changed -------------------------------------------------------------------------------------


def test_files_of_one_name_are_kept_apart_and_never_written_over(trial: Trial) -> None:
    """``b/x`` is renamed to ``b__x`` in the view, a name that another file may have."""
    names = ["a/b__x.png", "b/x.png", "c/x.png", "d/X.png", "e/x.PNG", "f/d__X.png"]
    trial.write(*(f"all/{name}" for name in names))
    outcome = trial.run({"data": DATA, "keep": {"use": "keep"}})
    shown = table(outcome.run_dir / "keep/metadata.csv")
    assert len({row["file_name"].casefold() for row in shown}) == 6
    for row in shown:
        assert (outcome.run_dir / "keep" / row["file_name"]).read_text() == f"{row['id']}\n"
    for name in names:
        assert (trial.path / "images/all" / name).read_text() == f"all/{name}\n"


def test_nothing_is_ever_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("a photograph")
    (tmp_path / "other.png").write_text("another")
    os.link(tmp_path / "photo.png", tmp_path / "view.png")
    with pytest.raises(FileExistsError):
        views._link(tmp_path / "other.png", tmp_path / "view.png")
    with pytest.raises(FileExistsError):
        views.copy_out(tmp_path / "other.png", tmp_path / "view.png")
    assert (tmp_path / "photo.png").read_text() == "a photograph"


def test_images_that_are_links_are_shown_as_what_they_lead_to(trial: Trial) -> None:
    (trial.path / "real.png").write_text("real")
    (trial.path / "images/cat").mkdir()
    (trial.path / "images/cat/1.png").symlink_to("../../real.png")
    outcome = trial.run({"data": DATA, "keep": {"use": "keep"}})
    shown = outcome.run_dir / "keep/cat/1.png"
    assert shown.read_text() == "real"
    assert not shown.is_symlink()
    assert not shown.samefile(trial.path / "real.png"), "a hard link would let an edit of the view change the photograph"


def test_a_disk_without_links_gets_copies(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    trial.write("cat/1.png")
    outcome = trial.run({"data": DATA, "stamp": {"use": "stamp"}})
    (sample,) = outcome.artifact("stamp")
    (shown,) = (outcome.run_dir / "stamp").glob("cat/*.png")
    assert shown.read_bytes() == Path(sample.image).read_bytes()
    assert not shown.samefile(sample.image)


labels = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text("aB/_. é", max_size=300), labels), max_size=8, unique_by=lambda pair: pair[0]))
def test_any_id_and_label_make_names_of_their_own_inside_the_folder(tmp_path_factory: Any, pairs: Any) -> None:
    folder, taken = tmp_path_factory.mktemp("view"), set[str]()
    for number, (name, label) in enumerate(pairs):
        place = folder / view_name(Sample(name, "/data/x.png", label=label), "", taken)
        place.parent.mkdir(parents=True, exist_ok=True)
        assert place.parent.resolve().parent == folder.resolve()
        with place.open("x") as file:
            file.write(str(number))
    assert len(list(folder.glob("*/*"))) == len(pairs)


@given(st.text("aÄß./~ ", max_size=12).filter(lambda name: name and not name.endswith("/")))
@example("x/..jpg")
@example("x/.jpg")
@example("x/a.")
@example("x.y/a.tar.gz")
def test_the_suffix_of_a_path_is_that_of_pathlib(name: str) -> None:
    image = f"/data/{name}"
    assume(Path(image).name not in ("", ".") and not image.endswith("/."))
    assert _suffix(image) == Path(image).suffix


@given(st.text(max_size=20))
def test_names_are_folded_as_unicode_says(names: str) -> None:
    assert folded(names) == unicodedata.normalize("NFC", names).casefold()


# --- records -------------------------------------------------------------------------------------------------------------


def test_runs_are_remembered_the_newest_first(trial: Trial) -> None:
    trial.write("cat/1.png")
    for seed in (1, 2):
        trial.run({"data": DATA, "stamp": {"use": "stamp"}}, seed=seed)
    with pytest.raises(Exception, match="can't be used"):
        trial.run({"data": DATA, "stamp": {"use": "stamp", "fail": "cat"}}, seed=3)
    trial.run({"data": DATA}, name="other", choice={"again": ["data"]})
    found = list_runs(trial.path)
    assert {(run["name"], run["seed"], run["status"]) for run in found} == {
        ("trial", 1, "finished"),
        ("trial", 2, "finished"),
        ("trial", 3, "failed"),
        ("other", 0, "finished"),
    }
    assert [run["seed"] for run in list_runs(trial.path, "trial")] == [3, 2, 1]
    assert find_run(trial.path, "trial")["seed"] == 2, "the newest that has finished"
    assert find_run(trial.path, found[-1]["id"])["id"] == found[-1]["id"]
    assert find_run(trial.path, "runs/trial")["seed"] == 2
    with pytest.raises(UserError, match="no run called 'trail'") as caught:
        find_run(trial.path, "trail")
    assert caught.value.hint == "Did you mean 'trial'?"
    keys = keys_in_use(trial.path, keep=1)
    assert {stage["key"] for stage in find_run(trial.path, "trial")["stages"]} <= keys, "it is shown under runs/"


def test_a_record_that_is_damaged_is_passed_over(trial: Trial) -> None:
    trial.write("cat/1.png")
    trial.run({"data": DATA})
    (trial.store / "runs/trial/zz.json").write_text("{")
    assert len(list_runs(trial.path)) == 1
    (trial.path / "runs/trial/run.json").write_text("")
    assert keys_in_use(trial.path)
    assert trial.run({"data": DATA}).status == "finished"
    assert json.loads((trial.path / "runs/trial/run.json").read_text())["status"] == "finished"


# --- taking results out --------------------------------------------------------------------------------------------------


def test_results_are_taken_out_whole_or_not_at_all(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png", "dog/2.png")
    outcome = trial.run(STAGES)
    out = trial.path.parent / "out"
    take_out(outcome.artifact("stamp"), out)
    assert below(out) == [".pipekit-output", "cat/1.png-0.png", "dog/2.png-0.png", "metadata.csv"]
    with pytest.raises(UserError, match="exists already"):
        take_out(outcome.artifact("stamp"), out)
    take_out(outcome.artifact("measure"), trial.path.parent / "sizes")
    assert below(trial.path.parent / "sizes") == ["sizes.txt"]

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(views, "copy_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        take_out(outcome.artifact("stamp"), trial.path.parent / "third")
    assert not list(trial.path.parent.glob("*third*"))


def test_the_view_opens_elsewhere(trial: Trial) -> None:
    """A class folder is what other tools read; the CSV names each file that is there, and no other."""
    trial.write(*(f"{label}/{number}.png" for label in ("cat", "dog") for number in range(3)))
    folder = trial.run(STAGES).run_dir / "stamp"
    assert sorted(row["file_name"] for row in table(folder / "metadata.csv")) == [
        name for name in below(folder) if name != "metadata.csv"
    ]


# --- what is shown is nobody's photograph ---------------------------------------------------------------------------------


def fingerprint(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_editing_every_file_that_is_shown_changes_no_source_and_no_result(trial: Trial) -> None:
    trial.write("cat/1.png", "dog/2.png")
    stages = {"data": DATA, "keep": {"use": "keep"}, "stamp": {"use": "stamp", "dataset": "keep"}}
    outcome = trial.run(stages)
    take_out(outcome.artifact("keep"), trial.path.parent / "out")
    before = fingerprint(trial.path / "images")
    for folder in (outcome.run_dir, trial.path.parent / "out"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with contextlib.suppress(PermissionError):  # a link to what pipekit made is read-only; root may write it
                    path.open("ab").write(b"an edit")
                if path.stat().st_nlink == 1:
                    path.chmod(0o600)
    assert fingerprint(trial.path / "images") == before
    trial.events.clear()
    again = trial.run({**stages, "stamp": {**stages["stamp"], "amount": 2}})
    assert again.artifact("keep").digest == outcome.artifact("keep").digest


def test_many_images_are_listed_and_the_option_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "can_share_blocks", lambda folder: False)
    for number in range(3):
        (trial.path / f"images/cat/{number}.png").parent.mkdir(parents=True, exist_ok=True)
        (trial.path / f"images/cat/{number}.png").write_bytes(bytes([number]) * 700_000)
    stages = {"data": DATA, "keep": {"use": "keep"}}
    outcome = trial.run(stages, views_mb=2)
    assert below(outcome.run_dir / "keep") == ["metadata.csv"]
    (note,) = [v["message"] for event, v in trial.events if event == "warning" and "metadata.csv" in v["message"]]
    assert "its 3 images take 2 MB" in note
    assert "--set views=links" in note
    assert "--set views_mb=3" in note
    assert [row["file_name"] for row in table(outcome.run_dir / "keep/metadata.csv")] == [
        str(trial.path / f"images/cat/{number}.png") for number in range(3)
    ]
    shown = trial.run(stages, views_mb=3).run_dir / "keep/cat"
    assert not any(path.is_symlink() for path in shown.iterdir())
    linked = trial.run(stages, views_mb=2, views="links").run_dir / "keep/cat"
    assert all(path.is_symlink() for path in linked.iterdir())
    assert below(trial.run(stages, views="none").run_dir / "keep") == ["metadata.csv"]


# --- damage and kills ----------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_a_damaged_picture_is_not_copied_out_and_the_next_run_heals_it(trial: Trial) -> None:
    trial.write("cat/1.png", "cat/2.png")
    stages = {"data": DATA, "stamp": {"use": "stamp"}}
    first = trial.run(stages)
    take_out(first.artifact("stamp"), trial.path / "right")
    picture = next(iter(sorted(trial.store.glob("shards/**/*.png"))))
    flip(picture)
    with pytest.raises(StageError, match=r"was damaged .* and was moved aside"):
        take_out(trial.run(stages).artifact("stamp"), trial.path / "wrong")
    assert not (trial.path / "wrong").exists()
    take_out(trial.run(stages).artifact("stamp"), trial.path / "again")
    assert files_in(trial.path / "again") == files_in(trial.path / "right")


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}


def test_what_a_killed_process_was_copying_out_is_removed_by_the_next(trial: Trial) -> None:
    trial.write("cat/1.png")
    outcome = trial.run({"data": DATA, "stamp": {"use": "stamp"}})
    dead, living = f"{dead_pid()}@{owners._machine()}-0123", f"{os.getpid()}@{owners._machine()}-0123"
    for name in (f".out.{dead}", f".out.{living}", f".other.{dead}", ".out.keep"):
        (trial.path / name).mkdir()
    take_out(outcome.artifact("stamp"), trial.path / "out")
    assert sorted(path.name for path in trial.path.glob(".o*")) == sorted([f".out.{living}", f".other.{dead}", ".out.keep"])


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_copied_out_is_on_the_disk_before_it_is_in_its_place(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write("cat/1.png")
    outcome = trial.run({"data": DATA, "stamp": {"use": "stamp"}})
    settled: list[tuple[int, bool]] = []
    out = trial.path / "out"
    monkeypatch.setattr(run_folder, "settle", lambda folder: settled.append((len(files_in(folder)), out.exists())))
    take_out(outcome.artifact("stamp"), out)
    assert settled == [(1, False)]
