"""Geometric ops: each draws its values and returns a homography, source to target, pixel centres at whole numbers.

Rotation, shifts, shear and zoom have the meaning of Keras' ``ImageDataGenerator``
(``keras.src.legacy.preprocessing.image``), whose matrices map target to source. Two errors of Keras are not reproduced: it
rotates an image that is not square about a point beside its centre, and ``height_shift_range`` moves it across.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import AfterValidator

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.images.arrays import Affine, Matrix
from pipekit.images.choices import FillMode, SizeHw
from pipekit.recipe.homography import about, centre_of, matrix, resizing, translation
from pipekit.rng import Rng

Resized: TypeAlias = tuple[Affine, SizeHw]


class FillParams(Params):
    """Parameters of ops that reveal pixels outside the image."""

    fill_mode: FillMode | None = param(
        None, "How to fill pixels outside: nearest (the edge), constant, reflect, wrap; by default the recipe's own fill_mode"
    )
    fill_value: int | None = param(None, "The grey level for fill_mode = constant", ge=0, le=255)


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the smaller value comes first: [{pair[1]}, {pair[0]}]")
    return pair


Range: TypeAlias = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Smallest and largest value."""


def uniform(rng: Rng, name: str, low: float, high: float) -> float:
    """A uniform random number in a range, recorded under ``name``."""
    return float(rng.note(name, float(rng.uniform(low, high))))


# --- Keras' ---------------------------------------------------------------------------------------------------------------


class RotateParams(FillParams):
    limit_deg: float = param(40.0, "Largest rotation in either direction", unit="deg", gt=0, le=180, neutral=0)


def rotate(size_hw: SizeHw, params: RotateParams, rng: Rng) -> Affine:
    """Rotate about the centre by a random angle; positive is counter-clockwise. Keras' rotation_range."""
    angle = math.radians(uniform(rng, "angle_deg", -params.limit_deg, params.limit_deg))
    sin, cos = math.sin(angle), math.cos(angle)
    return about(centre_of(size_hw), matrix(cos, sin, 0, -sin, cos, 0))


class ShiftParams(FillParams):
    width: float = param(0.2, "Largest shift to either side: below 1 a fraction of the width, else pixels", ge=0, neutral=0)
    height: float = param(0.2, "Largest shift up or down: below 1 a fraction of the height, else pixels", ge=0, neutral=0)


def shift(size_hw: SizeHw, params: ShiftParams, rng: Rng) -> Affine:
    """Shift by random amounts across and down. Keras' width_shift_range and height_shift_range."""
    height, width = size_hw
    x = rng.uniform(-params.width, params.width) * (width if params.width < 1 else 1)
    y = rng.uniform(-params.height, params.height) * (height if params.height < 1 else 1)
    return translation(rng.note("x_px", float(x)), rng.note("y_px", float(y)))


class ShearParams(FillParams):
    limit_deg: float = param(10.0, "Largest shear in either direction, counter-clockwise", unit="deg", gt=0, lt=90, neutral=0)


def shear(size_hw: SizeHw, params: ShearParams, rng: Rng) -> Affine:
    """Shear the image by a random angle. Keras' shear_range, which is in degrees: its tutorials' 0.2 is hardly visible."""
    angle = math.radians(uniform(rng, "shear_deg", -params.limit_deg, params.limit_deg))
    # Keras: source x = x - sin(a) y, source y = cos(a) y. This is the inverse.
    sin, cos = math.sin(angle), math.cos(angle)
    return about(centre_of(size_hw), matrix(1, sin / cos, 0, 0, 1 / cos, 0))


class ZoomParams(FillParams):
    amount: float = param(0.2, "Zoom between 1 - amount (in) and 1 + amount (out)", ge=0, lt=1, neutral=0)
    range: Range | None = param(
        None, "Smallest and largest zoom instead, as in Keras: below 1 zooms in, above 1 zooms out", neutral=1
    )
    keep_aspect: bool = param(False, "Use the same zoom across and down; Keras draws two")


def zoom(size_hw: SizeHw, params: ZoomParams, rng: Rng) -> Affine:
    """Zoom about the centre by random factors down and across. Keras' zoom_range; its factor counts source pixels per pixel."""
    low, high = params.range or (1 - params.amount, 1 + params.amount)
    if low <= 0:
        raise UserError(f"zoom must stay above 0, got {low}")
    y = rng.uniform(low, high)
    x = y if params.keep_aspect else rng.uniform(low, high)
    rng.note("zoom_y", float(y))
    rng.note("zoom_x", float(x))
    return about(centre_of(size_hw), matrix(1 / x, 0, 0, 0, 1 / y, 0))


class FlipParams(Params):
    p: float = param(0.5, "Probability that the image is flipped", ge=0, le=1)


def hflip(size_hw: SizeHw, params: FlipParams, rng: Rng) -> Affine:
    """Flip left and right, with probability p (0.5 by default). Keras' horizontal_flip."""
    return matrix(-1, 0, size_hw[1] - 1, 0, 1, 0)


def vflip(size_hw: SizeHw, params: FlipParams, rng: Rng) -> Affine:
    """Flip top and bottom, with probability p (0.5 by default). Keras' vertical_flip."""
    return matrix(1, 0, 0, 0, -1, size_hw[0] - 1)


class IdentityParams(Params):
    """No parameters."""


def identity(size_hw: SizeHw, params: IdentityParams, rng: Rng) -> Affine:
    """Leave the image unchanged: a choice for one_of."""
    return matrix(1, 0, 0, 0, 1, 0)


# --- further ones ---------------------------------------------------------------------------------------------------------


class Rotate90Params(Params):
    turns: tuple[int, ...] = param((0, 1, 2, 3), "Numbers of clockwise quarter turns to choose from", min_length=1)


def rotate90(size_hw: SizeHw, params: Rotate90Params, rng: Rng) -> Resized:
    """Rotate by a random number of quarter turns: lossless, and may swap width and height."""
    height, width = size_hw
    turns = rng.note("turns", int(params.turns[int(rng.integers(len(params.turns)))]) % 4)
    if turns == 1:
        return matrix(0, -1, height - 1, 1, 0, 0), (width, height)
    if turns == 2:
        return matrix(-1, 0, width - 1, 0, -1, height - 1), size_hw
    if turns == 3:
        return matrix(0, 1, 0, -1, 0, width - 1), (width, height)
    return matrix(1, 0, 0, 0, 1, 0), size_hw


def transpose(size_hw: SizeHw, params: FlipParams, rng: Rng) -> Resized:
    """Swap rows and columns, with probability p (0.5 by default)."""
    return matrix(0, 1, 0, 1, 0, 0), (size_hw[1], size_hw[0])


class SkewParams(FillParams):
    x_deg: float = param(10.0, "Largest slant of vertical lines in either direction", unit="deg", ge=0, lt=90, neutral=0)
    y_deg: float = param(0.0, "Largest slant of horizontal lines in either direction", unit="deg", ge=0, lt=90, neutral=0)


def skew(size_hw: SizeHw, params: SkewParams, rng: Rng) -> Affine:
    """Slant vertical and horizontal lines by random angles; lengths across are kept (what most libraries call shear)."""
    x = math.tan(math.radians(uniform(rng, "x_deg", -params.x_deg, params.x_deg)))
    y = math.tan(math.radians(uniform(rng, "y_deg", -params.y_deg, params.y_deg)))
    if x * y >= 0.99:
        y = 0.0
    return about(centre_of(size_hw), matrix(1, x, 0, y, 1, 0))


class PerspectiveParams(FillParams):
    amount: float = param(0.1, "Largest move of each corner, as a fraction of the image's sides", gt=0, le=0.4, neutral=0)


def perspective(size_hw: SizeHw, params: PerspectiveParams, rng: Rng) -> Matrix:
    """Move the four corners by random amounts: a random perspective, as from another camera position."""
    height, width = size_hw
    edges = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
    moves = rng.uniform(-params.amount, params.amount, (4, 2)) * (width, height)
    rng.note("corners_px", [round(float(value), 2) for value in moves.ravel()])
    return homography_between(edges, edges + moves)


def homography_between(source_xy: np.ndarray, target_xy: np.ndarray) -> Matrix:
    """The homography that maps four points to four others (the direct linear transform with h33 = 1)."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source_xy.tolist(), target_xy.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.linalg.solve(np.array(rows, np.float64), np.array(right, np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


# --- size -----------------------------------------------------------------------------------------------------------------


class CropParams(Params):
    height: float = param(0.9, "Height: up to 1 a fraction of the image's, else pixels", gt=0)
    width: float = param(0.9, "Width: up to 1 a fraction of the image's, else pixels", gt=0)
    place: Literal["random", "centre"] = param("random", "Where")


def crop(size_hw: SizeHw, params: CropParams, rng: Rng) -> Resized:
    """Crop the image at a random position or at its centre."""
    new_hw = _pixels(params.height, size_hw[0]), _pixels(params.width, size_hw[1])
    room_y, room_x = size_hw[0] - new_hw[0], size_hw[1] - new_hw[1]
    if room_y < 0 or room_x < 0:
        raise UserError(
            f"a crop of {new_hw[1]} x {new_hw[0]} px is larger than the image ({size_hw[1]} x {size_hw[0]} px)",
            "Crops apply at the recipe's output size, unless it sets full_resolution = true.",
        )
    if params.place == "centre":
        x, y = room_x // 2, room_y // 2
    else:
        x, y = int(rng.integers(room_x + 1)), int(rng.integers(room_y + 1))
    return translation(-rng.note("x_px", x), -rng.note("y_px", y)), new_hw


def _pixels(length: float, whole: int) -> int:
    return max(1, round(length * whole)) if length <= 1 else round(length)


class ResizedCropParams(Params):
    area: Range = param((0.5, 1.0), "Smallest and largest fraction of the image's area to keep", neutral=1)
    aspect: Range = param(
        (0.75, 4 / 3), "Smallest and largest aspect ratio (width to height) of the crop, for a square image", neutral=1
    )


def resized_crop(size_hw: SizeHw, params: ResizedCropParams, rng: Rng) -> Resized:
    """Crop a window of random area, aspect ratio and position, and resize it to the image's size (Szegedy et al. 2015)."""
    if not 0 < params.area[0] <= params.area[1] <= 1 or params.aspect[0] <= 0:
        raise UserError("area must lie within 0 and 1, and aspect above 0")
    height, width = size_hw
    area = uniform(rng, "area", *params.area)
    ratio = math.exp(rng.uniform(math.log(params.aspect[0]), math.log(params.aspect[1])))
    rng.note("aspect", ratio)
    part_w, part_h = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    x, y = rng.uniform(0, (1 - part_w) * width), rng.uniform(0, (1 - part_h) * height)
    rng.note("x_px", float(x))
    rng.note("y_px", float(y))
    stretch = matrix(1 / part_w, 0, (1 / part_w - 1) / 2, 0, 1 / part_h, (1 / part_h - 1) / 2)
    return stretch @ translation(-x, -y), size_hw


class ResizeParams(Params):
    height_px: int = param(..., "Height", unit="px", ge=1, le=32767)
    width_px: int = param(..., "Width", unit="px", ge=1, le=32767)


def resize(size_hw: SizeHw, params: ResizeParams, rng: Rng) -> Resized:
    """Resize without keeping the aspect ratio."""
    new_hw = params.height_px, params.width_px
    return resizing(size_hw, new_hw), new_hw


class PadParams(Params):
    amount: float = param(0.1, "Margin on each side: below 1 a fraction of the image's side, else pixels", ge=0, neutral=0)
    square: bool = param(False, "Also pad the image to a square, equally on both sides")
    fill_mode: FillMode = param("constant", "How to fill the margin: nearest (the edge), constant, reflect, wrap")
    fill_value: int = param(0, "The grey level for fill_mode = constant", ge=0, le=255)


def pad(size_hw: SizeHw, params: PadParams, rng: Rng) -> Resized:
    """Add a margin around the image."""
    height, width = size_hw
    top, left = (round(params.amount * side) if params.amount < 1 else round(params.amount) for side in size_hw)
    new_h, new_w = height + 2 * top, width + 2 * left
    if params.square:
        new_h = new_w = max(new_h, new_w)
    return translation((new_w - width) // 2, (new_h - height) // 2), (new_h, new_w)
