"""Terminal output: tables, errors, progress. The only package that imports Rich.

Text goes to stdout, errors and warnings to stderr. If stdout is not a terminal, lines are not wrapped and contain no control
codes; ``NO_COLOR`` turns colours off. Markup is never interpreted: a file called ``[red]`` is printed unchanged.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipekit.errors import PipekitError, PlanError, Problem
from pipekit.files import write_text as write_text
from pipekit.ui.alone import data_stream

if TYPE_CHECKING:
    from pipekit.ui.progress import RunDisplay

PLAIN_WIDTH = 160
"""Width in characters of output to a file or a pipe; ``COLUMNS`` overrides it."""

GOOD, BAD, WARN, DIM, NAME = "green", "bold red", "yellow", "dim", "bold"


def console(stderr: bool = False) -> Console:
    """A console on the current stdout or stderr. Created for each use, since both may be redirected."""
    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() and not os.environ.get("FORCE_COLOR")
    width = PLAIN_WIDTH if plain and "COLUMNS" not in os.environ else None
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def say(text: str = "", style: str = "") -> None:
    """Print text to stdout; the terminal wraps long lines, so that they can be copied whole."""
    console().print(Text(text, style), soft_wrap=True)


def warn(text: str) -> None:
    console(stderr=True).print(Text.assemble(("warning: ", WARN), text), soft_wrap=True)


def note(text: str) -> None:
    """Print a note to stderr, so that stdout holds only the result."""
    console(stderr=True).print(Text(text), soft_wrap=True)


def say_json(value: Any) -> None:
    """Print a value as indented JSON to stdout, for other programs."""
    data_stream().write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


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
    """Print a plain table: a header line and rows, no frame.

    Args:
        right: indices of right-aligned columns (numbers, sizes).
        firm: indices of columns that are never wrapped.
        header: False omits the header line.
    """
    show(make_table(headers, rows, title=title, right=right, firm=firm, header=header))


def show(picture: RenderableType) -> None:
    """Print a Rich renderable; without trailing spaces if it goes to a file."""
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
    """The table of :func:`table`. Where the width is too small for its words, each row becomes a block of lines."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    if _is_too_narrow(headers if header else [""] * len(headers), cells, firm):
        grid = _blocks(headers, cells)
    else:
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=NAME, show_header=header)
        for number, name in enumerate(headers):
            grid.add_column(name, justify="right" if number in right else "left", overflow="fold", no_wrap=number in firm)
        for row in cells:
            grid.add_row(*row)
    return Group(Text(title, NAME), grid) if title else grid


LONG_WORD = 24
"""Columns of a word from which on it may be broken: a path, an id."""

FEW_COLUMNS = 16
"""A text that is wrapped into fewer can't be read."""


def _is_too_narrow(headers: Sequence[str], rows: Sequence[Sequence[Text]], firm: Sequence[int]) -> bool:
    """Whether columns of this terminal, or of the width that ``COLUMNS`` asks for, would break words."""
    out = console()
    if not (out.is_terminal or "COLUMNS" in os.environ) or len(headers) < 3:
        return False
    needed = 2 * (len(headers) - 1)
    for number, name in enumerate(headers):
        texts = [name, *(row[number].plain for row in rows)]
        needed += max(cell_len(text) if number in firm else _least_width(text) for text in texts)
    return needed > out.width


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the rows of a table need no wrapping where stdout is shown."""
    columns = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return sum(columns) + 2 * max(0, len(columns) - 1) <= console().width


def _least_width(text: str) -> int:
    """Columns that a text needs where it may be wrapped between words."""
    longest = max((min(cell_len(word), LONG_WORD) for word in text.split()), default=0)
    return min(cell_len(text), max(longest, FEW_COLUMNS))


def _blocks(headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType:
    """Rows below each other: the first cell, and a line for each other one that is not empty."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    grid.add_column(no_wrap=True, style=DIM)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(Text(headers[0]), Text.assemble(row[0], style=NAME))
        for name, cell in list(zip(headers, row, strict=True))[1:]:
            if cell.plain:
                grid.add_row(Text(f"  {name}"), cell)
    return grid


def coloured(text: str, style: str) -> Text:
    """Text in one of this module's styles, for a table cell."""
    return Text(text, style)


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return console().is_terminal


def can_ask() -> bool:
    """Whether a user can answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str) -> bool:
    """Ask for confirmation; anything but a clear yes counts as no."""
    return console().input(f"{question} [y/N] ", markup=False).strip().lower() in ("y", "yes")


_STATES = {"ok": ("✓", "+", GOOD), "warning": ("!", "!", WARN), "broken": ("✗", "x", BAD)}


def finding(state: str, what: str, text: str, fix: str = "") -> None:
    """Print a line of a diagnosis: a mark, the subject and the result; below it what to do."""
    out = console()
    mark, plain, style = _STATES[state]
    lead = mark if out.encoding.lower().startswith("utf") else plain
    if out.is_terminal:
        if cell_len(what) > 12:
            out.print(Text.assemble((lead, style), " ", (what, NAME)), soft_wrap=True)
            lead, what = " ", ""
        grid = Table.grid(padding=(0, 1, 0, 0))
        for overflow in ("ignore", "ignore", "fold"):
            grid.add_column(no_wrap=overflow == "ignore", overflow=overflow)
        grid.add_row(Text(lead, style), Text(f"{what:<12}", NAME), Text(text))
        out.print(grid)
    else:
        out.print(Text.assemble((lead, style), " ", (f"{what:<12}", NAME), " ", text), soft_wrap=True)
    if fix:
        out.print(Text(f"{'':15}{fix}", WARN), soft_wrap=True)


# --- human-readable numbers ----------------------------------------------------------------------------------------------


def size(num_bytes: int) -> str:
    """``"1.5 GB"``: decimal units, as on disk labels and in ``df -H``."""
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
    ending = "" if count == 1 else "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{count:,} {noun}{ending}"


# --- errors --------------------------------------------------------------------------------------------------------------


def error(failure: PipekitError) -> None:
    """Print an error as every command does: what, where, what next."""
    out = console(stderr=True)
    if isinstance(failure, PlanError):
        for problem in failure.problems:
            _error_block(out, *_place(problem, failure.file))
        if failure.file or len(failure.problems) > 1:
            out.print(Text(failure.message), soft_wrap=True)
    else:
        _error_block(out, failure.message, failure.where, failure.hint)


def bug(failure: BaseException) -> None:
    """Print an unexpected exception."""
    text = f"{type(failure).__name__}: {failure}".rstrip(": ")
    hint = "This is a bug in pipekit or in a plugin. Run the same command with --debug to see where."
    _error_block(console(stderr=True), text, "", hint)


def _place(problem: Problem, file: str) -> tuple[str, str, str]:
    line = f", line {problem.line}" if problem.line is not None else ""
    where = f"in {file}{line}" if file else ""
    return f"{problem.path}: {problem.message}" if problem.path else problem.message, where, problem.hint


def _error_block(out: Console, message: str, where: str, hint: str) -> None:
    """Put ``Did you mean …?`` on the line of the message; the rest of the hint goes on the second line, after the location."""
    if hint.startswith("Did you mean") and "?" in hint:
        suggestion, _, hint = hint.partition("?")
        message = f"{message.rstrip('.')}. {suggestion}?"
    out.print(Text.assemble(("error: ", BAD), message), soft_wrap=True)
    second = ".  ".join(part for part in (where.strip().rstrip("."), hint.strip()) if part)
    if second:
        out.print(Text(f"  {second}"), soft_wrap=True)


# --- the progress of a run -----------------------------------------------------------------------------------------------


def run_display(as_json: bool = False, quiet: bool = False) -> RunDisplay:
    """Choose the listener for ``engine.run`` (also a context manager) by stdout and the user's options."""
    from pipekit.ui import progress

    if as_json:
        return progress.JsonDisplay()
    if quiet:
        return progress.RunDisplay()
    out = console()
    return progress.LiveDisplay() if out.is_terminal and not out.is_dumb_terminal else progress.PlainDisplay()
