"""A folder as people have it: every file is used rightly or listed with its reason, nothing crashes, nothing hangs."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipekit import images
from pipekit.errors import StageError, UserError
from tests.conftest import Trial

SIZE = 48
LATIN_1 = os.fsdecode(b"caf\xe9.png")


def scene() -> NDArray[np.uint8]:
    """Smooth colours with a dark corner at the top left, so that a turn is seen."""
    y, x = np.mgrid[:SIZE, : 2 * SIZE]
    picture = np.stack([x * 2, 80 + y * 2, 200 - x], axis=2).astype(np.uint8)
    picture[: SIZE // 3, : SIZE // 3] = 10
    return picture


def saved(picture: Any, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def cmyk() -> bytes:
    return saved(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)


def deep() -> bytes:
    import cv2

    values = scene().astype(np.uint16)[:, :, ::-1] * 257
    return bytes(cv2.imencode(".png", values)[1])


def palette() -> bytes:
    picture = Image.fromarray(scene()).quantize(64)
    return saved(picture, "PNG", transparency=picture.getpixel((0, 0)))


def animated() -> bytes:
    other = Image.fromarray(255 - scene())
    return saved(Image.fromarray(scene()), "GIF", save_all=True, append_images=[other], duration=100)


def turned() -> bytes:
    """Kept on its side, with the note that it is to be shown upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(scene()).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def good_files() -> Mapping[str, bytes]:
    plain = saved(Image.fromarray(scene()), "PNG")
    return {
        "plain.png": plain,
        "cmyk.jpg": cmyk(),
        "deep.png": deep(),
        "palette.png": palette(),
        "animated.gif": animated(),
        "turned.jpg": turned(),
        "a name with spaces.png": plain,
        "ñandú 猫 🐈.png": plain,
        LATIN_1: plain,
        "-rf.png": plain,
        "a'b\"c;$(d)&.png": plain,
        "line\nbreak.png": plain,
        "UPPER.PNG": plain,
        "png as.jpg": plain,
    }


def write_bad_files(folder: Path) -> dict[str, str]:
    """Files that can't be used, and a word of the reason for each."""
    whole = saved(Image.fromarray(scene()), "JPEG", quality=95)
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("this is no image\n" * 100)
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "endless.jpg").symlink_to("/dev/zero")
    return {
        "empty.jpg": "empty",
        "truncated.jpg": "truncated",
        "text.jpg": "not an image",
        "dangling.jpg": "No such file",
        "self.jpg": "symbolic links",
        "pipe.jpg": "not a regular file",
        "endless.jpg": "not a regular file",
    }


@pytest.fixture
def folder(trial: Trial) -> Path:
    """``images/animals`` with all of it, and things to be passed over."""
    place = trial.path / "images" / "animals"
    place.mkdir()
    for name, data in good_files().items():
        (place / name).write_bytes(data)
    (place / "folder.jpg").mkdir()
    (place / "loop").symlink_to("..")
    (place / ".hidden.jpg").write_bytes(b"")
    (place / "notes.txt").write_text("not looked at")
    (trial.path / "images" / "empty folder").mkdir()
    return place


STAGES: dict[str, Any] = {
    "data": {"use": "import.folders", "path": "images", "labels": "first"},
    "split": {"use": "split", "fractions": {"train": 1.0}, "duplicates": "off"},
    "augment": {"use": "augment", "ops": [{"op": "hflip", "p": 1.0}], "copies": 1, "size_hw": [SIZE, 2 * SIZE]},
}


def test_good_files_are_used_rightly(trial: Trial, folder: Path) -> None:
    outcome = trial.run({"data": STAGES["data"]}, max_failed=0)
    dataset = outcome.artifact("data")
    found = {sample.id: sample for sample in dataset}
    assert set(found) == {f"animals/{name}" for name in good_files()}
    assert not list(dataset.failed())
    assert {sample.label for sample in dataset} == {"animals"}
    for name in good_files():
        picture = images.read(found[f"animals/{name}"].image)
        assert picture.shape == (SIZE, 2 * SIZE, 3), name
        assert picture.dtype == np.uint8
        expected = scene().astype(int)
        if name == "palette.png":  # the transparent corner is white
            assert (picture[2:14, 2:14] == 255).all()
            expected[:16, :16] = 255
        assert np.abs(picture.astype(int) - expected).mean() < 8, name


def test_bad_files_are_listed_with_their_reasons_and_the_rest_is_used(trial: Trial, folder: Path) -> None:
    reasons = write_bad_files(folder)
    with pytest.raises(StageError, match="7 of 21 samples can't be used") as caught:
        trial.run({"data": STAGES["data"]})
    assert "max_failed allows 5.0%" in caught.value.message
    assert not (trial.path / "runs").exists()

    outcome = trial.run({"data": STAGES["data"]}, max_failed=0.5, workers=2, shard_size=5)
    failed = {failure.id.removeprefix("animals/"): failure.reason for failure in outcome.artifact("data").failed()}
    assert set(failed) == set(reasons)
    for name, words in reasons.items():
        assert words in failed[name], (name, failed[name])
        assert str(trial.path) not in failed[name], "a reason is the same on every machine"
    assert len(outcome.artifact("data")) == len(good_files())
    listed = (trial.path / "runs/trial/data/failed.csv").read_text()
    assert all(name in listed for name in reasons)

    mended = saved(Image.fromarray(scene()), "JPEG")
    for name in reasons:
        (folder / name).unlink()
        (folder / name).write_bytes(mended)
    outcome = trial.run({"data": STAGES["data"]}, max_failed=0)
    assert len(outcome.artifact("data")) == len(good_files()) + len(reasons)


def test_the_same_files_come_through_the_pipeline(trial: Trial, folder: Path) -> None:
    write_bad_files(folder)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.name in good_files()}
    digests = []
    for settings in ({"workers": 1}, {"workers": 2, "shard_size": 4, "executor": "processes"}):
        outcome = trial.run(STAGES, max_failed=0.5, choice={"again": list(STAGES)}, **settings)
        made = outcome.artifact("augment")
        digests.append(made.digest)
        assert len(made) == 2 * len(good_files())
        assert len(list(made.failed())) == 7
        for sample in made:
            assert images.read(sample.image).shape == (SIZE, 2 * SIZE, 3)
        shown = [
            path
            for path in (trial.path / "runs/trial/augment").rglob("*")
            if path.is_file() and path.suffix not in (".csv", ".json", ".rows", ".names")
        ]
        assert len(shown) == 2 * len(good_files())
    assert digests[0] == digests[1]
    assert before == {path: path.read_bytes() for path in before}, "source images are as they were"


def test_nothing_usable_is_an_error_with_reasons(trial: Trial) -> None:
    place = trial.path / "images" / "animals"
    place.mkdir()
    reasons = write_bad_files(place)
    with pytest.raises(UserError) as caught:
        trial.run({"data": STAGES["data"]}, max_failed=1)
    assert f"all {len(reasons)} of them failed" in caught.value.message
    assert "animals/dangling.jpg: No such file or directory" in caught.value.message


def test_a_folder_without_images(trial: Trial) -> None:
    with pytest.raises(UserError, match="no image below"):
        trial.run({"data": STAGES["data"]})
