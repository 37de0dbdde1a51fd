"""The command line. Names and summaries are here; the code of a command is imported only when it is called.

A command is a module of this package, named after it (``-`` becomes ``_``), with one of

- a function of that name: a typed Typer command that imports what it needs inside its body;
- ``app``: a Typer app, for a command with subcommands;
- ``make_app(words)``: a function that returns a Typer app, for a command that depends on the words after it.

It is registered by one line in :data:`COMMANDS`. ``pipekit --help`` prints that table, with what it has kept of plugins, and
imports nothing else, not even Typer: starting Python takes 15 ms, importing Typer 70 ms more, and a plugin may take seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from gc import freeze, set_threshold  # `gc` is a command here
from types import MappingProxyType

from pipekit import __version__

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Datasets": {
        "scaffold": "Create a project: image folders, a pipeline file, a README",
        "sniff": "Detect the dataset format of a folder or file",
        "inspect": "Find duplicates, leaks, damaged files and outliers",
        "corrections": "Correct labels by a file that imports and splits read",
        "split": "Split images into train, val and test without leaks",
        "augment": "Preview an augmentation recipe, write augmented copies",
        "replay": "Reproduce one augmented image, bit for bit",
        "embed": "Compute a vector of features for every image",
        "similar": "Find the images that are most alike to given ones",
        "features": "Show the features a detector finds, or a filter's output",
    },
    "Pipelines": {
        "run": "Run a pipeline file; finished stages come from the cache",
        "stage": "Run any single stage, with its parameters as options",
        "runs": "List runs, show one, compare the parameters of two",
        "gc": "Delete stored results that no recent run uses",
        "verify": "Check every stored file against its hash",
    },
    "Models": {
        "train": "Split a folder of images, train a model, evaluate it",
        "models": "List model templates; show the layers of one",
        "evaluate": "Evaluate a trained model on a dataset, write the report",
        "predict": "Predict the classes of images with a trained model",
        "compare": "Compare models, and test whether a difference is chance",
        "explain": "Explain predictions with heat maps (Grad-CAM and others)",
        "export": "Export a model (SavedModel, TFLite, ONNX), and check it",
    },
    "In the browser": {
        "studio": "Browse, correct and train on a local page",
        "serve": "Serve a trained model over HTTP, with a page to try it",
    },
    "Components and installation": {
        "components": "List stages, ops, models …, and show their parameters",
        "plugins": "List plugins, and say why one is broken",
        "docs": "Write pages about all components, with pictures",
        "schema": "Print the JSON Schema of the pipeline file, for editors",
        "doctor": "Check this installation for problems",
    },
}
"""Section -> command -> summary, one line under 60 characters."""

DESCRIPTION = "From a folder of images to a classifier that you can trust."

OPTIONS: Mapping[str, str] = {
    "--version": "Print the version and exit",
    "--debug": "Show the traceback of an error (also PIPEKIT_DEBUG=1)",
    "--install-completion": "Install completion for the current shell",
    "--show-completion": "Print the completion script for the current shell",
    "-h, --help": "Show help; for one command: pipekit COMMAND --help",
}


def commands() -> dict[str, str]:
    """Every command with its summary."""
    return {name: summary for section in COMMANDS.values() for name, summary in section.items()}


def help_text(of_plugins: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text that ``pipekit --help`` prints.

    Args:
        of_plugins: commands of plugins with their summaries.
    """
    columns = _columns()
    lines = ["Usage: pipekit [OPTIONS] COMMAND [ARGS]...", "", *_row("", DESCRIPTION, 0, columns)]
    plugins = {"Plugins": of_plugins} if of_plugins else {}
    for section, entries in {**COMMANDS, **plugins, "Options": OPTIONS}.items():
        width = max(map(len, OPTIONS if entries is OPTIONS else {**commands(), **entries})) + 2
        lines += ["", f"{section}:"]
        lines += [line for name, summary in entries.items() for line in _row(name, summary, width, columns)]
    return "\n".join(lines)


def _row(name: str, summary: str, width: int, columns: int) -> list[str]:
    """A name and its summary, wrapped between words where the terminal is narrow."""
    lines = [f"  {name:<{width}}"]
    for word in summary.split():
        if len(lines[-1]) + len(word) > columns and lines[-1].strip() != name:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * (width + 2))
        lines[-1] += f"{word} "
    return [line.rstrip() for line in lines]


def _columns() -> int:
    """Columns of the terminal, or what ``COLUMNS`` asks for; 80 for a pipe. Without `shutil`, whose import takes longer."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return max(40, int(asked))
    try:
        return max(40, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError, AttributeError):
        return 80


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``pipekit``; returns its exit code.

    0: success. 1: the command ran and failed. 2: the input was wrong and nothing ran. 130: Ctrl-C.
    """
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv), argv is None)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:  # while modules were being imported
        return 130
    except OSError as error:  # the reader of stdout has closed it (`pipekit --help | head -1`), or its disk is full
        if not isinstance(error, BrokenPipeError):
            print(f"error: can't write to stdout: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so the interpreter prints no second error when it ends
        return 1
    finally:
        if argv is None:
            freeze()  # the process ends: looking for cycles among all its objects took a tenth of a run


def _main(words: list[str], started: bool) -> int:
    """Args: started: the process was started for this command line."""
    if started:  # OpenBLAS' threads wait for work by spinning, for a tenth of a second after NumPy is imported: sleep at once
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    set_threshold(200_000)  # rows and columns are no cycles: looking for cycles among them took 7 % of a run
    for stream in (sys.stdout, sys.stderr):  # a file name or a terminal that is not UTF-8 must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    debug = os.environ.get("PIPEKIT_DEBUG", "") not in ("", "0")
    stop = words.index("--") if "--" in words else len(words)
    if "--debug" in words[:stop]:  # may stand before or after the command
        debug = True
        words = [word for word in words[:stop] if word != "--debug"] + words[stop:]
    if "_PIPEKIT_COMPLETE" not in os.environ:
        if not words or words[0] in ("-h", "--help"):
            from pipekit.cli.from_plugins import listed

            print(help_text(listed()))
            return 0
        if words[0] == "--version":
            print(f"pipekit {__version__}")
            return 0
        if started and not debug:
            from pipekit.cli import kept_texts

            if kept_texts.is_kept(words):
                return 0 if kept_texts.answer(words) else kept_texts.keeping(words, lambda: _execute(words, debug))
        if words[0] == "run":
            from pipekit.cli.unchanged import answer, forget

            try:
                code = answer(words)
                return _execute(words, debug) if code is None else code
            finally:
                forget()
    return _execute(words, debug)


def _execute(words: Sequence[str], debug: bool) -> int:
    from pipekit.cli.app import execute

    return execute(words, debug)
