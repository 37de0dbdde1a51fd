"""Evaluate a trained model on a dataset: metrics with confidence intervals, and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import corrections_file, name_of_model, new_pipeline, refuse_existing, run_pipeline
from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Evaluated(Brief):
    """The result of an evaluation.

    Attributes:
        headline: the result in one sentence.
        metrics: what ``metrics.json`` holds: ``accuracy`` with its interval, ``per_class``, ``confusion`` and more.
        folder: has ``report.html``, ``metrics.json``, ``predictions.csv`` and the figures.
        warnings: the warnings of the stage.
        outcome: the run.
    """

    headline: str
    metrics: Mapping[str, Any]
    folder: Path
    warnings: tuple[str, ...]
    outcome: Outcome

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_evaluated

        return of_evaluated(self)


def evaluate(
    model: str | Path,
    data: str | Path | None = None,
    *,
    baseline: str | Path | None = None,
    corrections: str | Path | None = None,
    out: str | Path | None = None,
    name: str = "",
    seed: int = 0,
    workers: int | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **params: Any,
) -> Evaluated:
    """Evaluate a trained model on a dataset and write the report.

    Args:
        model: a run (``runs/pets``), a folder with ``model.keras`` and ``model.json``, or that file.
        data: a folder of images with labels, a file in a dataset's format, or a dataset of a run (``runs/pets:split``).
            Default: the dataset of the run that trained the model. In a dataset without splits, every image is used.
        baseline: a run with the report of a simpler model on the same images, which this one should beat.
        corrections: a corrections file for the labels of ``data``.
        out: a new folder for the report; default: ``runs/NAME/``.
        name: the run's name; default: ``evaluate-MODEL``.
        seed: random seed of the bootstrap resamples.
        workers: number of threads that read images; the result is the same.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **params: parameters of the ``evaluate`` stage: ``split`` (default: "test"), ``top_k``, ``resamples`` and more.

    Returns:
        The metrics and the report's folder.

    Raises:
        PlanError: a parameter is unknown or has a wrong value; nothing was run.
        UserError: there is no model, no dataset, no such split, or a label that the model does not know.

    Example:
        >>> import pipekit
        >>> found = pipekit.evaluate("runs/pets", "new_photos", out="on_new_photos")  # doctest: +SKIP
        >>> found.metrics["accuracy"]["value"]  # doctest: +SKIP
        0.87
    """
    from pipekit.contract import Report
    from pipekit.engine.adhoc import find_artifact
    from pipekit.engine.run_folder import take_out

    target = None if out is None else Path(out)
    refuse_existing(target)
    pipeline = new_pipeline(plugins, disable, name=name or f"evaluate-{name_of_model(model)}", seed=seed, workers=workers)
    values: dict[str, Any] = {
        "model": pipeline.model(model),
        "dataset": add_data(pipeline, model, data, params, listener, corrections),
    }
    if baseline is not None:
        found = find_artifact(str(baseline), Report, pipeline.base_dir)
        if found is None:
            raise UserError(f"no report in {baseline}", "Give a run whose pipeline has an `evaluate` stage: pipekit runs")
        values["baseline"] = pipeline.give("baseline", found)
    pipeline.add("report", "evaluate", **values, **params)
    outcome = run_pipeline(pipeline, "report", listener, publish=target is None)
    report = outcome.artifact("report")
    if target is not None:
        take_out(report, target)
    return Evaluated(
        headline=outcome.headline,
        metrics=json.loads((report.path / "metrics.json").read_text(encoding="utf-8")),
        folder=target or outcome.run_dir,
        warnings=outcome.stages[-1].warnings,
        outcome=outcome,
    )


def add_data(
    pipeline: AdhocPipeline,
    model: str | Path,
    data: str | Path | None,
    params: Mapping[str, Any],
    listener: Listener | None,
    corrections: str | Path | None = None,
) -> str:
    """Add the dataset to the pipeline; one without splits becomes a test split. Returns its name there."""
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.run import silent

    if data is None:
        if corrections is not None:
            raise UserError("corrections need the data that they correct", "Name the folder of images after the model.")
        return pipeline.give("data", dataset_of(model, pipeline.base_dir))
    source = pipeline.dataset(data, **({} if corrections is None else {"corrections": corrections_file(corrections)}))
    if "split" in params:
        return source
    if source in pipeline.given:
        dataset: Any = pipeline.given[source]
    else:  # its splits are known only after the import; the actual run finds the import in the store
        alone = AdhocPipeline(settings=pipeline.settings, registry=pipeline.registry)
        alone.stages[source] = pipeline.stages[source]
        dataset = alone.run(silent if listener is None else _only_progress(listener)).artifact(source)
    if {split for split, classes in dataset.counts.items() if sum(classes.values())} != {""}:
        return source
    return pipeline.add(
        "split", "split", dataset=source, fractions={"test": 1.0}, mode="hash", duplicates="off", remember=False
    )


def _only_progress(listener: Listener) -> Listener:
    """Drop the events of the run's begin and end: the actual run sends those."""

    def tell(event: str, **values: Any) -> None:
        if event in ("progress", "warning"):
            listener(event, **values)

    return tell


def dataset_of(model: str | Path, base_dir: Path) -> Dataset:
    """The dataset of the run that trained a model: the evaluated one, else the last one that the run made.

    Raises:
        UserError: the model belongs to no run, or the run's dataset no longer exists.
    """
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import find_artifact
    from pipekit.engine.run_folder import locate_run

    path = Path(str(model).partition(":")[0])
    run = str(path.parent if path.name in ("model.keras", "model.json") else path)
    hint = "Give a folder of images with labels, or a dataset of a run: runs/NAME:split"
    try:
        stages = {stage["name"]: stage for stage in locate_run(base_dir, run).record["stages"]}
    except UserError:
        raise UserError(f"{model} belongs to no run, so there is no dataset to evaluate it on", hint) from None
    measured = [name for stage in stages.values() if stage["use"] == "evaluate" for name in _inputs(stage, "dataset")]
    wanted = next((name for name in reversed(measured) if name in stages), None)
    found = find_artifact(f"{run}:{wanted}" if wanted else run, Dataset, base_dir)
    if found is None:
        raise UserError(f"{model} belongs to no run, so there is no dataset to evaluate it on", hint)
    return found


def _inputs(stage: Mapping[str, Any], slot: str) -> list[str]:
    names = (stage.get("inputs") or {}).get(slot) or []
    return [names] if isinstance(names, str) else list(names)
