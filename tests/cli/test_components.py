from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.registry.registry import KINDS, load_registry


def test_everything_is_listed_under_its_kind(pipekit) -> None:
    lines = [line.split() for line in pipekit("components").out.splitlines()]
    listed = {(words[0], words[1]) for words in lines if words and words[0] in KINDS}
    assert listed == {(component.kind, component.name) for component in load_registry()}


def test_one_kind(pipekit) -> None:
    out = pipekit("components", "executor").out
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["auto", "processes", "serial", "threads"]


def test_one_component_shows_its_parameters(pipekit, speckle: Path) -> None:
    result = pipekit("components", "op", "speckle", "--plugin", speckle)
    assert result.code == 0
    rows = {line.split()[0]: " ".join(line.split()) for line in result.out.splitlines() if line.strip()}
    assert rows["amount"] == "amount float 0 to 1 0.1 Standard deviation of the noise"
    assert rows["radius_px"] == "radius_px int above 0 3 px Size of a speck"
    assert rows["kind"] == 'kind "dark" or "bright" "dark" Which specks'
    assert rows["title"] == "title text required What stands on top"
    assert rows["point.x_px"] == "point.x_px float 0 px Column"


def test_a_stage_says_what_it_takes_and_makes(pipekit, speckle: Path) -> None:
    out = pipekit("components", "stage", "note", "--plugin", speckle).out
    assert "takes    nothing" in out
    assert "makes    files" in out


def test_json_has_the_same(pipekit, speckle: Path) -> None:
    listed = json.loads(pipekit("components", "--json").out)
    assert {(entry["kind"], entry["name"]) for entry in listed} == {(found.kind, found.name) for found in load_registry()}
    one = json.loads(pipekit("components", "stage", "note", "--json", "--plugin", speckle).out)
    assert one["output"] == "files"
    assert [row["name"] for row in one["params"]][:2] == ["amount", "radius_px"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stge",), "no kind of component called 'stge'. Did you mean 'stage'?"),
        (("executor", "thraeds"), "no executor called 'thraeds'. Did you mean 'threads'?"),
    ],
)
def test_a_misspelt_name_is_guessed(pipekit, words: tuple[str, ...], message: str) -> None:
    result = pipekit("components", *words)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
