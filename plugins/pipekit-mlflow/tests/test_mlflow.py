"""Against a real MLflow: a database file on this disk, and a server where the full ``mlflow`` is installed, which has one."""

from __future__ import annotations

import base64
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request

import mlflow
import numpy as np
import pytest
import tomlkit
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pipekit_mlflow import Observer
from pipekit_mlflow.pyfunc import _load_pyfunc

from pipekit import PipekitError, RunInfo, StageError, images
from pipekit.testing import Project, write_tiny_dataset

SERVER = importlib.util.find_spec("flask") is not None
STAGES = {
    "data": {"use": "import.folders", "path": "images"},
    "split": {"use": "split", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
    "train": {
        "use": "train",
        "model": {"template": "simple_cnn", "dropout": 0.1},
        "input_hw": [32, 32],
        "ops": [{"op": "hflip"}],
        "epochs": 2,
    },
    "report": {"use": "evaluate"},
}
DATA = {"data": STAGES["data"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def database(folder):
    """A database file for all tests: creating its tables takes seconds. Each test has experiments of its own."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where MLflow keeps files
        MlflowClient(uri).create_experiment("elsewhere")
    return uri


@pytest.fixture(scope="module")
def server(folder, database):
    """A server of the same database, started once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port), "--workers", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # it would start a dozen processes
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    uri = f"http://127.0.0.1:{port}"
    while not answers(f"{uri}/health"):
        assert process.poll() is None
        time.sleep(0.2)
    yield uri
    process.terminate()
    process.wait()


@pytest.fixture
def client(database, folder, monkeypatch):
    """A client of the database, named by the environment as a person would."""
    return chosen(database, folder, monkeypatch)


@pytest.fixture(params=["file", "server"] if SERVER else ["file"])
def either(request, folder, monkeypatch):
    """A client of the database, and one of the server."""
    return chosen(request.getfixturevalue("database" if request.param == "file" else "server"), folder, monkeypatch)


def chosen(uri, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def project(tmp_path_factory, pipekit_registry):
    """One project for all tests: what the first has trained, the others take from its store."""
    made = Project(tmp_path_factory.mktemp("project"), pipekit_registry)
    write_tiny_dataset(made.path / "images")
    return made


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def runs(client, name="trial"):
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def files(client, run_id, folder=""):
    return {entry.path for entry in client.list_artifacts(run_id, folder or None)}


def download(client, run_id, folder, to):
    return client.download_artifacts(run_id, folder, str(to))


def test_a_run_from_images_to_report(either, project, request, monkeypatch, tmp_path):
    client, name = either, "trial"
    if request.node.callspec.params["either"] == "server":  # of the same database, where the run would be known
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name := "served")
    outcome = project.run(STAGES, seed=7)
    (run,) = runs(client, name)
    params, metrics = run.data.params, run.data.metrics
    assert run.info.status == "FINISHED"
    assert (params["seed"], params["train.use"], params["train.model.template"]) == ("7", "train", "simple_cnn")
    assert (params["train.epochs"], params["train.model.dropout"]) == ("2", "0.1")
    assert '"hflip"' in params["train.ops"]
    assert (metrics["data.samples"], metrics["data.failed"]) == (18, 0)
    assert run.data.tags["mlflow.note.content"] == outcome.headline

    losses = client.get_metric_history(run.info.run_id, "train.val_loss")
    table = (outcome.artifact("train").path / "history.csv").read_text().splitlines()
    column = table[0].split(",").index("val_loss")
    assert [(m.step, m.value) for m in losses] == [(n, float(row.split(",")[column])) for n, row in enumerate(table[1:], 1)]
    assert 0 <= metrics["report.accuracy.low"] <= metrics["report.accuracy"] <= metrics["report.accuracy.high"] <= 1

    assert {"report/report.html", "report/metrics.json", "report/predictions.csv"} <= files(client, run.info.run_id, "report")
    assert {"train/model.keras", "train/model.json", "train/MLmodel"} <= files(client, run.info.run_id, "train")
    logged = {found.dataset.name: found.dataset.digest for found in run.inputs.dataset_inputs}
    assert logged == {name: outcome.artifact(name).digest[:36] for name in ("data", "split")}

    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/train")
    photos = sorted((project.path / "images").rglob("*.*"))[:3]
    said = model.predict([str(photo) for photo in photos])
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-5 and row["label"] in row["probabilities"] for row in said)
    assert set(said[0]) <= {column.name for column in model.metadata.signature.outputs} <= {*said[0], "unknown"}
    sent = [f"data:image/png;base64,{base64.b64encode(photo.read_bytes()).decode()}" for photo in photos]
    assert model.predict(sent) == said
    example = model.metadata.load_input_example(download(client, run.info.run_id, "train", tmp_path))
    assert model.predict(example)[0]["label"] in said[0]["probabilities"]
    local = _load_pyfunc(download(client, run.info.run_id, "train", tmp_path))
    arrays = local.predict(np.stack([images.read(photo) for photo in photos]))
    assert [row["label"] for row in arrays] == [row["label"] for row in said]
    for text, reason in (("data:image/png,abc", "no image in base64"), ("data:image/png;base64,a", "base64 is damaged")):
        with pytest.raises(PipekitError, match=reason):
            local.predict([text])

    project.run(STAGES, seed=7)
    assert len(runs(client, name)) == 1, "all of it was cached: the same run is not logged twice"
    project.run({**STAGES, "report": {"use": "evaluate", "split": "val"}}, seed=7)
    assert len(runs(client, name)) == 2


def test_an_epoch_is_logged_before_the_run_has_ended(client, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPEKIT_MLFLOW_TAGS", "owner=ada, paper=3")
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    observer = Observer()
    run = RunInfo("live", str(tmp_path / "pipeline.toml"), 7, tmp_path / "runs/live")
    for epoch in (1, 2):
        values = {"stage": "train", "epoch": epoch, "epochs": 2, "best": 1, "loss": 1 / epoch}
        observer.on_event(run=run, event="epoch", values=values)
    (found,) = runs(client, "live")
    assert found.info.status == "RUNNING"
    assert [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, "train.loss")] == [(1, 1.0), (2, 0.5)]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert (found.data.tags["owner"], found.data.tags["mlflow.source.git.commit"]) == ("ada", head)
    observer.after_run(run=RunInfo("live", run.file, 7, run.run_dir, "failed"))
    (found,) = runs(client, "live")
    assert found.info.status == "FAILED"


def test_combinations_of_a_matrix_are_below_one_run(client, project):
    import pipekit

    table = {"name": "fractions", "seed": 7, "stages": {name: STAGES[name] for name in ("data", "split")}}
    shares = [{"train": 0.5, "val": 0.5}, {"train": 0.75, "val": 0.25}]
    table["matrix"] = {"select": "split.train", "values": {"split.fractions": shares}}
    file = project.path / "fractions.toml"
    file.write_text(tomlkit.dumps(table))
    for _ in range(2):  # the second time all is known, and nothing is logged
        outcome = pipekit.run(file)
        found = {run.info.run_name: run for run in runs(client, "fractions")}
        assert sorted(found) == ["fractions", "fractions-1", "fractions-2"]
        parent = found.pop("fractions")
        assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["pipekit.best"] == outcome.best.run


def test_a_run_that_fails_says_so(client, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    hopeless = {**STAGES, "train": {**STAGES["train"], "optimizer": "sgd", "learning_rate": 1e30}}
    (project.path / "pipeline.toml").write_text(toml(hopeless))
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    with pytest.raises(StageError):
        run_plan(load_plan(project.path / "pipeline.toml"))
    (run,) = runs(client, "mine")
    assert run.info.status == "FAILED"
    assert run.data.tags["pipekit.error"].startswith("train: the loss became")
    assert run.data.tags["mlflow.source.name"] == "pipeline.toml"
    assert run.data.params["train.learning_rate"] == "1e+30"


def test_ctrl_c_is_told_from_failure(client, tmp_path):
    from pipekit_mlflow import Seen
    from pipekit_mlflow.log import log_run

    run_id = log_run(RunInfo("stopped", "pipeline.toml", 7, tmp_path, "interrupted"), Seen())
    assert client.get_run(run_id).info.status == "KILLED"


def toml(stages):
    return tomlkit.dumps({"name": "trial", "seed": 7, "stages": stages})


def test_small_runs_behind_other_commands_are_not_logged(client, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "small")
    project.run(DATA)
    assert runs(client, "small") == []


def test_without_the_variable_nothing_is_logged(project, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    (project.path / "pipeline.toml").write_text(toml(DATA))
    project.run(DATA)
    assert set(tmp_path.iterdir()) == before


def test_a_server_that_does_not_answer_never_stops_a_run(project, monkeypatch):
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (project.path / "pipeline.toml").write_text(toml(DATA))
    heard = []
    outcome = run_plan(
        load_plan(project.path / "pipeline.toml"),
        lambda event, **values: heard.append(values["message"]) if event == "warning" else None,
    )
    assert outcome.status == "finished"
    assert len(heard) == 1
    assert heard[0].startswith("observer after_run of plugin 'mlflow' failed")


def test_importing_the_plugin_does_not_import_mlflow():
    script = "import sys, pipekit_mlflow; sys.exit('mlflow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_every_name_is_one_that_mlflow_takes(either):
    from pipekit_mlflow.log import _name

    names = [_name(name) for name in ("a/b c-1.x", "grüße", "what? (really)", "x" * 400)]
    run = either.create_run("0")
    for name in names:
        either.log_metric(run.info.run_id, name, 1.0)
    assert either.get_run(run.info.run_id).data.metrics == dict.fromkeys(names, 1.0)
    with pytest.raises(MlflowException):
        either.log_metric(run.info.run_id, "what?", 1.0)
