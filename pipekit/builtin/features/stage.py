"""The work of the stage ``features``: run a detector over a dataset; write points, descriptors, counts, and drawings."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from bisect import insort
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from pipekit import images
from pipekit.builtin.features import DetectParams, FeatureFiles, FeaturesParams
from pipekit.builtin.features.draw import draw_features, draw_map, fitted
from pipekit.contract import Call, Context, Dataset, Params, Sample, SampleContext, Uses, param
from pipekit.errors import UserError
from pipekit.files import PlainTable
from pipekit.images.draw import contact_sheet
from pipekit.images.warping import Image
from pipekit.keypoints.detection import Features, features_of

POINT_COLUMNS = ("id", "x_px", "y_px", "response", "scale_px", "angle_deg")
_POINTS = "/points.csv"
_SHEET_PREVIEWS = 12


def find_features(ctx: Context, dataset: Dataset, params: FeaturesParams) -> FeatureFiles:
    """The stage's work."""
    finder = DetectParams(detector=params.detector, arrays=params.arrays)
    counts = Counts(params.previews_per_class)
    # The folder's files depend on these files and rows alone, so their known hashes need not be computed again.
    digest = hashlib.sha256(params.table.encode())
    with (
        (ctx.out_dir / "points.csv").open("wb") as points,
        (ctx.out_dir / "counts.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as out,
    ):
        points.write((",".join(POINT_COLUMNS) + "\n").encode())
        rows = PlainTable(out)
        rows.writerow(["id", "label", "split", "width_px", "height_px", "num_points", "note"])
        for made in ctx.map(find_in_sample, dataset, finder, label=params.detector.name, name="find_in_sample"):
            digest.update(f"{made.id}\0{made.label}\0{made.split}\0{made.sha256}\n".encode("utf-8", "surrogatepass"))
            if not made.id.endswith(_POINTS):
                _place(Path(made.image), ctx.out_dir / "arrays" / f"{made.id}.npz")
                continue
            with open(made.image, "rb") as part:
                shutil.copyfileobj(part, points)
            found = made.extra
            sample_id = made.id.removesuffix(_POINTS)
            rows.writerow(
                [sample_id, made.label, made.split, found["width_px"], found["height_px"], found["num"], found["note"]]
            )
            counts.add(sample_id, made.label, int(found["num"]))
    if params.table == "parquet":
        _to_parquet(ctx.out_dir / "points.csv")
    counts.write(ctx.out_dir / "classes.csv")
    for picture in _preview(ctx, dataset, counts, params):
        digest.update(picture.encode())
    if counts.empty:
        ctx.warn(f"{params.detector.name} found nothing in {counts.empty:,} of {counts.images:,} images; counts.csv says why")
    mean = counts.points / max(1, counts.images)
    return ctx.artifact(
        FeatureFiles,
        digest=digest.hexdigest(),
        facts={"images": f"{counts.images:,}", "features": f"{counts.points:,}", "an image": f"{mean:,.0f}"},
        headline=f"{params.detector.name}: {counts.points:,} features in {counts.images:,} images, {mean:,.0f} an image"
        if counts.images > 1
        else f"{params.detector.name}: {counts.points:,} features",
    )


# --- one image -----------------------------------------------------------------------------------------------------------


def find(image: Image, call: Call) -> Features:
    """The features of an image; the return value of a plugin's detector is validated."""
    return features_of(call.load()(image, call.params), (image.shape[0], image.shape[1]), f"the detector {call.name!r}")


def read_for(call: Call, path: str) -> Image:
    """An image as its detector needs it: greyscale if it uses only brightness."""
    return images.read(path, gray=getattr(call.load(), "gray_only", False))


def find_in_sample(sample: Sample, params: DetectParams, ctx: SampleContext) -> Iterable[Sample]:
    """The features of one image, as a part of ``points.csv`` and an ``.npz``."""
    image = read_for(params.detector, sample.image)
    found = find(image, params.detector)
    path = ctx.write(f"{sample.id}.csv", lines_of(sample.id, found).encode("utf-8", "backslashreplace"))
    facts = {"num": len(found), "note": found.note, "height_px": image.shape[0], "width_px": image.shape[1]}
    yield Sample(sample.id + _POINTS, path, label=sample.label, split=sample.split, extra=facts)
    if params.arrays:
        data = io.BytesIO()  # writing the file in one go costs half as much as letting ZipFile write it
        np.savez(data, allow_pickle=False, **arrays_of(found))
        yield Sample(sample.id, ctx.write(f"{sample.id}.npz", data.getvalue()))


def arrays_of(found: Features) -> dict[str, Any]:
    """The existing columns by name, as an ``.npz`` stores them."""
    columns = {name: getattr(found, name) for name in ("points", "scale_px", "angle_deg", "descriptors")}
    return {**{name: column for name, column in columns.items() if column is not None}, "norm": np.array(found.norm)}


def lines_of(sample_id: str, found: Features) -> str:
    """The rows of the table of points: hundredths of a pixel, six digits of the response."""
    name = sample_id if not set(sample_id) & set('",\n\r') else '"' + sample_id.replace('"', '""') + '"'
    columns = [found.points]
    scale, angle = "", ""
    if found.scale_px is not None:
        columns.append(found.scale_px)
        scale = "%.2f"
    if found.angle_deg is not None:
        columns.append(found.angle_deg)
        angle = "%.1f"
    # One template for all rows takes half the time of one for each.
    row = f"{name.replace('%', '%%')},%.2f,%.2f,%.6g,{scale},{angle}\n"
    return row * len(found) % tuple(np.column_stack(columns).ravel().tolist())


# --- counts --------------------------------------------------------------------------------------------------------------


class Counts:
    """Number of features per image and class, and the choice of the images to draw.

    The images of each class with the smallest hashes of their ids are drawn: the same ones in any place and any dataset.
    """

    def __init__(self, shown_per_class: int) -> None:
        self.of: dict[str, list[int]] = {}
        self._shown_per_class = shown_per_class
        self._shown: dict[str, list[tuple[str, str]]] = {}

    def add(self, sample_id: str, label: str | None, count: int) -> None:
        self.of.setdefault(label or "", []).append(count)
        shown = self._shown.setdefault(label or "", [])
        insort(shown, (hashlib.sha256(sample_id.encode("utf-8", "surrogatepass")).hexdigest(), sample_id))
        del shown[self._shown_per_class :]

    @property
    def chosen(self) -> set[str]:
        return {sample_id for shown in self._shown.values() for _, sample_id in shown}

    @property
    def images(self) -> int:
        return sum(map(len, self.of.values()))

    @property
    def points(self) -> int:
        return sum(map(sum, self.of.values()))

    @property
    def empty(self) -> int:
        return sum(count == 0 for counts in self.of.values() for count in counts)

    def write(self, path: Path) -> None:
        """One row for each class: images, those without a feature, and the spread of the number of features."""
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
            rows = PlainTable(out)
            rows.writerow(["label", "images", "without_features", "mean", "min", "p25", "median", "p75", "max"])
            for label in sorted(self.of):
                counts = np.array(self.of[label])
                spread = [f"{value:g}" for value in np.percentile(counts, [0, 25, 50, 75, 100])]
                rows.writerow([label, len(counts), int((counts == 0).sum()), f"{counts.mean():.1f}", *spread])


def _to_parquet(path: Path) -> None:
    """Replace the CSV by Parquet, block by block."""
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            "table = 'parquet' needs the package pyarrow", "pip install pyarrow, or leave table at 'csv'."
        ) from None
    types = {name: pa.string() if name == "id" else pa.float32() for name in POINT_COLUMNS}
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    with (
        pa.csv.open_csv(path, convert_options=options) as blocks,
        pa.parquet.ParquetWriter(path.with_suffix(".parquet"), blocks.schema) as out,
    ):
        for block in blocks:
            out.write_batch(block)
    path.unlink()


def _place(source: Path, target: Path) -> None:
    """Hard-link the file to another place if the disk allows it, else copy it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        if target.parent.is_dir():
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        _place(source, target)
    except OSError:
        shutil.copyfile(source, target)


# --- drawings ------------------------------------------------------------------------------------------------------------


class PreviewParams(Params):
    detector: Annotated[Call, Uses("detector")] = param("harris", "The detector")
    preview_px: int = param(640, "Longer side of a drawn image", unit="px", ge=64, le=4096)


def preview_sample(sample: Sample, params: PreviewParams, ctx: SampleContext) -> Iterable[Sample]:
    """Draw one image with its features beside its response map."""
    found = find(read_for(params.detector, sample.image), params.detector)
    picture, note = preview(images.read(sample.image), found, params.detector.name, params.preview_px)
    path = ctx.out_path(f"{sample.id}.png")
    images.write(path, picture)
    yield Sample(sample.id, str(path), label=sample.label, extra={"caption": note})


def preview(image: Image, found: Features, name: str, tile_px: int) -> tuple[Image, str]:
    """The image with its features, the response map beside it, and a caption."""
    drawn = draw_features(image, found, tile_px)
    if found.response_map is not None:
        beside = draw_map(found.response_map, (drawn.shape[0], drawn.shape[1]), root=not found.dense)
    else:
        beside = fitted(image, tile_px)[0]
    gap = np.full((drawn.shape[0], max(4, tile_px // 80), 3), 255, np.uint8)
    count = f"{len(found):,} {'cells' if found.dense else 'features'}" if len(found) else found.note
    return np.concatenate([drawn, gap, beside], axis=1), f"{name}: {count}"


def _preview(ctx: Context, dataset: Dataset, counts: Counts, params: FeaturesParams) -> list[str]:
    """Draw the chosen images, and put the first of each class on a contact sheet; returns the drawings' hashes."""
    chosen = counts.chosen
    if not chosen:
        return []
    wanted = [sample for sample in dataset if sample.id in chosen]
    tiles: list[tuple[str, str, Path]] = []
    hashes: list[str] = []
    asked = PreviewParams(detector=params.detector, preview_px=params.preview_px)
    for made in ctx.map(preview_sample, wanted, asked, label="previews", name="preview_sample"):
        target = ctx.out_dir / "previews" / f"{made.id}.png"
        _place(Path(made.image), target)
        tiles.append((made.label or "", f"{made.id}\n{made.extra['caption']}", target))
        hashes.append(made.sha256)
    if tiles:
        shown = _even(tiles, _SHEET_PREVIEWS)
        pictures = [images.read(path) for _, _, path in shown]
        sheet = contact_sheet(pictures, [caption for _, caption, _ in shown], columns=2, tile_px=760, font_px=17)
        images.write(ctx.out_dir / "features.png", sheet)
    return hashes


def _even(tiles: list[tuple[str, str, Path]], count: int) -> list[tuple[str, str, Path]]:
    """At most ``count`` tiles, from all classes in turn."""
    by_label: dict[str, list[tuple[str, str, Path]]] = {}
    for tile in tiles:
        by_label.setdefault(tile[0], []).append(tile)
    turns = max(map(len, by_label.values()))
    return [group[turn] for turn in range(turns) for group in by_label.values() if turn < len(group)][:count]
