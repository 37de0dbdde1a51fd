"""``pipekit run`` where nothing has changed: what it would print is kept, and printed without loading what a run needs.

A command line is known by its words, the working folder, the environment, the interpreter and the terminal. What the run
depended on besides is its basis (:mod:`pipekit.engine.unchanged`). Whatever differs or is unknown: the command runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from pipekit.cli.command_line import PATH, STARTED_NS, name_of

if TYPE_CHECKING:
    from pipekit.engine.outcome import Outcome


class _Given(NamedTuple):
    """A command line that can be remembered, the store of its pipeline, and the name that it has there."""

    words: tuple[str, ...]
    store: Path
    name: str


GIVEN: list[_Given] = []
"""The command that is running, unless it can't be remembered."""

WITH_VALUE = ("--set", "--name", "--workers", "--executor", "--plugin", "--disable")
ALONE = ("--quiet", "-q")
"""The options of ``pipekit run`` that may be in a command line which is remembered."""

TIME = "\ue000"
"""Stands for the number of seconds in what is kept: a letter that means nothing, and is in no other text."""


def answer(words: Sequence[str]) -> int | None:
    """Print what ``pipekit run`` would, if nothing has changed since it was run; None if it must run."""
    started = time.perf_counter()
    GIVEN.clear()
    root = _store_of(words)
    if root is None:
        return None
    try:
        from pipekit.engine.unchanged import read_basis

        name = name_of((*words, os.getcwd()), PATH)  # noqa: PTH109
        GIVEN.append(_Given(tuple(words), root, name))  # now: what a run loads may change the environment
        basis = read_basis(root, GIVEN[0].name)
        if basis is None or not basis.holds(root):
            return None
    except Exception:  # whatever it is, the run will meet it and say it
        return None
    seconds = time.perf_counter() - started
    if seconds >= 10:
        from pipekit.ui import duration

        took = duration(seconds)
    else:
        took = f"{seconds:.1f} s"
    sys.stdout.write(basis.text.replace(f"{TIME} s", took))
    return 0


def forget() -> None:
    """Drop what :func:`answer` has kept for the run that follows it."""
    scanning = sys.modules.get("pipekit.files.scanning")
    if scanning is not None:
        scanning.drop_scans()


def remember(outcome: Outcome, loads: Sequence[str] = ()) -> None:
    """Keep what the command that has just run would print if it were given again now.

    Args:
        loads: the local plugins that it says it loads.
    """
    from dataclasses import replace

    from pipekit.engine.unchanged import write_basis

    if not GIVEN:
        return
    given = GIVEN.pop()
    try:
        basis = outcome.basis(PATH, STARTED_NS)
        if basis is not None:
            text = _text_of(outcome, "--quiet" in given.words or "-q" in given.words, loads)
            if text.count(TIME) in (0, 1):
                write_basis(given.store, given.name, replace(basis, text=text))
    except (OSError, ValueError):
        return  # it only saves time


def _store_of(words: Sequence[str]) -> Path | None:
    """The store beside the pipeline file that a command line names; None if it is not to be remembered."""
    if not words or words[0] != "run" or "PIPEKIT_STORE" in os.environ or "PIPEKIT_TRACE" in os.environ:
        return None
    files, rest = [], list(words[1:])
    while rest:
        word = rest.pop(0)
        if word in WITH_VALUE and rest:
            rest.pop(0)
        elif not word.startswith("-"):
            files.append(word)
        elif word not in ALONE and word.partition("=")[0] not in WITH_VALUE:
            return None
    if len(files) > 1:
        return None
    file = os.path.abspath(files[0] if files else "pipeline.toml")
    folder = file if os.path.isdir(file) else os.path.dirname(file)  # noqa: PTH112, PTH120
    return Path(folder, ".pipekit")


# --- what a run prints ---------------------------------------------------------------------------------------------------


class _Seconds(float):
    """A number of seconds that is printed as :data:`TIME`."""

    def __format__(self, how: str) -> str:
        return TIME


class _Kept:
    """A stream that keeps what is written, and looks like another one."""

    def __init__(self, like: TextIO) -> None:
        self._like = like
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return getattr(self._like, name)


def _text_of(outcome: Outcome, quiet: bool, loads: Sequence[str]) -> str:
    """What the display of a run prints if every stage is cached: the events of such a run, to a stream that keeps the text."""
    from contextlib import redirect_stdout

    from pipekit import ui
    from pipekit.engine.outcome import advice_of

    kept = _Kept(sys.stdout)
    with redirect_stdout(kept):
        display = ui.run_display(False, quiet)
        for name in loads:
            display("loads", plugin=name)
        display("run_started", name=outcome.name, file=str(outcome.file or ""), stages=[stage.name for stage in outcome.stages])
        for stage in outcome.stages:
            for warning in stage.warnings:
                display("warning", stage=stage.name, message=warning)
            display("stage_cached", stage=stage.name, use=stage.use, facts=stage.facts)
        display(
            "run_finished",
            status="finished",
            run_dir=str(outcome.run_dir),
            seconds=_Seconds(0.0),
            showing_s=0.0,
            headline=outcome.headline,
            advice=advice_of(outcome.stages),
        )
    return "".join(kept.texts)
