"""The runs of a project: list them, show one, compare two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
"""A run as ``run.json`` has it: ``name``, ``id``, ``status``, ``started``, ``seconds``, ``seed``, ``stages``, ``headline``."""


@dataclass(frozen=True)
class Difference:
    """A value that differs between two runs: ``stages.split.mode``; None if one of them lacks it."""

    what: str
    first: Any
    second: Any


def runs(folder: str | Path = ".") -> tuple[Record, ...]:
    """List every run of the project in a folder, newest first.

    Args:
        folder: the project: the folder of its pipeline file.

    Returns:
        The records, as ``run.json`` has them.

    Example:
        >>> import pipekit
        >>> [(run["name"], run["headline"]) for run in pipekit.runs("pets")]  # doctest: +SKIP
        [('pets', 'test accuracy 0.917 (95 % interval 0.730 to 0.990), 24 images')]
    """
    from pipekit.commands.shown import Runs
    from pipekit.engine.run_folder import list_runs

    return Runs(list_runs(Path(folder).absolute()))


def show_run(run: str | Path, folder: str | Path = ".") -> Record:
    """The record of one run.

    Args:
        run: a name (its newest finished run), an id, or a folder (``runs/pets``).
        folder: the project: the folder of its pipeline file.

    Raises:
        UserError: there is no such run.

    Example:
        >>> import pipekit
        >>> pipekit.show_run("runs/pets")["seed"]  # doctest: +SKIP
        7
    """
    from pipekit.commands.shown import RunRecord
    from pipekit.engine.run_folder import find_run

    return RunRecord(find_run(Path(folder).absolute(), str(run)))


def diff_runs(first: str | Path, second: str | Path, folder: str | Path = ".") -> tuple[Difference, ...]:
    """Which parameters, inputs, versions and results differ between two runs.

    Args:
        first, second: names, ids or folders of runs.
        folder: the project: the folder of its pipeline file.

    Raises:
        UserError: there is no such run.

    Example:
        >>> import pipekit
        >>> pipekit.diff_runs("first", "second")  # doctest: +SKIP
        (Difference(what='stages.train.epochs', first=10, second=20),)
    """
    return tuple(differences(show_run(first, folder), show_run(second, folder)))


def differences(first: Record, second: Record) -> Iterator[Difference]:
    """Every value that differs between two runs, with its place: parameters, inputs, versions, facts.

    A value that one run lacks is None, as one that is not set: the two do not differ.
    """
    left, right = dict(flat(comparable(first))), dict(flat(comparable(second)))
    for place in [*left, *(place for place in right if place not in left)]:
        if left.get(place) != right.get(place):
            yield Difference(place, left.get(place), right.get(place))


def comparable(data: Record) -> dict[str, Any]:
    """What of a run is worth comparing: not its times, keys and places."""
    stages = {
        stage["name"]: {"use": stage.get("use"), **(stage.get("params") or {}), **(stage.get("inputs") or {})}
        for stage in data.get("stages") or ()
    }
    results = {stage["name"]: dict(stage.get("facts") or {}) for stage in data.get("stages") or ()}
    plugins = {name: entry["version"] for name, entry in (data.get("plugins") or {}).items()}
    versions = {**(data.get("versions") or {}), **plugins}
    return {"seed": data.get("seed"), "stages": stages, "versions": versions, "result": results}


def flat(value: Any, place: str = "") -> list[tuple[str, Any]]:
    """``{"a": {"b": [1]}}`` -> ``[("a.b[0]", 1)]``; a list without tables stays whole."""
    if isinstance(value, Mapping) and value:
        return [pair for name, inner in value.items() for pair in flat(inner, f"{place}.{name}" if place else str(name))]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [pair for number, inner in enumerate(value) for pair in flat(inner, f"{place}[{number}]")]
    return [(place, value)]
