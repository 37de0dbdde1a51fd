"""The importer for one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import image
from pipekit.contract import Rejected
from pipekit.errors import UserError


def test_one_image_is_one_sample(tmp_path: Path) -> None:
    images.write(tmp_path / "a cat.png", np.zeros((3, 4, 3), np.uint8))
    (sample,) = image.read(tmp_path / "a cat.png", image.ImageParams())
    assert (sample.id, sample.image, sample.label, sample.split) == ("a cat.png", str(tmp_path / "a cat.png"), None, "")
    assert image.sniff(tmp_path / "a cat.png") == "one image"


def test_a_folder_is_not_one_image(tmp_path: Path) -> None:
    assert image.sniff(tmp_path) == Rejected("it reads one image, and this is a folder")
    with pytest.raises(UserError, match="is not a file"):
        list(image.read(tmp_path, image.ImageParams()))


def test_another_file_is_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert not image.sniff(tmp_path / "notes.txt")
