"""Asks which of several readings of a folder is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from pipekit.errors import Reading, ReadingsError

T = TypeVar("T")


def with_reading(call: Callable[[str, str, str], T], source: str, format: str, splits: str, *, ask: bool = True) -> T:
    """Call a verb with a source, an importer's name and ``splits``. Where several readings are possible, ask in a terminal
    which is meant, and call it again.

    Raises:
        ReadingsError: nobody can be asked.
    """
    from pipekit import ui
    from pipekit.errors import ReadingsError

    while True:
        try:
            return call(source, format, splits)
        except ReadingsError as error:
            if not ask or not ui.can_ask():
                raise
            reading = _ask(error)
        source, format, splits = reading.path or source, reading.format, reading.splits


def _ask(error: ReadingsError) -> Reading:
    from pipekit import ui

    ui.say(f"{error.message}. Which reading is meant?")
    for number, reading in enumerate(error.readings, start=1):
        ui.say(f"  {number}  {reading.what} ({reading.choice})")
    if error.more:
        ui.say(error.more)
    while True:
        answer = typer.prompt("Number, or q to stop").strip().lower()
        if answer in ("q", "quit"):
            raise typer.Abort
        if answer.isdecimal() and 1 <= int(answer) <= len(error.readings):
            return error.readings[int(answer) - 1]
