"""What a training will take; several runs compared; before and after corrections; a model's check of a recipe."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pipekit.artifacts import Model
from pipekit.commands.again import measured_on, training_words
from pipekit.commands.browse import find_source
from pipekit.commands.compare import Comparison
from pipekit.commands.training_cost import Amount, _multiply_adds, amount_of, summary_words, training_cost
from pipekit.engine.adhoc import find_artifact
from pipekit.errors import UserError
from pipekit.learning.templates import Work, gradient_descent_s
from pipekit.studio import experiments
from pipekit.studio.edits import LABEL
from pipekit.studio.project import Project
from tests.studio.asgi import Answer, Page


def ready(ask: Any) -> Any:
    """The answer, once the work is done."""
    while (found := ask()).status == 200 and found.json["state"] == "working":
        time.sleep(0.02)
    assert found.status == 200, found.body
    return found.json


def cost(page: Page, **values: Any) -> Any:
    return ready(lambda: page.post("/api/cost", values))


# --- what a training will take ---------------------------------------------------------------------------------------------


def test_the_splits_of_the_images_count_or_else_the_default_fractions(project: Project) -> None:
    labels = ["cat"] * 10 + ["dog"] * 30 + [""] * 5
    assert amount_of(labels, [""] * 45, project.registry) == Amount(40, 28, 6, 2, 7, False)
    splits = ["train"] * 15 + ["val"] * 20 + ["test"] * 10
    assert amount_of(labels, splits, project.registry) == Amount(40, 15, 20, 2, 5, True)
    with pytest.raises(UserError, match="no image has a class"):
        amount_of(["", ""], ["", ""], project.registry)


def test_auto_says_what_it_would_try_and_what_not(page: Page, project: Project) -> None:
    found = cost(page)
    assert (found["images"], found["train"], found["hw"]) == (12, 8, [20, 30])
    kept = [one for one in found["candidates"] if not one["left_out"]]
    assert found["seconds"] == sum(one["seconds"] for one in kept)
    assert "2 validation images are too few" in {one["template"]: one["left_out"] for one in found["candidates"]}["hog_svm"]
    project.edits.quarantine.write_text("id,sha256,match,check,reason\ncat/00.png,,id,studio,no\n", "utf-8")
    assert cost(page)["images"] == 11, "what is left out is not learned from"


def test_more_epochs_take_longer_by_the_estimate_of_the_template(page: Page) -> None:
    few, many = (cost(page, model="simple_cnn", input=32, epochs=epochs) for epochs in (2, 20))
    assert (few["epochs"], many["epochs"], few["hw"]) == (2, 20, [32, 32])
    assert few["seconds"] < many["seconds"]
    assert cost(page, model="hog_svm", input=32)["epochs"] == 0, "it is not trained in epochs"


def test_a_template_without_a_cost_names_the_command_that_counts_its_layers(page: Page) -> None:
    found = cost(page, model="mlp", input=32)
    assert found["seconds"] is None
    assert found["words"] == ["models", "show", "mlp", "--input", "32x32", "--classes", "2"]


def test_its_layers_are_counted_if_a_person_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `pipekit models show`, whose own tests build the network."""
    asked: list[list[str]] = []

    def shown(command: list[str], **_: Any) -> Any:
        asked.append(command[3:])
        return subprocess.CompletedProcess(command, 0, '{"multiply_adds": 1e9}', "")

    monkeypatch.setattr("subprocess.run", shown)
    found = training_cost("mlp", Amount(100, 70, 15, 2, 35, True), (), 32, 3, True)
    assert asked == [["models", "show", "mlp", "--input", "32x32", "--classes", "2", "--json"]]
    assert found["seconds"] == gradient_descent_s(Work(100, 70, 15, 2, (32, 32, 3), 3), 1e9)


def test_a_network_that_can_not_be_built_says_why() -> None:
    with pytest.raises(UserError, match="no model called"):
        _multiply_adds(summary_words("nothing", (32, 32), 2, ()))


def test_mistakes_of_the_form_are_at_their_fields(page: Page) -> None:
    answer = page.post("/api/cost", {"model": "nothing", "epochs": "0", "input": "many", "name": "../x"})
    assert answer.status == 422
    assert [one["path"] for one in answer.json["problems"]] == ["model", "epochs", "input", "name"]


# --- several runs ----------------------------------------------------------------------------------------------------------


PAIR = {"first": "first", "other": "second", "num_images": 12, "gained": 1, "lost": 2, "groups": None}
CHANGED = [{"id": "cat/00.png", "gained": True}, {"id": "dog/01.png", "gained": False}, {"id": "gone.png", "gained": False}]


def compared(base: str, runs: Any, plugins: Any = (), disable: Any = ()) -> Comparison:
    """In the place of a comparison of real reports, which tests/commands/test_compare.py has."""
    names = [Path(run).name for run in runs]
    models = [{"name": name, "accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}} for name in names]
    pair = {**PAIR, "first": names[0], "other": names[1], "verdict": f"{names[1]} <b>is</b> better", "changed": CHANGED}
    return Comparison(tuple(names), (pair["verdict"],), {"models": models, "pairs": [pair]}, "<title>Compared</title>")


def test_a_comparison_has_verdicts_intervals_and_the_images_that_are_open(
    page: Page, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "compared_in", compared)
    for name in ("first", "second"):
        written(work, name, report=True)
    assert page.get("/compared?run=first&run=second").status == 404, "not computed yet"
    found = ready(lambda: page.get("/api/compare?run=first&run=second"))
    assert found["models"][1] == {"name": "second", "metric": "accuracy", "value": 0.5, "low": 0.25, "high": 0.75}
    assert (found["pairs"][0]["only_other"], found["pairs"][0]["only_first"]) == ([0], [6]), "an image that is gone is left out"
    assert found["words"] == ["compare", "runs/first", "runs/second"]
    answer = page.get("/compared?run=first&run=second")
    assert answer.body == b"<title>Compared</title>"
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
    (work / "runs/first/run.json").touch()
    assert page.get("/compared?run=first&run=second").status == 404, "the run is another one now"


@pytest.mark.parametrize("query", ["", "run=first", "run=first&run=first", "run=first&run=..", "run=first&run=%2Fetc"])
def test_what_can_not_be_compared(page: Page, work: Path, query: str) -> None:
    written(work, "first", report=True)
    for path in ("/api/compare", "/compared"):
        assert page.get(f"{path}?{query}").status == 422


# --- before and after ------------------------------------------------------------------------------------------------------


def written(work: Path, name: str, *, report: bool = False, **changes: Any) -> Path:
    """A run of ``pipekit train``, as far as pages read it."""
    folder = work / "runs" / name
    folder.mkdir(parents=True)
    train = {
        "model": {"template": "mlp", "units": [8]},
        "epochs": 3,
        "input_hw": [16, 16],
        "ops": [{"op": "hflip"}],
        "seed": None,
    }
    split = {"file": str(work / "runs" / name / "split.csv"), "mode": "stratified", "corrections": None, "folds": 0}
    stages = [
        {"name": "data", "use": "import.folders", "params": {}, "inputs": {}},
        {"name": "split", "use": "split", "params": split, "inputs": {"dataset": ["data"]}},
        {"name": "train", "use": "train", "params": {**train, **changes}, "inputs": {"dataset": ["split"]}},
        {"name": "report", "use": "evaluate", "params": {}, "inputs": {"dataset": ["split"]}, "headline": "accuracy 0.9"},
    ]
    (folder / "run.json").write_text(json.dumps({"name": name, "file": "", "seed": 7, "stages": stages}), "utf-8")
    (folder / "model.json").write_text("{}", "utf-8")
    if report:
        (folder / "report.html").write_text("<title>Report</title>", "utf-8")
    return folder


def test_a_run_is_trained_again_with_its_parameters_and_its_split(page: Page, project: Project, work: Path) -> None:
    written(work, "first", report=True)
    project.edits.apply(project.changes(project.catalog, LABEL, [0], [""], "dog"))
    found = page.get("/api/again?run=first").json
    first, second = found["steps"]
    assert " ".join(first["words"]) == (
        'train photos --model mlp --set model.units=[8] --input 16x16 --seed 7 --epochs 3 --set ops=[{ op = "hflip" }] '
        '--set split.file="runs/first/split.csv" --name first-again --corrections corrections.csv'
    )
    assert (first["done"], second["done"], found["relabelled"]) == (False, False, 1)


def test_the_same_parameters_are_understood(work: Path, project: Project) -> None:
    """Each word is read back by the options of `pipekit train`."""
    from pipekit.cli.train import stage_values

    written(work, "first")
    record = json.loads((work / "runs/first/run.json").read_text("utf-8"))
    words = training_words(record, work, project.registry)
    changes = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    values, split = stage_values("mlp", changes, None, "16x16", {})
    assert values == {"input_hw": [16, 16], "ops": [{"op": "hflip"}], "model": {"template": "mlp", "units": [8]}}
    assert split == {"file": "runs/first/split.csv"}
    assert measured_on(record, "first") == "runs/first:split"


@pytest.mark.parametrize("changes", [{"cross_validate": True}, {"file": "pipeline.toml"}])
def test_other_runs_say_what_to_do_instead(work: Path, project: Project, changes: dict[str, Any]) -> None:
    written(work, "first", **{name: value for name, value in changes.items() if name != "file"})
    record = json.loads((work / "runs/first/run.json").read_text("utf-8")) | {"file": changes.get("file", "")}
    with pytest.raises(UserError, match="no single training") as raised:
        training_words(record, work, project.registry)
    assert "compare both here" in raised.value.hint


def test_a_later_decision_makes_the_steps_open_again(page: Page, work: Path) -> None:
    for name in ("first", "first-again", "first-corrected"):
        written(work, name, report=True)
    corrections = work / "corrections.csv"
    corrections.write_text("id,sha256,old,new,why,who\n", "utf-8")
    for number, name in enumerate(("corrections.csv", "runs/first-again/run.json", "runs/first-corrected/run.json")):
        os.utime(work / name, (1000 + number, 1000 + number))
    found = page.get("/api/again?run=first").json
    assert [step["done"] for step in found["steps"]] == [True, True]
    assert found["steps"][1]["words"] == ["evaluate", "runs/first", "runs/first-again:split", "--name", "first-corrected"]
    os.utime(corrections, (2000, 2000))
    assert [step["done"] for step in page.get("/api/again?run=first").json["steps"]] == [False, False]


# --- the check of a recipe -------------------------------------------------------------------------------------------------


def test_the_last_check_is_shown_and_its_command_names_held_out_images(page: Page, work: Path) -> None:
    assert page.get("/api/check").json["rows"] == []
    assert page.get("/checked").status == 404
    written(work, "first")
    answer = page.post("/api/command", {"kind": "check", "run": "first", "ops": "strong"})
    assert answer.json["words"] == ["augment", "runs/first:split", "--check", "runs/first", "--ops", "recipes/strong.toml"]
    for wrong in ({"run": "..", "ops": "strong"}, {"run": "first", "ops": "../x"}, {"run": "first"}):
        assert page.post("/api/command", {"kind": "check", **wrong}).status == 422
    folder = work / "runs" / "augment-check"
    folder.mkdir()
    (folder / "augment_check.csv").write_text("op,strength,accuracy,drop,verdict\nrotate,0.5,0.8,0.1,costs\n", "utf-8")
    (folder / "augment_check.html").write_text("<title>Check</title>", "utf-8")
    (folder / "run.json").write_text('{"headline": "accuracy 0.9 as they are"}', "utf-8")
    found = page.get("/api/check").json
    assert (found["headline"], found["rows"][0]["drop"]) == ("accuracy 0.9 as they are", "0.1")
    assert found["model"] == "", "its record names no model"
    shown: Answer = page.get("/checked")
    assert shown.body == b"<title>Check</title>"
    assert "allow-same-origin" not in shown.headers["content-security-policy"]


def test_the_last_check_names_the_run_of_its_model(page: Page, work: Path) -> None:
    """The command line may have made it: the digest in its record tells, not what this page has started."""
    for name in ("first", "second"):
        (written(work, name) / "model.keras").write_text(name, "utf-8")
    folder = work / "runs" / "augment-check"
    folder.mkdir()
    (folder / "augment_check.csv").write_text("op,strength,accuracy,drop,verdict\nrotate,0.5,0.8,0.1,costs\n", "utf-8")
    model = find_artifact("runs/first", Model, work)
    assert model is not None
    stage = {"name": "augment_check", "use": "augment_check", "parts": {"inputs": {"model": model.digest}}}
    (folder / "run.json").write_text(json.dumps({"stages": [stage]}), "utf-8")
    assert page.get("/api/check").json["model"] == "first"
    (work / "runs" / "first" / "model.keras").write_text("trained again", "utf-8")
    assert page.get("/api/check").json["model"] == ""


def test_a_run_that_can_not_be_trained_again_says_why_on_the_page(page: Page, work: Path) -> None:
    written(work, "first", report=True, cross_validate=True)
    found = page.get("/api/again?run=first").json
    assert found["steps"] == []
    assert found["reason"].startswith("first is no single training of `pipekit train`")
    assert page.get("/api/again?run=nothing").status == 422


def test_a_run_of_the_pipeline_file_is_run_again_if_its_split_is_kept(work: Path) -> None:
    (work / "pipeline.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "photos"\n', "utf-8")
    project = Project(find_source())
    page, record = Page(project), written(work, "first", report=True) / "run.json"
    about = json.loads(record.read_text("utf-8")) | {"file": "pipeline.toml"}
    record.write_text(json.dumps(about), "utf-8")
    assert "keeps no split" in page.get("/api/again?run=first").json["reason"]
    about["stages"][1]["params"]["remember"] = True
    record.write_text(json.dumps(about), "utf-8")
    assert page.get("/api/again?run=first").json["steps"][0]["words"] == ["run", "pipeline.toml", "--name", "first-again"]
    (work / "corrections.csv").write_text("id,sha256,old,new,why,who\n", "utf-8")
    assert "does not read corrections.csv" in page.get("/api/again?run=first").json["reason"]
    project.thumbs.close()
