"""``pipekit.features``, ``match``, ``filters`` and ``stability`` in Python make what the command makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipekit
from pipekit.commands.working import Made
from pipekit.errors import PlanError, UserError
from tests.cli.pictures import class_folders


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return class_folders(tmp_path / "pets", {"cat": 2, "dog": 2}, size_px=48)


def content(place: Path) -> dict[str, bytes]:
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


CALLS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "features",
        {"detector": {"use": "fast", "max_points": 5}, "preview_px": 128},
        ["--detector", "fast", "--set", "max_points=5", "--preview-px", "128"],
    ),
    ("filters", {"filter": "emboss"}, ["--filter", "emboss"]),
    ("stability", {"detectors": ["fast", "orb"]}, ["--stability", "--detector", "fast", "--detector", "orb"]),
]


@pytest.mark.parametrize(("verb", "params", "words"), CALLS)
def test_the_verb_makes_what_the_command_makes(folder: Path, verb: str, params: dict[str, Any], words: list[str]) -> None:
    from pipekit.cli import main

    made: Made = getattr(pipekit, verb)(folder, out="python", **params)
    assert main(["features", "pets", "-o", "shell", *words]) == 0
    assert content(Path("python")) == content(Path("shell"))
    assert made.path == Path("python")
    assert made.picture.is_file()
    assert bool(made.previews) == (verb == "features")


def test_two_images_are_matched_and_shown_as_a_run(folder: Path) -> None:
    photo = Path(__file__).parents[2] / "sample_data" / "photos" / "cat.jpg"
    events: list[str] = []
    made = pipekit.match(photo, photo, ratio=0.7, name="same", listener=lambda event, **_: events.append(event))
    assert "the two images show the same thing" in made.artifact.meta["headline"]
    assert (made.path, made.picture.name) == (folder.parent / "runs" / "same", "matches.png")
    assert (made.path / "matches.png").read_bytes() == made.picture.read_bytes()
    assert "run_finished" in events


def test_a_match_is_that_of_the_command(folder: Path) -> None:
    from pipekit.cli import main

    first, second, *_ = sorted(str(path) for path in Path("pets/cat").iterdir())
    pipekit.match(first, second, detector={"use": "orb", "max_points": 50}, out="python")
    words = ["features", first, second, "--match", "--detector", "orb", "--set", "max_points=50", "-o", "shell"]
    assert main(words) == 0
    assert content(Path("python")) == content(Path("shell"))


@pytest.mark.parametrize(
    ("verb", "params", "path"),
    [
        ("features", {"preview_px": 3}, "preview_px"),
        ("features", {"previews": 3}, "previews"),
        ("features", {"detector": {"use": "harris", "kk": 1}}, "detector.kk"),
        ("filters", {"filter": "embos"}, "filter"),
        ("stability", {"copies": 0}, "copies"),
    ],
)
def test_a_wrong_value_is_named_by_its_parameter(folder: Path, verb: str, params: dict[str, Any], path: str) -> None:
    with pytest.raises(PlanError) as caught:
        getattr(pipekit, verb)(folder, **params)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_on_the_command_line_it_is_named_by_its_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipekit.cli import main

    assert main(["features", "pets", "--preview-px", "3"]) == 2
    assert "error: --preview-px: " in capsys.readouterr().err
    assert main(["features", "pets", "--filter", "emboss", "--set", "name=x"]) == 2
    assert "no such parameter" in capsys.readouterr().err


def test_what_exists_is_not_written_over(folder: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        pipekit.features(folder, out=folder)
