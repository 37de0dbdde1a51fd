"""Builds the Typer app, runs it, and turns exceptions into a message and an exit code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pipekit import __version__
from pipekit.cli import DESCRIPTION, OPTIONS, commands
from pipekit.cli.complete import typed_so_far
from pipekit.cli.from_plugins import call, listed
from pipekit.errors import EXIT_FAILED, EXIT_INTERRUPTED, PipekitError, of_the_machine
from pipekit.files import urls

Load = Callable[[str], "Callable[..., Any] | typer.Typer"]


def new_app(**settings: Any) -> typer.Typer:
    """A Typer app without Rich: its plain help loads in a third of the time and reads the same everywhere."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def attach(app: typer.Typer, summaries: Mapping[str, str], load: Load, wanted: str | None, every: bool = False) -> None:
    """Add commands, and import only ``wanted``; the others need just a name and a summary.

    Args:
        every: import all commands, for the generated documentation.
    """
    for name, summary in summaries.items():
        if not every and name != wanted:
            app.command(name, help=summary)(_unloaded)
            continue
        found = load(name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, short_help=summary)
        else:
            app.command(name, short_help=summary, cls=_Command)(found)


class _Command(TyperCommand):
    """A command whose usage line omits hidden arguments, like the rest of its help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        shown = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        return [self.options_metavar or "", *(piece for param in shown for piece in param.get_usage_pieces(ctx))]


def _unloaded() -> None:
    raise AssertionError("a command that was not imported can't run")


def load_command(name: str, words: Sequence[str] = ()) -> Callable[..., Any] | typer.Typer:
    """The function or the Typer app of a command, from its module."""
    module = import_module(f"pipekit.cli.{name.replace('-', '_')}")
    if hasattr(module, "make_app"):
        made: typer.Typer = module.make_app(words)
        return made
    found: Callable[..., Any] | typer.Typer = getattr(module, "app", None) or getattr(module, name.replace("-", "_"))
    return found


def build(words: Sequence[str], every: bool = False) -> typer.Typer:
    """The complete command line; only the command that ``words`` name is imported."""
    app = new_app(help=DESCRIPTION, add_completion=True)
    app.callback()(_options)
    wanted = next((word for word in words if not word.startswith("-")), None)
    rest = words[words.index(wanted) + 1 :] if wanted is not None else ()
    attach(app, commands(), lambda name: load_command(name, rest), wanted, every)
    others = {} if every or wanted in commands() else listed()
    for name, summary in others.items():  # for suggestions and completion
        app.command(name, help=summary)(_unloaded)
    return app


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"pipekit {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help=OPTIONS["--version"])
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=OPTIONS["--debug"])] = False,
) -> None:
    """Options before the command. ``--debug`` is removed earlier, since it is allowed anywhere."""


def execute(words: Sequence[str], debug: bool = False) -> int:
    """Run a command line and return its exit code. Tracebacks are shown only with ``debug``."""
    completing = "_PIPEKIT_COMPLETE" in os.environ
    urls.on_fetch = _show_fetching
    try:
        if not completing and not words[0].startswith("-") and words[0] not in commands():
            code = call(words[0], words[1:])
            if code is not None:
                return code
        with _data_alone(() if completing else words):
            code = build(typed_so_far() if completing else words)(args=list(words), prog_name="pipekit", standalone_mode=False)
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

    return stdout_alone(workers=words[:1] not in (["components"], ["plugins"], ["schema"]))


def report(failure: Exception) -> int:
    """Print an error and return its exit code."""
    from pipekit import ui

    if isinstance(failure, PipekitError):
        ui.error(failure)
        return failure.exit_code
    if isinstance(failure, typer.Abort):
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
    params = [one for one in context.command.params if not getattr(one, "hidden", False)]
    pieces = [piece for one in params if one.param_type_name == "argument" for piece in one.get_usage_pieces(context)]
    arguments = [piece.strip("{}").upper() for piece in pieces]
    named = [f"{one.opts[0]} {one.metavar}" for one in params if one.param_type_name == "option" and one.metavar]
    takes = f"{path} takes {' '.join(arguments) or 'no argument'}"
    return f"{takes}; options need their names, such as {', '.join(named[:3])}" if named else takes
