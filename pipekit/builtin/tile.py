"""The stage ``tile``: cut images into tiles, with their boxes, outlines, keypoints and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import field_validator, model_validator

from pipekit import images
from pipekit.contract import Box, Context, Dataset, Keypoint, Params, Sample, SampleContext, Targets, param, stage, unseeded
from pipekit.errors import ImageError
from pipekit.images.bands import bands, size_of
from pipekit.images.pixels import raised_limit
from pipekit.images.polygons import area, clipped, plain, polygons_of
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports


class TileParams(Params):
    size_hw: tuple[int, int] = param((1024, 1024), "Height and width of a tile; smaller images stay one tile", unit="px")
    overlap: int = param(0, "Least number of pixels that neighbouring tiles share", unit="px", ge=0)
    min_visible: float = param(
        0.3, "Minimum fraction of a box (or of its outline) inside the tile; others are dropped", ge=0, le=1
    )
    min_area_px: float = param(1.0, "Drop pieces of boxes with a smaller area", unit="px²", ge=0)
    empty: Literal["keep", "drop"] = param("keep", "Tiles without a box, of images that have boxes: keep or drop them")
    format: Literal["same", "png", "jpg", "webp"] = param("same", "File format; same: jpg for JPEG sources, else png")
    quality: int = param(95, "Quality of jpg and webp", ge=1, le=100)
    max_megapixels: int = param(
        2000,
        "Largest image that is decoded whole; TIFF and 8-bit PNG files, read by rows, may be larger",
        unit="MP",
        ge=1,
    )

    @field_validator("size_hw")
    @classmethod
    def _has_pixels(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 8 or max(value) > 16384:
            raise ValueError(f"height and width must lie within 8 and 16384 px, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _leaves_a_step(self) -> TileParams:
        if self.overlap >= min(self.size_hw):
            raise ValueError(f"an overlap of {self.overlap} px leaves no step for tiles of {list(self.size_hw)} px")
        return self


@supports(
    CLASSES,
    why={
        MULTILABEL: "the labels of an image do not say which tile shows them. Cut images with boxes, export the tiles, and "
        "import them with labels_from = 'boxes'",
        NUMBER: "the number of a whole image does not hold for its tiles",
    },
)
@stage(libraries=("numpy", "opencv-python-headless", "pillow", "simplejpeg"))
def tile(ctx: Context, dataset: Dataset, params: TileParams) -> Dataset:
    """Cut every image into tiles of one size. The tiles of an image share its origin, so that a split keeps them together."""
    facts: dict[str, str] = {}
    made = ctx.dataset(ctx.map(cut, dataset, params, label="cutting", name="cut"), facts=facts)
    facts.update(images=str(len(dataset) - made.meta["num_failed"] + dataset.meta["num_failed"]), tiles=str(len(made)))
    dropped = lost = 0
    for sample in made:
        record = sample.extra["tile"]
        dropped, lost = dropped + record["dropped"], lost + record.get("lost", 0)
    if dropped:
        facts["pieces of boxes dropped"] = str(dropped)
    if lost:
        ctx.warn(
            f"{lost:,} boxes are in no tile, since each tile has less than {params.min_visible:g} of them; "
            "a larger overlap or a smaller min_visible keeps them"
        )
    return made


# --- one image -----------------------------------------------------------------------------------------------------------


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Where tiles begin along one side: all have the full size, and the last ends with the image.

    >>> starts(1000, 400, 0)
    [0, 400, 600]
    """
    if length <= size:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]


@unseeded
def cut(sample: Sample, params: TileParams, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the tiles of an image from top to bottom, written as files."""
    data = images.read_bytes(sample.image)
    info = size_of(data)
    height, width = min(params.size_hw[0], info.height_px), min(params.size_hw[1], info.width_px)
    mask = _mask(sample, (info.height_px, info.width_px), params)
    lefts = starts(info.width_px, width, params.overlap)
    format = ("jpg" if info.format == "JPEG" else "png") if params.format == "same" else params.format
    found: list[Sample] = []
    kept: set[int] = set()
    for top, rows in _rows_of_tiles(data, info.height_px, height, params):
        for left in lefts:
            targets, here, dropped = _targets(sample.targets, (left, top), (height, width), params)
            kept |= here
            if params.empty == "drop" and sample.targets.boxes and not targets.boxes:
                continue
            name = f"{sample.id}.tile_{top}_{left}.{format}"
            path = ctx.write(name, images.encode(np.ascontiguousarray(rows[:, left : left + width]), format, params.quality))
            if mask is not None:
                piece = np.ascontiguousarray(mask[top : top + height, left : left + width])
                targets = replace(targets, mask=ctx.write(f"masks/{name}.png", images.encode(piece, "png")))
            record = {"of": sample.id, "sha256": sample.sha256, "left_px": left, "top_px": top, "dropped": dropped}
            extra = {**sample.extra, "tile": record}
            found.append(Sample(name, path, "", sample.label, sample.split, targets, extra))
    lost = len(sample.targets.boxes) - len(kept)
    if lost and found:
        found[0] = replace(found[0], extra={**found[0].extra, "tile": {**found[0].extra["tile"], "lost": lost}})
    yield from found


def _rows_of_tiles(data: bytes, length: int, height: int, params: TileParams) -> Iterator[tuple[int, Any]]:
    """(top, the rows of a row of tiles), of which no more are in memory than the tiles need."""
    waiting = iter(bands(data, params.max_megapixels * 1_000_000))
    held, first = next(waiting), 0
    for top in starts(length, height, params.overlap):
        held, first = held[top - first :] if top > first else held, max(first, top)
        parts = [held]
        while sum(map(len, parts)) < height:
            more = next(waiting, None)
            if more is None:
                raise ImageError("truncated: fewer rows than its header states")
            parts.append(more)
        held = parts[0] if len(parts) == 1 else np.concatenate(parts)
        yield top, held[:height]


def _mask(sample: Sample, size_hw: tuple[int, int], params: TileParams) -> Any:
    if not sample.targets.mask:
        return None
    with raised_limit(params.max_megapixels * 1_000_000):
        mask = images.read_mask(sample.targets.mask)
    if mask.shape != size_hw:
        raise ImageError(f"its mask has {mask.shape[1]} x {mask.shape[0]} px, the image {size_hw[1]} x {size_hw[0]}")
    return mask


def _targets(
    targets: Targets, corner_xy: tuple[int, int], size_hw: tuple[int, int], params: TileParams
) -> tuple[Targets, set[int], int]:
    """The annotations of a tile, the numbers of the boxes that it keeps, and how many pieces were dropped."""
    boxes: list[Box] = []
    places: dict[int, int] = {}
    dropped = 0
    for number, box in enumerate(targets.boxes):
        piece, visible = clip_box(box, corner_xy, size_hw)
        if piece is None:
            continue
        if visible < params.min_visible or (piece.x_max - piece.x_min) * (piece.y_max - piece.y_min) < params.min_area_px:
            dropped += 1
            continue
        places[number] = len(boxes)
        boxes.append(piece)
    return Targets("", "", tuple(boxes), tuple(_keypoints(targets.keypoints, places, corner_xy, size_hw))), set(places), dropped


def clip_box(box: Box, corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> tuple[Box | None, float]:
    """A box in the pixels of a tile, clipped with its outline, and the fraction of it that is there; None if nothing is."""
    (left, top), (height, width) = corner_xy, size_hw
    edges = np.array([box.x_min, box.y_min, box.x_max, box.y_max]) - (left, top, left, top)
    x_min, y_min, x_max, y_max = np.clip(edges, 0, (width, height, width, height)).tolist()
    if x_max <= x_min or y_max <= y_min:
        return None, 0.0
    whole = (box.x_max - box.x_min) * (box.y_max - box.y_min)
    if not box.outline:
        return replace(box, x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max), (x_max - x_min) * (y_max - y_min) / whole
    polygons = polygons_of(box.outline)
    inside = [clipped(polygon - (left, top), 0.0, (width, height)) for polygon in polygons]
    inside = [polygon for polygon in inside if len(polygon) >= 3 and area([polygon]) > 0]
    if not inside:
        return None, 0.0
    corners = np.concatenate(inside)
    (x_min, y_min), (x_max, y_max) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    found = replace(box, x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max, outline=plain(inside))
    return found, area(inside) / max(area(polygons), 1e-9)


def _keypoints(
    points: Sequence[Keypoint], places: dict[int, int], corner_xy: tuple[int, int], size_hw: tuple[int, int]
) -> Iterator[Keypoint]:
    """The points of boxes that are kept, invisible outside of the tile; points of no box only if they are in it."""
    (left, top), (height, width) = corner_xy, size_hw
    for point in points:
        x, y = point.x - left, point.y - top
        inside = -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
        if point.of is None and inside:
            yield replace(point, x=x, y=y)
        elif point.of in places:
            yield replace(point, x=x, y=y, visible=point.visible and inside, of=places[point.of])
