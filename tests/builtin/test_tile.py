"""The stage ``tile``: pixels, boxes, outlines, masks, origins, and images that are too large to be decoded otherwise."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydantic import ValidationError

from pipekit import images
from pipekit.builtin.tile import TileParams, clip_box, starts
from pipekit.contract import Box, Dataset, Sample
from pipekit.errors import ImageError
from pipekit.images import bands, pixels, png_bands
from pipekit.images.origins import origins_of
from tests.conftest import DATA, Trial

PIXELS = np.random.default_rng(0).integers(0, 256, (100, 130, 3), np.uint8)


@given(st.integers(1, 500), st.integers(1, 60), st.integers(0, 59))
def test_tiles_cover_a_side_without_a_gap(length: int, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    found = starts(length, size, overlap)
    assert found[0] == 0
    assert found[-1] + size >= length
    assert all(0 < after - before <= size - overlap for before, after in pairwise(found))
    assert length <= size or found[-1] + size == length, "no tile reaches beyond the image"


def tiled(trial: Trial, data: dict[str, Any] = DATA, **values: Any) -> Dataset:
    found: Dataset = trial.run({"data": data, "tiles": {"use": "tile", **values}}).artifact("tiles")
    return found


def test_pixels_are_those_of_the_image(trial: Trial) -> None:
    (trial.path / "images/a").mkdir()
    images.write(trial.path / "images/a/1.png", PIXELS)
    made = tiled(trial, size_hw=[40, 50], overlap=8)
    whole = np.zeros_like(PIXELS)
    for one in made:
        record = one.extra["tile"]
        top, left = record["top_px"], record["left_px"]
        assert (one.id, one.label) == (f"a/1.png.tile_{top}_{left}.png", "a")
        piece = images.read(one.image)
        assert piece.shape == (40, 50, 3)
        assert (piece == PIXELS[top : top + 40, left : left + 50]).all()
        whole[top : top + 40, left : left + 50] = piece
    assert (whole == PIXELS).all()
    assert made.meta["facts"] == {"images": "1", "tiles": "9"}


def test_tiles_of_an_image_stay_in_one_split(trial: Trial) -> None:
    for number in range(6):
        path = trial.path / f"images/{'ab'[number % 2]}/{number}.png"
        path.parent.mkdir(exist_ok=True)
        images.write(path, np.roll(PIXELS, 17 * number, axis=1))
    split = {"use": "split", "duplicates": "off", "fractions": {"train": 0.5, "test": 0.5}}
    stages: dict[str, dict[str, Any]] = {"data": DATA, "tiles": {"use": "tile", "size_hw": [50, 65]}, "split": split}
    made = trial.run(stages).artifact("split")
    where: dict[str, set[str]] = {}
    for one in made:
        where.setdefault(one.extra["tile"]["of"], set()).add(one.split)
    assert len(where) == 6
    assert all(len(splits) == 1 for splits in where.values())
    rows = [Sample("x", "", extra={"extra_tile": json.dumps({"of": "big"})}), Sample("y", "", extra={"tile": {"of": "big"}})]
    assert origins_of(rows) == [0, 0], "also as metadata.csv keeps it"


def test_boxes_outlines_and_keypoints_are_clipped_and_counted(trial: Trial) -> None:
    images.write(trial.path / "images/1.png", PIXELS)
    person = {"id": 1, "name": "person", "keypoints": ["nose", "foot"], "skeleton": []}
    objects = [
        {"bbox": [40, 40, 20, 10], "segmentation": [[40, 40, 60, 40, 60, 50, 40, 50]], "category_id": 1}
        | {"keypoints": [42, 44, 2, 58, 48, 2], "num_keypoints": 2},
        {"bbox": [48, 0, 40, 10], "category_id": 1},
    ]
    found = {
        "images": [{"id": 1, "file_name": "1.png", "width": 130, "height": 100}],
        "categories": [person],
        "annotations": [{"id": at, "image_id": 1, "area": 200, "iscrowd": 0, **one} for at, one in enumerate(objects, 1)],
    }
    (trial.path / "images/instances.json").write_text(json.dumps(found))
    made = tiled(trial, {"use": "import.coco", "path": "images"}, size_hw=[100, 50], min_visible=0.3)
    by_left = {one.extra["tile"]["left_px"]: one for one in made}
    assert sorted(by_left) == [0, 50, 80]
    (first,) = by_left[0].targets.boxes
    assert (first.x_min, first.y_min, first.x_max, first.y_max) == (40, 40, 50, 50)
    assert sorted(zip(*[iter(first.outline[0])] * 2, strict=True)) == [(40, 40), (40, 50), (50, 40), (50, 50)]
    assert [(point.label, point.visible, point.of) for point in by_left[0].targets.keypoints] == [
        ("nose", True, 0),
        ("foot", False, 0),
    ]
    assert [box.x_max for box in by_left[50].targets.boxes] == [10, 38]
    assert by_left[80].targets.boxes == (), "8 of 40 pixels are too few"
    assert by_left[0].extra["tile"]["dropped"] == 1, "2 of 40 pixels"
    assert made.meta["facts"]["pieces of boxes dropped"] == "2"
    assert len(tiled(trial, {"use": "import.coco", "path": "images"}, size_hw=[100, 50], empty="drop")) == 2
    tiled(trial, {"use": "import.coco", "path": "images"}, size_hw=[100, 10], min_visible=0.9)
    assert any("2 boxes are in no tile" in one["message"] for one in trial.told("warning"))


@given(st.tuples(*[st.floats(0, 60)] * 2), st.tuples(*[st.floats(1, 60)] * 2), st.integers(1, 40), st.integers(1, 40))
def test_the_pieces_of_a_box_sum_up_to_it(
    corner: tuple[float, float], size: tuple[float, float], height: int, width: int
) -> None:
    box = Box(corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
    pieces = [clip_box(box, (left, top), (height, width)) for top in range(0, 130, height) for left in range(0, 130, width)]
    assert sum(visible for _, visible in pieces) == pytest.approx(1)
    inside = [piece for piece, _ in pieces if piece is not None]
    assert all(0 <= one.x_min < one.x_max <= width and 0 <= one.y_min < one.y_max <= height for one in inside)


def test_masks_are_cut_too(trial: Trial) -> None:
    for folder in ("images", "masks"):
        (trial.path / "images" / folder).mkdir()
    images.write(trial.path / "images/images/a.png", PIXELS)
    images.write(trial.path / "images/masks/a.png", PIXELS[..., 0] // 32)
    for one in tiled(trial, {"use": "import.masks", "path": "images"}, size_hw=[60, 130]):
        top = one.extra["tile"]["top_px"]
        assert (images.read_mask(one.targets.mask) == PIXELS[top : top + 60, :, 0] // 32).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [({"size_hw": (4, 40)}, "must lie within 8"), ({"size_hw": (40, 50), "overlap": 40}, "leaves no step")],
)
def test_sizes_that_can_not_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TileParams(**values)


# --- large images --------------------------------------------------------------------------------------------------------


def tiff(**options: Any) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(PIXELS).save(out, "TIFF", **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_tiff_is_read_strip_by_strip(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "ROWS", 16)
    data = tiff(compression=compression, strip_size=130 * 3 * 16)
    found = list(bands.bands(data, 10_000))
    assert len(found) > 1
    assert (np.concatenate(found) == images.decode(data)).all()
    assert max(map(len, found)) <= 16


def png(mode: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture = Pillow.fromarray(PIXELS).convert("RGBA")
    picture.putalpha(Pillow.fromarray(PIXELS[..., 0]))
    made = picture.convert("RGB").quantize(64) if mode == "P" else picture.convert(mode)
    made.save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("RGB", {}), ("P", {}), ("P", {"transparency": 3}), ("LA", {}), ("RGBA", {"compress_level": 1})],
)
def test_a_png_is_read_some_rows_at_a_time(mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_bands, "ROWS", 16)
    data = png(mode, **options)
    parts = png_bands.parsed(data)
    assert parts is not None
    assert mode == "P" or len({row[0] for row in png_bands._unpacked(data, parts)}) > 1, "rows of several filters"
    found = list(bands.bands(data, 3_000))
    assert [len(band) for band in found] == [16] * (len(PIXELS) // 16) + [len(PIXELS) % 16] * (len(PIXELS) % 16 > 0)
    assert (np.concatenate(found) == images.decode(data)).all()


def test_a_damaged_png_is_an_error_in_words() -> None:
    data = png("RGB")
    at = data.index(b"IDAT") + 40
    for damaged in (data[:at] + b"\0" + data[at + 1 :], data[: len(data) // 2]):
        with pytest.raises(ImageError, match=r"damaged PNG|truncated PNG"):
            list(bands.bands(damaged, 100_000))


def test_other_files_are_decoded_whole_up_to_a_limit() -> None:
    data = images.encode(PIXELS, "bmp")
    (whole,) = bands.bands(data, 13_000)
    assert (whole == PIXELS).all()
    with pytest.raises(ImageError, match="more than"):
        list(bands.bands(data, 12_999))


def test_an_image_above_the_limit_is_refused_with_the_way_out_and_tiled(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 5_000)
    (trial.path / "images/a").mkdir()
    (trial.path / "images/a/1.png").write_bytes(images.encode(PIXELS, "png"))
    (trial.path / "images/a/2.tif").write_bytes(tiff(strip_size=130 * 3 * 16, compression="tiff_lzw"))
    with pytest.raises(Exception, match=r'import it with verify = "none" and cut it with the stage tile'):
        trial.run({"data": {"use": "import.folders", "path": "images"}})
    made = tiled(trial, size_hw=[50, 65])
    assert len(made) == 8
    assert images.read(next(iter(made)).image).shape == (50, 65, 3)


def test_the_page_shows_every_parameter() -> None:
    page = (Path(__file__).parents[2] / "docs/stages/tile.md").read_text("utf-8")
    assert [name for name in TileParams.model_fields if f"`{name}" not in page] == []
