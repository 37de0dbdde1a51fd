"""Loading and feeding a trained model; the Keras ones are the only tests of evaluation that need TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from pipekit import images
from pipekit.errors import ImageError, UserError
from pipekit.learning.predictor import Predictor, load_predictor, read_model_info


@pytest.fixture(scope="module")
def keras_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two convolutions with random weights, 16 x 16 x 3 to three classes."""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    folder = tmp_path_factory.mktemp("keras")
    model.save(folder / "model.keras")
    info = {"classes": ["a", "b", "c"], "input_shape_hwc": [16, 16, 3], "template": "made"}
    (folder / "model.json").write_text(json.dumps(info), "utf-8")
    return folder


def no_component(kind: str, name: str) -> Any:
    raise UserError(f"no {kind} called {name!r}")


def painted(folder: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        images.write(path, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return paths


def test_a_keras_model_gives_the_same_whatever_the_batches(keras_model: Path, tmp_path: Path) -> None:
    from pipekit.learning.keras_backend import load_keras

    predictor = load_predictor(keras_model, no_component)
    paths = painted(tmp_path, 7)
    model = load_keras().saving.load_model(keras_model / "model.keras")
    prepared = np.stack([images.resize(images.read(path), (16, 16)) for path in paths])
    expected = np.asarray(model(prepared.astype(np.float32), training=False))
    for batch_size, workers in ((1, 1), (3, 2), (32, 2)):
        answers = dict(predictor.stream(paths, lambda path: path, workers=workers, batch_size=batch_size))
        assert list(answers) == paths
        assert np.stack(list(answers.values())) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"input_shape_hwc": [8, 8, 3]}, "takes images of"),
        ({"classes": ["a", "b"]}, "has 3 outputs"),
        ({"classes": "abc"}, "'classes' must be a list of names"),
        ({"classes": []}, "'classes' must be a list of names"),
        ({"input_shape_hwc": [8, 8]}, "'input_shape_hwc' must be three whole numbers"),
        ({"format": 99}, "written by a newer pipekit"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(keras_model: Path, tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    info = json.loads((keras_model / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**info, **entries}), "utf-8")
    (tmp_path / "model.keras").write_bytes((keras_model / "model.keras").read_bytes())
    with pytest.raises(UserError, match=words):
        load_predictor(tmp_path, no_component)


def test_a_truncated_model_file_is_refused(keras_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes((keras_model / "model.json").read_bytes())
    whole = (keras_model / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(whole[:2000])
    with pytest.raises(UserError, match=r"model\.keras is not a complete Keras file \(2,000 bytes"):
        load_predictor(tmp_path, no_component)
    (tmp_path / "model.keras").write_bytes(whole[:600] + bytes(100) + whole[700:])
    with pytest.raises(UserError, match=r"model\.keras can't be loaded") as caught:
        load_predictor(tmp_path, no_component)
    assert caught.value.hint == "The file is broken: copy it again, or train the model again."


def test_an_archive_that_expands_beyond_measure_is_not_opened(tmp_path: Path) -> None:
    info = {"classes": ["a", "b"], "input_shape_hwc": [16, 16, 3]}
    (tmp_path / "model.json").write_text(json.dumps(info), "utf-8")
    with ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    data = bytearray((tmp_path / "model.keras").read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = (3 * 10**9).to_bytes(4, "little")  # the size, in the list of members
    (tmp_path / "model.keras").write_bytes(data)
    with pytest.raises(UserError, match=r"model\.keras claims to hold 3,000,000,000 bytes in an archive of \d+"):
        load_predictor(tmp_path, no_component)
    data[place - 24 + 42 : place - 24 + 46] = b"\xff\xff\xff\xfe"  # the member's place: outside the file
    data[place : place + 4] = bytes(4)
    (tmp_path / "model.keras").write_bytes(data)
    with pytest.raises(UserError, match=r"model\.keras (is damaged|can't be loaded)"):
        load_predictor(tmp_path, no_component)


def test_a_model_with_lambda_layers_says_that_it_holds_code(keras_model: Path, tmp_path: Path) -> None:
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    layers = keras.layers
    made = [keras.Input((16, 16, 3)), layers.Lambda(lambda x: x / 255), layers.Flatten(), layers.Dense(3, activation="softmax")]
    keras.Sequential(made).save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_bytes((keras_model / "model.json").read_bytes())
    with pytest.raises(UserError, match=r"model\.keras has 1 Lambda layer: Python code in the model's file") as caught:
        load_predictor(tmp_path, no_component)
    assert "Replace each Lambda by a layer of Keras" in caught.value.hint


def test_a_model_of_another_version_says_which(keras_model: Path, tmp_path: Path) -> None:
    """A layer of a Keras to come stands for all that this one can't load."""
    info = json.loads((keras_model / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**info, "versions": {"keras": "9.1.0", "numpy": "2.0"}}), "utf-8")
    with ZipFile(keras_model / "model.keras") as old, ZipFile(tmp_path / "model.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"Conv2D"', b'"Conv9D"'))
    with pytest.raises(UserError, match=r"model\.keras can't be loaded: .*Conv9D") as caught:
        load_predictor(tmp_path, no_component)
    assert "It was written by keras 9.1.0 (here: " in caught.value.hint
    assert "pip install keras==9.1.0, or train the model again." in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"), [(None, r"has no model\.json"), ("{", "can't be read"), ("[]", "'classes' must be")]
)
def test_missing_or_broken_metadata_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "model.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match=words):
        read_model_info(tmp_path)


def test_a_folder_without_a_model_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"classes": ["a"], "input_shape_hwc": [8, 8, 3]}', "utf-8")
    with pytest.raises(UserError, match=r"no model\.keras"):
        load_predictor(tmp_path, no_component)


def test_the_stream_keeps_the_order_and_reports_what_can_not_be_read(tmp_path: Path) -> None:
    seen: list[int] = []

    def probabilities(batch: Any) -> Any:
        seen.append(len(batch))
        return np.stack([batch.mean(axis=(1, 2, 3)), np.zeros(len(batch))], axis=1).astype(np.float32)

    predictor = Predictor(("a", "b"), (8, 8, 3), {}, probabilities)
    paths = painted(tmp_path, 10)
    paths[4].write_bytes(b"broken")
    answers = list(predictor.stream(paths, lambda path: path, workers=2, batch_size=4))
    assert [path for path, _ in answers] == paths
    assert [isinstance(answer, ImageError) for _, answer in answers] == [place == 4 for place in range(10)]
    assert set(seen) == {4}
    for path, answer in answers:
        if not isinstance(answer, ImageError):
            assert answer[0] == pytest.approx(predictor.prepare(path).mean(), abs=1e-3)


def test_the_stream_reads_only_a_little_ahead(tmp_path: Path) -> None:
    (path,) = painted(tmp_path, 1)
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield path

    predictor = Predictor(("a",), (8, 8, 3), {}, lambda batch: np.ones((len(batch), 1), np.float32))
    stream = predictor.stream(endless(), lambda path: path, workers=2, batch_size=4)
    for _ in range(8):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert taken <= 8 + 4 + 2 * 4 + 1
