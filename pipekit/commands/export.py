"""Export a trained model to another format, and compare it with the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import name_of_model, new_pipeline, refuse_existing, run_pipeline
from pipekit.errors import UserError
from pipekit.files.urls import located

if TYPE_CHECKING:
    from pipekit.contract import Artifact
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        folder: has the model, its class names and a model card.
        headline: the result of the check in one sentence; "" if the exporter compares nothing.
        warnings: parts that could not be checked, with the reason.
        outcome: the run.
    """

    folder: Path
    headline: str
    warnings: tuple[str, ...]
    outcome: Outcome


def export(
    model: str | Path,
    to: str = "savedmodel",
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **params: Any,
) -> Exported:
    """Export a trained model to another format, with its class names and a model card.

    The exported model must predict the same probabilities as the original, within a tolerance, for ``data``, the run's test
    split, or random images; otherwise nothing is written.

    Args:
        model: a run (``runs/pets``), a folder with ``model.keras`` and ``model.json``, or that file.
        to: ``savedmodel``, ``tflite``, ``tflite-int8``, ``onnx``, ``card`` (the model card alone), or a plugin's exporter.
        out: a new folder; default: ``NAME-FORMAT`` in the working folder.
        data: images, or a dataset of a run, to check the export with; default: the dataset of the model's run.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **params: parameters of the exporter: ``check=200`` (images that are compared), ``tolerance`` and more.

    Returns:
        The new folder and the result of the check.

    Raises:
        PlanError: a parameter is unknown or has a wrong value; nothing was run.
        UserError: there is no model, ``out`` exists already, or the exporter takes a dataset.
        StageError: the exported model gives other probabilities.

    Example:
        >>> import pipekit
        >>> pipekit.export("runs/pets", to="tflite").folder  # doctest: +SKIP
        PosixPath('pets-tflite')
    """
    from pipekit.contract import Model
    from pipekit.engine.run_folder import take_out

    pipeline = new_pipeline(plugins, disable)
    exporter = pipeline.registry.get("exporter", to)
    stage = pipeline.registry.get("stage", f"export.{exporter.reference}")
    slots = {slot.name for slot in stage.contract().slots}
    if not any(issubclass(Model, slot.artifact) and slot.required for slot in stage.contract().slots):
        raise UserError(
            f"{to!r} takes a dataset, not a model", f"For a dataset: pipekit stage export.{to} --dataset FOLDER --out FOLDER"
        )
    target = Path(out or f"{name_of_model(model)}-{to}")
    refuse_existing(target)
    values: dict[str, Any] = {"model": pipeline.model(model), **params}
    warnings: list[str] = []
    if data is not None:
        values |= checked_with(pipeline, data, slots, stage.params_type().model_fields)
    else:
        for kind in ("dataset", "report"):
            found = of_run(model, kind, warnings) if kind in slots else None
            if found is not None:
                values[kind] = pipeline.give(kind, found)
    pipeline.add("export", stage.name, **values)
    outcome = run_pipeline(pipeline, "export", listener)
    made = outcome.artifact("export")
    take_out(made, target)
    return Exported(target, str(made.meta.get("headline", "")), (*warnings, *outcome.stages[-1].warnings), outcome)


def of_run(source: str | Path, kind: str, warnings: list[str]) -> Artifact | None:
    """The dataset or report of the run that trained the model; None if there is no run or it is gone."""
    from pipekit.contract import Dataset, Report
    from pipekit.engine.adhoc import find_artifact

    path = Path(str(source).partition(":")[0])
    run = str(path.parent if path.name in ("model.keras", "model.json") else path)
    try:
        return find_artifact(run, Dataset if kind == "dataset" else Report, Path.cwd())
    except UserError as error:  # the run is known, and its store has no such artifact
        if kind == "dataset":
            warnings.append(f"{error.message}, so the export is not checked with the run's images. {error.hint}")
        return None


def checked_with(pipeline: AdhocPipeline, data: str | Path, slots: set[str], params: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` as a dataset of a run if it is one, else as images."""
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import find_artifact

    found = find_artifact(str(data), Dataset, pipeline.base_dir) if "dataset" in slots else None
    if found is not None:
        return {"dataset": pipeline.give("dataset", found)}
    if "images" not in params:
        raise UserError("this exporter compares nothing, so it takes no data to check with")
    return {"images": str(located(data).absolute())}
