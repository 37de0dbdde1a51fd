"""Fewer than two classes: refused before TensorFlow is loaded, with the likely cause."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.train import TrainParams
from pipekit.builtin.train.classes import check_classes, needs_classes
from pipekit.commands.scaffold import _way_to_classes
from pipekit.contract import Box, Dataset, Sample, Targets
from pipekit.errors import UserError
from pipekit.registry.registry import load_registry

REGISTRY = load_registry(installed=False)

COMMAND = """
import json, sys
from pipekit.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, "tensorflow" in sys.modules or "keras" in sys.modules]))
"""


def paint(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.random.default_rng(number).integers(0, 256, (9, 9, 3)).astype(np.uint8))


def refused(where: Path, *words: str) -> str:
    """What the command says on standard error, having failed without TensorFlow."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], cwd=where, capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == 2, done.stderr
    assert not loaded, "TensorFlow was loaded for an error that the index shows"
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("template", ["simple_cnn", "hog_svm", "pretrained"])
def test_the_folder_of_one_class_points_to_the_folder_above(tmp_path: Path, template: str) -> None:
    paint(tmp_path / "photos", *(f"{label}/{n}.png" for label in ("cat", "dog") for n in range(10)))
    said = refused(tmp_path, "train", "photos/cat", "--model", template, "--quiet")
    assert "none of the 10 images has a class" in said
    assert f"Did you mean the folder above, {tmp_path / 'photos'}, which holds 'cat', 'dog'?" in said


@pytest.mark.parametrize("inner", ["", "data/"])
def test_a_folder_around_the_class_folders_that_was_chosen_as_a_class_points_below(tmp_path: Path, inner: str) -> None:
    paint(tmp_path / "photos", *(f"photos-main/{inner}{label}/{n}.png" for label in ("cat", "dog") for n in range(10)))
    said = refused(tmp_path, "train", "photos", "--splits", "no", "--format", "folders", "--quiet")
    assert "training images are of one class, 'photos-main'" in said
    assert f"Did you mean the folder 'photos-main{inner and '/data'}' inside, which holds 'cat', 'dog'?" in said


def test_a_train_stage_says_that_all_images_lie_in_one_folder(tmp_path: Path) -> None:
    paint(tmp_path / "flat", *(f"{n}.png" for n in range(10)))
    (tmp_path / "pipeline.toml").write_text(
        'name = "flat"\n[stages.data]\nuse = "import.folders"\npath = "flat"\n'
        '[stages.split]\nuse = "split"\n[stages.train]\nuse = "train"\n',
        "utf-8",
    )
    said = refused(tmp_path, "run", "--quiet")
    assert "All images lie in one folder, and no table names their classes." in said
    assert "autoencoder" in said


def test_classes_in_other_splits_only_are_named(tmp_path: Path) -> None:
    paint(tmp_path / "photos", "train/cat/1.png", "train/cat/2.png", "val/cat/3.png", "val/dog/4.png", "test/dog/5.png")
    said = refused(tmp_path, "train", "photos", "--quiet")
    assert "all 2 training images are of one class, 'cat'" in said
    assert "The dataset also has 'dog', but only in other splits" in said


def test_one_class_alone_says_what_a_classifier_needs(tmp_path: Path) -> None:
    paint(tmp_path / "photos", *(f"cat/{n}.png" for n in range(10)), "stray.png")
    said = refused(tmp_path, "train", "photos", "--quiet")
    assert "(1 image has no class)" in said
    assert "A classifier needs at least two classes" in said


def test_an_autoencoder_needs_no_classes_and_a_plugins_template_is_asked_when_it_is_built() -> None:
    def asked(template: str, **values: object) -> bool:
        params = REGISTRY.check_params(TrainParams, {"model": {"template": template}, **values})
        return needs_classes(params.model.load(), params)

    assert not asked("autoencoder")
    assert not asked("simple_cnn", label_mode="input")  # refused later: its output is no image
    assert all(asked(name) for name in ("simple_cnn", "hog_svm", "pretrained", "mlp"))

    def plugins(input_shape_hwc: tuple[int, int, int], num_classes: int, params: object) -> None: ...

    params = REGISTRY.check_params(TrainParams, {})
    assert not needs_classes(plugins, params)
    plugins.reconstructs = False  # type: ignore[attr-defined]
    assert needs_classes(plugins, params)


def test_images_with_boxes_get_their_class_from_them() -> None:
    boxed = [Sample(f"{at}.jpg", f"/{at}.jpg", targets=Targets(boxes=(Box(0, 0, 9, 9, name),))) for at, name in enumerate("ba")]
    nothing = Dataset(Path(), "", {"num_samples": 2, "counts": {}}, reader=lambda _: iter(boxed), failures=lambda _: iter(()))
    with pytest.raises(UserError, match=r"They have boxes of 'a', 'b'\. `label` in the import stage.*no detectors") as error:
        check_classes(None, nothing)  # type: ignore[arg-type]
    assert "folder above" not in str(error.value)
    assert _way_to_classes(boxed, "yolo").endswith("--format yolo:label=single")
