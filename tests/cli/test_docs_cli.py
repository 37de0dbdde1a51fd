"""docs/cli.md against the code: every event, every environment variable, every exit code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from pipekit import errors

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")
SOURCES = {path: path.read_text("utf-8") for path in (ROOT / "pipekit").rglob("*.py")}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    part = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (found,) = [text for text in part if text.startswith(heading)]
    lines = [line for line in found.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_event_of_the_engine_is_listed() -> None:
    listed = {name for row in rows("For other programs") for name in re.findall(r"`(\w+)`", row[0])}
    core = [text for path, text in SOURCES.items() if "builtin" not in path.parts]
    sent = {name for text in core for name in re.findall(r"(?:listener|event|display)\(\s*\"([a-z_]+)\"", text)}
    assert sent - {"other"} == listed


def test_every_environment_variable_is_listed() -> None:
    listed = {re.findall(r"`(\w+)`", row[0])[0] for row in rows("Environment variables")}
    read = {name for text in SOURCES.values() for name in re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text)}
    read |= {name for text in SOURCES.values() for name in re.findall(r"\"([A-Z_]+)\" (?:not )?in os\.environ", text)}
    assert {name for name in read if name.startswith("PIPEKIT_")} == {name for name in listed if name.startswith("PIPEKIT_")}


def test_the_exit_codes_are_those_of_the_code() -> None:
    listed = [int(row[0]) for row in rows("Errors and exit codes")]
    assert listed == [0, errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_INTERRUPTED]
