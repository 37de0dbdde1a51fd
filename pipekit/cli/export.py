"""``pipekit export``: a trained model for other programs, checked on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from pipekit.contract import Artifact
    from pipekit.engine.adhoc import AdhocPipeline


def export(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="savedmodel, tflite, tflite-int8, onnx, card, or a plugin's")
    ] = "savedmodel",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder; default: NAME-FORMAT", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES", help="Images or a run to check the export with; default: the run's own", show_default=False
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another parameter of the exporter: check=200", show_default=False),
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Write a trained model for other programs, with its class names and a model card beside it.

    The exported model answers the same pictures as the original: those of --data, the run's test split, or random ones. The
    largest difference is printed, and where it is too large nothing is written. --to card writes the model card alone.
    """
    from pipekit import ui
    from pipekit.cli.models import read_values
    from pipekit.contract import Model
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.run_folder import take_out
    from pipekit.errors import UserError

    registry = registry_with(plugin, disable)
    exporter = registry.get("exporter", to)
    stage = registry.get("stage", f"export.{exporter.name}")
    slots = {slot.name for slot in stage.contract().slots}
    if not any(issubclass(Model, slot.artifact) and slot.required for slot in stage.contract().slots):
        raise UserError(
            f"{to!r} takes a dataset, not a model", f"For a dataset: pipekit stage export.{to} --dataset FOLDER --out FOLDER"
        )
    target = out or Path(f"{_name_of(model)}-{to}")
    if target.exists():
        raise UserError(f"{target} exists already", "Choose another folder with --out, or remove that one first.")
    adhoc = AdhocPipeline(registry=registry)
    values: dict[str, Any] = {"model": adhoc.model(model), **read_values(changes or ())}
    if data is not None:
        values |= _checked_with(adhoc, data, slots, stage.params_type().model_fields)
    elif "dataset" in slots and (found := _of_run(model, "dataset")):
        values["dataset"] = adhoc.give("dataset", found)
    if "report" in slots and (found := _of_run(model, "report")):
        values["report"] = adhoc.give("report", found)
    adhoc.add("export", stage.name, **values)
    outcome = adhoc.run()
    made = outcome.artifact("export")
    take_out(made, target)
    for warning in outcome.stages[-1].warnings:
        ui.warn(warning)
    headline = str(made.meta.get("headline", ""))
    ui.say(f"{target}: {headline}" if headline else str(target))
    return 0


def _name_of(model: str) -> str:
    """``runs/textures/model.keras`` -> ``textures``."""
    path = Path(model.partition(":")[0]).expanduser().absolute()
    return (path.parent if path.name in ("model.keras", "model.json") else path).name or "model"


def _of_run(source: str, kind: str) -> Artifact | None:
    """The dataset or report of the run that the model came from; None where it is of no run, or that is gone."""
    from pipekit import ui
    from pipekit.contract import Dataset, Report
    from pipekit.engine.adhoc import find_artifact
    from pipekit.errors import UserError

    path = Path(source.partition(":")[0])
    run = str(path.parent if path.name in ("model.keras", "model.json") else path)
    try:
        return find_artifact(run, Dataset if kind == "dataset" else Report, Path.cwd())
    except UserError as error:  # the run is known, and its store has no such artifact
        if kind == "dataset":
            ui.warn(f"{error.message}, so the export is not checked with the run's images. {error.hint}")
        return None


def _checked_with(adhoc: AdhocPipeline, data: str, slots: set[str], params: Any) -> dict[str, Any]:
    """``--data`` as a dataset of a run, where it is one, else as pictures."""
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import find_artifact
    from pipekit.errors import UserError

    found = find_artifact(data, Dataset, adhoc.base_dir) if "dataset" in slots else None
    if found is not None:
        return {"dataset": adhoc.give("dataset", found)}
    if "images" not in params:
        raise UserError("this exporter compares nothing, so it takes no --data")
    return {"images": str(Path(data).expanduser().absolute())}
