"""``pipekit inspect``."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.artifacts import Dataset
from pipekit.cli import main
from pipekit.engine.adhoc import find_artifact
from tests.cli.conftest import Pipekit
from tests.cli.pictures import class_folders


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for split, numbers in (("train", range(8)), ("test", range(8, 12))):
        for number in numbers:
            path = tmp_path / "photos" / split / ("dog" if number % 2 else "cat") / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, images.resize(chance.integers(0, 255, (14, 14, 3), np.uint8), (90, 90)))
    shutil.copy(tmp_path / "photos/test/cat/8.jpg", tmp_path / "photos/train/cat/copy.jpg")
    (tmp_path / "photos/train/dog/bad.jpg").write_text("not an image", "utf-8")
    return tmp_path / "photos"


def test_the_table_the_page_and_the_exit_code(pipekit: Pipekit, leaking: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in leaking.rglob("*.jpg")}
    found = pipekit("inspect", "photos", "--out", "out", "--fail-on", "leakage,corrupt")
    assert found.code == 1
    assert "the same file in train and test: test/cat/8.jpg, train/cat/copy.jpg" in found.out
    assert "a text file, not an image: train/dog/bad.jpg" in found.out
    assert "--fail-on: corrupt, leakage" in found.err
    assert "copy.jpg" in (tmp_path / "out/inspect.html").read_text("utf-8")
    assert {path: path.read_bytes() for path in leaking.rglob("*.jpg")} == before
    assert pipekit("inspect", "photos", "--fail-on", "dark").code == 0
    assert pipekit("inspect", "photos", "--fail-on", "error", "--skip", "leakage,corrupt").code == 0


@pytest.mark.usefixtures("leaking")
def test_a_second_look_loads_no_numbers() -> None:
    script = """
import sys
from pipekit.cli import main
main(["inspect", "photos"])
print("loaded:", *sorted({"numpy", "cv2", "PIL", "jinja2"} & set(sys.modules)))
"""
    said = [subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout for _ in "ab"]
    assert [text.splitlines()[-1] for text in said] == ["loaded: PIL cv2 jinja2 numpy", "loaded:"]


def test_json_is_the_whole_of_stdout(pipekit: Pipekit, leaking: Path) -> None:
    found = json.loads(pipekit("inspect", "photos", "--json", "--only", "corrupt").out)
    assert [finding["check"] for finding in found["findings"]] == ["corrupt"]
    assert found["num_unusable"] == 1


def test_files_that_are_no_images_are_said_in_the_page_and_the_warning(pipekit: Pipekit, leaking: Path, tmp_path: Path) -> None:
    for name in ("train/cat/IMG_1.HEIC", "train/cat/IMG_2.heic", "test/dog/clip.mp4", "train/dog/notes.txt"):
        (leaking / name).write_bytes(b"not opened here")
    said = "passed over 4 files that are not images pipekit reads: 2 .heic, 1 .mp4, 1 .txt (e.g. train/cat/IMG_1.HEIC)"
    for _ in range(2):
        assert said in pipekit("inspect", "photos", "--out", "out").err
    assert "passed over 4 files that are not images pipekit reads" in (tmp_path / "out/inspect.html").read_text("utf-8")
    assert json.loads((tmp_path / "out/inspect.json").read_text("utf-8"))["passed_over"]["counts"][".heic"] == 2
    (leaking / "train/cat/IMG_2.heic").unlink()
    found = json.loads(pipekit("inspect", "photos", "--json").out)
    assert found["passed_over"]["counts"] == {".heic": 1, ".mp4": 1, ".txt": 1}


def test_of_a_runs_dataset_it_says_what_its_import_passed_over(pipekit: Pipekit, leaking: Path, tmp_path: Path) -> None:
    (leaking / "train/cat/IMG_1.heic").write_bytes(b"not opened here")
    stages = '[stages.data]\nuse = "import.folders"\npath = "photos"\nmax_failed = 0.5\n[stages.split]\nuse = "split"\n'
    (tmp_path / "pipeline.toml").write_text(f'name = "x"\n{stages}', "utf-8")
    said = "passed over 1 file that is not an image pipekit reads: 1 .heic (e.g. train/cat/IMG_1.heic)"
    for _ in range(2):  # the second run takes the import from the store
        assert f"warning: data: {said}" in pipekit("run").out
    assert said in pipekit("inspect", "x", "--only", "corrupt").err


def test_quarantine_is_what_split_leaves_out(pipekit: Pipekit, leaking: Path, tmp_path: Path) -> None:
    assert pipekit("inspect", "photos", "--quarantine", "bad.csv").code == 0
    with (tmp_path / "bad.csv").open(encoding="utf-8") as file:
        listed = {line["id"]: line["check"] for line in csv.DictReader(file)}
    assert listed["train/cat/copy.jpg"] == "leakage"
    assert listed["train/dog/bad.jpg"] == "corrupt"
    (tmp_path / "pipeline.toml").write_text(
        'name = "x"\n[stages.data]\nuse = "import.folders"\npath = "photos"\nmax_failed = 0.5\n'
        '[stages.split]\nuse = "split"\nexclude = "bad.csv"\n',
        "utf-8",
    )
    done = pipekit("run", "--quiet")
    assert done.code == 0
    assert "warning" not in done.err.replace("warning: data", "")


@pytest.mark.parametrize("stage", ["data", "split"])
def test_of_copies_in_a_quarantine_one_stays(pipekit: Pipekit, leaking: Path, tmp_path: Path, stage: str) -> None:
    shutil.copy(leaking / "train/dog/1.jpg", leaking / "train/dog/twin.jpg")
    assert pipekit("inspect", "photos", "--only", "corrupt,leakage,exact_duplicates", "--quarantine", "bad.csv").code == 0
    with (tmp_path / "bad.csv").open(encoding="utf-8") as file:
        listed = {line["id"]: line["match"] for line in csv.DictReader(file)}
    assert listed == {"train/dog/bad.jpg": "content", "train/cat/copy.jpg": "id", "train/dog/twin.jpg": "id"}
    stages = {"data": 'use = "import.folders"\npath = "photos"\nmax_failed = 0.5\n', "split": 'use = "split"\n'}
    stages[stage] += 'exclude = "bad.csv"\n'
    text = "".join(f"[stages.{name}]\n{lines}" for name, lines in stages.items())
    (tmp_path / "pipeline.toml").write_text(f'name = "x"\n{text}', "utf-8")
    assert pipekit("run", "--quiet").code == 0
    dataset = find_artifact("x", Dataset, tmp_path)
    assert dataset is not None
    there = {path.relative_to(leaking).as_posix() for path in leaking.rglob("*.jpg")}
    assert {sample.id for sample in dataset} == there - set(listed)


def test_a_check_that_does_not_exist(pipekit: Pipekit, leaking: Path) -> None:
    found = pipekit("inspect", "photos", "--fail-on", "leekage")
    assert found.code == 2
    assert "Did you mean 'leakage'?" in found.err


def test_a_folder_without_images(pipekit: Pipekit, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = pipekit("inspect", "empty")
    assert found.code == 2
    assert "no importer recognises" in found.err


def test_several_readings_are_asked_about_in_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "set/images", {"cat": 1, "dog": 1})
    class_folders(tmp_path / "set", {"labels": 1})
    command = ["inspect", "set", "--json"]
    assert main(command) == 2
    assert "how a dataset is arranged" in capsys.readouterr().err
    answers = iter(["x", "3", "1"])
    monkeypatch.setattr("pipekit.ui.can_ask", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert main(command[:-1]) == 0
    out = capsys.readouterr().out
    assert "the images in images alone (give" in out
    assert "every top folder is a class (--format folders --splits no)" in out
    assert next(answers, None) is None, "an answer that is no number of a reading is asked for again"
    assert "2 images" in out
    assert main([*command, "--splits", "no"]) == 0, "with --json nothing is asked"
    assert json.loads(capsys.readouterr().out)["counts"] == {"": {"images": 2, "labels": 1}}


def test_stopping_at_the_question_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "set", {"images": 1, "labels": 1})
    monkeypatch.setattr("pipekit.ui.can_ask", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "q")
    assert main(["inspect", "set"]) == 1
