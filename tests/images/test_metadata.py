"""Metadata: found and removed, while pixels, orientation and colour profile stay."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin

from pipekit import images
from pipekit.errors import ImageError
from pipekit.images.metadata import HEAD_BYTES, Private, needs_more, private_metadata, without_metadata

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf exif:GPSLatitude="52,31N" aux:SerialNumber="1234"/></x:xmpmeta>'


def exif(orientation: int = 6, position: bool = True, serial: bool = True) -> Pillow.Exif:
    found = Pillow.Exif()
    found[0x0112] = orientation
    found[0x013B] = "Erika Mustermann"
    if position:
        found[0x8825] = {1: "N", 2: (52.0, 31.0, 7.0), 3: "E", 4: (13.0, 24.0, 2.0)}
    if serial:
        found[0x8769] = {0xA431: "12345678"}
    return found


def written(format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    if format == "TIFF" and "exif" in options:
        options["tiffinfo"] = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in options.pop("exif").items():
            options["tiffinfo"][tag] = value
    Pillow.fromarray(PIXELS).save(out, format, **options)
    return out.getvalue()


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_position_and_serial_number_are_found_and_removed(format: str, orientation: int) -> None:
    data = written(format, exif=exif(orientation), icc_profile=PROFILE)
    assert private_metadata(data) == Private(position=True, serial=True)
    left = without_metadata(data)
    assert private_metadata(left) == Private()
    assert b"Mustermann" in data
    assert b"Mustermann" not in left
    assert b"12345678" not in left
    assert (images.decode(left) == images.decode(data)).all()
    assert images.probe(left).orientation == orientation
    with Pillow.open(io.BytesIO(left)) as picture:
        picture.load()
        assert picture.info.get("icc_profile") == PROFILE
    assert without_metadata(left) == left


@pytest.mark.parametrize("format", FORMATS)
def test_each_is_found_by_itself(format: str) -> None:
    assert private_metadata(written(format, exif=exif(serial=False))) == Private(position=True)
    assert private_metadata(written(format, exif=exif(position=False))) == Private(serial=True)
    assert private_metadata(written(format)) == Private()


def test_positions_in_xmp_text_and_comments() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = XMP
    for data in (
        written("JPEG", xmp=XMP, comment=b"taken by Erika"),
        written("PNG", pnginfo=notes),
        written("WEBP", xmp=XMP, lossless=True),
        written("TIFF", tiffinfo=tags),
    ):
        assert private_metadata(data) == Private(position=True, serial=True)
        left = without_metadata(data)
        assert private_metadata(left) == Private()
        assert b"Erika" not in left
        assert b"GPSLatitude" not in left
        assert (images.decode(left) == images.decode(data)).all()


def test_what_is_appended_to_a_jpeg_goes_and_progressive_scans_stay() -> None:
    data = written("JPEG", progressive=True) + b"\0\0\0\x18ftypmp42 a film with a position"
    left = without_metadata(data)
    assert left == data[: data.index(b"\xff\xd9") + 2]
    assert (images.decode(left) == images.decode(data)).all()


def test_pages_of_a_tiff_are_all_cleaned() -> None:
    out = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[315] = "Erika Mustermann"
    pages = [Pillow.fromarray(PIXELS), Pillow.fromarray(255 - PIXELS)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], tiffinfo=tags)
    left = without_metadata(out.getvalue())
    assert b"Mustermann" in out.getvalue()
    assert b"Mustermann" not in left
    with Pillow.open(io.BytesIO(left)) as picture:
        assert getattr(picture, "n_frames", 1) == 2
        picture.seek(1)
        assert (np.asarray(picture) == 255 - PIXELS).all()


def test_what_can_not_be_cleaned_is_an_error_and_what_has_none_is_the_same() -> None:
    for format in ("BMP", "GIF"):
        data = written(format)
        assert without_metadata(data) == data
    with pytest.raises(ImageError, match="can't be removed from this format"):
        without_metadata(written("GIF", comment="Erika"))
    with pytest.raises(ImageError, match="truncated"):
        without_metadata(written("JPEG")[:-2])


def test_the_beginning_of_a_jpeg_suffices() -> None:
    data = written("JPEG", exif=exif())
    assert not needs_more(data[:HEAD_BYTES])
    assert not needs_more(data)
    assert needs_more(data[:300]), "no scan has begun"
    assert needs_more(written("PNG"))


@pytest.mark.parametrize("format", FORMATS)
@given(place=st.integers(0, 900), value=st.integers(0, 255), cut=st.integers(0, 3000))
def test_damaged_files_are_an_image_error_at_most(format: str, place: int, value: int, cut: int) -> None:
    data = bytearray(written(format, exif=exif()))
    data[place % len(data)] = value
    damaged = bytes(data[: len(data) - cut])
    assert isinstance(private_metadata(damaged), Private)
    try:
        without_metadata(damaged)
    except ImageError as error:
        assert error.message  # noqa: PT017 - the other outcome is right too
