"""Runs a command line, and turns exceptions into a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pipekit.cli import commands
from pipekit.errors import EXIT_FAILED, EXIT_INTERRUPTED, PipekitError, of_the_machine
from pipekit.files import urls


def execute(words: Sequence[str], debug: bool = False) -> int:
    """Run a command line and return its exit code. Tracebacks are shown only with ``debug``."""
    completing = "_PIPEKIT_COMPLETE" in os.environ
    urls.on_fetch = _show_fetching
    try:
        if not completing and not words[0].startswith("-") and words[0] not in commands():
            from pipekit.cli.from_plugins import call

            code = call(words[0], words[1:])
            if code is not None:
                return code
        with _data_alone(() if completing else words):
            code = _call(words, completing)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as failure:
        if completing:
            return EXIT_FAILED
        if debug:
            import traceback

            traceback.print_exception(failure)
        return report(failure)


def _call(words: Sequence[str], completing: bool) -> Any:
    """Run a command. ``pipekit run FILE`` needs no Typer, whose import and adapters took a thirtieth of a run."""
    if not completing and words[0] == "run" and len(words) <= 2 and all(word and word[0] != "-" for word in words):
        from pathlib import Path

        from pipekit.cli.run_file import run_file

        return run_file(*map(Path, words[1:]))
    from pipekit.cli.building import build
    from pipekit.cli.complete import typed_so_far

    return build(typed_so_far() if completing else words)(args=list(words), prog_name="pipekit", standalone_mode=False)


def _show_fetching(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Say what is fetched, and report the progress of it, on stderr."""
    from pipekit import ui
    from pipekit.ui.counting import counting

    ui.note(f"fetching {what}")
    return counting("file")


def _data_alone(words: Sequence[str]) -> AbstractContextManager[object]:
    """Keep stdout for data where a command prints data: a plugin may print when it is imported."""
    stop = words.index("--") if "--" in words else len(words)
    given = {word for word in words[:stop] if word.startswith("-")}
    is_data = "--json" in given or (words[:1] == ["schema"] and not any(word.startswith(("--out", "-o")) for word in given))
    if not is_data or given & {"--help", "-h"}:
        return nullcontext()
    from pipekit.ui.alone import stdout_alone

    return stdout_alone(at_end=words[:1] in (["components"], ["plugins"], ["schema"]))  # lists are kept: kept_texts.py


def report(failure: Exception) -> int:
    """Print an error and return its exit code."""
    from pipekit import ui

    if isinstance(failure, PipekitError):
        ui.error(failure)
        return failure.exit_code
    if "typer" in sys.modules and isinstance(failure, sys.modules["typer"].Abort):
        return EXIT_FAILED
    if (known := of_the_machine(failure)) is not None:
        ui.error(known)
        return EXIT_FAILED
    if isinstance(failure, OSError) and failure.strerror:
        place = f": {failure.filename}" if failure.filename else ""
        ui.error(PipekitError(f"{failure.strerror}{place}", "Run the same command with --debug to see where."))
        return EXIT_FAILED
    message = getattr(failure, "format_message", None)
    if message is None:
        ui.bug(failure)
        return EXIT_FAILED
    return _report_usage(failure, message())


def _report_usage(failure: Any, message: str) -> int:
    """Report Typer's errors (an unknown option, a missing argument) in pipekit's form."""
    from pipekit import ui

    context = getattr(failure, "ctx", None)
    path = context.command_path if context is not None else "pipekit"
    text = message[:1].lower() + message[1:].rstrip(".")
    hint = f"See: {path} --help"
    if context is not None and text.startswith("got unexpected extra argument"):
        hint = f"{_what_it_takes(context, path)}. {hint}"
    ui.error(PipekitError(text, hint))
    return int(failure.exit_code)


def _what_it_takes(context: Any, path: str) -> str:
    """The arguments of a command, and its first options that take a value: a value was given without the option's name."""
    from pipekit.cli.help_page import usage_piece

    params = [one for one in context.command.params if not getattr(one, "hidden", False)]
    pieces = [piece for one in params if one.param_type_name == "argument" for piece in one.get_usage_pieces(context)]
    arguments = [usage_piece(piece) for piece in pieces]
    named = [f"{one.opts[0]} {one.metavar}" for one in params if one.param_type_name == "option" and one.metavar]
    takes = f"{path} takes {' '.join(arguments) or 'no argument'}"
    return f"{takes}; options need their names, such as {', '.join(named[:3])}" if named else takes
