"""Metadata of exported images: reported, or removed; and of the originals beside augmented copies."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import pipekit
from pipekit import images
from pipekit.errors import UserError
from pipekit.images.metadata import Private, private_metadata
from tests.conftest import DATA, Trial


def photo(path: Path, shade: int, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 7.0), 3: "E", 4: (13.0, 24.0, 2.0)}
    options = {"exif": exif, **options}
    Pillow.fromarray(np.full((20, 30, 3), shade, np.uint8)).save(path, **options)


@pytest.fixture
def photos(trial: Trial) -> Trial:
    photo(trial.path / "images/cat/1.jpg", 10)
    photo(trial.path / "images/cat/2.png", 60)
    (trial.path / "images/dog").mkdir()
    images.write(trial.path / "images/dog/3.jpg", np.full((20, 30, 3), 99, np.uint8))
    return trial


def copies(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")}


def exported(trial: Trial, to: str = "folders", **values: Any) -> Path:
    outcome = trial.run({"data": DATA, "out": {"use": f"export.{to}", "dataset": "data", **values}})
    path: Path = outcome.artifact("out").path
    return path


def said(trial: Trial) -> list[str]:
    return [one["message"] for one in trial.told("warning") if "metadata" in one["message"]]


def test_copied_positions_are_counted_and_said(photos: Trial) -> None:
    found = copies(exported(photos))
    assert private_metadata(found["1.jpg"]) == Private(position=True), "the bytes are those of the source unless asked"
    assert said(photos) == [
        "2 of the copied images have the positions where they were taken in the metadata. strip_metadata = true removes them"
    ]


def test_stripped_copies_have_none_and_the_same_pixels(photos: Trial) -> None:
    found = copies(exported(photos, strip_metadata=True))
    assert said(photos) == []
    assert {name: private_metadata(data) for name, data in found.items()} == dict.fromkeys(found, Private())
    for name, data in found.items():
        (source,) = (photos.path / "images").rglob(name)
        assert (images.decode(data) == images.read(source)).all()
        assert (data == source.read_bytes()) == (name == "3.jpg")


def test_every_way_out_is_covered(photos: Trial) -> None:
    folder = exported(photos, "webdataset", strip_metadata=True)
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                data = tar.extractfile(member)
                assert data is not None
                assert private_metadata(data.read()) == Private()
    exported(photos, "csv", images="leave")
    assert said(photos) == [], "no file is copied"
    exported(photos, "idx")
    assert said(photos) == [], "nor here"


def test_what_can_not_be_stripped_stops_the_export(photos: Trial) -> None:
    Pillow.fromarray(np.zeros((20, 30), np.uint8)).save(photos.path / "images/cat/4.gif", comment="Erika")
    with pytest.raises(UserError, match=r"the metadata of 1 image can't be removed: cat/4\.gif: metadata can't"):
        exported(photos, strip_metadata=True)


def test_originals_beside_augmented_copies(photos: Trial, tmp_path: Path) -> None:
    source = photos.path / "images"
    made = pipekit.augment(source, tmp_path / "out", ops="hflip(p=1)", copies=1)
    assert made.warnings == (
        "2 of the copied images have the positions where they were taken in the metadata. --strip-metadata removes them",
    )
    made = pipekit.augment(source, tmp_path / "clean", ops="hflip(p=1)", copies=1, strip_metadata=True)
    assert made.warnings == ()
    found = copies(tmp_path / "clean")
    assert len(found) == 6
    assert {private_metadata(data) for data in found.values()} == {Private()}
    with Pillow.open(io.BytesIO(found["1.jpg"])) as picture:
        assert picture.getexif()[0x0112] == 6
