"""The help page of a command: names, types and limits in words, and no summary of a subcommand cut off.

Typer writes ``data <str>`` for an argument, ``[x>=1]`` for a limit, and cuts the summaries of subcommands at 78 columns, also
in a wider terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

ARGUMENTS, COMMANDS = "Arguments", "Commands"
_TYPE = re.compile(r" <(?:str|path|list\[\w+\])>$")
_CHOICES = re.compile(r" <([^<>]*\|[^<>]*)>")
_NOTES = re.compile(r"(  |^)\[([^\[\]]*)\]$")
"""What Typer adds behind the help text of an option: ``[default: 1; x>=1]``."""
_LIMITS = (
    (re.compile(r"^(-?[\d.]+)<=x<=(-?[\d.]+)$"), r"\1 to \2"),
    (re.compile(r"^x>=(-?[\d.]+)$"), r"at least \1"),
    (re.compile(r"^x<=(-?[\d.]+)$"), r"at most \1"),
    (re.compile(r"^default: \((.*)\)$"), r"default: \1"),
)


def named(name: str, heading: str) -> str:
    """The name of an argument or option without Python's name of its type: ``data <str>`` -> ``DATA``."""
    name = _CHOICES.sub(r" \1", name)
    return _TYPE.sub("", name).upper() if heading == ARGUMENTS else name


def noted(text: str) -> str:
    """A help text with its limits in words: ``[default: 1; x>=1]`` -> ``[default: 1; at least 1]``."""
    if text == "Show this message and exit.":
        return "Show this help and exit"
    found = _NOTES.search(text)
    return f"{text[: found.start(2)]}{'; '.join(_in_words(found[2].split('; ')))}]" if found else text


def _in_words(notes: Sequence[str]) -> Iterator[str]:
    for note in notes:
        for pattern, words in _LIMITS:
            note = pattern.sub(words, note)
        yield note


class _Formatter(typer.Context.formatter_class):  # type: ignore[misc, valid-type]
    """Rewrites the rows that Typer gives it."""

    heading = ""

    def write_heading(self, heading: str) -> None:
        self.heading = heading
        super().write_heading(heading)

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        if self.heading != COMMANDS:
            rows = [(named(name, self.heading), noted(text)) for name, text in rows]
        super().write_dl(rows, col_max, col_spacing)


class _Context(TyperCommand.context_class):  # type: ignore[misc, valid-type]
    formatter_class = _Formatter


class Command(TyperCommand):
    """A command whose usage line omits hidden arguments, like the rest of its help, and names the others in capitals."""

    context_class = _Context

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        shown = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        pieces = [piece for param in shown for piece in param.get_usage_pieces(ctx)]
        return [self.options_metavar or "", *map(usage_piece, pieces)]


def usage_piece(piece: str) -> str:
    """``{images}...`` -> ``IMAGES...``, and ``[data]`` -> ``[DATA]``."""
    required = piece.startswith("{")
    plain = piece.replace("{", "").replace("}", "") if required else piece
    return re.sub(r"(\.\.\. .*)\.\.\.$", r"\1", plain).upper()  # `IMAGE... FOLDER` says itself what is repeated


class Group(TyperGroup):
    """A command with subcommands, whose summaries are wrapped and not cut."""

    context_class = _Context

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, summary_of(one)) for name, one in found if one is not None and not one.hidden]
        if rows:
            with formatter.section(COMMANDS):
                formatter.write_dl(rows)


def summary_of(command: Any) -> str:
    """The first paragraph of what a command says about itself, as one line without its full stop."""
    text = command.short_help or (command.help or "").partition("\n\n")[0]
    return " ".join(text.split()).rstrip(".")


class App(typer.Typer):
    """A Typer app whose commands have this help page."""

    def command(self, name: str | None = None, **settings: Any) -> Any:
        return super().command(name, **{"cls": Command, **settings})
