"""Builds the Typer app of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from pipekit import __version__
from pipekit.cli import DESCRIPTION, OPTIONS, commands
from pipekit.cli.from_plugins import listed
from pipekit.cli.help_page import App, Group

Load = Callable[[str], "Callable[..., Any] | typer.Typer"]


def new_app(**settings: Any) -> typer.Typer:
    """A Typer app without Rich: its plain help loads in a third of the time and reads the same everywhere."""
    return App(
        cls=Group,
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
            app.command(name, short_help=summary)(found)


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
