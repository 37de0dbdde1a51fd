"""Commands of plugins: their names and summaries are kept for the help, and a plugin is loaded when its command is called.

What is kept holds as long as the installed distributions, the code of plugins and the environment stay as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pipekit.cli import commands, kept_texts
from pipekit.cli.command_line import PATH

NAME = ("commands of plugins",)
"""Where they are kept, in place of the words of a command line."""

MAX_SUMMARY = 56
"""Maximum length of a summary in the help, in characters."""


def listed() -> dict[str, str]:
    """The commands of installed plugins, without loading them if nothing has changed since the last time: the name that calls
    each, qualified where it is not the only one, and its summary.
    """
    file = kept_texts.file_of(NAME)
    text = kept_texts.read(file)
    if text is None:
        found = _loaded() if _others() else {}
        text = "".join(f"{name}\t{summary}\n" for name, summary in found.items())
        kept_texts.keep(file, text, [*kept_texts.plugins(), *filter(os.path.exists, PATH)])
    rows = (line.partition("\t") for line in text.splitlines())
    return {name: summary for name, _, summary in rows}


def _others() -> bool:
    """Whether plugins other than the built-in one are installed."""
    from importlib.metadata import entry_points

    return any(point.module != "pipekit.builtin" for point in entry_points(group="pipekit"))


def _loaded() -> dict[str, str]:
    import contextlib

    from pipekit.registry.registry import load_registry

    with contextlib.redirect_stdout(sys.stderr):  # a plugin may print when it is imported
        found = load_registry(named=False).components("command")
    names = (f"{one.plugin}:{one.name}" if one.name in commands() else one.reference for one in found)
    return {name: _short(one.summary) for name, one in zip(names, found, strict=True)}


def _short(summary: str) -> str:
    words = " ".join(summary.split())
    return words if len(words) <= MAX_SUMMARY else words[: MAX_SUMMARY - 1].rstrip() + "…"


def call(name: str, words: Sequence[str]) -> int | None:
    """Call a plugin's command, and return its exit code; None if no plugin has it.

    Args:
        name: ``acme``, or qualified, ``acme:report``.
        words: what follows it.

    Raises:
        UserError: several plugins have it, or a plugin that could not be loaded.
    """
    if not os.environ.get("PIPEKIT_PLUGINS") and not _others():
        return None
    from pipekit.registry.registry import load_registry
    from pipekit.registry.suggestions import has_name

    registry = load_registry()
    found = registry.found("command", name)
    if found is None:
        if any(record.status != "ok" and has_name(record, "command", name) for record in registry.plugins):
            registry.get("command", name)  # raises, and says why it is not there
        return None
    from pipekit.registry.plugin_commands import call_command

    return call_command(found, words, f"pipekit {name}")
