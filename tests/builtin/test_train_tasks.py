"""Training, evaluation and prediction of several labels and of numbers, on small pictures; and what does not fit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.tasks import check_task
from pipekit.contract import Dataset, Sample
from pipekit.errors import UserError
from pipekit.learning.exported import open_exported
from pipekit.learning.outputs import Outputs, makes
from pipekit.learning.predictions import write_csv
from pipekit.registry.registry import load_registry
from tests.conftest import Trial

COLOURS = ("red", "green", "blue")


def draw(folder: Path, count: int = 60) -> None:
    """Pictures with a bar of each colour that their labels name; the number is the share of red."""
    chance = np.random.default_rng(0)
    rows = ["file,labels,share"]
    for number in range(count):
        pixels = chance.integers(0, 60, (12, 12, 3), np.uint8)
        has = chance.random(3) < 0.5
        for at in np.flatnonzero(has):
            pixels[3 * at + 1 : 3 * at + 3, :, at] = 230
        height = int(chance.integers(0, 12))
        pixels[:, :2] = 0
        pixels[:height, :2, 0] = 255
        images.write(folder / f"{number:02}.png", pixels)
        rows.append(
            f"{number:02}.png,{'|'.join(name for name, one in zip(COLOURS, has, strict=True) if one) or '[]'},{height / 12:.4f}"
        )
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def stages(task: str, **train: Any) -> dict[str, dict[str, Any]]:
    label = "labels" if task == "multilabel" else "share"
    return {
        "photos": {"use": "import.csv", "path": "labels.csv", "task": task, "label": label},
        "split": {
            "use": "split",
            "dataset": "photos",
            "duplicates": "off",
            "fractions": {"train": 0.5, "val": 0.25, "test": 0.25},
        },
        "model": {"use": "train", "dataset": "split", "model": "mlp", "epochs": 12, "learning_rate": 0.01, **train},
        "report": {"use": "evaluate", "model": "model", "dataset": "split", "resamples": 50, "pictures": 4},
        "said": {"use": "predict", "model": "model", "dataset": "photos"},
        "both": {"use": "compare", "reports": ["report", "report"]},
        "why": {
            "use": "explain",
            "model": "model",
            "images": ["00.png", "02.png"],
            "methods": ["integrated_gradients", "occlusion"],
            "layers": 0,
            "steps": 0,
            "maximise": 0,
        },
    }


def exports(*formats: str) -> dict[str, dict[str, Any]]:
    inputs = {"model": "model", "report": "report"}
    return {
        f"to-{name}": {"use": f"export.{name}", **inputs, **({} if name == "card" else {"dataset": "split"})}
        for name in formats
    }


def check_predictions(folder: Path, photos: Path, said: list[dict[str, str]], classes: list[str], within: float) -> None:
    """An exported model predicts the same table as the one that was trained."""
    out = io.StringIO()
    found = pipekit.predict(folder, sorted(photos.glob("*.png")), plugins=None)
    assert len(list(write_csv(found, classes, out))) == len(said)
    for row, other in zip(csv.DictReader(io.StringIO(out.getvalue())), said, strict=True):
        assert [float(row[f"p:{name}"]) for name in classes] == pytest.approx(
            [float(other[f"p:{name}"]) for name in classes], abs=within
        )
        if len(classes) > 1:
            assert row["predicted"] == other["predicted"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_several_labels_from_pictures_to_report(trial: Trial) -> None:
    draw(trial.path)
    done = trial.run({**stages("multilabel", class_weights="balanced"), **exports("savedmodel", "card")})
    info = json.loads((done.artifact("model").path / "model.json").read_text())
    assert (info["task"], info["classes"]) == ("multilabel", ["blue", "green", "red"])
    assert {*info["thresholds"]} == {*COLOURS}
    assert "val_f1" in info["history"][0]
    report = done.artifact("report")
    metrics = json.loads((report.path / "metrics.json").read_text())
    assert metrics["mean_average_precision"]["value"] > 0.8
    assert metrics["macro_f1"]["value"] > metrics["baseline"]["macro_f1"]
    rows = rows_of(report.path / "predictions.csv")
    true = np.array([[name in json.loads(row["labels"]) for name in info["classes"]] for row in rows])
    scores = np.array([[float(row[f"p:{name}"]) for name in info["classes"]] for row in rows])
    from pipekit.learning.multilabel_metrics import mean_average_precision

    assert metrics["mean_average_precision"]["value"] == pytest.approx(mean_average_precision(true, scores))
    assert "Co-occurrence and confusion of labels" in (report.path / "report.html").read_text()
    compared = json.loads((done.artifact("both").path / "comparison.json").read_text())
    assert compared["headline"] == (
        "A and B have the same mAP on these 15 images; by how much they differ on other images can't be told from them."
    )
    said = rows_of(done.artifact("said").path / "predictions.csv")
    assert {row["predicted"] for row in said} > {"[]"}

    import tensorflow as tf

    saved = done.artifact("to-savedmodel").path
    pixels = np.stack([images.read(file) for file in sorted(trial.path.glob("*.png"))]).astype(np.float32)
    served = tf.saved_model.load(str(saved / "1")).signatures["serving_default"](image=tf.constant(pixels))
    why = done.artifact("why").path
    first = sorted(said[0]["predicted"].split("|"), key=lambda name: -float(said[0][f"p:{name}"]))
    black = tf.saved_model.load(str(saved / "1")).signatures["serving_default"](image=tf.zeros((1, 12, 12, 3)))
    for number, name in enumerate(first, 1):  # integrated gradients sum to the label's logit, minus that of black
        of_black = float(black["probabilities"][0, info["classes"].index(name)])
        gain = logit(float(said[0][f"p:{name}"])) - logit(of_black)
        assert np.load(why / f"{number:02}_integrated_gradients.npy").sum() == pytest.approx(gain, abs=0.1 + 0.05 * abs(gain))
        assert f"00.png: {name}" in (why / "explain.html").read_text()
    names = [[name for name, has in zip(info["classes"], row, strict=True) if has] for row in served["predicted"].numpy()]
    assert ["|".join(some) or "[]" for some in names] == [row["predicted"] for row in said]
    assert json.loads((saved / "model.json").read_text())["thresholds"] == info["thresholds"]
    checked = json.loads((saved / "check.json").read_text())
    assert (checked["task"], checked["same_class"], checked["labelled"]) == ("multilabel", 15, 15)
    assert checked["exported_right"] == round(15 * metrics["subset_accuracy"]["value"])
    check_predictions(saved, trial.path, said, info["classes"], 1e-4)
    card = (done.artifact("to-card").path / "model_card.md").read_text()
    assert "# Model card: 3 labels of an image" in card
    assert f"`blue` {info['thresholds']['blue']:.3f}" in card
    assert f"{metrics['mean_average_precision']['value']:.4g}" in card


def test_a_number_from_pictures_to_report(trial: Trial) -> None:
    draw(trial.path)
    done = trial.run({**stages("number"), **exports("tflite-int8", "onnx")})
    info = json.loads((done.artifact("model").path / "model.json").read_text())
    assert (info["task"], info["classes"]) == ("regression", ["share"])
    assert info["value"]["interval"]["images"] == 15
    metrics = json.loads((done.artifact("report").path / "metrics.json").read_text())
    assert metrics["mae"]["value"] < metrics["baseline"]["mae"]
    assert metrics["prediction_interval"]["coverage"]["value"] > 0.5
    said = rows_of(done.artifact("said").path / "predictions.csv")
    assert [float(row["predicted"]) for row in said] == pytest.approx([float(row["p:share"]) for row in said], abs=1e-4)
    opened = open_exported(done.artifact("to-onnx").path)
    assert opened is not None
    gain = float(said[0]["p:share"]) - float(opened.answers("value")(np.zeros((1, 12, 12, 3), np.uint8))[0, 0])
    found = np.load(done.artifact("why").path / "01_integrated_gradients.npy")
    assert found.sum() == pytest.approx(gain, abs=0.02 + 0.05 * abs(gain))
    for name in ("to-tflite-int8", "to-onnx"):
        folder = done.artifact(name).path
        about = json.loads((folder / "model.json").read_text())["value"]
        assert about["interval"] == info["value"]["interval"]
        assert about["spread"] == pytest.approx(0.3, abs=0.1)  # of the 30 training images; 0.29 for a uniform share
        checked = json.loads((folder / "check.json").read_text())
        assert checked["original_error"] == pytest.approx(metrics["mae"]["value"], abs=1e-4)
        check_predictions(folder, trial.path, said, ["share"], 0.1 if name.endswith("int8") else 1e-4)
        assert "# Model card: the number `share` of an image" in (folder / "model_card.md").read_text()
    with pytest.raises(UserError, match=r"'calibrated' does not support a number for each image yet"):
        pipekit.predict(done.artifact("to-onnx").path, trial.path, calibrated=True, plugins=None)
    with pytest.raises(
        UserError, match=r"'calibrate' does not support a number for each image \(task 'number'\): a number has no"
    ):
        trial.run({**stages("number"), "later": {"use": "calibrate", "model": "model", "dataset": "split"}})


def dataset(task: str) -> Dataset:
    fields: list[dict[str, Any]] = (
        [{"labels": ("a",)}, {"labels": ()}] if task == "multilabel" else [{"value": 1.0}, {"value": 2.0}]
    )
    samples = [Sample(str(at), f"{at}.png", split="train", **one) for at, one in enumerate(fields)]
    meta = {"task": task, "classes": ["a"] if task == "multilabel" else [], "num_samples": 2}
    return Dataset(Path(), "", meta, lambda _: iter(samples), lambda _: iter(()))


def params(template: str, **values: Any) -> TrainParams:
    return load_registry().check_params(TrainParams, {"model": {"template": template}, **values})


@pytest.mark.parametrize(
    ("task", "template", "values", "said"),
    [
        (
            "multilabel",
            "hog_svm",
            {"loss": "mse", "metrics": ["mae", "auc"], "label_mode": "sparse", "threshold": "recall >= 0.9"},
            ["template 'hog_svm'", "label_mode = 'sparse'", "loss = 'mse'", "metric 'mae'"],
        ),
        (
            "number",
            "logistic_regression",
            {"loss": "binary_crossentropy", "mixup": 0.2, "class_weights": "balanced", "ops": ["rotate(9)"], "metrics": ["f1"]},
            [
                "loss = 'binary_crossentropy'",
                "metric 'f1'",
                "class_weights = 'balanced'",
                "mixup: ",
                "ops: the ops rotate move",
            ],
        ),
    ],
)
def test_everything_that_does_not_fit_is_listed_at_once(
    task: str, template: str, values: dict[str, Any], said: list[str]
) -> None:
    chosen = params(template, **values)
    with pytest.raises(UserError) as caught:
        check_task(dataset(task), chosen.model.load(), chosen)
    assert all(one in caught.value.message for one in said)
    assert caught.value.message.count("\n") == len(said)


@pytest.mark.parametrize("template", ["mlp", "simple_cnn", "alexnet", "pretrained", "row_lstm", "logistic_regression"])
def test_built_in_templates_make_all_outputs(template: str) -> None:
    assert makes(load_registry().get("model", template).load()) == ("classes", "multilabel", "number")
    chosen = params(template)
    check_task(dataset("multilabel"), chosen.model.load(), chosen)


def test_a_template_for_classes_is_as_before() -> None:
    def build(input_shape_hwc: Any, num_classes: int, params: Any) -> None: ...

    assert makes(build) == ("classes",)
    assert Outputs.of(3) == Outputs("classes", ("0", "1", "2"))
    assert Outputs.of_number("angle", [1.0, 3.0]) == Outputs("number", ("angle",), 2.0, 1.0)
    assert Outputs.of_number("angle", [2.0, 2.0]).spread == 1.0


@pytest.mark.parametrize("task", ["multilabel", "number"])
def test_cross_validation_measures_every_image_by_a_model_that_did_not_see_it(trial: Trial, task: str) -> None:
    draw(trial.path, 36)
    plan = stages(task, cross_validate=True, epochs=6)
    plan["split"] |= {"fractions": {"train": 1.0}, "folds": 3, "fold": 0}
    plan["report"]["split"] = "out-of-fold"
    done = trial.run({name: plan[name] for name in ("photos", "split", "model", "report")})
    info = json.loads((done.artifact("model").path / "model.json").read_text())
    folds = info["cross_validation"]["folds"]
    assert [row["images"] for row in folds] == [12, 12, 12]
    report = done.artifact("report")
    metrics = json.loads((report.path / "metrics.json").read_text())
    assert (metrics["num_images"], metrics["split"], metrics["folds"]["number"]) == (36, "out-of-fold", 3)
    rows = rows_of(report.path / "predictions.csv")
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    page = (report.path / "report.html").read_text()
    assert "Cross-validation" in page
    if task == "multilabel":
        name = metrics["folds"]["figure"]
        assert info["fitted_on"] == "folds"
        assert metrics["per_label"]["red"]["threshold"] == info["thresholds"]["red"]
        for row in rows:
            thresholds = folds[int(row["fold"]) - 1]["thresholds"]
            said = [label for label in info["classes"] if float(row[f"p:{label}"]) >= thresholds[label]]
            assert json.loads(row["predicted"]) == said, "each fold's images by the thresholds of its own model"
        assert metrics["baseline"]["macro_f1"] > 0, "labels of most images, although the split train is empty"
    else:
        name = "MAE"
        interval = info["value"]["interval"]
        assert (interval["from"], interval["images"]) == ("folds", 36)
        errors = sorted(abs(float(row["error"])) for row in rows)
        assert interval["half_width"] == pytest.approx(errors[33], abs=1e-5), "the 34th of 36: (36 + 1) 0.9, rounded up"
        for row in rows:
            half = folds[int(row["fold"]) - 1]["interval"]["half_width"]
            assert float(row["high"]) - float(row["low"]) == pytest.approx(2 * half, abs=1e-5)
        assert metrics["mae"]["value"] == pytest.approx(np.mean(errors), abs=1e-6)
    assert [row["value"] for row in metrics["folds"]["rows"]] == [row[name] for row in folds]
    assert f"out of fold {name}" in done.artifact("model").meta["facts"]
