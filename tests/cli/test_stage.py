"""``pipekit stage``: the options of any stage, a plugin's too, and where its inputs come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.cli.stage import read_words
from tests.cli.pictures import class_folders

PIPELINE = """
name = "pets"
[stages.data]
use = "import.folders"
path = "images"
[stages.split]
use = "split"
mode = "hash"
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "images", {"cat": 4, "dog": 4})


def noted(tmp_path: Path, name: str = "stage-note") -> dict[str, object]:
    """The parameters that the stage `note` of the test plugin was given."""
    found: dict[str, object] = json.loads((tmp_path / "runs" / name / "note" / "note.txt").read_text())
    return found


def test_without_a_name_the_stages_are_listed(pipekit, speckle: Path) -> None:
    assert {"split", "augment", "train"} <= {line.split()[0] for line in pipekit("stage").out.splitlines() if line}
    assert "note" in pipekit("stage", "--plugin", speckle).out


def test_help_is_made_from_the_parameters(pipekit, speckle: Path) -> None:
    result = pipekit("stage", "--plugin", speckle, "note", "--help")
    assert result.code == 0
    words = " ".join(result.out.split())
    assert "--radius-px INT Size of a speck [above 0 px, default: 3]" in words
    assert "--amount FLOAT Standard deviation of the noise [0 to 1, default: 0.1]" in words
    assert "--kind dark|bright Which specks [default: dark]" in words
    assert "--exact / --no-exact Slower, to the last digit [default: false]" in words
    assert "--words LIST Names to write [list of text, default: []]" in words
    assert "--title TEXT What stands on top [required]" in words


def test_help_names_the_inputs(pipekit) -> None:
    words = " ".join(pipekit("stage", "split", "--help").out.split())
    assert "--dataset FROM A dataset: a folder of images, runs/NAME or FILE.toml:STAGE [required]" in words


def test_options_become_parameters(pipekit, speckle: Path, tmp_path: Path) -> None:
    words = ["--title", "5", "--radius-px", "7", "--kind", "bright", "--exact", "--words", '["a", "b"]']
    result = pipekit("stage", "--plugin", speckle, "note", *words, "--point", "{ x_px = 1.5 }")
    assert result.code == 0, result.err
    assert "noted 5" in result.out
    assert "Results: runs/stage-note" in result.out
    assert noted(tmp_path) == {
        "amount": 0.1,
        "radius_px": 7,
        "kind": "bright",
        "words": ["a", "b"],
        "point": {"x_px": 1.5},
        "exact": True,
        "title": "5",
    }


def test_json_is_understood_as_well_as_toml(pipekit, speckle: Path, tmp_path: Path) -> None:
    assert pipekit("stage", "--plugin", speckle, "note", "--title", "x", "--point", '{"x_px": 2}').code == 0
    assert noted(tmp_path)["point"] == {"x_px": 2.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--title", "x", "--radius-px", "0"], "--radius-px: input should be greater than 0, got 0"),
        (["--title", "x", "--radius-px", "many"], "--radius-px: "),
        (["--title", "x", "--kind", "grey"], "--kind: "),
        (["--title", "x", "--point", "{ x_px = 'left' }"], "--point.x_px: "),
        ([], "--title: is required"),
    ],
)
def test_a_wrong_value_is_told_with_its_parameter(pipekit, speckle: Path, words: list[str], message: str) -> None:
    result = pipekit("stage", "--plugin", speckle, "note", *words)
    assert result.code == 2
    assert result.err.startswith(f"error: {message}")


def test_a_folder_of_images_is_imported(pipekit, images: Path, tmp_path: Path) -> None:
    result = pipekit("stage", "split", "--dataset", images, "--out", tmp_path / "halves", "--mode", "hash")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "halves").rglob("*.png"))) == 8
    assert not (tmp_path / "runs").exists(), "with --out the result goes there alone"


def test_a_run_and_a_stage_of_a_file_name_the_same_dataset(pipekit, images: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert pipekit("run").code == 0
    digests = []
    for source in ("runs/pets", "pets", "pets:split", "pipeline.toml:split"):
        assert pipekit("stage", "split", "--dataset", source, "--mode", "hash").code == 0
        run = json.loads((tmp_path / "runs" / "stage-split" / "run.json").read_text())
        digests.append(run["stages"][-1]["digest"])
    assert len(set(digests)) == 1


def test_a_stage_of_a_file_that_has_not_run_yet_is_run(pipekit, images: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert pipekit("stage", "split", "--dataset", "pipeline.toml:data", "--mode", "hash").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("split", "--dataset", "nowhere"), "no such file or folder"),
        (("split",), "missing option '--dataset'"),
        (("splt",), "no stage called 'splt'. Did you mean 'split'?"),
        (("evaluate", "--model", "images", "--dataset", "images"), "--model: no model called 'images'"),
    ],
)
def test_a_wrong_input_is_told(pipekit, images: Path, words: tuple[str, ...], message: str) -> None:
    result = pipekit("stage", *words)
    assert result.code == 2
    assert message in result.err


def test_an_existing_folder_is_not_overwritten(pipekit, images: Path, tmp_path: Path) -> None:
    result = pipekit("stage", "split", "--dataset", images, "--out", images)
    assert result.code == 2
    assert "exists already" in result.err


def test_json_events(pipekit, speckle: Path) -> None:
    events = [
        json.loads(line) for line in pipekit("stage", "--plugin", speckle, "note", "--title", "x", "--json").out.splitlines()
    ]
    assert [event["event"] for event in events] == ["run_started", "stage_started", "stage_finished", "run_finished"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ((), (), None)),
        (["split", "--mode", "hash"], ((), (), "split")),
        (["--plugin", "a.py", "--plugin=b.py", "note"], (("a.py", "b.py"), (), "note")),
        (["--disable", "a", "--plugin", "b.py", "--disable=c", "note"], (("b.py",), ("a", "c"), "note")),
        (["--help"], ((), (), None)),
        (["--plugin"], ((), (), None)),
    ],
)
def test_the_words_before_a_stage(words: list[str], expected: tuple[tuple[str, ...], tuple[str, ...], str | None]) -> None:
    assert read_words(words) == expected
