"""Promises of commands."""

from __future__ import annotations

import contextlib
import io

from pipekit.registry.plugin_commands import call_command
from pipekit.testing.checks.core import Subject, in_short, promise

COMMANDS = (
    *("scaffold", "sniff", "inspect", "corrections", "split", "augment", "replay", "embed", "similar", "features"),
    *("run", "stage", "runs", "gc", "verify", "train", "models", "evaluate", "predict", "compare", "explain", "export"),
    *("studio", "serve", "components", "plugins", "docs", "schema", "doctor"),
)
"""pipekit's own commands, whose names a plugin's command can't take: it is called by its qualified name alone."""


@promise("command")
def _has_a_name_of_its_own(subject: Subject) -> str:
    """its name is not that of a command of pipekit"""
    component = subject.component
    if component.name not in COMMANDS:
        return ""
    return (
        f"{component.name!r} is a command of pipekit, and one of plugin {component.plugin!r}: `pipekit {component.name}` calls "
        f"pipekit's, and people have to type `pipekit {component.plugin}:{component.name}`; choose another name"
    )


@promise("command")
def _shows_its_help(subject: Subject) -> str:
    """`--help` shows its help and does nothing else, and a word that it does not take is refused"""
    program = f"pipekit {subject.component.name}"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = call_command(subject.component, ["--help"], program)
    if code or "Usage" not in out.getvalue():
        return f"with --help it ends with status {code} and prints {out.getvalue()[:60]!r}"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            call_command(subject.component, ["--no-such-option-of-a-command"], program)
        except Exception as error:
            return "" if hasattr(error, "format_message") else in_short(error)
    return "it takes the option --no-such-option-of-a-command, which it does not have"
