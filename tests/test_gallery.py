"""The pipelines of docs/gallery.md whose data is made from the repository: they run as written and find what the page says."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipekit

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gallery.md").read_text("utf-8")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the gallery with its data, and of what the data is made from."""
    made = tmp_path_factory.mktemp("clone") / "sample_data"
    ignored = shutil.ignore_patterns("runs", ".pipekit", "scenes", "faults", "split.csv")
    for name in ("gallery", "photos", "textures/images"):
        shutil.copytree(ROOT / "sample_data" / name, made / name, ignore=ignored)
    for script, folder in (("make_scenes", "scenes"), ("make_faults", "faults")):
        arguments, sys.argv = sys.argv, [script, str(made / "gallery" / folder)]
        try:
            runpy.run_path(str(made / "gallery" / f"{script}.py"), run_name="__main__")
        finally:
            sys.argv = arguments
    return made / "gallery"


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))


def test_the_page_names_every_pipeline_of_the_gallery() -> None:
    for file in (ROOT / "sample_data").glob("*/*.toml"):
        if file.parent.name in ("gallery", "tasks"):
            assert f"pipekit run {file.relative_to(ROOT)}\n" in PAGE


def test_boxes_become_a_yolo_dataset(gallery: Path) -> None:
    assert pipekit.run(gallery / "boxes.toml").status == "finished"
    made = gallery / "runs" / "boxes-to-yolo" / "yolo"
    counts = {split: len(list((made / "images" / split).rglob("*.jpg"))) for split in ("train", "val")}
    assert counts == {"train": 192, "val": 12}
    assert "become 192 images for training and 12 for validation" in PAGE
    labels = list((made / "labels").rglob("*.txt"))
    assert len(labels) == 204
    for file in labels:
        for line in file.read_text().splitlines():
            number, *place = line.split()
            assert number in ("0", "1")
            assert len(place) >= 6, "an outline"
            assert len(place) % 2 == 0
            assert all(0 <= float(value) <= 1 for value in place)


def test_masks_keep_their_classes(gallery: Path) -> None:
    assert pipekit.run(gallery / "masks.toml").status == "finished"
    made = gallery / "runs" / "masks" / "folders"
    masks = sorted(made.rglob("masks/**/*.png"))
    assert len(masks) == 204
    values = {int(value) for file in masks for value in set(pixels(file).ravel().tolist())}
    assert values == {0, 1, 2}


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def test_the_eight_copies_are_found_and_no_other(gallery: Path) -> None:
    assert pipekit.run(gallery / "leak.toml").status == "finished"
    found = json.loads((gallery / "runs" / "leak" / "inspect.json").read_text())["findings"]
    leaks = [one for one in found if one["check"] == "leakage"]
    assert len(leaks) == 8
    assert all(any("/again_" in name for name in one["samples"]) for one in leaks)
    assert "All eight pairs are found, and no other" in PAGE


def test_the_shortcut_is_named(gallery: Path) -> None:
    done = pipekit.run(gallery / "shortcut.toml")
    found = json.loads((gallery / "runs" / "shortcut" / "inspect.json").read_text())["findings"]
    (shortcut,) = (one for one in found if one["check"] == "shortcuts")
    assert "JPEG quality above 77: 100 % new_camera" in shortcut["message"]
    assert "JPEG quality above\n77: 100 % new_camera" in PAGE
    assert done.status == "finished"
