"""The verb ``check_augmentation``: how much each op of a recipe lowers a model's accuracy."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import new_pipeline, refuse_existing, refuse_inside, run_pipeline
from pipekit.errors import UserError
from pipekit.files import expanded

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener, Outcome


def model_of_check(base: Path, check: str, runs: Sequence[str]) -> str:
    """The run whose model a check measured, told by the digest of its files; "" if none of them has it any more.

    Args:
        base: the folder with ``runs/``.
        check: the name of the check's run.
        runs: names of runs with a model; the first one that has the model is the answer.
    """
    from pipekit.artifacts import Model
    from pipekit.engine.adhoc import find_artifact

    try:
        stages = json.loads((base / "runs" / check / "run.json").read_text("utf-8"))["stages"]
        wanted = next(one["parts"]["inputs"]["model"] for one in stages if one["use"] == "augment_check")
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return ""
    for name in runs:
        with contextlib.suppress(UserError, OSError, ValueError):
            record = base / "runs" / name / "run.json"
            made = [one.get("digest") for one in json.loads(record.read_text("utf-8")).get("stages", ())]
            found = None if wanted in made else find_artifact(f"runs/{name}", Model, base)
            if found is None or found.digest == wanted:
                return name
    return ""


@dataclass(frozen=True)
class AugmentationCheck(Brief):
    """The result of the check.

    Attributes:
        rows: the rows of ``augment_check.csv``, one per op and strength: ``op``, ``strength``, ``accuracy``, ``drop``,
            ``confidence``, ``verdict`` … as text.
        page: ``augment_check.html``.
        outcome: the run.
    """

    rows: tuple[Mapping[str, str], ...]
    page: Path
    outcome: Outcome

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_check

        return of_check(self)


def check_augmentation(
    model: str | Path,
    source: str | Path,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> AugmentationCheck:
    """Apply each op of a recipe alone to held-out images, and measure how much the model's accuracy drops.

    Args:
        model: a run, a folder with ``model.json``, or its ``model.keras``.
        source: a folder of images, a file in a dataset's format, or a run's dataset.
        out: a new folder for the result; default: ``runs/augment-check/``.
        seed: random seed; the same seed gives the same result.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``augment_check``: ``ops``, ``strengths``, ``split``, ``copies`` …

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists or lies in the source, or there is no such model or dataset.

    Example:
        >>> import pipekit
        >>> found = pipekit.check_augmentation("runs/pets", "photos", ops="rotate(40)|hflip")  # doctest: +SKIP
        >>> [(row["op"], row["verdict"]) for row in found.rows]  # doctest: +SKIP
    """
    from pipekit.engine.run_folder import take_out

    place = None if out is None else expanded(out)
    refuse_inside(place, source)
    refuse_existing(place)
    pipeline = new_pipeline(plugins, disable, name="augment-check", seed=seed, workers=workers)
    pipeline.add("augment_check", "augment_check", model=pipeline.model(model), dataset=pipeline.dataset(source), **params)
    outcome = run_pipeline(pipeline, "augment_check", listener, publish=place is None)
    artifact = outcome.artifact("augment_check")
    if place is not None:
        take_out(artifact, place)
    with (artifact.path / "augment_check.csv").open(newline="", encoding="utf-8") as file:
        rows = tuple(csv.DictReader(file))
    return AugmentationCheck(rows, (place or outcome.run_dir) / "augment_check.html", outcome)
