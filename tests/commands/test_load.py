"""``pipekit.load``: images from files and from memory, against ``pipekit.predict``; other tasks; the table in a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import pipekit as package
from pipekit import images
from pipekit.commands.load import LoadedModel
from pipekit.errors import UserError

PLUGIN = """
import numpy as np
import pipekit


def build(input_shape_hwc, num_classes, params):
    raise NotImplementedError


def load(folder):
    def probabilities(batch):
        powers = np.exp(batch.astype(np.float64).mean(axis=(1, 2))[:, ::-1] / 50)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


build.load = load


@pipekit.hookimpl
def register_models(register):
    register("strongest", build)
"""

COLOURS = {"blue": (20, 30, 200), "<b>green": (20, 200, 30), "red": (200, 30, 20)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "strongest.py").write_text(PLUGIN, "utf-8")
    (folder / "pets").mkdir()
    info = {"classes": list(COLOURS), "input_shape_hwc": [8, 8, 3], "template": "strongest", "task": "classification"}
    (folder / "pets" / "model.json").write_text(json.dumps(info), "utf-8")
    (folder / "photos").mkdir()
    for name, colour in COLOURS.items():
        images.write(folder / "photos" / f"{name[-3:]}.png", painted(colour))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return package.load(folder / "pets", plugins=[str(folder / "strongest.py")])


def painted(colour: tuple[int, int, int]) -> Any:
    return np.full((12, 16, 3), colour, np.uint8)


def test_files_are_predicted_as_by_the_verb(model: LoadedModel, folder: Path) -> None:
    assert model.classes == tuple(COLOURS)
    plugins = [str(folder / "strongest.py")]
    assert list(model.predict(folder / "photos")) == list(package.predict(folder / "pets", folder / "photos", plugins=plugins))
    assert model.predict([folder / "photos" / "red.png"])[0].predicted == "red"
    assert [Path(one.image).name for one in model.predict(str(folder / "photos" / "*ee*"))] == ["een.png"]


def test_arrays_and_pil_images_are_predicted_in_order(model: LoadedModel, folder: Path) -> None:
    blue, green, red = map(painted, COLOURS.values())
    found = model.predict([folder / "photos" / "red.png", np.stack([blue, green]), Pillow.fromarray(red), blue])
    assert [one.predicted for one in found] == ["red", "blue", "<b>green", "red", "blue"]
    assert [one.image for one in found[1:]] == ["image 0", "image 1", "image 2", "image 3"]
    assert [one.predicted for one in model.predict(np.stack([red, blue]))] == ["red", "blue"]
    assert model.predict(red)[0].probabilities == model.predict(folder / "photos" / "red.png")[0].probabilities
    assert model.predict([]) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((4, 4, 3)), "got values of float64"),
        ([np.zeros((4, 4), np.uint8)], "a grey image"),
        ([np.zeros((2, 4, 4, 1), np.uint8)], "a grey image"),
        ("gone.jpg", "no such file or folder: gone.jpg"),
        ([7], "expected an image, got int"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_predicted(given: Any, said: str, model: LoadedModel) -> None:
    with pytest.raises(UserError, match=said):
        model.predict(given)


def test_an_unreadable_file_is_a_prediction_with_its_reason(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (found,) = model.predict(tmp_path / "bad.jpg")
    assert found.error
    assert found.error in model.predict(tmp_path)._repr_html_()


def test_the_table_escapes_names_and_has_bounded_thumbnails(model: LoadedModel, folder: Path) -> None:
    found = model.predict([folder / "photos", np.stack([painted(COLOURS["<b>green"])] * 30)])
    html = found._repr_html_()
    assert "&lt;b&gt;green" in html
    assert "<b>green" not in html
    assert html.count("data:image/jpeg") == 24
    assert "and 9 more predictions" in html
    assert str(folder) not in html
    assert len(html) < 60_000
    assert "<b>green" not in model._repr_html_()


def of_task(folder: Path, made: Path, **changed: Any) -> LoadedModel:
    """The model with another task, which says the shares of blue, green and red, or of blue alone."""
    info = json.loads((folder / "pets" / "model.json").read_text("utf-8")) | changed
    (made / "model.json").write_text(json.dumps(info), "utf-8")
    plugin = PLUGIN.replace('"strongest"', '"shares"').replace("(powers /", f"(powers[:, :{len(info['classes'])}] /")
    (made / "shares.py").write_text(plugin, "utf-8")
    return package.load(made, plugins=[str(made / "shares.py")])


def test_several_labels_have_a_threshold_each(folder: Path, tmp_path: Path) -> None:
    at = {"blue": 0.5, "red": 0.02}
    model = of_task(folder, tmp_path, task="multilabel", template="shares", thresholds=at)
    found = model.predict([painted(COLOURS["blue"]), painted(COLOURS["red"])])
    assert [one.labels for one in found] == [("blue", "red"), ("red",)]
    assert [one.predicted for one in found] == ["blue|red", "red"]
    assert (found[0].confidence, found[0].value, found[0].interval) == (None, None, None)
    assert model.info["thresholds"] == at
    assert "blue|red" in found._repr_html_()
    assert "blue 0.50, &lt;b&gt;green 0.50, red 0.02" in model._repr_html_()
    assert model.predict(painted((0, 200, 0)), mirrored=True)[0].labels == ("<b>green",)


@pytest.mark.parametrize("half", [0.25, None])
def test_a_number_has_its_unit_and_its_interval(half: float | None, folder: Path, tmp_path: Path) -> None:
    about = {"name": "blueness", "unit": "%", "interval": None if half is None else {"level": 0.9, "half_width": half}}
    model = of_task(folder, tmp_path, task="regression", template="shares", classes=["blueness"], value=about)
    (found,) = shown = model.predict(painted(COLOURS["blue"]))
    assert found.value is not None
    assert (found.value > 0.9, found.unit, found.labels, found.confidence) == (True, "%", None, None)
    assert found.interval == (None if half is None else pytest.approx((found.value - half, found.value + half), abs=1e-6))
    assert ("none" if half is None else "0.692776 to 1.19278") in shown._repr_html_()
    assert "blueness (%)" in model._repr_html_()
    with pytest.raises(UserError, match="'mirrored' does not support a number for each image"):
        model.predict(painted(COLOURS["blue"]), mirrored=True)
    with pytest.raises(UserError, match="'calibrated' does not support a number for each image"):
        model.predict(painted(COLOURS["blue"]), calibrated=True)


def test_an_autoencoder_is_refused(folder: Path, tmp_path: Path) -> None:
    info = json.loads((folder / "pets" / "model.json").read_text("utf-8")) | {"task": "reconstruction"}
    (tmp_path / "model.json").write_text(json.dumps(info), "utf-8")
    with pytest.raises(UserError, match="is an autoencoder"):
        package.load(tmp_path)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained model in"):
        package.load(tmp_path)
