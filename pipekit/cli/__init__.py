"""The command line. Names and summaries stand here; a command's code is imported only when that command is asked for.

A command is a module of this package, named after it (``-`` becomes ``_``), with one of

- a function of that name: a typed Typer command that imports what it needs inside its body;
- ``app``: a Typer app, for a command with commands of its own;
- ``make_app(words)``: a function that makes one, for what depends on the words that follow.

It is registered by one line in :data:`COMMANDS`. ``pipekit --help`` prints that table and imports nothing further, not even
Typer: a bare Python takes 15 ms here, importing Typer 70 ms more, a plugin could take seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from pipekit import __version__

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Datasets": {
        "scaffold": "Make a project: folders, images in them, a pipeline",
        "sniff": "Say which format a folder or file has, and why no other",
        "inspect": "Look for copies, leaks, damaged and odd images",
        "split": "Divide images into train, val and test without leaks",
        "augment": "See what a recipe does, and write augmented copies",
        "replay": "Make one augmented image again, bit for bit",
        "features": "Show what a detector or a filter sees in images",
    },
    "Pipelines": {
        "run": "Run a pipeline file, or as much of it as is not done yet",
        "stage": "Run any single stage, with its parameters as options",
        "runs": "List runs, show one, compare the parameters of two",
        "gc": "Free what no recent run uses",
        "verify": "Compare all that is kept with its hashes",
    },
    "Models": {
        "train": "Split a folder of images, train on it, measure the model",
        "models": "List model templates, show layers and parameters of one",
        "evaluate": "Measure a trained model on a dataset, and write the report",
        "predict": "Say what a trained model sees in images",
        "compare": "Say which run has the better model, or whether it is chance",
        "explain": "Show what in a picture a model looks at",
        "export": "Write a model for other programs, checked on the spot",
    },
    "What there is": {
        "components": "List stages, ops, models and the rest, and their parameters",
        "plugins": "List plugins, and why one is broken",
        "schema": "Print the JSON Schema of the pipeline file, for editors",
        "doctor": "Look for what is wrong with this installation",
    },
}
"""Section -> command -> what it does, in one line under 60 characters."""

DESCRIPTION = "From a folder of images to a classifier that you can trust."

OPTIONS: Mapping[str, str] = {
    "--version": "Print the version and exit",
    "--debug": "Show the traceback of an error (also PIPEKIT_DEBUG=1)",
    "--install-completion": "Install completion for the current shell",
    "--show-completion": "Print the completion script for the current shell",
    "-h, --help": "Show help; pipekit COMMAND --help tells of one command",
}


def commands() -> dict[str, str]:
    """Every command with its summary."""
    return {name: summary for section in COMMANDS.values() for name, summary in section.items()}


def help_text() -> str:
    """What ``pipekit --help`` prints."""
    lines = ["Usage: pipekit [OPTIONS] COMMAND [ARGS]...", "", f"  {DESCRIPTION}"]
    for section, entries in {**COMMANDS, "Options": OPTIONS}.items():
        width = max(map(len, OPTIONS if entries is OPTIONS else commands())) + 2
        lines += ["", f"{section}:", *(f"  {name:<{width}}{summary}" for name, summary in entries.items())]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``pipekit``; returns its exit code.

    0: done. 1: it ran and failed. 2: the input was wrong and nothing ran. 130: Ctrl-C.
    """
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:  # while modules were being imported
        return 130
    except OSError as error:  # whoever read stdout is gone (`pipekit --help | head -1`), or its disk is full
        if not isinstance(error, BrokenPipeError):
            print(f"error: can't write to stdout: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing more is said when the interpreter ends
        return 1


def _main(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):  # a name that is no UTF-8, or a terminal that is not, must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    debug = os.environ.get("PIPEKIT_DEBUG", "") not in ("", "0")
    stop = words.index("--") if "--" in words else len(words)
    if "--debug" in words[:stop]:  # may stand before or after the command
        debug = True
        words = [word for word in words[:stop] if word != "--debug"] + words[stop:]
    if "_PIPEKIT_COMPLETE" not in os.environ:
        if not words or words[0] in ("-h", "--help"):
            print(help_text())
            return 0
        if words[0] == "--version":
            print(f"pipekit {__version__}")
            return 0
    from pipekit.cli.app import execute

    return execute(words, debug)
