"""Commands of plugins: a function, a Typer app or a click command, called with the words of a command line.

The only module outside the command line that imports Typer: the test kit calls a command as `pipekit` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipekit.errors import PipekitError, PluginError, StageError
from pipekit.registry.component import Component, error_text

EXPECTED = "a function with typed parameters, a Typer app or a click command"


def call_command(component: Component, words: Sequence[str], program: str) -> int:
    """Call a command, as the command line does; returns its exit code.

    Args:
        words: what follows the command's name.
        program: how its help names it: ``pipekit acme``.

    Raises:
        PipekitError: the command has failed; its own errors of that class stay as they are.
        Exception: an error of Typer or click about the words.
    """
    import typer

    main = _main_of(component)
    try:
        code = main(args=list(words), prog_name=program, standalone_mode=False)
    except PipekitError:
        raise
    except Exception as error:
        if hasattr(error, "format_message") or isinstance(error, typer.Abort):
            raise
        if type(error).__name__ == "Abort":  # click's own, which a command of click raises
            raise typer.Abort from error
        if isinstance(error, typer.Exit):
            return int(error.exit_code)
        raise StageError(
            f"command {component.name!r} of plugin {component.plugin!r} failed: {error_text(error)}",
            "Run the same command with --debug to see where.",
        ) from error
    return code if isinstance(code, int) else 0


def _main_of(component: Component) -> Any:
    """What takes ``args``, ``prog_name`` and ``standalone_mode``."""
    import typer

    found = component.load()
    if hasattr(found, "main") and hasattr(found, "params"):  # a click command: Typer's own copy of click is another one
        return found.main
    if not isinstance(found, typer.Typer):
        if not callable(found) or isinstance(found, type):
            name = f"command {component.name!r} of plugin {component.plugin!r}"
            raise PluginError(f"{name} must be {EXPECTED}, and is a value of type {type(found).__name__}")
        app = typer.Typer(
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            add_completion=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        app.command()(found)
        found = app
    return typer.main.get_command(found).main
