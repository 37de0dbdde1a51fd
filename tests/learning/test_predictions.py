"""Images found, predicted one after another, and written."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.errors import UserError
from pipekit.learning.predictions import Prediction, answers, find_images, sort_into, to_plain, write_csv, write_jsonl
from pipekit.learning.predictor import Predictor


def left_bright(batch: np.ndarray) -> np.ndarray:
    """Class "left" where the left half is the brighter one."""
    half = batch.shape[2] // 2
    left = batch[:, :, :half].mean(axis=(1, 2, 3)) / 255
    right = batch[:, :, half:].mean(axis=(1, 2, 3)) / 255
    share = 0.5 + (left - right) / 2
    return np.stack([share, 1 - share], axis=1).astype(np.float32)


PREDICTOR = Predictor(("left", "right"), (8, 8, 3), {}, left_bright)


def half_white(path: Path, left: int, right: int) -> Path:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = left, right
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, pixels)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    half_white(tmp_path / "photos" / "b.png", 255, 0)
    half_white(tmp_path / "photos" / "a.png", 0, 255)
    half_white(tmp_path / "photos" / "deep" / "a.png", 204, 0)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_files_folders_patterns_and_lists_are_found_in_order(photos: Path) -> None:
    names = ["a.png", "b.png", "broken.jpg", "deep/a.png"]
    assert list(find_images([str(photos)])) == [str(photos / name) for name in names]
    assert list(find_images([str(photos / "**" / "a.png")])) == [str(photos / "a.png"), str(photos / "deep" / "a.png")]
    assert list(find_images([str(photos / "notes.txt")])) == [str(photos / "notes.txt")]
    assert list(find_images(["-"], ["x y.jpg\n", "\n", "z.png"])) == ["x y.jpg", "z.png"]


def test_a_missing_source_is_refused_at_once(photos: Path) -> None:
    with pytest.raises(UserError, match=r"no such file or folder: .*nothing"):
        find_images([str(photos), str(photos / "nothing")])


def test_a_pattern_that_nothing_fits_is_an_error(photos: Path) -> None:
    """Beside sources with images it was passed over in silence."""
    with pytest.raises(UserError, match=r"no file fits the pattern .*\*\.gif"):
        find_images([str(photos), str(photos / "*.gif")])
    with pytest.raises(UserError, match=r"no file fits the pattern") as caught:
        find_images([str(photos / "[bold]red.png")])
    assert "[[]" in caught.value.hint


def test_answers_are_ordered_and_failures_say_why(photos: Path) -> None:
    found = list(answers(PREDICTOR, find_images([str(photos)]), workers=2, batch_size=2))
    assert [answer.predicted for answer in found] == ["right", "left", "", "left"]
    assert found[1].probabilities == (("left", 1.0), ("right", 0.0))
    assert found[3].confidence == pytest.approx(0.9)
    assert found[2].error == "empty file (0 bytes)"


def test_the_mirror_image_evens_out_what_hangs_on_the_side(photos: Path) -> None:
    found = list(answers(PREDICTOR, [str(photos / "b.png")], mirrored=True))
    assert found[0].probabilities == (("left", 0.5), ("right", 0.5))


def test_csv_and_json_lines_hold_the_same(photos: Path) -> None:
    found = list(answers(PREDICTOR, find_images([str(photos)])))
    table, lines = io.StringIO(), io.StringIO()
    assert list(write_csv(found, PREDICTOR.classes, table)) == found
    assert list(write_jsonl(found, 1, lines)) == found
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    plain = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [row["image"] for row in rows] == [row["image"] for row in plain]
    assert (rows[2]["predicted"], rows[2]["p:left"], rows[2]["error"]) == ("", "", "empty file (0 bytes)")
    assert plain[2] == {"image": str(photos / "broken.jpg"), "error": "empty file (0 bytes)"}
    assert float(rows[3]["p:left"]) == plain[3]["confidence"] == plain[3]["top"][0]["probability"]
    assert len(plain[3]["top"]) == 1


def test_sorting_copies_and_never_overwrites(photos: Path, tmp_path: Path) -> None:
    found = [Prediction(str(photos / name), (("cat/dog", 1.0),)) for name in ("a.png", "deep/a.png")]
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    assert list(sort_into(found, tmp_path / "sorted")) == found
    copies = sorted(path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.png"))
    assert copies == ["cat_dog/a.png", "cat_dog/a_2.png"]
    assert (tmp_path / "sorted" / "cat_dog" / "a_2.png").read_bytes() == before[photos / "deep" / "a.png"]
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before


def test_top_k_is_cut() -> None:
    answer = Prediction("x", (("a", 0.5), ("b", 0.3), ("c", 0.2)))
    assert [entry["class"] for entry in to_plain(answer, 2)["top"]] == ["a", "b"]


def test_writing_is_as_lazy_as_finding(photos: Path) -> None:
    out = io.StringIO()
    written = write_csv(answers(PREDICTOR, [str(photos / "a.png")] * 5, batch_size=1), PREDICTOR.classes, out)
    next(written)
    assert len(out.getvalue().splitlines()) == 2


SCORED = Predictor(
    ("left", "right"),
    (8, 8, 3),
    {},
    left_bright,
    with_score=lambda batch: np.concatenate([left_bright(batch), batch[:, :1, 0, 0] / 204], axis=1).astype(np.float32),
)
"""It knows images whose upper left pixel is at most 204."""


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_image_that_is_none_of_the_classes_is_said_and_keeps_its_class(photos: Path, mirrored: bool) -> None:
    found = list(answers(SCORED, [str(photos / name) for name in ("b.png", "deep/a.png", "broken.jpg")], mirrored=mirrored))
    assert [(one.predicted, one.unknown) for one in found] == [("left", True), ("left", False), ("", None)]
    assert found[0].unknown_score == pytest.approx(255 / 204, abs=1e-6), "the mirror image has no part in it"
    out, lines = io.StringIO(), io.StringIO()
    list(write_csv(found, SCORED.classes, out, scored=True))
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["unknown"] for row in rows] == ["1", "0", ""]
    assert [row["unknown_score"] for row in rows] == ["1.250000", "1.000000", ""]
    list(write_jsonl(found, 1, lines))
    plain = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (plain[0]["unknown"], plain[1]["unknown"]) == (True, False)
    assert "unknown" not in plain[2]
    (without,) = answers(PREDICTOR, [str(photos / "b.png")])
    assert without.unknown is None
    assert "unknown" not in to_plain(without, 1)
