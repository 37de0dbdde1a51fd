from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipekit.cli.runs import ago, when
from pipekit.commands.runs import Difference, differences, flat
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
def two_runs(pipekit, tmp_path: Path) -> list[str]:
    """Ids of two runs, the newest first."""
    class_folders(tmp_path / "images", {"cat": 3, "dog": 3})
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert pipekit("run").code == 0
    assert pipekit("run", "--set", "stages.split.fractions={train=0.5,val=0.25,test=0.25}").code == 0
    return [run["id"] for run in json.loads(pipekit("runs", "--json").out)]


def test_without_runs_it_says_how_to_start_one(pipekit) -> None:
    result = pipekit("runs")
    assert result.code == 0
    assert "pipekit run FILE" in result.out


def test_the_list_has_the_newest_first(pipekit, two_runs: list[str]) -> None:
    rows = pipekit("runs").out.splitlines()[1:]
    assert [row.split()[1] for row in rows] == two_runs
    assert two_runs == sorted(two_runs, reverse=True)
    assert all("6 images" in row for row in rows)


def test_a_run_that_failed_says_so(pipekit, two_runs: list[str], tmp_path: Path) -> None:
    (tmp_path / "images" / "cat" / "cat_1.png").write_bytes(b"no picture")
    assert pipekit("run", "--set", "max_failed=0").code == 1
    assert pipekit("runs").out.splitlines()[1].endswith("failed")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "5 s ago"), (200, "3 min ago"), (7300, "2 h ago"), (400_000, "4 d ago"), (-3, "0 s ago")]
)
def test_how_long_ago(seconds: int, expected: str) -> None:
    assert ago((datetime.now(UTC) - timedelta(seconds=seconds, milliseconds=100)).isoformat()) == expected


def test_long_ago_is_a_date() -> None:
    assert ago("2020-01-15T12:00:00+00:00") == "2020-01-15"
    assert ago("no time") == "no time"


@pytest.mark.parametrize("name", ["pets", "runs/pets"])
def test_a_run_is_shown_by_its_name_or_its_folder(pipekit, two_runs: list[str], name: str) -> None:
    result = pipekit("runs", "show", name)
    assert result.code == 0
    assert two_runs[0] in result.out
    assert "--set stages.split.fractions={train=0.5,val=0.25,test=0.25}" in result.out
    assert [line.split()[0] for line in result.out.splitlines() if "import.folders" in line or " split " in line] == [
        "data",
        "split",
    ]


def test_a_run_is_shown_by_its_id(pipekit, two_runs: list[str]) -> None:
    shown = json.loads(pipekit("runs", "show", two_runs[1], "--json").out)
    assert shown["id"] == two_runs[1]
    assert shown["overrides"] == []


def test_from_another_folder(pipekit, two_runs: list[str], tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pipekit("runs", "--in", tmp_path, "show", "pets").code == 0
    assert pipekit("runs", "show", "pets").code == 2


def test_two_runs_are_compared_by_what_differs(pipekit, two_runs: list[str]) -> None:
    newest, oldest = two_runs
    result = pipekit("runs", "compare", oldest, newest)
    assert result.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()[1:]}
    assert rows["stages.split.fractions.train"] == ["0.7", "0.5"]
    assert "stages.split.mode" not in rows
    assert "stages.data.path" not in rows
    as_data = json.loads(pipekit("runs", "compare", oldest, newest, "--json").out)
    assert {"what": "stages.split.fractions.val", "first": 0.15, "second": 0.25} in as_data


def test_a_run_compared_with_itself(pipekit, two_runs: list[str]) -> None:
    assert "the same stages" in pipekit("runs", "compare", "pets", two_runs[0]).out


def test_a_misspelt_name_is_guessed(pipekit, two_runs: list[str]) -> None:
    result = pipekit("runs", "show", "pest")
    assert result.code == 2
    assert "Did you mean 'pets'?" in result.err


def test_differences_see_what_only_one_run_has() -> None:
    first = {"seed": 1, "stages": [{"name": "a", "use": "x", "params": {"ops": [{"op": "hflip", "p": 0.5}]}}]}
    second = {"seed": 1, "stages": [{"name": "a", "use": "x", "params": {"ops": [{"op": "vflip"}]}}]}
    assert list(differences(first, second)) == [
        Difference("stages.a.ops[0].op", "hflip", "vflip"),
        Difference("stages.a.ops[0].p", 0.5, None),
    ]


def test_flat_keeps_plain_lists_whole() -> None:
    assert flat({"a": {"b": [1, 2]}, "c": [{"d": 1}], "e": {}}) == [("a.b", [1, 2]), ("c[0].d", 1), ("e", {})]


def test_times_that_are_none_are_shown_as_they_are() -> None:
    assert when("not a time") == "not a time"
    assert when(None) == ""
    assert len(when("2026-01-02T03:04:05+00:00")) == len("2026-01-02 03:04")
