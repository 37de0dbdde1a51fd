"""Log one pipekit run as one MLflow run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import pipekit
from pipekit_mlflow import Seen

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
MAX_VALUE = 6000
"""Maximum length of a parameter's value in MLflow."""
BATCH_PARAMS, BATCH_METRICS = 100, 1000
"""Maximum number of entries in one request to an MLflow server."""
EXAMPLE = "input_example.json"
OURS = ("manifest.json",)
"""Files in the store that are not results."""


def log_run(run: pipekit.RunInfo, seen: Seen) -> str:
    """Log a run that has ended. Returns its MLflow run id, or that of an identical earlier run.

    The experiment is ``MLFLOW_EXPERIMENT_NAME``, else the name of the pipeline.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = _experiment(client, run)
    result = _result(seen)
    if not seen.run_id and run.status == "finished" and seen.stages and all(stage.cached for stage, _ in seen.stages):
        same = f"tags.`pipekit.result` = '{result}' and attributes.status = 'FINISHED'"
        for earlier in client.search_runs([experiment], same, max_results=1):
            _name_best(client, earlier, run)
            return str(earlier.info.run_id)
    run_id = seen.run_id or _begin(client, experiment, run, seen)
    status = "FAILED"
    try:
        tags = {**_tags(run, seen), "pipekit.result": result}
        client.log_batch(run_id, tags=[RunTag(name, _short(value)) for name, value in tags.items()])
        params = [Param(_name(name), _short(value)) for name, value in _params(run, seen)]
        for first in range(0, len(params), BATCH_PARAMS):
            client.log_batch(run_id, params=params[first : first + BATCH_PARAMS])
        now = int(1000 * time.time())
        metrics = [Metric(_name(name), value, now, step) for name, value, step in _metrics(seen)]
        for first in range(0, len(metrics), BATCH_METRICS):
            client.log_batch(run_id, metrics=metrics[first : first + BATCH_METRICS])
        _log_datasets(client, run_id, seen)
        for stage, artifact in seen.stages:
            if isinstance(artifact, (pipekit.Model, pipekit.Report)):
                _log_files(client, run_id, stage.name, artifact)
        status = STATUS.get(run.status, "FAILED")
    finally:
        client.set_terminated(run_id, status)
    return str(run_id)


def log_epoch(run: pipekit.RunInfo, seen: Seen, values: Mapping[str, Any]) -> None:
    """Log the metrics of an epoch while the training runs; the first one begins the MLflow run.

    Args:
        values: the event: ``stage``, ``epoch``, and the metrics by name.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    if not seen.run_id:
        seen.run_id = _begin(client, _experiment(client, run), run, seen)
    stage, epoch, now = str(values["stage"]), int(values["epoch"]), int(1000 * time.time())
    found = {name: value for name, value in values.items() if name not in NO_METRICS and isinstance(value, (int, float))}
    metrics = [Metric(_name(f"{stage}.{name}"), float(value), now, epoch) for name, value in found.items()]
    client.log_batch(seen.run_id, metrics=metrics)
    seen.live.add((stage, epoch))


NO_METRICS = ("epoch", "epochs", "best")
"""Numbers of the event that are no metrics."""


def _begin(client: Any, experiment: str, run: pipekit.RunInfo, seen: Seen) -> str:
    """Create the MLflow run, with the tags that are known from the start; returns its id."""
    tags = _origin(run)
    if run.combination_of:
        tags[PARENT] = _parent(client, experiment, run)
    made = client.create_run(experiment, start_time=int(1000 * seen.started), tags=tags, run_name=run.name)
    return str(made.info.run_id)


PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's pages show runs below another one."""


def _parent(client: Any, experiment: str, run: pipekit.RunInfo) -> str:
    """The run that stands for a pipeline with ``[matrix]``: its combinations, also of later searches, are below it."""
    from mlflow.entities import RunTag

    name = run.combination_of
    for known in client.search_runs([experiment], f"tags.`pipekit.matrix` = '{_name(name)}'", max_results=1):
        return str(known.info.run_id)
    made = client.create_run(experiment, tags=_origin(run), run_name=name)
    client.log_batch(made.info.run_id, tags=[RunTag("pipekit.matrix", _name(name))])
    client.set_terminated(made.info.run_id, "FINISHED")
    return str(made.info.run_id)


def _name_best(client: Any, known: Any, run: pipekit.RunInfo) -> None:
    """Where a matrix publishes its best combination, which is a run that was logged, tell the run above it."""
    parent = known.data.tags.get(PARENT)
    if parent and not run.combination_of:
        client.set_tag(parent, "pipekit.best", known.info.run_name)
        client.set_tag(parent, "mlflow.note.content", known.data.tags.get("mlflow.note.content", ""))


def _origin(run: pipekit.RunInfo) -> dict[str, str]:
    """The tags of ``PIPEKIT_MLFLOW_TAGS``, and the commit and the branch of the folder of the pipeline file, if it has them."""
    given = (part.partition("=") for part in os.environ.get("PIPEKIT_MLFLOW_TAGS", "").split(","))
    tags = {name.strip(): value.strip() for name, _, value in given if name.strip()}
    folder = Path(run.file).resolve().parent if run.file else Path.cwd()
    for tag, words in {"commit": ("HEAD",), "branch": ("--abbrev-ref", "HEAD")}.items():
        try:
            done = subprocess.run(
                ["git", "rev-parse", *words], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        except OSError:  # git is not installed, or the folder is gone
            return tags
        if done.returncode == 0:
            tags[f"mlflow.source.git.{tag}"] = done.stdout.strip()
    return tags


def _experiment(client: Any, run: pipekit.RunInfo) -> str:
    """The experiment's id; created if missing. Another process may create it at the same moment."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.combination_of or run.name
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _result(seen: Seen) -> str:
    """One digest of the parameters and artifacts of all stages, which identifies an identical run."""
    made = [(stage.name, stage.use, stage.params, artifact.digest) for stage, artifact in seen.stages]
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


# --- parameters and metrics ----------------------------------------------------------------------------------------------


def _tags(run: pipekit.RunInfo, seen: Seen) -> dict[str, str]:
    tags = {"pipekit.version": version("pipekit-vision"), "pipekit.run": run.name}
    if run.file:
        tags["mlflow.source.name"] = Path(run.file).name
    for _, artifact in seen.stages:
        if artifact.meta.get("headline"):
            tags["mlflow.note.content"] = str(artifact.meta["headline"])
    for stage, error in seen.failed:
        tags["pipekit.error"] = f"{stage.name}: {getattr(error, 'message', error)}"
    return tags


def _params(run: pipekit.RunInfo, seen: Seen) -> Iterator[tuple[str, str]]:
    """The seed, and every parameter of every stage as ``stage.name``; nested tables become ``stage.name.inner``."""
    yield "seed", str(run.seed)
    for stage in [*(stage for stage, _ in seen.stages), *(stage for stage, _ in seen.failed)]:
        yield f"{stage.name}.use", stage.use
        yield from _flat(stage.name, stage.params)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for inner, found in value.items():
            yield from _flat(f"{name}.{inner}", found)
    elif not isinstance(value, Mapping):
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _metrics(seen: Seen) -> Iterator[tuple[str, float, int]]:
    """(name, value, step): training metrics by epoch, the report's metrics, sample counts, seconds."""
    for stage, artifact in seen.stages:
        if not stage.cached:
            yield f"{stage.name}.seconds", stage.seconds, 0
        if isinstance(artifact, pipekit.Dataset):
            yield f"{stage.name}.samples", float(artifact.meta["num_samples"]), 0
            yield f"{stage.name}.failed", float(artifact.meta["num_failed"]), 0
        elif isinstance(artifact, pipekit.Model):
            for row in _json(artifact.path / "model.json").get("history", ()):
                for name, value in row.items():
                    if name != "epoch" and (stage.name, int(row["epoch"])) not in seen.live:
                        yield f"{stage.name}.{name}", float(value), int(row["epoch"])
        elif isinstance(artifact, pipekit.Report):
            for name, value in _numbers(_json(artifact.path / "metrics.json")):
                yield f"{stage.name}.{name}", value, 0


def _numbers(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested tables, without lists. ``{"f1": {"value": v, "low": l}}`` gives f1 and f1.low."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            full = prefix + name
            yield full.removesuffix(".value") if name == "value" and prefix else full, float(value)


def _name(name: str) -> str:
    """A name that MLflow accepts on every store: letters, digits, ``_ - . / :`` and spaces, up to 250 characters."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)[:250]


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 1] + "…"


def _json(path: Path) -> dict[str, Any]:
    """Read a stage's JSON file, if there is one; a plugin's model or report need not have it."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}


# --- data and files ------------------------------------------------------------------------------------------------------


def _log_datasets(client: Any, run_id: str, seen: Seen) -> None:
    """Log every dataset with its name, digest and counts. No image is uploaded."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for stage, artifact in seen.stages:
        if isinstance(artifact, pipekit.Dataset):
            profile = {name: artifact.meta[name] for name in ("num_samples", "num_failed", "classes", "counts")}
            entity = Dataset(
                name=_name(stage.name),
                digest=artifact.digest[:36],
                source_type="pipekit",
                source=json.dumps({"stage": stage.use, "key": stage.key, "digest": artifact.digest}),
                profile=json.dumps(profile)[:MAX_VALUE],
            )
            inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", stage.use)]))
    if inputs:
        client.log_inputs(run_id, inputs)


def _log_files(client: Any, run_id: str, name: str, artifact: pipekit.Artifact) -> None:
    """Log a stage's files under its name; a model also in the form that ``mlflow.pyfunc.load_model`` opens."""
    with tempfile.TemporaryDirectory(prefix="pipekit-mlflow-") as scratch:
        folder = Path(scratch, "files")
        shutil.copytree(artifact.path, folder, ignore=shutil.ignore_patterns(*OURS))
        if isinstance(artifact, pipekit.Model):
            _describe_model(folder, run_id, name)
        client.log_artifacts(run_id, str(folder), _name(name))


def _describe_model(folder: Path, run_id: str, name: str) -> None:
    """Write ``MLmodel``, ``input_example.json`` and ``requirements.txt`` beside the model."""
    import yaml
    from mlflow.models import Model

    described = Model(artifact_path=_name(name), run_id=run_id)
    described.add_flavor("python_function", loader_module="pipekit_mlflow.pyfunc", python_version=platform.python_version())
    described.saved_input_example_info = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    stated = {**described.to_dict(), "signature": _signature(folder)}
    (folder / "MLmodel").write_text(yaml.safe_dump(stated, sort_keys=False), "utf-8")
    grey = base64.b64encode(pipekit.images.encode(np.full((32, 32, 3), 128, np.uint8), "png")).decode()
    (folder / EXAMPLE).write_text(json.dumps({"columns": [0], "data": [[f"data:image/png;base64,{grey}"]]}), "utf-8")
    needed = [f"{package}=={version(package)}" for package in ("pipekit-vision", "pipekit-mlflow", "tensorflow", "keras")]
    (folder / "requirements.txt").write_text("\n".join(needed) + "\n", "utf-8")


def _signature(folder: Path) -> dict[str, str | None]:
    """What a model takes and returns, as ``MLmodel`` has it. MLflow's own ``ModelSignature`` needs pandas."""
    from mlflow.types.schema import Array, ColSpec, DataType, Map, Schema

    task = json.loads((folder / "model.json").read_text("utf-8")).get("task", "classes")
    probabilities = ColSpec(Map(DataType.double), "probabilities")
    bounds = [ColSpec(DataType.double, name, required=False) for name in ("low", "high")]
    outputs = {
        "number": [ColSpec(DataType.double, "value"), ColSpec(DataType.string, "unit"), *bounds],
        "multilabel": [ColSpec(Array(DataType.string), "labels"), probabilities],
    }.get(
        task,
        [
            ColSpec(DataType.string, "label"),
            ColSpec(DataType.double, "confidence"),
            probabilities,
            ColSpec(DataType.boolean, "unknown", required=False),
        ],
    )
    inputs = [ColSpec(DataType.string)]
    return {"inputs": json.dumps(Schema(inputs).to_dict()), "outputs": json.dumps(Schema(outputs).to_dict()), "params": None}
