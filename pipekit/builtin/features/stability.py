"""The stage ``stability``: the repeatability of feature detectors under rotation, scale, blur and brightness.

C. Schmid, R. Mohr and C. Bauckhage, "Evaluation of interest point detectors", International Journal of Computer Vision 37(2),
2000: the repeatability rate is the number of points that are found again within a tolerance (1.5 px there), divided by the
smaller number of points in the part that both images show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipekit import images
from pipekit.builtin.features.stage import find
from pipekit.contract import Call, Context, Dataset, Files, Params, Sample, Uses, param, stage
from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable
from pipekit.images.arrays import Homography
from pipekit.images.draw import COLOURS, thumbnail
from pipekit.images.warping import Image, warp
from pipekit.keypoints.detection import Features
from pipekit.recipe.compiled import compile_recipe
from pipekit.recipe.homography import about, centre_of, matrix, move, scaling
from pipekit.recipe.notation import Ops
from pipekit.tasks import supports

Change = Literal["rotation", "scale", "blur", "brightness"]
Detector = Annotated[Call, Uses("detector")]
Amount = Annotated[float, Field(gt=0)]

BORDER_PX = 8
"""Points nearer than this to the border of the common part are not counted: pixels beyond it influence them."""

NO_POINTS = ("contours", "hog", "lbp")
"""Built-in detectors whose features are not points with a position to find again."""

_UNITS = {"rotation": "degrees", "scale": "factor", "blur": "sigma in px", "brightness": "factor", "recipe": "copy"}
_MARKS = ("o", "s", "^", "D", "v", "P", "X")


class StabilityParams(Params):
    detectors: tuple[Detector, ...] = param(
        ("harris", "shi_tomasi", "fast", "orb", "sift"), "The detectors to compare", min_length=1, max_length=12
    )
    changes: tuple[Change, ...] = param(("rotation", "scale", "blur", "brightness"), "The changes applied to the images")
    angles_deg: tuple[float, ...] = param((10, 20, 30, 45, 90), "Rotations about the centre", unit="deg", min_length=1)
    scales: tuple[Amount, ...] = param((0.5, 0.7, 0.85, 1.2, 1.5), "Factors on width and height", min_length=1)
    blur_sigmas_px: tuple[Amount, ...] = param((0.5, 1, 2, 3), "Gaussian blurs", unit="px", min_length=1)
    brightness: tuple[Amount, ...] = param((0.5, 0.75, 1.25, 1.5), "Factors on all values", min_length=1)
    recipe: Ops | None = param(None, "Also measure under this augmentation recipe, as the augment stage takes it")
    copies: int = param(5, "Number of draws of the recipe for each image", ge=1, le=100)
    tolerance_px: float = param(1.5, "Largest distance at which a point counts as found again", unit="px", gt=0, le=50)
    max_images: int = param(10, "Maximum number of images to measure, evenly spread over the dataset", unit="images", ge=1)
    max_px: int = param(400, "Larger images are first reduced to this longer side", unit="px", ge=32, le=4096)


@dataclass(frozen=True)
class StabilityFiles(Files):
    """``stability.png`` and ``stability.csv``."""

    kind: ClassVar[str] = "stability"
    headline: ClassVar[tuple[str, ...]] = ("stability.png", "stability.csv")


@supports("classes", "multilabel", "number")
@stage
def stability(ctx: Context, dataset: Dataset, params: StabilityParams) -> StabilityFiles:
    """Measure the repeatability of detectors on the images of a dataset."""
    for call in params.detectors:
        if call.name in NO_POINTS:
            raise UserError(
                f"{call.name} returns no points that could be found again",
                "Compare harris, shi_tomasi, fast, orb, sift, akaze, blobs, or a detector of your own.",
            )
    samples = list(dataset)
    step = max(1.0, len(samples) / params.max_images)
    chosen = [samples[int(number * step)] for number in range(min(params.max_images, len(samples)))]
    rates: dict[tuple[str, str, float], list[tuple[float, int]]] = {}
    num_images = 0
    for sample, measured in ctx.track(_measured(ctx, chosen, params), len(chosen), "repeatability", "images"):
        if isinstance(measured, ImageError):
            ctx.warn(f"{sample.id} is left out: {measured.message}")
            continue
        num_images += 1
        for detector, change, amount, rate, points in measured:
            rates.setdefault((detector, change, amount), []).append((rate, points))
    if not rates:
        raise UserError("no image could be measured", "The warnings of this stage have the reasons; is `changes` empty?")
    table = {
        key: (float(np.mean([r for r, _ in found])), float(np.mean([n for _, n in found])), len(found))
        for key, found in rates.items()
    }
    with (ctx.out_dir / "stability.csv").open("w", newline="", encoding="utf-8") as out:
        rows = PlainTable(out)
        rows.writerow(["detector", "change", "amount", "repeatability", "mean_points", "images"])
        for (detector, change, amount), (rate, mean_points, count) in table.items():
            rows.writerow([detector, change, f"{amount:g}", f"{rate:.4f}", f"{mean_points:.1f}", count])
    (ctx.out_dir / "stability.png").write_bytes(plot(table, params.tolerance_px, num_images))
    means = overall(table)
    best = max(means, key=lambda name: means[name])
    return ctx.artifact(
        StabilityFiles,
        facts={name: f"{rate:.2f}" for name, rate in means.items()},
        headline=f"{best} has the highest repeatability: {means[best]:.0%} within {params.tolerance_px:g} px, "
        f"on {num_images} image{'s' if num_images != 1 else ''}",
    )


def overall(table: Mapping[tuple[str, str, float], tuple[float, float, int]]) -> dict[str, float]:
    """Each detector's mean over the changes, all weighted equally."""
    by: dict[str, dict[str, list[float]]] = {}
    for (detector, change, _), (rate, _, _) in table.items():
        by.setdefault(detector, {}).setdefault(change, []).append(rate)
    return {name: float(np.mean([np.mean(rates) for rates in changes.values()])) for name, changes in by.items()}


# --- one image -----------------------------------------------------------------------------------------------------------


Rate = tuple[str, str, float, float, int]
"""Detector, change, amount, repeatability, number of points."""


def _measured(
    ctx: Context, samples: Sequence[Sample], params: StabilityParams
) -> Iterator[tuple[Sample, list[Rate] | ImageError]]:
    """Each sample with its rates, or why it has none. Shards are small, so that all threads stay busy with few images."""

    def measure(sample: Sample) -> list[Rate] | ImageError:
        try:
            image = thumbnail(images.read(sample.image), params.max_px)
        except ImageError as error:
            return error
        return rates_of(ctx, sample.id, image, params)

    pool = ThreadPoolExecutor(ctx.workers)
    try:
        yield from zip(samples, pool.map(measure, samples), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def rates_of(ctx: Context, sample_id: str, image: Image, params: StabilityParams) -> list[Rate]:
    """The repeatability of every detector under every change of one image; nothing for a detector that finds no point."""
    names = _names(params.detectors)
    before = [find(image, call) for call in params.detectors]
    rates: list[Rate] = []
    for change, amount, other, homography in chain(_changes(ctx, params, image), _by_recipe(ctx, params, sample_id, image)):
        for name, call, first in zip(names, params.detectors, before, strict=True):
            found = repeatability(first, find(other, call), homography, _size(image), _size(other), params.tolerance_px)
            if found is not None:
                rates.append((name, change, amount, *found))
    return rates


def _names(calls: Iterable[Call]) -> list[str]:
    """The detectors' names; one that is listed twice gets a number."""
    calls = list(calls)
    names = [call.name for call in calls]
    return [f"{name} {names[: number + 1].count(name)}" if names.count(name) > 1 else name for number, name in enumerate(names)]


def repeatability(
    first: Features,
    second: Features,
    homography: Homography,
    first_hw: tuple[int, int],
    second_hw: tuple[int, int],
    tolerance_px: float = 1.5,
) -> tuple[float, int] | None:
    """The repeatability rate and the smaller number of points in the common part; None if there is no point.

    Args:
        homography: from the first image's pixels to the second's.
        tolerance_px: in the second image.
    """
    there = move(homography, np.asarray(first.points[:, :2], np.float64))
    back = move(np.asarray(np.linalg.inv(np.asarray(homography)), np.float64), np.asarray(second.points[:, :2], np.float64))
    a = there[_well_inside(first.points[:, :2], first_hw) & _well_inside(there, second_hw)]
    b = second.points[_well_inside(second.points[:, :2], second_hw) & _well_inside(back, first_hw), :2]
    smaller = min(len(a), len(b))
    if not smaller:
        return None if not max(len(a), len(b)) else (0.0, 0)
    squared = np.subtract.outer(a[:, 0], b[:, 0]) ** 2 + np.subtract.outer(a[:, 1], b[:, 1]) ** 2
    nearest, back_again = squared.argmin(axis=1), squared.argmin(axis=0)
    rows = np.arange(len(a))
    again = (back_again[nearest] == rows) & (squared[rows, nearest] <= tolerance_px**2)
    return float(again.sum() / smaller), smaller


def _size(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _well_inside(points: NDArray[Any], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    x, y = points[:, 0], points[:, 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= BORDER_PX) & (x < size_hw[1] - BORDER_PX) & (y >= BORDER_PX) & (y < size_hw[0] - BORDER_PX)
    return np.asarray(inside, np.bool_)


def _changes(ctx: Context, params: StabilityParams, image: Image) -> Iterable[tuple[str, float, Image, Homography]]:
    """Each change with its amount, the changed image, and the homography to it."""
    size = _size(image)
    if "rotation" in params.changes:
        for angle in params.angles_deg:
            turn = math.radians(angle)
            sin, cos = math.sin(turn), math.cos(turn)
            homography = about(centre_of(size), matrix(cos, -sin, 0, sin, cos, 0))
            yield "rotation", angle, warp(image, homography, size, interpolation="cubic", fill_mode="nearest"), homography
    if "scale" in params.changes:
        for factor in params.scales:
            new = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
            x, y = new[1] / size[1], new[0] / size[0]
            homography = matrix(x, 0, (x - 1) / 2, 0, y, (y - 1) / 2)
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            yield "scale", factor, np.asarray(cv2.resize(image, new[::-1], interpolation=way), np.uint8), homography
    still = scaling(1, 1)
    for change, op_name, field, amounts in (
        ("blur", "blur", "sigma_px", params.blur_sigmas_px),
        ("brightness", "brightness", "range", params.brightness),
    ):
        if change in params.changes:
            op = ctx.component("op", op_name)
            for amount in amounts:
                exactly = op.params_type()(**{field: (amount, amount)})
                yield change, amount, op.load()(image, exactly, ctx.rng(change)), still


def _by_recipe(
    ctx: Context, params: StabilityParams, sample_id: str, image: Image
) -> Iterable[tuple[str, float, Image, Homography]]:
    if params.recipe is None:
        return
    recipe = compile_recipe(params.recipe)
    for copy in range(1, params.copies + 1):
        made = recipe.apply(image, ctx.rng(sample_id, copy))
        if made.matrix is None:
            raise UserError(
                "the recipe has an op that moves pixels in no way that points could follow", "Leave it out of this measurement."
            )
        yield "recipe", copy, made.image, made.matrix


# --- the plot ------------------------------------------------------------------------------------------------------------


def plot(table: Mapping[tuple[str, str, float], tuple[float, float, int]], tolerance_px: float, num_images: int) -> bytes:
    """One panel for each change, one line for each detector, distinguished by colour and by marker; as PNG."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    changes = list(dict.fromkeys(change for _, change, _ in table))
    detectors = list(dict.fromkeys(detector for detector, _, _ in table))
    columns = min(2, len(changes))
    rows = math.ceil(len(changes) / columns)
    figure = Figure(figsize=(5 * columns, 3.4 * rows + 0.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, change in zip(panels, changes, strict=False):
        for number, detector in enumerate(detectors):
            amounts = sorted(amount for d, c, amount in table if (d, c) == (detector, change))
            values = [table[detector, change, amount][0] for amount in amounts]
            colour = [channel / 255 for channel in COLOURS[(4, 5, 2, 6, 0, 1, 3)[number % 7]]]
            panel.plot(amounts, values, color=colour, marker=_MARKS[number % 7], label=detector, markersize=5)
        if change in ("scale", "brightness"):
            panel.axvline(1, color="0.7", linewidth=1, zorder=0)
        if change == "recipe":
            panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_title(change)
        panel.set_xlabel(_UNITS[change])
        panel.set_ylabel("repeatability")
        panel.set_ylim(0, 1.02)
        panel.grid(alpha=0.3)
    for panel in panels[len(changes) :]:
        panel.axis("off")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)
    figure.suptitle(
        f"Points found again within {tolerance_px:g} px; mean of {num_images} image{'s' if num_images != 1 else ''}"
    )
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
