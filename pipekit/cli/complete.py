"""Shell completion for names from the registry, the pipeline file and the folder of runs.

The shell calls these functions while you type, so they print no errors: if something can't be read, they offer nothing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer

Offers = list[tuple[str, str]]


def typed_so_far() -> list[str]:
    """The words on the command line that a shell wants completed: bash's own variable, or that of Typer's other scripts."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    try:
        return shlex.split(line)[1:]
    except ValueError:  # an open quote
        return line.split()[1:]


def components_of(kind: str) -> Offers:
    """Names and summaries of a kind of component."""
    with contextlib.suppress(Exception):
        from pipekit.registry.registry import load_registry

        return [(component.reference, component.summary) for component in load_registry().components(kind)]
    return []


def executors(incomplete: str) -> Offers:
    return components_of("executor")


def embedders(incomplete: str) -> Offers:
    return components_of("embedder")


def detectors(incomplete: str) -> Offers:
    return components_of("detector")


def models(incomplete: str) -> Offers:
    return components_of("model")


def kinds(incomplete: str) -> Offers:
    from pipekit.registry.registry import KINDS

    return [(kind, "") for kind in KINDS]


def names_of_kind(ctx: typer.Context, incomplete: str) -> Offers:
    """The components of the kind that was typed before."""
    return components_of(str(ctx.params.get("kind") or ""))


def stages_of_file(incomplete: str) -> Offers:
    """The stages of the pipeline file that was typed, or of ./pipeline.toml."""
    import tomllib

    with contextlib.suppress(Exception):
        named = [
            Path(word) for word in typed_so_far()[1:] if word.endswith(".toml") or (Path(word) / "pipeline.toml").is_file()
        ]
        path = named[0] if named else Path("pipeline.toml")
        table = tomllib.loads((path / "pipeline.toml" if path.is_dir() else path).read_text("utf-8"))
        return [(name, str(stage.get("use", ""))) for name, stage in table["stages"].items()]
    return []


def runs_here(incomplete: str) -> Offers:
    """The names of the runs in ``runs/`` of the current folder."""
    return [(name, "") for name in _run_names()]


def _run_names() -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from sorted(path.parent.name for path in Path("runs").glob("*/run.json"))
