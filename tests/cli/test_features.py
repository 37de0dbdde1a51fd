"""``pipekit features``: an image, a folder, two images, a filter, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from tests.cli.conftest import Pipekit
from tests.cli.pictures import class_folders


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    """A bright square on a dark ground: four corners."""
    image = np.full((60, 80, 3), 30, np.uint8)
    image[20:40, 30:50] = 220
    images.write(tmp_path / "corner.png", image)
    return tmp_path / "corner.png"


def rows(file: Path) -> list[list[str]]:
    return [line.split(",") for line in file.read_text().splitlines()[1:]]


def test_one_image(pipekit: Pipekit, corner: Path, tmp_path: Path) -> None:
    result = pipekit("features", corner, "--out", "seen")
    assert result.code == 0, result.err
    found = {(round(float(x)), round(float(y))) for _, x, y, *_ in rows(tmp_path / "seen" / "points.csv")}
    assert len(found) == 4
    assert all(min(abs(x - 30), abs(x - 49)) <= 1 and min(abs(y - 20), abs(y - 39)) <= 1 for x, y in found)
    assert images.read(tmp_path / "seen" / "features.png").ndim == 3
    assert result.out.splitlines()[-1] == "seen"


def test_a_folder_with_a_detectors_parameter(pipekit: Pipekit, tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", {"cat": 2, "dog": 3})
    result = pipekit("features", "pets", "--detector", "fast", "--set", "max_points=3")
    assert result.code == 0, result.err
    counts = {row[0]: row for row in rows(tmp_path / "runs" / "features" / "classes.csv")}
    assert (counts["cat"][1], counts["dog"][1]) == ("2", "3")
    assert max(int(row[-1]) for row in counts.values()) <= 3


def test_two_images_are_matched(pipekit: Pipekit, tmp_path: Path) -> None:
    photo = Path(__file__).parents[2] / "sample_data" / "photos" / "cat.jpg"
    result = pipekit("features", photo, photo, "--match")
    assert result.code == 0, result.err
    assert "the two images show the same thing" in result.out
    assert np.array_equal(images.read(tmp_path / "runs" / "features" / "aligned.png"), images.read(photo))


def test_a_filter_and_its_animation(pipekit: Pipekit, corner: Path, tmp_path: Path) -> None:
    result = pipekit("features", corner, "--kernel", "[[0, 1, 0], [1, -4, 1], [0, 1, 0]]", "--animate", "--set", "animate_px=4")
    assert result.code == 0, result.err
    assert (tmp_path / "runs" / "features" / "filters.png").exists()
    assert len(list((tmp_path / "runs" / "features").rglob("*.gif"))) == 1


def test_detectors_are_compared(pipekit: Pipekit, corner: Path, tmp_path: Path) -> None:
    result = pipekit("features", corner, "--stability", "--detector", "harris", "--detector", "fast")
    assert result.code == 0, result.err
    assert {row[0] for row in rows(tmp_path / "runs" / "features" / "stability.csv")} == {"harris", "fast"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detector", "haris"], "Did you mean 'harris'?"),
        (["--set", "kk=1"], "no parameter called 'kk'"),
        (["--set", "k"], "expected NAME=VALUE"),
        (["--match"], "--match compares two images"),
        (["corner.png"], "--match compares two images"),
        (["--filter", "emboss", "--stability"], "can't be combined"),
        (["--detector", "fast", "--detector", "orb"], "only one detector at a time"),
        (["--kernel", "emboss"], "expected rows of numbers"),
        (["--kernel", "[[1, 2]]"], "odd numbers"),
        (["--filter", "median", "--animate"], "not a single convolution"),
        (["--out", "."], "exists already"),
    ],
)
def test_what_it_refuses(pipekit: Pipekit, corner: Path, words: list[str], message: str) -> None:
    result = pipekit("features", corner, *words)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_the_picture_in_the_terminal(pipekit: Pipekit, corner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "▀" not in pipekit("features", corner).out
    for name, value in (("FORCE_COLOR", "1"), ("COLORTERM", "truecolor"), ("COLUMNS", "60"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    assert "▀" in pipekit("features", corner).out
    assert "▀" not in pipekit("features", corner, "--no-show").out
