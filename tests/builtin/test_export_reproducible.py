"""A SavedModel has the same bytes in any process, whatever was built there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipekit.builtin.exporters import savedmodel
from pipekit.builtin.exporters.savedmodel import SavedModelParams
from pipekit.contract import Model
from pipekit.engine.context import tree_digest

CLASSES = ["246", "__inference_serve_3", "PartitionedCall-7"]
"""Names like those that TensorFlow makes up and that are renumbered."""

OTHER_SEED = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"

SCRIPT = """
import sys
from pathlib import Path
from pipekit.builtin.exporters import savedmodel
from pipekit.builtin.exporters.savedmodel import SavedModelParams
from pipekit.contract import Model

model, out = map(Path, sys.argv[1:])
out.mkdir()
savedmodel.write(Model(model, "digest", {}), out, SavedModelParams())
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    source = keras.Input((16, 20, 3))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, activation="relu")(layers.Rescaling(1 / 255)(source)))
    x = layers.Dropout(0.5)(layers.Flatten()(layers.MaxPooling2D()(x)))
    model = keras.Model(source, layers.Dense(3, activation="softmax")(x))
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "model.keras")
    info = {"classes": CLASSES, "input_shape_hwc": [16, 20, 3], "template": "made", "params": {}}
    (folder / "model.json").write_text(json.dumps(info), "utf-8")
    return folder


def build_others() -> None:
    """What a process does that trains several models: names and numbers are used up."""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    layers = keras.layers
    for _ in range(3):
        made = [keras.Input((8, 8, 3)), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.Dropout(0.5), layers.Flatten()]
        model = keras.Sequential([*made, layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(np.zeros((4, 8, 8, 3)), np.zeros((4, 2)), verbose=0)


def exported_elsewhere(trained: Path, out: Path, seed: str) -> dict[str, bytes]:
    environ = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", SCRIPT, str(trained), str(out)], check=True, env=environ, capture_output=True)
    return files_in(out)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_fresh_process_and_a_used_one_write_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    """They hash strings by different seeds, too."""
    build_others()
    (tmp_path / "here").mkdir()
    savedmodel.write(Model(trained, "digest", {}), tmp_path / "here", SavedModelParams())
    here = files_in(tmp_path / "here")
    assert {"1/saved_model.pb", "1/variables/variables.index"} < here.keys()
    assert "1/fingerprint.pb" not in here
    there = exported_elsewhere(trained, tmp_path / "there", OTHER_SEED)
    assert [path for path in here if here[path] != there[path]] == []
    assert tree_digest(tmp_path / "there") == tree_digest(tmp_path / "here")


def test_weights_are_stored_once_and_class_names_are_kept(trained: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    (tmp_path / "out").mkdir()
    savedmodel.write(Model(trained, "digest", {}), tmp_path / "out", SavedModelParams())
    loaded = tf.saved_model.load(str(tmp_path / "out" / "1"))
    assert (len(loaded.variables), len(loaded.trainable_variables), len(loaded.non_trainable_variables)) == (8, 6, 2)
    reader = tf.train.load_checkpoint(str(tmp_path / "out" / "1" / "variables" / "variables"))
    assert len(reader.get_variable_to_shape_map()) == 9  # the eight weights, and the table of objects
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 20, 3)).astype(np.float32)
    found = loaded.signatures["serving_default"](image=tf.constant(pixels))
    places = found["probabilities"].numpy().argmax(axis=1)
    assert [name.decode() for name in found["label"].numpy()] == [CLASSES[place] for place in places]
