"""``pipekit predict`` and the stage of that name."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit.cli import main
from pipekit.engine.run import run_plan
from pipekit.errors import PipekitError
from pipekit.pipeline.plan import load_plan
from tests.builtin.conftest import COLOURS


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture
def in_project(colour_project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(colour_project.path)
    return colour_project


def predict(*words: str) -> int:
    return main(["predict", "model", *words, "--plugin", "by_colour.py"])


def test_predict_says_what_evaluate_said(in_project: Any) -> None:
    measured = {row["id"]: row for row in rows_of(in_project.report() / "predictions.csv")}
    assert predict("images/test", "--out", "found.csv", "--batch-size", "5", "--workers", "2") == 0
    found = rows_of(Path("found.csv"))
    assert len(found) == len(measured) == 24
    for row in found:
        same = measured[Path(row["image"]).relative_to("images").as_posix()]
        assert row["predicted"] == same["predicted"]
        for name in ("blue", "green", "red"):
            assert float(row[f"p:{name}"]) == float(same[f"p:{name}"])


def test_the_stage_predicts_images_without_labels_too(in_project: Any) -> None:
    table = {
        "name": "trial",
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "train": {"use": "made_model", "folder": "model"},
            "answers": {"use": "predict", "model": "train", "dataset": "data", "split": "val"},
        },
    }
    made = run_plan(load_plan(table=table, base_dir=in_project.path)).stages[-1].artifact
    rows = rows_of(made.path / "predictions.csv")
    assert len(rows) == 18
    assert all(row["image"].startswith(f"val/{row['predicted']}/") for row in rows)
    assert made.meta["facts"]["images"] == "18"


def test_json_lines_on_standard_output(in_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("images/val/red/red_0.png", "--format", "jsonl", "--top-k", "2") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["predicted"], len(found["top"])) == ("red", 2)


def test_one_bad_file_is_told_of_and_all_bad_is_a_failure(in_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert predict("bad.jpg", "images/val/red/red_0.png") == 0
    assert "1 of 2 images can't be used" in capsys.readouterr().err
    assert predict("bad.jpg") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such file or folder: nowhere"),
        (["by_colour.py"], "a text file"),
        (["model/*.jpg"], "no file fits the pattern"),
        (["model"], "no images"),
    ],
)
def test_what_can_not_be_predicted_is_said(
    in_project: Any, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert predict(*words) in (1, 2)
    assert said in "".join(capsys.readouterr())


def test_a_video_gives_an_answer_for_each_frame(in_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    film = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 5, (32, 24))
    for colour in (COLOURS["red"], COLOURS["green"], COLOURS["blue"], COLOURS["red"]):
        film.write(np.full((24, 32, 3), colour[::-1], np.uint8))
    film.release()
    assert predict("clip.avi", "--out", "all.csv", "--batch-size", "3") == 0
    found = rows_of(Path("all.csv"))
    assert [row["predicted"] for row in found] == ["red", "green", "blue", "red"]
    assert found[3]["image"] == "clip.avi#frame=3,time=0.600s"
    assert [(row["clip"], row["frame"], row["time_s"]) for row in found[2:]] == [
        ("clip.avi", "2", "0.400"),
        ("clip.avi", "3", "0.600"),
    ]
    assert predict("clip.avi", "images/val/blue/blue_0.png", "--every", "2", "--out", "some.csv") == 0
    assert [row["predicted"] for row in rows_of(Path("some.csv"))] == ["red", "blue", "blue"]
    Path("broken.mp4").write_bytes(b"no video")
    capsys.readouterr()
    assert predict("broken.mp4") == 2
    assert "no frame of broken.mp4 can be read" in capsys.readouterr().err
    assert predict("clip.avi", "--sort", "sorted") == 2


def test_a_picture_of_200_megapixels_is_told_of_and_the_rest_is_answered(in_project: Any) -> None:
    head = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    Path("huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + end)
    assert predict("huge.png", "images/val/red/red_0.png", "--out", "found.csv") == 0
    huge, red = rows_of(Path("found.csv"))
    assert (huge["predicted"], red["predicted"]) == ("", "red")
    assert huge["error"].startswith("more than 178 megapixels")


def test_a_model_without_classes_is_refused(in_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    in_project.model("model", task="reconstruction", classes=[])
    assert predict("images/val") == 2
    assert "is an autoencoder" in capsys.readouterr().err


def test_a_missing_model_is_said(in_project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "images", "images"]) == 2
    assert "no trained model in images" in capsys.readouterr().err


def test_sort_makes_a_folder_for_each_class(in_project: Any) -> None:
    assert predict("images/val", "--sort", "sorted") == 0
    assert {path.name: len(list(path.iterdir())) for path in Path("sorted").iterdir()} == {"blue": 6, "green": 6, "red": 6}


def test_calibrated_probabilities_are_scaled_by_the_model_s_temperature(
    in_project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("images/test", "--out", "plain.csv") == 0
    capsys.readouterr()
    assert predict("nothing_is_read", "--calibrated") == 2
    assert predict("images/test", "--calibrated", "--out", "none.csv") == 2
    assert "the model in " in (said := capsys.readouterr().err)
    assert "has no temperature" in said
    assert not Path("none.csv").exists()
    in_project.model(calibration={"temperature": 2.0, "num_val_images": 18})
    assert predict("images/test", "--calibrated", "--out", "calibrated.csv") == 0
    names = [f"p:{name}" for name in COLOURS]
    plain, found = rows_of(Path("plain.csv")), rows_of(Path("calibrated.csv"))
    before, after = (np.array([[float(row[name]) for name in names] for row in rows]) for rows in (plain, found))
    roots = np.sqrt(before)  # T = 2
    np.testing.assert_allclose(after, roots / roots.sum(axis=1, keepdims=True), atol=2e-5)
    assert [row["predicted"] for row in found] == [row["predicted"] for row in plain]


def test_the_stage_calibrates_where_it_is_asked_to(in_project: Any) -> None:
    def rows(calibrated: bool) -> Any:
        table = {
            "name": "trial",
            "plugins": ["./by_colour.py"],
            "stages": {
                "data": {"use": "import.folders", "path": "images"},
                "train": {"use": "made_model", "folder": "model"},
                "answers": {"use": "predict", "model": "train", "dataset": "data", "split": "val", "calibrated": calibrated},
            },
        }
        made = run_plan(load_plan(table=table, base_dir=in_project.path)).stages[-1].artifact
        return [float(row["confidence"]) for row in rows_of(made.path / "predictions.csv")]

    with pytest.raises(PipekitError, match="has no temperature"):
        rows(True)
    in_project.model(calibration={"temperature": 2.0})
    assert np.mean(rows(True)) < np.mean(rows(False)) - 0.05
