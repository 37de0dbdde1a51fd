"""Run any single stage, including a plugin's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import new_pipeline, refuse_existing, run_pipeline, split_file
from pipekit.errors import PlanError, Problem, UserError

if TYPE_CHECKING:
    from pipekit.contract import Artifact, Slot
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class StageRun:
    """A stage that ran.

    Attributes:
        artifact: the stage's output.
        folder: the folder where you can view it: ``out``, or ``runs/NAME``.
        outcome: the run, with the stages that imported the inputs.
    """

    artifact: Artifact
    folder: Path
    outcome: Outcome


def run_stage(
    stage: str,
    params: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    executor: str | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **values: Any,
) -> StageRun:
    """Run any single stage. (``pipekit.stage`` is the decorator that declares one.)

    Args:
        stage: the stage's name, as ``use`` in a pipeline file.
        params: inputs and parameters, as in ``values``; for names that this function uses for its own arguments.
        out: a new folder to write the result to as well; by default it is only in ``runs/NAME/``.
        name: the run's name; default: ``stage-NAME``.
        seed: random seed; the same seed gives the same result.
        workers: number of shards that run at once; the result is the same.
        executor: the executor that runs the shards.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **values: inputs and parameters of the stage. An input is a folder of images (its format is detected), a
            run (``runs/pets``, ``pets:split``), or a stage of a pipeline file (``pipeline.toml:split``), which runs first if it
            is not finished; a list of them if the stage takes several.

    Returns:
        The stage's output.

    Raises:
        PlanError: an input or parameter is missing, unknown or wrong; nothing was run.
        UserError: there is no such stage, or ``out`` exists already.
        StageError: the stage failed; finished work is kept.

    Example:
        >>> import pipekit
        >>> pipekit.run_stage("split", dataset="photos", mode="hash").artifact.counts  # doctest: +SKIP
        {'train': {'cat': 70, 'dog': 70}, 'val': {'cat': 15, 'dog': 15}, 'test': {'cat': 15, 'dog': 15}}
    """
    from pipekit.engine.run_folder import take_out

    target = None if out is None else Path(out)
    refuse_existing(target)
    settings = {"name": name or f"stage-{stage}", "seed": seed, "workers": workers, "executor": executor}
    pipeline = new_pipeline(plugins, disable, **settings)
    component = pipeline.registry.get("stage", stage)
    given = {**(params or {}), **values}
    if component.name == "split":
        given.setdefault("file", str(split_file(str(settings["name"]))))
    inputs: dict[str, Any] = {}
    for slot in component.contract().slots:
        sources = listed(given.pop(slot.name, None))
        if slot.required and not slot.many and not sources:
            raise PlanError([Problem(slot.name, f"is required: a {slot.artifact.kind}")])
        names = [slot.name if len(sources) == 1 else f"{slot.name}{number}" for number in range(1, len(sources) + 1)]
        found = [add_input(pipeline, slot, source, label) for source, label in zip(sources, names, strict=True)]
        if found:
            inputs[slot.name] = found if slot.many else found[0]
    own = component.name.rpartition(".")[2]
    own = own if own not in {*pipeline.stages, *pipeline.given} else f"{own}-stage"
    pipeline.add(own, component.reference, **inputs, **given)
    outcome = run_pipeline(pipeline, own, listener, publish=target is None)
    artifact = outcome.artifact(own)
    if target is not None:
        take_out(artifact, target)
    return StageRun(artifact, target or outcome.run_dir, outcome)


def listed(value: Any) -> list[str]:
    """One source, several or none as a list."""
    if value is None:
        return []
    return [str(value)] if isinstance(value, (str, Path)) else [str(source) for source in value]


def add_input(pipeline: AdhocPipeline, slot: Slot, text: str, name: str) -> str:
    """Add the value of an input to the pipeline, as a stage or artifact; returns its name there."""
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import find_artifact

    file, _, stage = text.rpartition(":")
    if file.endswith(".toml"):
        return pipeline.give(name, made_by(Path(file), stage, slot, pipeline.registry.disabled))
    found = find_artifact(text, slot.artifact, pipeline.base_dir)
    if found is not None:
        return pipeline.give(name, found)
    if issubclass(Dataset, slot.artifact):
        return pipeline.dataset(text, name)
    raise PlanError(
        [Problem(slot.name, f"no {slot.artifact.kind} called {text!r}", "Give a run (runs/NAME) or FILE.toml:STAGE.")]
    )


def made_by(file: Path, stage: str, slot: Slot, disabled: Sequence[str] = ()) -> Artifact:
    """The output of a stage of a pipeline file; the stage runs first if it is not finished."""
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    plan = load_plan(file, disabled=disabled)
    output = plan.stage(stage).contract.output
    if not issubclass(output, slot.artifact):
        raise UserError(f"{slot.name} takes a {slot.artifact.kind}, and stage {stage!r} of {file} makes a {output.kind}")
    return run_plan(plan, until=stage, publish=False).artifact(stage)
