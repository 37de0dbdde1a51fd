"""Trained models for other programs: each format is opened by its own runtime and answers as the original does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.exporters import tflite
from pipekit.builtin.exporters.comparison import Comparison, within
from pipekit.builtin.exporters.models import FloatParams, Trained, held_out
from pipekit.cli import main
from pipekit.contract import Model, Report
from pipekit.engine.run import run_plan
from pipekit.errors import StageError, UserError
from pipekit.images import Fit
from pipekit.learning.decisions import asked_for
from pipekit.learning.exported import open_exported
from pipekit.learning.predictions import answers
from pipekit.learning.predictor import Predictor, load_predictor
from pipekit.learning.temperature import calibrated, with_temperature
from pipekit.learning.unknown import Unknown, unit
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.testing.checks import write_tiny_dataset

LIMIT = {"output": "unknown_score", "limit": 1.0, "share": 0.05}
CLASSES = ["brown <b>", "cat", "Straße"]
FORMATS = ("savedmodel", "tflite", "tflite-int8", "onnx")
REGISTRY = load_registry(installed=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A functional model with random weights, 16 x 20 x 3 to three classes, with batch normalisation and dropout inside.

    Half of the pictures are unlike the others to it: *none of these*. Images are padded to its input size.
    """
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    source = keras.Input((16, 20, 3))
    x = layers.Rescaling(1 / 255)(source)
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, activation="relu")(x))
    x = layers.Dropout(0.5)(layers.Flatten()(layers.MaxPooling2D()(x)))
    model = keras.Model(source, layers.Dense(3, activation="softmax")(x))
    made = tmp_path_factory.mktemp("model")
    model.save(made / "model.keras")
    info = {"classes": CLASSES, "input_shape_hwc": [16, 20, 3], "template": "made", "params": {"units": [3]}, "unknown": LIMIT}
    info |= {"preprocessing": {"fit": "pad"}}
    seen = np.stack([images.fitted(images.read(pictures / f"{number:02d}.png"), (16, 20), "pad") for number in range(12)])
    features = keras.Model(source, x).predict_on_batch(seen.astype(np.float32))
    found = Unknown(unit(features[:6]).astype(np.float32), 1.0)
    lowest, highest = np.sort(found.scores(features))[5:7]
    replace(found, limit=float(lowest + highest) / 2).save(made)
    (made / "model.json").write_text(json.dumps(info), "utf-8")
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    for number in range(12):
        images.write(place / f"{number:02d}.png", images.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (48, 90)))
    (place / "12.png").write_bytes(b"no image")
    return place


def export(to: str, folder: Path, out: Path, report: Report | None = None, **values: Any) -> dict[str, Any]:
    exporter = REGISTRY.get("exporter", to)
    found: Any = exporter.load()
    out.mkdir()
    params = REGISTRY.check_params(
        exporter.params_type(), {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    )
    return dict(getattr(found, "write", found)(Model(folder, "digest", {}), out, params, report=report))


def run_savedmodel(out: Path, pixels: Any) -> Any:
    import tensorflow as tf

    served = tf.saved_model.load(str(out / "1")).signatures["serving_default"]
    found = served(image=tf.constant(pixels.astype(np.float32)))
    names = [name.decode() for name in found["label"].numpy()]
    assert names == [CLASSES[place] for place in found["probabilities"].numpy().argmax(axis=1)]
    return np.concatenate([found["probabilities"].numpy(), found["unknown_score"].numpy()], axis=1)


def run_tflite(out: Path, pixels: Any) -> Any:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(out / "model.tflite"))
    interpreter.allocate_tensors()
    (source,), (probabilities, score) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] == (np.uint8 if "int8" in out.name else np.float32)
    rows = []
    for picture in pixels:
        interpreter.set_tensor(source["index"], picture[None].astype(source["dtype"]))
        interpreter.invoke()
        rows.append(np.concatenate([interpreter.get_tensor(target["index"])[0] for target in (probabilities, score)]))
    return np.array(rows)


def run_onnx(out: Path, pixels: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == CLASSES
    assert json.loads(session.get_modelmeta().custom_metadata_map["unknown"]) == LIMIT
    return np.concatenate(session.run(["probabilities", "unknown_score"], {"image": pixels.astype(np.float32)}), axis=1)


RUNTIMES: dict[str, Callable[[Path, Any], Any]] = {
    "savedmodel": run_savedmodel,
    "tflite": run_tflite,
    "tflite-int8": run_tflite,
    "onnx": run_onnx,
}


# --- from the file -------------------------------------------------------------------------------------------------------


def photographs() -> Iterator[tuple[str, bytes]]:
    """JPEG and PNG files in the modes and EXIF orientations that people have, smaller and larger than the input."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for height, width in ((480, 640), (100, 90), (33, 47), (20, 16), (200, 64), (40, 300)):
        small = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
        photo = Image.fromarray(images.resize(small, (height, width)))
        alpha = photo.convert("RGBA")
        alpha.putalpha(photo.convert("L"))
        made: list[tuple[Any, str, dict[str, Any]]] = [
            (photo, "JPEG", {}),
            (photo.convert("L"), "JPEG", {}),
            (photo, "PNG", {}),
        ]
        made += [(alpha, "PNG", {}), (photo.convert("P"), "PNG", {}), (photo, "JPEG", {"progressive": True})]
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x010F], exif[0x0112] = "a camera", orientation
            made.append((photo, "JPEG", {"exif": exif.tobytes()}))
        for number, (picture, kind, options) in enumerate(made):
            out = io.BytesIO()
            picture.save(out, kind, **options)
            yield f"{kind} {height} x {width} {number}", out.getvalue()


@pytest.mark.parametrize(
    ("shape", "fit"),
    [((64, 64, 3), "stretch"), ((24, 40, 1), "stretch"), ((24, 40, 3), "crop"), ((24, 40, 1), "pad")],
)
def test_tensorflow_s_graph_reads_a_file_as_pipekit_does(shape: tuple[int, int, int], fit: Fit) -> None:
    import tensorflow as tf

    from pipekit.builtin.exporters.file_input import decoded

    graph = tf.function(lambda data: decoded(tf, data, shape, fit), input_signature=[tf.TensorSpec((), tf.string)])
    for name, data in photographs():
        ours = images.decode(data, at_least_hw=shape[:2], gray=shape[2] == 1)
        expected = images.fitted(ours, shape[:2], fit).reshape(shape)
        assert np.abs(graph(tf.constant(data)).numpy() - expected).max() <= 1, name


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"]
)
def test_damaged_exif_is_no_orientation(exif: bytes) -> None:
    import tensorflow as tf

    from pipekit.builtin.exporters.file_input import decoded

    data = images.encode(np.full((40, 60, 3), 90, np.uint8), "jpg")
    block = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    found = decoded(tf, tf.constant(data[:2] + block + data[2:]), (20, 30, 3)).numpy()
    assert np.abs(found - 90).max() <= 1


def rejected(predictor: Predictor, files: list[Path]) -> list[bool]:
    return [bool(found.unknown) for found in answers(predictor, [str(file) for file in files])]


def test_a_savedmodel_takes_the_bytes_of_files(folder: Path, pictures: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    said = export("savedmodel", folder, tmp_path / "out", images=pictures)
    predictor = load_predictor(folder, REGISTRY.get)
    files = [pictures / f"{number:02d}.png" for number in range(12)]
    served = tf.saved_model.load(str(tmp_path / "out" / "1")).signatures["serving_bytes"]
    found = served(image_bytes=tf.constant([file.read_bytes() for file in files]))
    expected = predictor.probabilities(np.stack([predictor.prepare(file) for file in files]))
    assert np.abs(found["probabilities"].numpy() - expected).max() < 0.02
    assert [name.decode() for name in found["label"].numpy()] == [CLASSES[place] for place in expected.argmax(axis=1)]
    assert (found["unknown_score"].numpy()[:, 0] > 1).tolist() == rejected(predictor, files)
    check = json.loads((tmp_path / "out" / "check.json").read_text("utf-8"))
    assert (check["from_files"]["count"], check["from_files"]["pictures"]) == (12, "the files of 12 images")
    assert "from the files of 12 images" in said["headline"]
    (tmp_path / "photographs").mkdir()
    for number, data in enumerate([data for name, data in photographs() if name.startswith("JPEG")][::5]):
        (tmp_path / f"photographs/{number}.jpg").write_bytes(data)
    with pytest.raises(StageError, match="the files of"):
        export("savedmodel", folder, tmp_path / "strict", images=tmp_path / "photographs", file_tolerance=1e-9)


def test_the_reader_in_the_documents_reads_as_the_model_was_trained(folder: Path, pictures: Path, tmp_path: Path) -> None:
    import cv2

    export("savedmodel", folder, tmp_path / "out", images=pictures)
    text = (Path(__file__).parents[2] / "docs/export.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"cv2": cv2, "np": np}
    for name in ("used_part", "read_image"):
        block = next(part for part in blocks if f"def {name}" in part)
        assert len(block.strip().splitlines()) <= 12 - 2 * (name == "read_image")
        exec(block, names)
    info = json.loads((tmp_path / "out" / "model.json").read_text("utf-8"))
    predictor = load_predictor(folder, REGISTRY.get)
    small = tmp_path / "small.png"
    images.write(small, np.random.default_rng(1).integers(0, 256, (9, 50, 3), np.uint8))
    photograph = tmp_path / "photograph.jpg"
    images.write(photograph, images.read(Path(__file__).parents[2] / "sample_data/photos/cat.jpg"))
    for fit in ("", *get_args(Fit)):
        if fit:
            info["preprocessing"]["fit"] = fit
            predictor = replace(predictor, info=info)
        for file, mean_levels in ((pictures / "00.png", 0), (small, 0), (photograph, 5)):
            found = names["read_image"](file, info)
            assert (found.shape, found.dtype) == ((16, 20, 3), np.float32)
            assert np.abs(found - predictor.prepare(file)).mean() <= mean_levels, f"{file.name}, {fit}"


@pytest.mark.parametrize("to", FORMATS)
def test_the_exported_model_answers_as_the_original(to: str, folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / to
    said = export(to, folder, out, images=pictures)
    predictor: Predictor = load_predictor(folder, REGISTRY.get)
    pixels = np.stack([predictor.prepare(pictures / f"{number:02d}.png") for number in range(12)])
    found, expected = RUNTIMES[to](out, pixels), predictor.scoring().probabilities(pixels)
    apart = np.abs(found - expected)[:, :-1]
    assert apart.max() < (0.2 if "int8" in to else 1e-4)
    assert np.abs(found - expected)[:, -1].max() < (0.5 if "int8" in to else 1e-4), "the score of images of no class"
    unknown = rejected(predictor, [pictures / f"{number:02d}.png" for number in range(12)])
    assert sum(unknown) == 6
    # in 8-bit integers those change sides that are close to the limit, as some of these random pictures are
    assert sum((found[:, -1] > 1) == unknown) >= (9 if "int8" in to else 12), "it rejects the same images"
    np.testing.assert_allclose(expected[:, :-1], predictor.probabilities(pixels), atol=1e-6)
    opened = load_predictor(out, REGISTRY.get).scoring().probabilities(pixels)
    assert np.abs(opened - found).max() < 1e-5, "`pipekit predict OUT`"
    checked = json.loads((out / "check.json").read_text("utf-8"))
    assert checked["count"] == (6 if "int8" in to else 12)  # half of them are for the ranges
    assert checked["largest_difference"] <= apart.max() + 1e-6
    assert checked["same_unknown"] >= (5 if "int8" in to else 12)
    assert f"{checked['largest_difference']:.1e}" in said["headline"]
    assert (out / "labels.txt").read_text("utf-8").splitlines() == CLASSES
    info = json.loads((out / "model.json").read_text("utf-8"))
    assert (info["classes"], info["preprocessing"]["fit"]) == (CLASSES, "pad")
    assert load_predictor(out, REGISTRY.get).prepare(pictures / "00.png").tolist() == pixels[0].tolist()
    card = (out / "model_card.md").read_text("utf-8")
    assert "To be filled in" in card.partition("## Licence")[2]
    assert "`Straße`" in card


@pytest.mark.parametrize(("to", "asked"), [("tflite-int8", {"calibrated": True}), ("onnx", {"decide": True})])
def test_an_export_has_the_temperature_and_the_rule_inside(
    to: str, asked: dict[str, bool], folder: Path, pictures: Path, tmp_path: Path
) -> None:
    own, out = tmp_path / "model", tmp_path / to
    shutil.copytree(folder, own)
    with pytest.raises(UserError, match="has no temperature" if "calibrated" in asked else "has no decision rule"):
        export(to, own, tmp_path / "without", images=pictures, **asked)
    info = json.loads((own / "model.json").read_text("utf-8"))
    costs = np.array([[0, 4, 1], [1, 0, 1], [2, 0.5, 0]])
    rule = {"rule": "expected_cost", "costs": costs.tolist(), "temperature": 2.5, "words": "by costs"}
    info |= {"calibration": {"temperature": 2.5, "num_val_images": 9}, "decision": rule}
    (own / "model.json").write_text(json.dumps(info), "utf-8")
    assert "largest difference" in export(to, own, out, images=pictures, **asked)["headline"]
    plain, exported = load_predictor(own, REGISTRY.get), load_predictor(out, REGISTRY.get)
    pixels = np.stack([plain.prepare(pictures / f"{number:02d}.png") for number in range(12)])
    before, found = plain.scoring().probabilities(pixels), exported.scoring().probabilities(pixels)
    powers = before[:, :3].astype(np.float64) ** (1 / 2.5)
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(expected - before[:, :3]).max() > 0.05
    assert np.abs(found[:, :3] - expected).max() < (0.02 if "int8" in to else 1e-5)
    assert np.abs(found[:, 3] - before[:, 3]).max() < (0.5 if "int8" in to else 1e-4), "the score of none of these stays"
    assert exported.info["calibration"] == {"temperature": 2.5, "num_val_images": 9, "applied": True}
    assert calibrated(exported) is exported
    assert "calibrated: the temperature 2.5" in (card := (out / "model_card.md").read_text("utf-8"))
    opened = open_exported(out)
    assert opened is not None
    assert ("expected_cost" in opened.outputs) == ("decide" in asked) == ("`expected_cost` decides by a rule: by costs" in card)
    if "decide" in asked:
        np.testing.assert_allclose(opened.run(pixels, ["expected_cost"])["expected_cost"], expected @ costs, atol=1e-4)
        said = [answer.predicted for answer in answers(*_of(exported, pictures), decision=asked_for(exported, False, False)[1])]
        assert (
            said
            == [CLASSES[place] for place in (expected @ costs).argmin(axis=1)]
            != [CLASSES[place] for place in expected.argmax(axis=1)]
        )


def _of(predictor: Predictor, pictures: Path) -> tuple[Predictor, list[str]]:
    return predictor, [str(pictures / f"{number:02d}.png") for number in range(12)]


def test_the_temperature_divides_the_logits_of_any_last_layer(folder: Path, pictures: Path) -> None:
    import keras

    own = load_predictor(folder, REGISTRY.get)
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    pixels = np.stack([own.prepare(pictures / f"{number:02d}.png") for number in range(3)]).astype(np.float32)
    source = keras.Input((16, 20, 3))
    inside = keras.Model(source, keras.layers.Identity()(model(source)))
    for one in (model, inside):
        powers = np.asarray(one(pixels), np.float64) ** (1 / 0.4)
        found = np.asarray(with_temperature(one, 0.4)(pixels))
        np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_ranges_are_not_measured_on_noise(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs images for calibrating the ranges"):
        export("tflite-int8", folder, tmp_path / "other")


def test_a_difference_beyond_the_tolerance_is_an_error(folder: Path, pictures: Path, tmp_path: Path) -> None:
    from pipekit.builtin.exporters import models

    trained = models.open_trained(Model(folder, "digest", {}), FloatParams())
    held = models.held_out(trained, None, models.CheckParams())
    original = trained.predictor.scoring().probabilities
    same = models.compare(trained, original, held)
    assert (same.largest_difference, same.same_class, same.largest_score_difference, same.same_unknown) == (0, 16, 0, 16)
    other = models.compare(trained, lambda pixels: original(pixels)[:, [2, 1, 0, 3]], held)
    with pytest.raises(StageError, match="the exported model differs from the original"):
        within(other, 1e-4)
    further = models.compare(trained, lambda pixels: original(pixels) + np.array([0, 0, 0, 0.5], np.float32), held)
    with pytest.raises(StageError, match="its unknown_score by"):
        within(further, 1e-4)
    with pytest.raises(StageError, match="not finite"):
        models.compare(trained, lambda pixels: np.full((1, 3), np.nan, np.float32), held)


def test_a_recurrent_layer_is_not_given_to_the_converter_that_it_kills(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    rows = keras.Sequential([keras.Input((8, 6, 1)), layers.Reshape((8, 6)), layers.Bidirectional(layers.LSTM(3))])
    source = keras.Input((8, 6, 1))
    keras.Model(source, layers.Dense(2, activation="softmax")(rows(source))).save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(json.dumps({"classes": ["a", "b"], "input_shape_hwc": [8, 6, 1]}), "utf-8")
    with pytest.raises(UserError, match="is recurrent"):
        export("tflite-int8", tmp_path, tmp_path / "small")
    said = export("tflite", tmp_path, tmp_path / "plain")["headline"]
    assert "largest difference" in said
    assert "16 images of random noise" in said, "without images noise is taken, and said to be that"


@pytest.mark.parametrize(("score", "accepted"), [(0.0999, True), (0.1001, False)])
def test_the_score_of_files_may_differ_by_five_times_as_much(score: float, accepted: bool) -> None:
    found = Comparison("36 files", 36, 1e-3, 1e-4, 36, largest_score_difference=score, same_unknown=36)
    if accepted:
        assert within(found, 0.02, name="file_tolerance", of_score=5 * 0.02) is found
        return
    with pytest.raises(StageError, match=r"its unknown_score by 1\.0e-01 .*allowed is 0\.1") as caught:
        within(found, 0.02, name="file_tolerance", of_score=5 * 0.02)
    assert "Raise `file_tolerance`" in str(caught.value.hint)


def test_an_interpreter_that_fails_on_an_image_is_said() -> None:
    """`hog_svm` divides by the contrast of a block, which 8-bit integers round to 0 where an image is flat."""

    def fails(pixels: Any) -> Any:
        if pixels.min() == pixels.max():
            raise RuntimeError("tensorflow/lite/kernels/div.cc:242 data[i] != 0 was not true.\nNode number 35 (DIV) failed")
        return pixels

    answers = tflite._enduring(fails)
    pixels: Any = np.arange(4, dtype=np.uint8)
    assert answers(pixels) is pixels
    with pytest.raises(StageError, match=r"the model fails on an image: .*Node number 35 \(DIV\)"):
        answers(np.zeros(4, np.uint8))


def test_onnx_without_its_packages_says_what_to_install(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tf2onnx" else real(name, *rest))
    with pytest.raises(UserError, match="needs tf2onnx, not installed here") as caught:
        export("onnx", folder, tmp_path / "out")
    assert "pipekit-vision[onnx]" in caught.value.hint


def test_what_is_no_classifier_of_keras_is_refused(colour_project: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model\.keras: the template 'by_colour'"):
        export("tflite", colour_project.path / "model", tmp_path / "out")
    coder = colour_project.model("coder", task="reconstruction", classes=[])
    for to in (*FORMATS, "card"):
        with pytest.raises(UserError, match="predicts no classes"):
            export(to, coder, tmp_path / f"coder-{to}")


def test_the_card_has_the_figures_of_the_report(colour_project: Any, tmp_path: Path) -> None:
    report = colour_project.run().stages[-1].artifact
    export("card", colour_project.path / "model", tmp_path / "out", report=report)
    text = (tmp_path / "out" / "model_card.md").read_text("utf-8")
    metrics = json.loads((report.path / "metrics.json").read_text("utf-8"))
    found = metrics["accuracy"]
    assert f"| accuracy | {found['value']:.3f} | {found['low']:.3f} to {found['high']:.3f} |" in text
    assert "Measured on 24 images of the split `test`" in text
    assert "`red` is predicted as `blue`" in text


def test_the_command_takes_the_test_split_and_the_report_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_dataset(tmp_path / "images", 8)
    table = {
        "name": "tiny",
        "seed": 3,
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "split": {"use": "split"},
            "train": {"use": "train", "model": {"template": "mlp", "units": [4]}, "input_hw": [12, 12], "epochs": 1},
            "report": {"use": "evaluate", "dataset": "split", "explain": 0, "near_copies": False, "resamples": 0},
        },
    }
    run_plan(load_plan(table=table, base_dir=tmp_path))
    assert main(["export", "runs/tiny", "--to", "tflite-int8"]) == 0
    assert "of the split 'test'\n  largest difference" in capsys.readouterr().out
    assert (tmp_path / "tiny-tflite-int8" / "model.tflite").stat().st_size > 500
    assert "| accuracy |" in (tmp_path / "tiny-tflite-int8" / "model_card.md").read_text("utf-8")
    for words, said in (
        (["--to", "tflite-int8"], "tiny-tflite-int8 exists already"),
        (["--to", "tflit"], "Did you mean 'tflite'"),
        (["--to", "folders"], "takes a dataset, not a model"),
        (["--to", "card", "--data", "images"], "takes no data to check with"),
    ):
        assert main(["export", "runs/tiny", *words]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("difference", "accepted"), [(0.9e-4, True), (1.1e-4, False)])
def test_probabilities_of_an_export_may_differ_by_a_ten_thousandth(difference: float, accepted: bool) -> None:
    found = Comparison("16 images", 16, difference, difference, same_class=16)
    with contextlib.nullcontext() if accepted else pytest.raises(StageError, match=r"allowed is 0\.0001"):
        assert within(found, FloatParams().tolerance) is found


def test_without_images_an_export_is_compared_on_16_of_noise() -> None:
    predictor = Predictor((), (9, 7, 3), {}, lambda batch: batch[:, 0, 0])
    found = held_out(Trained(Path(), None, {}, predictor), None, FloatParams())
    assert found.pixels.shape == (16, 9, 7, 3)
