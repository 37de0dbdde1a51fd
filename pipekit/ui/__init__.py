"""What people see in a terminal: tables, errors, progress. The only package that imports Rich.

Text goes to stdout, errors and warnings to stderr. Where stdout is no terminal there are no control codes and no folding;
``NO_COLOR`` takes the colours away. Nothing here reads markup: a file called ``[red]`` is printed as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipekit.errors import PipekitError, PlanError, Problem
from pipekit.files import write_text as write_text

if TYPE_CHECKING:
    from pipekit.ui.progress import RunDisplay

PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe; ``COLUMNS`` overrides it."""

GOOD, BAD, WARN, DIM, NAME = "green", "bold red", "yellow", "dim", "bold"


def console(stderr: bool = False) -> Console:
    """A console on the present stdout or stderr. Made anew for each use, since both may be redirected."""
    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() and not os.environ.get("FORCE_COLOR")
    width = PLAIN_WIDTH if plain and "COLUMNS" not in os.environ else None
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def say(text: str = "", style: str = "") -> None:
    """One line or several on stdout; the terminal folds long ones, so that they can be copied whole."""
    console().print(Text(text, style), soft_wrap=True)


def warn(text: str) -> None:
    console(stderr=True).print(Text.assemble(("warning: ", WARN), text), soft_wrap=True)


def note(text: str) -> None:
    """A word to the person on stderr, which leaves stdout to the result."""
    console(stderr=True).print(Text(text), soft_wrap=True)


def say_json(value: Any) -> None:
    """A value as indented JSON on stdout, for other programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


Row = Sequence[str | Text]


def table(
    headers: Sequence[str],
    rows: Iterable[Row],
    *,
    title: str = "",
    right: Sequence[int] = (),
    firm: Sequence[int] = (0,),
    header: bool = True,
) -> None:
    """A plain table: a header line and rows, no frame.

    Args:
        right: the numbers of the columns that are aligned to the right (numbers, sizes).
        firm: those that are never folded.
        header: False leaves the header line out.
    """
    show(make_table(headers, rows, title=title, right=right, firm=firm, header=header))


def show(picture: RenderableType) -> None:
    """Print something of Rich's; without the spaces that pad its lines where it goes to a file."""
    out = console()
    if out.is_terminal:
        out.print(picture)
        return
    with out.capture() as captured:
        out.print(picture)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def make_table(
    headers: Sequence[str],
    rows: Iterable[Row],
    *,
    title: str = "",
    right: Sequence[int] = (),
    firm: Sequence[int] = (0,),
    header: bool = True,
) -> RenderableType:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=NAME, show_header=header)
    for number, name in enumerate(headers):
        grid.add_column(name, justify="right" if number in right else "left", overflow="fold", no_wrap=number in firm)
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return Group(Text(title, NAME), grid) if title else grid


def coloured(text: str, style: str) -> Text:
    """Text with one of the styles of this file, for a cell of a table."""
    return Text(text, style)


def is_terminal() -> bool:
    """Whether a person reads stdout as it is written."""
    return console().is_terminal


def can_ask() -> bool:
    """Whether there is a person to answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str) -> bool:
    """Ask; only a clear yes is a yes."""
    return console().input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


_STATES = {"ok": ("✓", "+", GOOD), "warning": ("!", "!", WARN), "broken": ("✗", "x", BAD)}


def finding(state: str, what: str, text: str, fix: str = "") -> None:
    """A line of a check-up: a mark, what was looked at, what was found; below it what to do."""
    out = console()
    mark, plain, style = _STATES[state]
    lead = mark if out.encoding.lower().startswith("utf") else plain
    out.print(Text.assemble((lead, style), " ", (f"{what:<12}", NAME), " ", text), soft_wrap=True)
    if fix:
        out.print(Text(f"{'':15}{fix}", WARN), soft_wrap=True)


# --- numbers for people --------------------------------------------------------------------------------------------------


def size(num_bytes: int) -> str:
    """``"1.5 GB"``: decimal units, as disks are sold and ``df -H`` counts."""
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """``"0.4 s"``, ``"12 s"``, ``"3 min 05 s"``, ``"2 h 10 min"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# --- errors --------------------------------------------------------------------------------------------------------------


def error(failure: PipekitError) -> None:
    """An error as every command prints it: what, where, what next."""
    out = console(stderr=True)
    if isinstance(failure, PlanError):
        for problem in failure.problems:
            _error_block(out, *_place(problem, failure.file))
        if failure.file or len(failure.problems) > 1:
            out.print(Text(failure.message), soft_wrap=True)
    else:
        _error_block(out, failure.message, failure.where, failure.hint)


def bug(failure: BaseException) -> None:
    """An exception that nobody foresaw."""
    text = f"{type(failure).__name__}: {failure}".rstrip(": ")
    hint = "This is a fault of pipekit or of a plugin. The same command with --debug shows where."
    _error_block(console(stderr=True), text, "", hint)


def _place(problem: Problem, file: str) -> tuple[str, str, str]:
    line = f", line {problem.line}" if problem.line is not None else ""
    where = f"in {file}{line}" if file else ""
    return f"{problem.path}: {problem.message}" if problem.path else problem.message, where, problem.hint


def _error_block(out: Console, message: str, where: str, hint: str) -> None:
    """``Did you mean …?`` stands beside what it mends; the rest of the hint on the second line, after the place."""
    if hint.startswith("Did you mean") and "?" in hint:
        suggestion, _, hint = hint.partition("?")
        message = f"{message.rstrip('.')}. {suggestion}?"
    out.print(Text.assemble(("error: ", BAD), message), soft_wrap=True)
    second = ".  ".join(part for part in (where.strip().rstrip("."), hint.strip()) if part)
    if second:
        out.print(Text(f"  {second}"), soft_wrap=True)


# --- the progress of a run -----------------------------------------------------------------------------------------------


def run_display(as_json: bool = False, quiet: bool = False) -> RunDisplay:
    """A listener for ``engine.run``, and a context manager: the one for where stdout goes and for what was asked."""
    from pipekit.ui import progress

    if as_json:
        return progress.JsonDisplay()
    if quiet:
        return progress.RunDisplay()
    out = console()
    return progress.LiveDisplay() if out.is_terminal and not out.is_dumb_terminal else progress.PlainDisplay()
