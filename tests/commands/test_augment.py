"""``pipekit.augment`` and ``pipekit.preview`` in Python make what the command makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.cli import main
from pipekit.errors import PlanError, UserError
from pipekit.testing.checks import write_tiny_dataset


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny_dataset(tmp_path / "photos", 2)


def content(place: Path) -> dict[str, bytes]:
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def test_the_verb_writes_what_the_command_writes(folder: Path) -> None:
    """Among the parameters are those that the command could not be given before."""
    events: list[str] = []
    params: dict[str, Any] = {
        "ops": "rotate(40)|hflip",
        "copies": 2,
        "size_hw": (20, 24),
        "splits": ["train"],
        "fill_mode": "constant",
        "fill_value": 200,
        "interpolation": "linear",
        "suffix": "turned",
        "format": "jpg",
        "quality": 80,
        "keep_originals": False,
    }
    made = pipekit.augment(folder, "python", seed=3, listener=lambda event, **_: events.append(event), **params)
    words = "--ops rotate(40)|hflip --copies 2 --size 20x24 --split train --fill constant --fill-value 200 --suffix turned"
    words += " --interpolation linear --format jpg --quality 80 --no-keep-originals --seed 3"
    assert main(["augment", "photos", "-o", "shell", *words.split()]) == 0
    assert content(Path("python")) == content(Path("shell"))
    assert (made.path, made.layout, len(made.dataset)) == (Path("python"), "folders", 12)
    assert len(list(Path("python").rglob("*.turned2.jpg"))) == 6
    assert "run_finished" in events


def test_the_place_may_still_be_an_argument_and_the_help_hides_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["augment", "photos", "one", "--copies", "1"]) == 0
    assert main(["augment", "photos", "--out", "two", "--copies", "1"]) == 0
    assert content(Path("one")) == content(Path("two"))
    capsys.readouterr()
    assert main(["augment", "photos", "three", "--out", "four"]) == 2
    assert "two output folders" in capsys.readouterr().err
    assert main(["augment", "--help"]) == 0
    assert "[OUT]" not in capsys.readouterr().out


@pytest.mark.parametrize("way", ["", "each", "steps"])
def test_the_preview_is_that_of_the_command(folder: Path, way: str) -> None:
    made = pipekit.preview("photos", "python.png", ops="rotate(40)|hflip", variants=4, html=True, **{way: True} if way else {})
    words = [f"--{way}"] if way else []
    assert main(["augment", "photos", "-o", "shell.png", "--html", "--ops", "rotate(40)|hflip", "--variants", "4", *words]) == 0
    assert Path("python.png").read_bytes() == Path("shell.png").read_bytes()
    assert Path("python.html").read_bytes() == Path("shell.html").read_bytes()
    assert (made.path, made.page) == (Path("python.png"), Path("python.html"))
    np.testing.assert_array_equal(made.sheet, images.read("python.png"))


def test_a_preview_without_a_place_writes_nothing(folder: Path) -> None:
    one = next(folder.rglob("*.png"))
    before = set(folder.parent.rglob("*"))
    made = pipekit.preview(one, ops=["hflip"], variants=2)
    assert (made.path, made.page, made.sheet.dtype) == (None, None, np.uint8)
    assert set(folder.parent.rglob("*")) == before
    with pytest.raises(UserError, match="html needs a place"):
        pipekit.preview(one, html=True)


@pytest.mark.parametrize(
    ("params", "path"),
    [({"copies": 0}, "copies"), ({"opps": "hflip"}, "opps"), ({"ops": [{"op": "rotat"}]}, "ops[0].op")],
)
def test_a_wrong_value_is_named_by_its_parameter(folder: Path, params: dict[str, Any], path: str) -> None:
    for call in (lambda: pipekit.augment(folder, "out", **params), lambda: pipekit.preview(folder, **params)):
        with pytest.raises(PlanError) as caught:
            call()
        assert [problem.path for problem in caught.value.problems] == [path]
    assert not Path("out").exists()


def test_on_the_command_line_it_is_named_by_its_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, flag in (
        (["--copies", "0"], "--copies"),
        (["--size", "0x3"], "--size"),
        (["--fill", "x"], "--fill"),
        (["--min-visible", "2"], "--min-visible"),
    ):
        assert main(["augment", "photos", "out", *words]) == 2
        assert f"error: {flag}: " in capsys.readouterr().err
