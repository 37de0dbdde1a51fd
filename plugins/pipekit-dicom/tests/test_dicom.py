"""DICOM files that pydicom writes, with known values."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pipekit_dicom import codec
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from pipekit import ImageError, images
from pipekit.testing import check_codec

RAMP = np.linspace(0, 4095, 48 * 64).reshape(48, 64).astype(np.uint16)


def scan(pixels: np.ndarray, **values: Any) -> bytes:
    """A file with these stored values, grey of 12 bits unless ``values`` say otherwise."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        SecondaryCaptureImageStorage,
        generate_uid(entropy_srcs=["1"]),
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = pydicom.Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    for name, value in values.items():
        setattr(made, name, value)
    made.PixelData = pixels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, made, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _codecs(pipekit_registry: Any) -> None:
    """``images.decode`` asks the codecs of all installed plugins."""


def test_it_keeps_the_promises_of_a_codec() -> None:
    check_codec(codec, data=scan(RAMP))


def test_without_a_window_the_stored_bits_are_the_range() -> None:
    grey = images.decode(scan(RAMP))
    assert grey.shape == (48, 64, 3)
    np.testing.assert_array_equal(grey[..., 0], np.rint(RAMP / 4095 * 255))
    np.testing.assert_array_equal(images.decode(scan(RAMP, PhotometricInterpretation="MONOCHROME1")), 255 - grey)
    signed = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    np.testing.assert_array_equal(images.decode(scan(signed, PixelRepresentation=1)), grey)


def test_a_window_is_applied_to_rescaled_values() -> None:
    """A lung window of a CT: -600 +- 750 Hounsfield units."""
    data = scan(RAMP, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[-600, 40], WindowWidth=[1501, 400])
    units = RAMP.astype(float) - 1024
    expected = np.rint(255 * np.clip((units - (-600 - 0.5 - 750)) / 1500, 0, 1))
    np.testing.assert_array_equal(images.decode(data)[..., 0], expected)
    assert (expected == 255).any()
    assert (expected == 0).any() == (units <= -1350.5).any()


def test_colours_stay() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    values = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    np.testing.assert_array_equal(images.decode(scan(rgb, BitsAllocated=8, BitsStored=8, HighBit=7, **values)), rgb)


def test_what_can_not_be_read_has_a_reason() -> None:
    with pytest.raises(ImageError, match="its codec can't decode it"):
        images.decode(scan(RAMP)[:700])
    with pytest.raises(ImageError, match="a DICOM of 5 frames"):
        images.decode(scan(np.stack([RAMP] * 5), NumberOfFrames=5))
    with pytest.raises(ImageError, match="60,000 x 60,000 pixels"):
        images.decode(scan(RAMP, Rows=60000, Columns=60000))
    with pytest.raises(ImageError, match="of 16 bits in PALETTE COLOR"):
        images.decode(scan(RAMP, PhotometricInterpretation="PALETTE COLOR"))
    with pytest.raises(ImageError, match="VOILUTSequence"):
        images.decode(scan(RAMP, VOILUTSequence=[]))
    deep = np.zeros((48, 64, 3), np.uint16)
    with pytest.raises(ImageError, match="of 16 bits in RGB"):
        images.decode(scan(deep, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0))


def test_scans_are_imported_and_nothing_is_passed_over(pipekit_project) -> None:
    folder = Path(pipekit_project.path) / "scans"
    for name in ("ill/ada_1.dcm", "ill/ada_2.DCM", "well/bob_1.dicom"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(scan(RAMP[::-1] if "well" in name else RAMP, PatientName="Ada"))
    stages = {"data": {"use": "import.folders", "path": "scans"}, "out": {"use": "augment", "ops": ["hflip"], "copies": 1}}
    made = pipekit_project.run(stages)
    assert [sample.id for sample in made.artifact("data")] == ["ill/ada_1.dcm", "ill/ada_2.DCM", "well/bob_1.dicom"]
    assert "passed_over" not in made.artifact("data").meta
    assert made.artifact("out").meta["codecs"] == ["dicom"]
    copies = [Path(sample.image) for sample in made.artifact("out") if "aug" in sample.id]
    assert copies
    assert all(b"Ada" not in path.read_bytes() for path in copies)
