"""Files of more than 8 bits: their range, and the reasons of those that have none."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from pipekit import ImageError, images
from pipekit.contract import Sample
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.errors import UserError
from pipekit.images.value_range import read_deep, scaled, unread_channels
from pipekit.pipeline.plan import load_plan
from pipekit.registry.cheap_checks import _unread

RAMP = np.linspace(0, 4095, 40 * 60).reshape(40, 60)


def png(samples: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", samples if samples.ndim == 2 else samples[..., ::-1])[1].tobytes())


def tiff(samples: np.ndarray) -> bytes:
    """By Pillow where it has a mode for it."""
    file = io.BytesIO()
    Pillow.fromarray(samples).save(file, "TIFF")
    return file.getvalue()


def raw_tiff(samples: np.ndarray, kind: int = 1) -> bytes:
    """An uncompressed TIFF written by hand: ``kind`` 1 unsigned, 2 signed, 3 float; any number of channels."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    bits, data = samples.itemsize * 8, samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * channels),
        (259, 3, [1]),
        (262, 3, [2 if channels == 3 else 1]),
        (273, 4, [0]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(data)]),
        (339, 3, [kind] * channels),
    ]
    after = 8 + 2 + 12 * len(entries) + 4
    extra, body = b"", b""
    for tag, form, values in entries:
        packed = struct.pack(f"<{len(values)}{'H' if form == 3 else 'I'}", *values)
        if len(packed) > 4:
            place, extra = after + len(extra), extra + packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<I", place)
        body += struct.pack("<HHI", tag, form, len(values)) + packed.ljust(4, b"\0")
    pixels = after + len(extra)
    body = body.replace(struct.pack("<HHII", 273, 4, 1, 0), struct.pack("<HHII", 273, 4, 1, pixels))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + b"\0\0\0\0" + extra + data


def run(folder: Path, **params: Any) -> Outcome:
    stages = {"data": {"use": "import.folders", "path": "images", **params}, "inspect": {"use": "inspect", "dataset": "data"}}
    return run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=folder), silent, publish=False)


# --- the samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [png, tiff, raw_tiff])
def test_samples_are_as_stored(encode: Any) -> None:
    samples = RAMP.astype(np.uint16)
    assert (read_deep(encode(samples)) == samples).all()


def test_colours_signs_and_floats() -> None:
    colour = np.dstack([RAMP, RAMP[::-1], RAMP * 0]).astype(np.uint16)
    assert (read_deep(png(colour)) == colour).all()
    assert (read_deep(raw_tiff(colour)) == colour).all()
    signed = (RAMP - 1000).astype(np.int16)
    assert (read_deep(raw_tiff(signed, 2)) == signed).all()
    floats = (RAMP / 4095).astype(np.float32)
    assert (read_deep(tiff(floats)) == floats).all()


def test_other_files_have_no_samples() -> None:
    eight = np.full((8, 8, 3), 90, np.uint8)
    for data in (
        images.encode(eight, "png"),
        images.encode(eight, "jpg"),
        tiff(eight),
        b"",
        b"II*\0",
        png(RAMP.astype(np.uint16))[:60],
    ):
        assert read_deep(data) is None


def test_not_a_number_is_a_reason() -> None:
    with pytest.raises(ImageError, match="NaN"):
        scaled(np.array([[np.nan]]), (0, 1))


# --- reasons -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (raw_tiff((RAMP - 1000).astype(np.int16), 2), "signed 16-bit samples have no agreed range; state it in the import"),
        (tiff(RAMP.astype(np.float32)), "floating-point 32-bit samples have no agreed range"),
        (raw_tiff(np.zeros((8, 8, 5), np.uint8)), "a TIFF of 5 channels of 8 bits; expected 1, 3 or 4"),
        (raw_tiff(np.zeros((8, 8, 2), np.uint8)), "a TIFF of 2 channels of 8 bits that are not said to be colours"),
        (raw_tiff(np.zeros((8, 8)), 3), "floating-point 64-bit samples can't be read: convert them to real numbers"),
        (raw_tiff(np.zeros((8, 8), np.complex64), 6), "complex 64-bit samples can't be read"),
    ],
)
def test_a_tiff_has_its_true_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.decode(data)


# --- through the import --------------------------------------------------------------------------------------------------


@pytest.fixture
def twelve_bits(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for kind, turned in (("a", RAMP), ("b", RAMP[:, ::-1])):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(3):
            samples = np.clip(turned + chance.normal(0, 40, RAMP.shape), 0, 4095).astype(np.uint16)
            (tmp_path / "images" / kind / f"{number}.tif").write_bytes(tiff(samples))
    images.write(tmp_path / "images/a/plain.jpg", np.full((40, 60, 3), 90, np.uint8))
    return tmp_path


def test_a_narrow_range_is_said_on_import_and_by_inspect(twelve_bits: Path) -> None:
    made = run(twelve_bits)
    (said,) = [warning for warning in made.stages[0].warnings if "16-bit" in warning]
    assert "end at 4,095 of 65,535, so they are read as nearly black" in said
    assert "value_range = [0, 4095] for 12 bits" in said
    assert "narrow_range" in (made.artifact("inspect").path / "inspect.json").read_text("utf-8")


def test_pages_and_channels_that_are_not_read_are_said_on_import(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    page = Pillow.new("RGB", (8, 8))
    page.save(tmp_path / "images/b.tif", save_all=True, append_images=[page, page])
    plan = load_plan(table={"name": "t", "stages": {"data": {"use": "import.folders", "path": "images"}}}, base_dir=tmp_path)
    (said,) = run_plan(plan, silent, publish=False).stages[0].warnings
    assert said == "images may hold more than is read. For example: b.tif has 3 pages or frames: only the first is read"
    Pillow.new("RGBX", (8, 8)).save(tmp_path / "images/a.tif")
    assert list(_unread([Sample(name, str(tmp_path / "images" / name)) for name in ("a.tif", "b.tif")])) == [
        "images may hold more than is read. For example: a.tif has 4 channels: only 3 are read"
    ]


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", (1, 1)), ("LA", (2, 2)), ("RGB", (3, 3)), ("RGBA", (4, 4)), ("RGBX", (4, 3)), ("CMYK", (4, 4))]
)
def test_channels_that_are_neither_colours_nor_transparency_are_not_read(mode: str, channels: tuple[int, int]) -> None:
    file = io.BytesIO()
    Pillow.new(mode, (8, 8)).save(file, "TIFF")
    assert unread_channels(file.getvalue()) == channels
    assert unread_channels(png(RAMP.astype(np.uint16))) == (0, 0)


def test_a_stated_range_is_black_to_white(twelve_bits: Path) -> None:
    made = run(twelve_bits, value_range=[0, 4095])
    assert not [warning for warning in made.stages[0].warnings if "16-bit" in warning]
    samples = {sample.id: sample for sample in made.artifact("data")}
    assert set(samples) == {f"{kind}/{number}.tif" for kind in "ab" for number in range(3)} | {"a/plain.jpg"}
    image = images.read(samples["a/0.tif"].image)
    assert (int(image.min()), int(image.max())) == (0, 255)
    assert samples["a/plain.jpg"].image.endswith("images/a/plain.jpg")
    assert "narrow_range" not in (made.artifact("inspect").path / "inspect.json").read_text("utf-8")
    assert run(twelve_bits, value_range=[0, 4095]).stages[0].cached


def test_signed_and_float_files_are_read_with_a_range(tmp_path: Path) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/1.tif").write_bytes(raw_tiff((RAMP - 1000).astype(np.int16), 2))
    (tmp_path / "images/a/2.tif").write_bytes(tiff((RAMP - 1000).astype(np.float32)))
    one, two = (images.read(sample.image) for sample in run(tmp_path, value_range=[-1000, 3095]).artifact("data"))
    assert np.abs(one.astype(int) - two).max() <= 1
    assert int(one[0, 0, 0]) == 0


def test_a_range_from_high_to_low_is_refused(twelve_bits: Path) -> None:
    with pytest.raises(UserError, match="black must be below white"):
        run(twelve_bits, value_range=[4095, 0])
