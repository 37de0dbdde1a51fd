"""The stage ``filters``: a convolution step by step, the introduction to convolutional networks.

For each image: the filtered image; and for one position in it the kernel, the patch under it, their products, the sum, the
feature map, its ReLU, and its 2 x 2 max-pooling.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pipekit import images
from pipekit.contract import Context, Dataset, Files, Params, Sample, param, stage
from pipekit.errors import ImageError, UserError
from pipekit.images.draw import COLOURS, contact_sheet
from pipekit.images.warping import Image, resize

Float: TypeAlias = NDArray[np.float32]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Row = Annotated[tuple[Number, ...], Field(min_length=1, max_length=31)]
Kernel = Annotated[tuple[Row, ...], Field(min_length=1, max_length=31)]
FilterName = Literal[
    "sobel_x",
    "sobel_y",
    "sobel",
    "scharr_x",
    "scharr_y",
    "laplacian",
    "canny",
    "gaussian",
    "mean",
    "median",
    "sharpen",
    "emboss",
]

KERNELS: dict[str, tuple[tuple[float, ...], ...]] = {
    "sobel_x": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "sobel_y": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "scharr_x": ((-3, 0, 3), (-10, 0, 10), (-3, 0, 3)),
    "scharr_y": ((-3, -10, -3), (0, 0, 0), (3, 10, 3)),
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
}
"""Standard kernels as they are laid on the image (cross-correlation, as in a convolutional layer; nothing is flipped)."""

NO_KERNEL = ("sobel", "canny", "median")
"""Filters that are not a single convolution; they have no step view."""


class FilterParams(Params):
    """One filter."""

    filter: FilterName = param("sobel_x", "The filter; `kernel` replaces it")
    kernel: Kernel | None = param(None, "A kernel of your own, as rows of numbers: [[0, 1, 0], [1, -4, 1], [0, 1, 0]]")
    size_px: int = param(3, "Side of the window of gaussian, mean and median; odd", unit="px", ge=1, le=31)
    sigma_px: float = param(0.0, "Gaussian: standard deviation; 0 derives it from size_px", unit="px", ge=0, le=100)
    low: int = param(100, "Canny's lower threshold: gradients above it continue an edge", ge=0, le=10_000)
    high: int = param(200, "Canny's upper threshold: gradients above it start an edge", ge=0, le=10_000)

    @field_validator("kernel")
    @classmethod
    def _rectangle(cls, kernel: Kernel | None) -> Kernel | None:
        if kernel is not None and (len({len(row) for row in kernel}) > 1 or len(kernel) % 2 == 0 or len(kernel[0]) % 2 == 0):
            raise ValueError(
                f"expected rows of one length, and odd numbers of both, got rows of {[len(row) for row in kernel]}"
            )
        return kernel

    @field_validator("size_px")
    @classmethod
    def _odd(cls, size_px: int) -> int:
        if size_px % 2 == 0:
            raise ValueError(f"expected an odd number, got {size_px}")
        return size_px

    @property
    def title(self) -> str:
        return "own kernel" if self.kernel is not None else self.filter


class FiltersParams(FilterParams):
    at_px: tuple[int, int] | None = param(
        None, "Position of the step view's window: x, y; by default where the result is largest", unit="px"
    )
    max_images: int = param(8, "Maximum number of images to filter", unit="images", ge=1, le=200)
    preview_px: int = param(480, "Longer side of the drawn images", unit="px", ge=240, le=2048)
    animate: bool = param(False, "Also write a GIF of the window sliding over a coarse copy of the first images")
    animate_px: int = param(16, "Longer side of that copy, and number of steps per row", unit="px", ge=4, le=48)
    max_animations: int = param(2, "Maximum number of images to animate", unit="images", ge=1, le=20)


@dataclass(frozen=True)
class FilterFiles(Files):
    """``filters.png``, ``steps/<id>.png`` and, with ``animate``, ``animations/<id>.gif``."""

    kind: ClassVar[str] = "filters"
    headline: ClassVar[tuple[str, ...]] = ("filters.png",)


@stage
def filters(ctx: Context, dataset: Dataset, params: FiltersParams) -> FilterFiles:
    """Apply a filter to some images, and draw its steps."""
    wanted = _spread(list(dataset), params.max_images)
    if not wanted:
        raise UserError("the dataset has no images", "Check the output of the previous stage: `pipekit runs`.")
    if params.animate:
        _require_kernel(params)
    tiles: list[Image] = []
    captions: list[str] = []
    for sample in ctx.track(wanted, label=params.title, unit="images"):
        try:
            image = images.read(sample.image)
        except ImageError as error:
            ctx.warn(f"{sample.id} is left out: {error.message}")
            continue
        picture, caption = show(image, params, params.preview_px)
        images.write(_below(ctx.out_dir / "steps", f"{sample.id}.png"), picture)
        if params.animate and len(tiles) < params.max_animations:
            images.write_bytes(_below(ctx.out_dir / "animations", f"{sample.id}.gif"), animation(image, params))
        tiles.append(picture)
        captions.append(f"{sample.id}\n{caption}")
    if not tiles:
        raise UserError("none of the images can be read", "The warnings of this stage have the reasons.")
    widest = max(tile.shape[1] for tile in tiles)
    images.write(ctx.out_dir / "filters.png", contact_sheet(tiles, captions, columns=1, tile_px=widest, font_px=17))
    return ctx.artifact(
        FilterFiles,
        facts={"filter": params.title, "images": str(len(tiles))},
        headline=f"{params.title} on {len(tiles)} image{'s' if len(tiles) != 1 else ''}",
    )


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count`` samples, evenly spread over the list, so that every class is included."""
    step = max(1.0, len(samples) / count)
    return [samples[int(number * step)] for number in range(min(count, len(samples)))]


# --- the filters ---------------------------------------------------------------------------------------------------------


def kernel_of(params: FilterParams) -> Float | None:
    """The kernel of a filter that is a convolution, else None."""
    if params.kernel is not None:
        return np.array(params.kernel, np.float32)
    if params.filter == "mean":
        return np.full((params.size_px, params.size_px), 1 / params.size_px**2, np.float32)
    if params.filter == "gaussian":
        line = cv2.getGaussianKernel(params.size_px, params.sigma_px or -1)
        return np.asarray(line @ line.T, np.float32)
    return np.array(KERNELS[params.filter], np.float32) if params.filter in KERNELS else None


def apply(image: Image, params: FilterParams) -> Float:
    """The unclipped result, of the image's size; the border is mirrored.

    Returns:
        ``(H, W) float32`` for edge filters (Sobel, Scharr, Laplacian, Canny, a kernel whose sum is 0), on grey values;
        ``(H, W, 3) float32`` for filters whose result is an image.
    """
    kernel = kernel_of(params)
    edges = params.filter in ("sobel", "canny") if kernel is None else abs(float(kernel.sum())) < 1e-6
    source = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if edges else image
    if kernel is not None:
        return np.asarray(cv2.filter2D(source, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)
    if params.filter == "sobel":
        dx, dy = (cv2.Sobel(source, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
        return np.asarray(np.hypot(dx, dy), np.float32)
    if params.filter == "canny":
        return np.asarray(cv2.Canny(source, params.low, params.high), np.float32)
    return np.asarray(cv2.medianBlur(source, params.size_px), np.float32)


def relu(values: Float) -> Float:
    return np.maximum(values, 0)


def max_pool(values: Float) -> Float:
    """2 x 2 max-pooling; a last odd row or column is dropped, as in Keras."""
    height, width = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
    if not height or not width:
        return values
    return np.asarray(values[:height, :width].reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3)), np.float32)


def _require_kernel(params: FilterParams) -> Float:
    kernel = kernel_of(params)
    if kernel is None:
        raise UserError(
            f"{params.filter} is not a single convolution, so it has no step view",
            f"With a step view: {', '.join(sorted({*KERNELS, 'gaussian', 'mean'}))}, or a kernel of your own.",
        )
    return kernel


# --- the step view -------------------------------------------------------------------------------------------------------


def show(image: Image, params: FiltersParams, tile_px: int) -> tuple[Image, str]:
    """The step view of one image, and its caption."""
    result = apply(image, params)
    kernel = kernel_of(params)
    if kernel is None:
        gap = np.full((image.shape[0], max(2, image.shape[1] // 50), 3), 255, np.uint8)
        return fit(np.concatenate([image, gap, visible(result)], axis=1), 2 * tile_px), params.title
    place = params.at_px or _strongest(result)
    if not (0 <= place[0] < image.shape[1] and 0 <= place[1] < image.shape[0]):
        raise UserError(
            f"at_px = {list(place)} lies outside an image of {image.shape[1]} x {image.shape[0]} px", "x comes first, then y."
        )
    return _steps(image, result, kernel, place, params.title, tile_px), f"{params.title} at x {place[0]}, y {place[1]}"


def _strongest(result: Float) -> tuple[int, int]:
    """x, y of the largest value."""
    values = result if result.ndim == 2 else result.mean(axis=2)
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    return int(x), int(y)


def visible(values: Float) -> Image:
    """Render a result as RGB: an image is clipped to 0..255; for edges, 0 is grey, higher lighter, lower darker."""
    if values.ndim == 3:
        return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
    top = float(np.abs(values).max()) or 1.0
    shade = 255 * values / top if values.min() >= 0 else 127.5 + 127.5 * values / top
    return np.repeat(np.asarray(np.rint(shade), np.uint8)[:, :, None], 3, axis=2)


def fit(image: Image, max_px: int) -> Image:
    """Resize to ``max_px`` on the longer side; small images by a whole factor and without smoothing."""
    longer = max(image.shape[:2])
    factor = max_px / longer if longer > max_px else max_px // longer
    size = max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))
    return resize(image, size, "area" if factor < 1 else "nearest")


def patch_at(image: Image, place: tuple[int, int], shape_hw: tuple[int, int]) -> Float:
    """The grey values under a window that is centred on ``place`` (x, y); mirrored beyond the border."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rows, columns = (
        np.pad(np.arange(size), reach, mode="reflect")[at : at + length] if size > 1 else np.zeros(length, np.int64)
        for size, reach, at, length in zip(gray.shape, (n // 2 for n in shape_hw), place[::-1], shape_hw, strict=True)
    )
    return np.asarray(gray[np.ix_(rows, columns)], np.float32)


def _steps(image: Image, result: Float, kernel: Float, place: tuple[int, int], title: str, tile_px: int) -> Image:
    """Image, patch x kernel = products, their sum; then the feature map, ReLU of it and its pooling."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    patch = patch_at(image, place, (kernel.shape[0], kernel.shape[1]))
    products = patch * kernel
    values = result if result.ndim == 2 else cv2.filter2D(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F, kernel)
    values = np.asarray(values, np.float32)
    kept = relu(values)
    pooled = max_pool(kept)
    inch = tile_px / 100
    figure = Figure(figsize=(3 * inch, 2 * inch + 0.9), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    axes[0, 0].imshow(image)
    height, width = kernel.shape
    for line, colour in ((4, "white"), (2, [channel / 255 for channel in COLOURS[5]])):
        corner = (place[0] - width / 2, place[1] - height / 2)
        axes[0, 0].add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
        axes[0, 0].add_patch(Circle(place, max(image.shape[:2]) / 15, fill=False, edgecolor=colour, linewidth=line))
    axes[0, 0].set_title(f"image, the window at x {place[0]}, y {place[1]}")
    _numbers(axes[0, 1], patch, products, kernel)
    axes[0, 1].set_title("grey value × kernel")
    _sum(axes[0, 2], products, title)
    limit = float(np.percentile(np.abs(values), 99.5)) or float(np.abs(values).max()) or 1.0
    for axis, shown, name in (
        (axes[1, 0], values, "feature map: the sum at every place"),
        (axes[1, 1], kept, "ReLU: what is below 0 becomes 0"),
        (axes[1, 2], pooled, "2 × 2 max-pooling: the largest of four"),
    ):
        drawn = axis.imshow(shown, cmap="cividis", vmin=-limit if values.min() < 0 else 0, vmax=limit, interpolation="nearest")
        axis.set_title(f"{name}\n{shown.shape[1]} × {shown.shape[0]}")
    figure.colorbar(drawn, ax=axes[1, :].tolist(), shrink=0.9, pad=0.01)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]


def _numbers(axis: Any, patch: Float, products: Float, kernel: Float) -> None:
    """The patch as grey squares with each value and its factor; as text only where it is legible."""
    axis.imshow(patch, cmap="gray", vmin=0, vmax=255)
    rows, columns = patch.shape
    if max(rows, columns) > 9:
        axis.set_xlabel(f"{rows} × {columns} numbers, too many to print")
        return
    size = 15 - max(rows, columns)
    for y in range(rows):
        for x in range(columns):
            text = f"{patch[y, x]:.0f}\n× {kernel[y, x]:.4g}" if max(rows, columns) <= 5 else f"{products[y, x]:.0f}"
            axis.text(x, y, text, ha="center", va="center", fontsize=size, color="black" if patch[y, x] > 127 else "white")


def _sum(axis: Any, products: Float, title: str) -> None:
    """The sum, written out."""
    axis.set_box_aspect(1)
    axis.spines[:].set_visible(False)
    rows, columns = products.shape
    lines = ["".join(f"{value:>+9.4g}" for value in row) for row in products] if max(rows, columns) <= 5 else ["…"]
    axis.text(0.5, 0.6, "\n".join(lines), ha="center", va="center", fontsize=16 - 1.4 * min(5, columns), family="monospace")
    axis.text(0.5, 0.2, f"sum = {products.sum():.5g}", ha="center", va="center", fontsize=20, weight="bold")
    axis.set_title(f"{title}: the products and their sum")


# --- the animation -------------------------------------------------------------------------------------------------------


def animation(image: Image, params: FiltersParams) -> bytes:
    """A GIF of the window sliding over a coarse grey copy of the image while the feature map fills up beside it."""
    from PIL import Image as Pillow

    kernel = _require_kernel(params)
    height, width = image.shape[:2]
    factor = params.animate_px / max(height, width)
    small = resize(image, (max(1, round(height * factor)), max(1, round(width * factor))), "area" if factor < 1 else "nearest")
    gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    values = np.asarray(cv2.filter2D(gray, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)
    frames = [Pillow.fromarray(frame) for frame in _frames(gray, values, kernel, params.title)]
    out = io.BytesIO()
    pause = [max(40, min(200, 12_000 // len(frames)))] * (len(frames) - 1)
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=[*pause, 2000], loop=0, optimize=False)
    return out.getvalue()


def _frames(gray: Image, values: Float, kernel: Float, title: str) -> list[Image]:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    cell = max(8, 320 // max(gray.shape))
    left = np.repeat(np.kron(gray, np.ones((cell, cell), np.uint8))[:, :, None], 3, axis=2)
    right = np.kron(visible(values), np.ones((cell, cell, 1), np.uint8))
    gap, foot = 2 * cell, 34
    blank = np.full((left.shape[0] + foot, 2 * left.shape[1] + gap, 3), 255, np.uint8)
    blank[: left.shape[0], : left.shape[1]] = left
    blank[: left.shape[0], left.shape[1] + gap :] = 225
    font = ImageFont.load_default(16)
    made = []
    rows, columns = gray.shape
    half_y, half_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    for y in range(rows):
        for x in range(columns):
            top, start = y * cell, left.shape[1] + gap + x * cell
            blank[top : top + cell, start : start + cell] = right[top : top + cell, x * cell : (x + 1) * cell]
            frame = blank.copy()
            for thick, colour in ((4, (255, 255, 255)), (2, COLOURS[5])):
                corners = ((x - half_x) * cell, (y - half_y) * cell), ((x + half_x + 1) * cell - 1, (y + half_y + 1) * cell - 1)
                cv2.rectangle(frame[: left.shape[0], : left.shape[1]], corners[0], corners[1], colour, thick)
            cv2.rectangle(frame, (start, top), (start + cell - 1, top + cell - 1), COLOURS[5], 2)
            picture = Pillow.fromarray(frame)
            ImageDraw.Draw(picture).text(
                (4, left.shape[0] + 7), f"{title}: sum = {values[y, x]:.4g}", fill=(0, 0, 0), font=font
            )
            made.append(np.array(picture))
    return made
