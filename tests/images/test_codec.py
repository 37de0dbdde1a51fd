"""Decoding whatever people have in their folders, and moving pixels."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import PIL.features
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pipekit import images
from pipekit.contract import Box, Keypoint
from pipekit.errors import ImageError, UserError


def gradient(height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth, so that JPEG keeps it within a few levels; all four corners differ."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), np.full_like(x, 60)], axis=2).astype(np.uint8)


def saved(picture: Pillow.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def jpeg(image: np.ndarray, **options: object) -> bytes:
    return saved(Pillow.fromarray(image), "JPEG", quality=95, **options)


def near(a: np.ndarray, b: np.ndarray, levels: int) -> bool:
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= levels


# --- what every folder has -----------------------------------------------------------------------------------------------


def test_jpeg_is_rgb_uint8() -> None:
    image = images.decode(jpeg(gradient()))
    assert image.dtype == np.uint8
    assert near(image, gradient(), 12)


TOO_LARGE = 'more than 178 megapixels; import it with verify = "none" and cut it with the stage tile'


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_as_they_were(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(images.decode(saved(Pillow.fromarray(gradient()), format, **options)), gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_orientation_is_applied_as_pillow_applies_it(format: str, orientation: int) -> None:
    from PIL import ImageOps

    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = saved(Pillow.fromarray(gradient()), format, exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB"))
    assert near(images.decode(data), wanted, 4)
    info = images.probe(data)
    assert (info.height_px, info.width_px, info.orientation) == (*wanted.shape[:2], orientation)


def test_big_endian_exif_is_read_and_nonsense_is_passed_over() -> None:
    def with_exif(block: bytes) -> bytes:
        data = jpeg(gradient())
        segment = b"Exif\x00\x00" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]

    block = b"MM\x00\x2a" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    assert images.probe(with_exif(block)).orientation == 6
    for nonsense in (
        b"",
        b"XX",
        b"MM\x00\x2a\xff\xff\xff\xff",
        block[:12],
        block.replace(b"\x00\x06\x00\x00", b"\x00\x63\x00\x00"),
    ):
        assert images.decode(with_exif(nonsense)).shape == gradient().shape


def test_transparency_lies_on_white() -> None:
    rgba = np.zeros((4, 3, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, 0, 3], rgba[:, 1, 3], rgba[:, 2, 3] = 0, 128, 255
    assert images.decode(saved(Pillow.fromarray(rgba), "PNG"))[0].tolist() == [[255, 255, 255], [227, 127, 127], [200, 0, 0]]


def test_palette_png_with_a_transparent_colour() -> None:
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    assert images.decode(saved(picture, "PNG", transparency=0))[0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_is_scaled_to_8_bits(channels: int) -> None:
    deep = np.zeros((2, 3, channels), np.uint16)
    deep[0, :, :3] = np.array([0, 257 * 100 + 100, 65535], np.uint16)[:, None]
    if channels == 4:
        deep[..., 3] = 65535
    done, data = cv2.imencode(".png", deep)
    assert done
    assert images.decode(data.tobytes())[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]
    assert images.probe(data.tobytes()).mode == "I;16"


def test_16_bit_tiff_is_scaled_to_8_bits() -> None:
    deep = np.array([[0, 128 * 257, 65535]], np.uint16)
    assert images.decode(saved(Pillow.fromarray(deep), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_jpeg() -> None:
    picture = Pillow.fromarray(np.full((16, 16, 3), (200, 30, 60), np.uint8)).convert("CMYK")
    data = saved(picture, "JPEG", quality=100)
    assert near(images.decode(data), np.full((16, 16, 3), (200, 30, 60), np.uint8), 4)
    assert images.probe(data).mode == "CMYK"


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Pillow.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert images.decode(data)[0, 0].tolist() == [255, 0, 0]
    assert images.probe(data).frames == 3


def test_grey_and_black_and_white_become_rgb() -> None:
    grey = gradient()[..., 0]
    assert np.array_equal(images.decode(saved(Pillow.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2))
    assert images.decode(saved(Pillow.new("1", (5, 4), 1), "PNG")).tolist() == [[[255] * 3] * 5] * 4
    assert images.decode(saved(Pillow.fromarray(grey), "JPEG")).shape == (96, 128, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_gray_gives_one_channel_of_luma(format: str) -> None:
    picture = Pillow.fromarray(gradient())
    image = images.decode(saved(picture, format), gray=True)
    assert near(image, np.asarray(picture.convert("L"))[..., None], 4)


# --- what can't be used says why -----------------------------------------------------------------------------------------


def png_claiming(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\4IDAT"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"this is a shopping list\n", "a text file, not an image"),
        ("naïve café ✓ ".encode() * 60, "a text file, not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing, not pixels; convert it to PNG"),
        (b"\x00\x00\x00\x20ftypheic0000", "a video or an unsupported image (heic); convert it to JPEG or PNG"),
        (bytes(range(256)), "not an image"),
        (b"\xff\xd8\xff", "truncated JPEG"),
        (jpeg(gradient())[:40], "truncated JPEG"),
        (jpeg(gradient())[:-400], "truncated JPEG"),
        (jpeg(gradient(), progressive=True)[:-20], "truncated JPEG"),
        (saved(Pillow.fromarray(gradient()), "PNG")[:-60], "truncated PNG"),
        (saved(Pillow.fromarray(gradient()), "GIF")[:200], "truncated or damaged GIF"),
        (saved(Pillow.fromarray(gradient()), "GIF")[:-900], "truncated GIF"),
        (png_claiming(20_000, 20_000), TOO_LARGE),
    ],
)
def test_a_file_that_cannot_be_used_gives_a_short_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.verify(data)
    assert caught.value.message == reason
    with pytest.raises(ImageError):
        images.decode(data)


def test_meaningless_bytes_between_segments_are_passed_over() -> None:
    data = jpeg(gradient())
    place = data.index(b"\xff\xd9", len(data) - 4)
    padded = data[:place] + b"\0" * 40 + data[place:]
    with pytest.raises(ValueError, match="extraneous bytes"):
        simplejpeg.decode_jpeg(padded)
    assert near(images.decode(padded), gradient(), 12)
    with pytest.raises(ImageError, match="truncated"):
        images.decode(padded[:-2])


def test_a_damaged_table_is_a_reason_and_no_crash() -> None:
    data = bytearray(jpeg(gradient(24, 32)))
    data[210] = 0  # found by the test below: libjpeg gives up where it first seemed to be extraneous bytes
    with pytest.raises(ImageError, match="damaged JPEG"):
        images.decode(bytes(data))


def test_a_jpeg_claiming_to_be_huge_is_refused_before_memory_is_taken() -> None:
    data = bytearray(jpeg(gradient()))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(ImageError, match="megapixels"):
        images.decode(bytes(data))
    with pytest.raises(ImageError, match="megapixels"):  # an importer makes masks of the size that it says
        images.probe(bytes(data))


def test_missing_files_folders_and_forbidden_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="no such file"):
        images.read(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="a folder"):
        images.read(tmp_path)

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pipekit.files.read_bytes", forbidden)
    with pytest.raises(ImageError, match="permission denied"):
        images.read(tmp_path / "any.jpg")


def test_names_with_spaces_and_non_ascii_letters(tmp_path: Path) -> None:
    path = tmp_path / "Größe und Übermaß 猫 \U0001f408.jpg"
    images.write(path, gradient())
    assert near(images.read(path), gradient(), 12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_give_an_image_or_a_reason_and_nothing_else(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]))
    whole = saved(Pillow.fromarray(gradient(24, 32)), format)
    cut = data.draw(st.integers(0, len(whole)))
    damaged = bytearray(whole[:cut] if data.draw(st.booleans()) else whole)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8)):
        if damaged:
            damaged[place % len(damaged)] = value
    try:
        image = images.decode(bytes(damaged), at_least_hw=(8, 8))
    except ImageError:
        return
    assert image.ndim == 3
    assert image.shape[2] == 3


# --- reduced decoding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_least_hw", "scale"),
    [(None, 1.0), ((480, 640), 1.0), ((240, 320), 0.5), ((241, 10), 1.0), ((100, 100), 0.25), ((8, 8), 0.125)],
)
def test_reduced_decode_never_goes_below_what_was_asked(at_least_hw: tuple[int, int] | None, scale: float) -> None:
    decoded = images.decode_reduced(jpeg(gradient(480, 640)), at_least_hw)
    assert decoded.scale == scale
    assert decoded.full_size_hw == (480, 640)
    assert decoded.image.shape == (480 * scale, 640 * scale, 3)


@pytest.mark.parametrize(("side_px", "scale"), [(63, 1.0), (64, 0.125)])
def test_images_of_less_than_64_px_are_decoded_whole(side_px: int, scale: float) -> None:
    assert images.decode_reduced(jpeg(gradient(side_px, 200)), (8, 8)).scale == scale


def test_reduced_decode_is_the_same_picture() -> None:
    data = jpeg(gradient(480, 640))
    whole = images.resize(images.decode(data), (120, 160), "area")
    assert near(images.decode(data, at_least_hw=(120, 160)), whole, 8)


def test_reduced_decode_measures_a_turned_picture_as_it_is_seen() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    decoded = images.decode_reduced(jpeg(gradient(480, 640), exif=exif), (320, 240))
    assert (decoded.full_size_hw, decoded.image.shape) == ((640, 480), (320, 240, 3))


def test_a_fifty_megapixel_photograph() -> None:
    data = images.encode(np.full((6000, 8400, 3), 90, np.uint8), "jpg", 80)
    assert images.probe(data).width_px == 8400
    assert images.decode(data, at_least_hw=(300, 300)).shape == (750, 1050, 3)


# --- writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jpg", "jpeg", "png", "webp", "bmp", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoding_is_deterministic_and_comes_back(format: str, channels: int) -> None:
    image = gradient()[..., :channels]
    data = images.encode(image, format, 95)
    assert data == images.encode(image.copy(), format, 95)
    levels = 0 if format in ("png", "bmp", "tif") else 14
    assert near(images.decode(data)[..., :channels], image, levels)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="jpg, png, webp, bmp, tif"):
        images.encode(gradient(), "jpq")
    with pytest.raises(ValueError, match="uint8"):
        images.encode(gradient().astype(np.float32))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    images.write(path, gradient())
    before = path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        images.write(path, gradient()[::-1])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- masks ---------------------------------------------------------------------------------------------------------------


def test_masks_keep_their_class_numbers(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    palette = Pillow.fromarray(classes).convert("P")
    palette.putdata(classes.ravel().tolist())
    for name, picture in {
        "l.png": Pillow.fromarray(classes),
        "p.png": palette,
        "rgb.png": Pillow.fromarray(classes).convert("RGB"),
    }.items():
        picture.save(tmp_path / name)
        assert np.array_equal(images.read_mask(tmp_path / name), classes)
    Pillow.fromarray(classes > 0).save(tmp_path / "1.png")
    assert np.array_equal(images.read_mask(tmp_path / "1.png"), classes > 0)


def test_a_colour_picture_is_no_mask(tmp_path: Path) -> None:
    images.write(tmp_path / "m.png", gradient())
    with pytest.raises(ImageError, match="one channel"):
        images.read_mask(tmp_path / "m.png")
    Pillow.fromarray(np.array([[300]], np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match="255"):
        images.read_mask(tmp_path / "deep.png")


# --- geometry ------------------------------------------------------------------------------------------------------------


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


@pytest.mark.parametrize(
    ("fill_mode", "row"),
    [
        ("nearest", [1, 1, 1, 2, 3, 4, 4]),
        ("constant", [9, 9, 1, 2, 3, 4, 9]),
        ("reflect", [2, 1, 1, 2, 3, 4, 4]),
        ("wrap", [3, 4, 1, 2, 3, 4, 1]),
    ],
)
@pytest.mark.parametrize("tilt", [0.0, 1e-12])
def test_fill_modes(fill_mode: images.FillMode, row: list[int], tilt: float) -> None:
    line = np.array([[1, 2, 3, 4]], np.uint8)
    matrix = shift(2, 0)
    matrix[2, 0] = tilt
    assert images.warp(line, matrix, (1, 7), fill_mode=fill_mode, fill_value=9)[0].tolist() == row


@settings(max_examples=150, deadline=None)
@given(
    source_hw=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size_hw=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    turn=st.floats(-180, 180),
    zoom=st.tuples(st.floats(0.4, 2.5), st.floats(0.4, 2.5)),
    shift=st.tuples(st.floats(-90, 90), st.floats(-90, 90)),
    fill_mode=st.sampled_from(["nearest", "reflect", "wrap", "constant"]),
    channels=st.sampled_from([None, 1, 3]),
)
def test_a_frame_around_the_source_changes_no_more_than_a_rounding(
    source_hw: tuple[int, int],
    size_hw: tuple[int, int],
    turn: float,
    zoom: tuple[float, float],
    shift: tuple[float, float],
    fill_mode: str,
    channels: int | None,
) -> None:
    """What OpenCV makes without one is what is wanted, wherever the warp looks: inside, across an edge, far outside."""
    shape = source_hw if channels is None else (*source_hw, channels)
    image = np.random.default_rng(source_hw).integers(0, 256, shape, np.uint8)
    sin, cos = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    matrix = np.array([[cos * zoom[0], sin * zoom[1], shift[0]], [-sin * zoom[0], cos * zoom[1], shift[1]], [0, 0, 1]])
    before = image.copy()
    found = images.warp(image, matrix, size_hw, fill_mode=fill_mode)  # type: ignore[arg-type]
    np.testing.assert_array_equal(image, before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipekit.images.warping.FRAME_UP_TO", 0)
        plain = images.warp(image, matrix, size_hw, fill_mode=fill_mode)  # type: ignore[arg-type]
    assert near(found, plain, 1)
    assert (found != plain).mean() < 0.02 or found.size < 100


def test_warp_keeps_the_number_of_axes() -> None:
    for image in (gradient(), gradient()[..., :1], gradient()[..., 0]):
        assert images.warp(image, shift(1, 1), (20, 30)).shape == (20, 30, *image.shape[2:])
        assert images.resize(image, (20, 30)).shape == (20, 30, *image.shape[2:])


@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "area", "lanczos"])
def test_colours_are_warped_as_each_channel_would_be(
    fill_mode: images.FillMode, interpolation: images.Interpolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colour goes through OpenCV with a fourth channel, because that is faster; it must not show."""
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    for tilt in (0.0, 1e-3):
        matrix = np.array([[0.9, 0.3, -4.2], [-0.2, 1.1, 6.1], [tilt, tilt / 2, 1]])
        values = {"interpolation": interpolation, "fill_mode": fill_mode}
        found = images.warp(image, matrix, (41, 47), fill_value=(10, 200, 7), **values)  # type: ignore[arg-type]
        with monkeypatch.context() as patch:
            patch.setattr("pipekit.images.warping.FOUR_CHANNELS_UP_TO", 0)
            np.testing.assert_array_equal(found, images.warp(image, matrix, (41, 47), fill_value=(10, 200, 7), **values))  # type: ignore[arg-type]


def test_area_interpolation_averages_where_the_picture_shrinks() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    quarter = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375], [0, 0, 1]])
    assert set(images.warp(stripes, quarter, (16, 16), interpolation="area").ravel().tolist()) == {100}
    assert set(images.warp(stripes, quarter, (16, 16), interpolation="nearest").ravel().tolist()) != {100}


def test_local_scale_of_a_homography_is_its_jacobian() -> None:
    matrix = np.array([[1.1, 0.2, 5], [-0.1, 0.9, 3], [0.001, 0.0005, 1]])

    def moved(x: float, y: float) -> np.ndarray:
        u, v, w = matrix @ (x, y, 1)
        return np.array([u / w, v / w])

    step = 1e-4
    found = images.local_scale(matrix, (30, 40))
    wanted = (
        np.linalg.norm(moved(30 + step, 40) - moved(30, 40)) / step,
        np.linalg.norm(moved(30, 40 + step) - moved(30, 40)) / step,
    )
    assert found == pytest.approx(wanted, rel=1e-4)


# --- for people ----------------------------------------------------------------------------------------------------------


def test_thumbnail_keeps_the_shape_and_never_enlarges() -> None:
    assert images.thumbnail(gradient(96, 128), 64).shape == (48, 64, 3)
    assert images.thumbnail(gradient(1, 1000), 10).shape == (1, 10, 3)
    assert images.thumbnail(gradient(), 500).shape == gradient().shape


def test_contact_sheet_has_room_for_every_tile_and_caption() -> None:
    tiles = [np.full((30, 40, 3), (level, 0, 0), np.uint8) for level in (50, 100, 150, 200, 250)]
    sheet = images.contact_sheet(tiles, [f"tile {n}\nsecond line" for n in range(5)], columns=2, tile_px=40)
    bare = images.contact_sheet(tiles, columns=2, tile_px=40)
    assert all((bare == tile[0, 0]).all(axis=2).sum() == 30 * 40 for tile in tiles)
    assert sheet.shape[0] > bare.shape[0]
    assert sheet.shape[1] == bare.shape[1]
    with pytest.raises(ValueError, match="captions"):
        images.contact_sheet(tiles, ["one"])


def test_drawn_targets_do_not_touch_the_original() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[40:, 40:] = 1
    drawn = images.draw_targets(
        image, mask, [Box(5, 5, 20, 25, "cat")], [Keypoint(30, 30, "nose"), Keypoint(50, 5, "ear", False)]
    )
    assert not image.any()
    assert drawn[50, 50].any()
    assert drawn[5, 10].any()
    assert drawn[24, 19].any()
    assert drawn[30, 30].any()
    assert not drawn[5, 50].any()
    assert not drawn[12, 12].any()


# --- what libraries print --------------------------------------------------------------------------------------------------


def _damaged_exif(format: str) -> bytes:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01"
    return saved(Pillow.fromarray(gradient()), format, exif=exif)


def _deep_png() -> bytes:
    """A 16-bit PNG with a wrong checksum of its pixels; libpng prints a line about it."""
    data = bytearray(cv2.imencode(".png", gradient().astype(np.uint16) * 257)[1].tobytes())
    data[-14] ^= 0x55
    return bytes(data)


def _tiff() -> bytes:
    """A TIFF whose directory ends with the file."""
    data = bytearray(saved(Pillow.fromarray(gradient()), "TIFF"))
    struct.pack_into("<I", data, 4, len(data))
    return bytes(data) + bytes(data[8:108])


@pytest.mark.parametrize(
    "data",
    [
        saved(Pillow.new("1", (9_500, 9_500)), "PNG"),
        _damaged_exif("PNG"),
        _damaged_exif("WEBP"),
        _tiff(),
        _deep_png(),
    ],
    ids=["bomb", "exif-png", "exif-webp", "tiff", "deep-png"],
)
def test_libraries_print_nothing_about_a_file(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        for function in (images.probe, images.decode, images.verify):
            with contextlib.suppress(ImageError):
                function(data)
    assert not raised
    assert capfd.readouterr().err == ""
    assert list(warnings.filters) == filters


def test_pillow_is_silent_in_several_threads_and_speaks_again_afterwards() -> None:
    data = _damaged_exif("PNG")
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(images.decode, [data] * 200))
        assert not raised
        with Pillow.open(io.BytesIO(data)) as picture:
            picture.getexif().get(0x0112)
        assert raised, "a program that uses Pillow itself is not silenced"


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif", ".jp2", ".j2k", ".jpx", ".ppm", ".pnm"])
def test_every_suffix_of_images_is_decoded(suffix: str, tmp_path: Path) -> None:
    """Also through the importers, which find images by their suffixes."""
    from pipekit.builtin.importers.folders import FoldersParams, read, sniff
    from pipekit.files import image_suffixes

    if suffix not in image_suffixes():
        pytest.skip("this Pillow does not decode it")
    path = tmp_path / "dog" / f"a{suffix.upper()}"
    path.parent.mkdir()
    kind = {".avif": "AVIF", ".jfif": "JPEG", ".jpe": "JPEG", ".ppm": "PPM", ".pnm": "PPM"}.get(suffix, "JPEG2000")
    Pillow.new("RGB", (40, 30), (200, 40, 40)).save(path, kind)
    assert sniff(tmp_path)
    (sample,) = read(tmp_path, FoldersParams())
    found = images.read(sample.image)
    assert found.shape == (30, 40, 3)
    assert abs(found.astype(int) - (200, 40, 40)).max() < 12
    info = images.verify(images.read_bytes(path))
    assert (info.width_px, info.height_px, info.format) == (40, 30, kind)


@pytest.mark.parametrize(("most", "expected"), [(15, 255), (255, 255), (4095, 255), (65535, 255)])
def test_a_grey_netpbm_image_of_any_depth(most: int, expected: int) -> None:
    kind = ">u2" if most > 255 else "u1"
    found = images.decode(b"P5\n3 1\n%d\n" % most + np.array([0, most // 2, most], kind).tobytes())
    assert found[0, :, 0].tolist() == [0, pytest.approx(127, abs=9), expected]


def test_a_file_of_arrays_is_no_image(tmp_path: Path) -> None:
    """Pillow knows HDF5 by its signature and decodes none."""
    path = tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    assert not images.is_image(path)


def test_an_avif_is_turned_as_it_is_displayed(tmp_path: Path) -> None:
    from pipekit.files import image_suffixes

    if ".avif" not in image_suffixes():
        pytest.skip("this Pillow does not decode it")
    exif = Pillow.Exif()
    exif[0x0112] = 6
    picture = Pillow.new("RGB", (40, 30), (255, 255, 255))
    picture.paste((200, 0, 0), (0, 0, 20, 30))
    picture.save(tmp_path / "a.avif", exif=exif)
    found = images.read(tmp_path / "a.avif")
    assert found.shape == (40, 30, 3)
    assert found[5, 15, 1] < 40 < 200 < found[35, 15, 1], "the left half is at the top"


def test_suffixes_follow_what_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.files.suffixes import IMAGE_SUFFIXES, image_suffixes

    image_suffixes.cache_clear()
    try:
        assert (".avif" in image_suffixes()) == PIL.features.check("avif")
        assert PIL.features.check("jpg_2000"), "or the list has suffixes that this Pillow does not decode"
        monkeypatch.setattr("pathlib.Path.iterdir", lambda folder: iter([folder / "Image.py"]))
        image_suffixes.cache_clear()
        assert image_suffixes() == IMAGE_SUFFIXES
    finally:
        image_suffixes.cache_clear()


class Raw:
    """A codec of a plugin."""

    @staticmethod
    def suffixes() -> tuple[str, ...]:
        return (".raw8",)

    @staticmethod
    def reads(data: bytes) -> bool:
        return data.startswith(b"RAW8")

    @staticmethod
    def decode(data: bytes) -> object:
        return np.frombuffer(data, np.uint8, offset=4).reshape(2, -1, int(data[3:4]) - 5)


def test_a_plugins_codec_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.files import image_suffixes, use_codecs

    good = b"RAW8" + bytes(range(18))
    try:
        use_codecs([lambda: Raw])
        assert ".raw8" in image_suffixes()
        assert images.decode(good).shape == (2, 3, 3)
        assert images.decode(good, gray=True).shape == (2, 3, 1)
        assert (images.probe(good).width_px, images.probe(good).height_px) == (3, 2)
        with pytest.raises(ImageError, match="its codec can't decode it: cannot reshape"):
            images.decode(good[:-1])
        assert images.decode(images.encode(np.zeros((5, 6, 3), np.uint8), "png")).shape == (5, 6, 3)
        for returned, expected in (
            (np.full((2, 3), 7, np.uint8), 7),
            (np.full((2, 3, 1), 7, np.uint8), 7),
            (np.dstack([np.full((2, 3), 7, np.uint8), np.full((2, 3), 0, np.uint8)]), 255),
            (np.full((2, 3, 4), 51, np.uint8), 214),  # a fifth of 51, on white
        ):
            monkeypatch.setattr(Raw, "decode", lambda data, returned=returned: returned)
            decoded = images.decode(good)
            assert decoded.shape == (2, 3, 3)
            assert (decoded == expected).all()
        for returned in (np.zeros((2, 3, 5), np.uint8), np.zeros((2, 3)), np.zeros((0, 3), np.uint8), np.zeros(6, np.uint8)):
            monkeypatch.setattr(Raw, "decode", lambda data, returned=returned: returned)
            with pytest.raises(ImageError, match="its codec returned"):
                images.decode(good)
    finally:
        use_codecs([])
    assert ".raw8" not in image_suffixes()
    with pytest.raises(ImageError):
        images.decode(good)


def test_a_folder_that_is_not_there_is_named_and_no_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"there is no folder {tmp_path / 'no'}, for a.png") as caught:
        images.write(tmp_path / "no" / "a.png", np.zeros((2, 2, 3), np.uint8))
    assert caught.value.hint == f"Make it: mkdir -p {tmp_path / 'no'}"
