"""What commands print: no names of Python's types, no limits in symbols, no summary cut off, at any width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipekit import cli
from pipekit.cli.export import said_of
from pipekit.cli.help_page import named, noted, usage_piece


@pytest.mark.parametrize("name", list(cli.commands()))
def test_a_help_page_is_made_of_words(pipekit, name: str) -> None:
    text = pipekit(name, "--help").out
    assert not re.search(r"<(str|path|int|float|list)|x[<>]=|<=x|[a-z]\.\.\.$|default: \(", text, re.MULTILINE), text
    assert not re.search(r"[Dd]efault: [^\[\]]*\[[^\]]*default: none", text), text


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_summaries_of_subcommands_are_wrapped_and_not_cut(pipekit, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = pipekit("corrections", "--help").out
    assert max(map(len, text.splitlines())) <= columns
    assert "List suspected label errors: a CSV file to edit, and a page with pictures" in " ".join(text.split())


@pytest.mark.parametrize("columns", [50, 60, 120])
def test_the_first_help_page_fits_the_terminal(pipekit, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = pipekit("--help").out
    assert max(map(len, text.splitlines())) <= columns
    for summary in cli.commands().values():
        assert summary in " ".join(text.split())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Port  [default: 8480; 0<=x<=65535]", "Port  [default: 8480; 0 to 65535]"),
        ("Threads  [x>=1]", "Threads  [at least 1]"),
        ("Share  [x<=0.5; required]", "Share  [at most 0.5; required]"),
        ("Template  [default: (auto)]", "Template  [default: auto]"),
        ("One of [a, b] or none", "One of [a, b] or none"),
        ("Show this message and exit.", "Show this help and exit"),
        ("", ""),
    ],
)
def test_limits_are_said_in_words(written: str, expected: str) -> None:
    assert noted(written) == expected


def test_an_export_says_each_figure_on_its_line() -> None:
    headline = "checked against the original on 9 images of the split 'test': largest difference 1e-07; correct: 8 of 9"
    assert said_of(Path("phone"), headline) == [
        "phone: checked against the original on 9 images of the split 'test'",
        "  largest difference 1e-07",
        "  correct: 8 of 9",
    ]
    assert said_of(Path("card"), "") == ["card"]


def test_names_and_usage() -> None:
    assert named("data <str>", "Arguments") == "DATA"
    assert named("images... <list[str]>", "Arguments") == "IMAGES..."
    assert named("-f, --format <table|csv>", "Options") == "-f, --format table|csv"
    assert [usage_piece(piece) for piece in ("{model}", "[data]", "{images}...", "{IMAGE... FOLDER}...")] == [
        "MODEL",
        "[DATA]",
        "IMAGES...",
        "IMAGE... FOLDER",
    ]
