"""AKAZE: extrema of the determinant of the Hessian in a scale space that blurs within regions and not across their edges.

P. F. Alcantarilla, J. Nuevo and A. Bartoli, "Fast explicit diffusion for accelerated features in nonlinear scale spaces",
British Machine Vision Conference 2013. OpenCV 5.0 moved its own version out of the main library. This one follows the paper
with OpenCV 4's constants, and finds the same points (a test compares them).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Float, Gray, detect_within
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only

_BASE_SIGMA = 1.6
_DERIVATIVE_FACTOR = 1.5
_CONTRAST_PERCENTILE, _CONTRAST_BINS = 0.7, 300
_TAU_MAX = 0.25
_PATTERN = 10
_GRIDS = (2, 3, 4)


class AkazeParams(DetectorParams):
    max_megapixels: float = param(
        2.0, "Larger images are reduced to this size for detection; points stay in pixels of the full image", unit="MP", gt=0
    )
    threshold: float = param(0.001, "Smallest response; lower values find more points", gt=0, le=1)
    num_octaves: int = param(4, "Number of octaves of the scale space; each has half the size of the previous one", ge=1, le=8)
    octave_layers: int = param(4, "Number of layers per octave", ge=1, le=10)


@dataclass(frozen=True, eq=False)
class Level:
    """One layer of the scale space. ``step`` is the width of one of its pixels in pixels of the image."""

    image: Float
    dx: Float
    dy: Float
    response: Float
    sigma: float
    step: int

    @property
    def reach(self) -> int:
        """The scale of the derivatives in pixels of this layer."""
        return max(1, round(self.sigma * _DERIVATIVE_FACTOR / self.step))


@gray_only
@depends_on("opencv-python-headless")
def akaze(image: NDArray[np.uint8], params: AkazeParams) -> Features:
    """Blobs with a scale, an angle and a descriptor of 486 bits (61 bytes, Hamming distance)."""

    def detect(gray: Gray) -> Features:
        levels = list(scale_space(gray.astype(np.float32) / np.float32(255), params))
        rows = _extrema(levels, params.threshold, params.max_points)
        angles, descriptors = np.zeros(len(rows)), np.zeros((len(rows), 61), np.uint8)
        for number, level in enumerate(levels):
            mine = rows[:, 3] == number
            if mine.any():
                angles[mine] = _angles(level, rows[mine, :2])
                descriptors[mine] = _descriptors(level, rows[mine, :2], angles[mine])
        return Features(
            np.ascontiguousarray(rows[:, :3], np.float32),
            scale_px=np.array([2 * _DERIVATIVE_FACTOR * levels[int(level)].sigma for level in rows[:, 3]], np.float32),
            angle_deg=np.rad2deg(angles).astype(np.float32) % 360,
            descriptors=descriptors,
            norm="hamming",
            response_map=np.maximum(levels[0].response, 0),
        )

    return detect_within(image, params, detect, smallest_px=16)


# --- the scale space -----------------------------------------------------------------------------------------------------


def scale_space(unit: Float, params: AkazeParams) -> Iterator[Level]:
    """The layers, finest first: Perona and Malik's diffusion (their second conductivity), in fast explicit steps."""
    contrast = _contrast(unit)
    image = _blurred(unit, _BASE_SIGMA)
    sigma, step = _BASE_SIGMA, 1
    for octave in range(params.num_octaves):
        for layer in range(params.octave_layers):
            new_sigma = _BASE_SIGMA * 2 ** (octave + layer / params.octave_layers)
            if octave or layer:
                if layer == 0:
                    height, width = image.shape[0] // 2, image.shape[1] // 2
                    if width < 80 or height < 40:
                        return
                    image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32)
                    step *= 2
                    contrast *= 0.75
                image = _diffused(image, (new_sigma**2 - sigma**2) / 2, contrast)
            sigma = new_sigma
            yield _level(image, sigma, step)


def _blurred(image: Float, sigma: float) -> Float:
    size = math.ceil(2 * (1 + (sigma - 0.8) / 0.3)) | 1
    return np.asarray(cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _contrast(unit: Float) -> float:
    """The 70th percentile of the gradient: larger ones count as edges in this image."""
    smooth = _blurred(unit, 1.0)
    gradient = np.hypot(cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1))[1:-1, 1:-1]
    top = float(gradient.max())
    counts, _ = np.histogram(gradient[gradient > 0], _CONTRAST_BINS, (0, top)) if top > 0 else (np.zeros(1), None)
    bin_number = int(np.searchsorted(counts.cumsum(), counts.sum() * _CONTRAST_PERCENTILE)) + 1
    return max(top * bin_number / _CONTRAST_BINS, 0.03 if top == 0 else 1e-6)


def _diffused(image: Float, time: float, contrast: float) -> Float:
    """The image after some time of diffusion that stops at edges."""
    smooth = _blurred(image, 1.0)
    dx, dy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    flow = 1 / (1 + (dx * dx + dy * dy) / np.float32(contrast**2))
    across, down = flow[:, :-1] + flow[:, 1:], flow[:-1] + flow[1:]
    image = image.copy()
    for tau in _time_steps(time):
        half = np.float32(tau / 2)
        right, below = across * np.diff(image, axis=1) * half, down * np.diff(image, axis=0) * half
        image[:, :-1] += right
        image[:, 1:] -= right
        image[:-1] += below
        image[1:] -= below
    return image


@lru_cache(maxsize=64)
def _time_steps(time: float) -> tuple[float, ...]:
    """The steps of fast explicit diffusion: some are longer than a stable step, in an order that limits errors.

    S. Grewenig, J. Weickert and A. Bruhn, "From box filtering to fast explicit diffusion", DAGM 2010.
    """
    count = math.ceil(math.sqrt(3 * time / _TAU_MAX + 0.25) - 0.5 - 1e-8)
    scale = 3 * time / (_TAU_MAX * count * (count + 1))
    steps = [scale * _TAU_MAX / (2 * math.cos(math.pi * (2 * k + 1) / (4 * count + 2)) ** 2) for k in range(count)]
    prime = next(p for p in range(count + 1, 2 * count + 4) if p > 1 and all(p % q for q in range(2, math.isqrt(p) + 1)))
    order = [((k + 1) * (count // 2 or 1)) % prime - 1 for k in range(prime)]
    return tuple(steps[k] for k in dict.fromkeys(order) if 0 <= k < count)


def _level(image: Float, sigma: float, step: int) -> Level:
    smooth = _blurred(image, 1.0)
    reach = max(1, round(sigma * _DERIVATIVE_FACTOR / step))
    along, beside = _derivative_kernels(reach)

    def derived(values: Float, axis: str) -> Float:
        kernels = (along, beside) if axis == "x" else (beside, along)
        return np.asarray(cv2.sepFilter2D(values, cv2.CV_32F, *kernels), np.float32)

    dx, dy = derived(smooth, "x"), derived(smooth, "y")
    response = (derived(dx, "x") * derived(dy, "y") - derived(dx, "y") ** 2) * np.float32(reach**4)
    return Level(image, dx, dy, np.asarray(response, np.float32), sigma, step)


def _derivative_kernels(reach: int) -> tuple[Float, Float]:
    """Scharr's derivative over ``2 * reach + 1`` pixels: the difference, and the smoothing across it."""
    along, beside = np.zeros(2 * reach + 1, np.float32), np.zeros(2 * reach + 1, np.float32)
    along[[0, -1]] = -1, 1
    weight = 10 / 3
    norm = 1 / (2 * reach * (weight + 2))
    beside[[0, reach, -1]] = norm, weight * norm, norm
    return along, beside


# --- the points ----------------------------------------------------------------------------------------------------------


def _extrema(levels: list[Level], threshold: float, at_most: int) -> NDArray[np.float64]:
    """``(N, 4)`` x, y, response, index of the layer; strongest first, each the largest within its own radius and scale."""
    parts = [_maxima(level, number, threshold) for number, level in enumerate(levels)]
    rows = np.concatenate(parts)
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1], -rows[:, 2]))]
    kept, count = np.empty_like(rows[:at_most]), 0
    for row in rows:
        if count == len(kept):
            break
        near = kept[:count]
        close = np.hypot(near[:, 0] - row[0], near[:, 1] - row[1]) < levels[int(row[3])].sigma * _DERIVATIVE_FACTOR
        if not (close & (np.abs(near[:, 3] - row[3]) <= 1)).any():
            kept[count] = row
            count += 1
    return kept[:count]


def _maxima(level: Level, number: int, threshold: float) -> NDArray[np.float64]:
    """The maxima of a layer's response with subpixel accuracy, in pixels of the image, without its border."""
    response = level.response
    border = min(round(_PATTERN * math.sqrt(2) * level.reach) + 1, min(response.shape) // 2)
    peak = (response >= cv2.dilate(response, np.ones((3, 3), np.uint8))) & (response > threshold)
    peak[:border] = peak[-border:] = False
    peak[:, :border] = peak[:, -border:] = False
    ys, xs = np.nonzero(peak)
    if not len(xs):
        return np.empty((0, 4))
    centre, left, right = response[ys, xs], response[ys, xs - 1], response[ys, xs + 1]
    above, below = response[ys - 1, xs], response[ys + 1, xs]
    corner = response[ys + 1, xs + 1] + response[ys - 1, xs - 1] - response[ys - 1, xs + 1] - response[ys + 1, xs - 1]
    dx, dy, dxy = (right - left) / 2, (below - above) / 2, corner / 4
    dxx, dyy = right + left - 2 * centre, below + above - 2 * centre
    determinant = dxx * dyy - dxy**2
    good = determinant > 1e-20
    safe = np.where(good, determinant, 1)
    shift_x = np.where(good, (dxy * dy - dyy * dx) / safe, 0)
    shift_y = np.where(good, (dxy * dx - dxx * dy) / safe, 0)
    within = (np.abs(shift_x) <= 1) & (np.abs(shift_y) <= 1)
    x, y = ((place[within] + 0.5) * level.step - 0.5 for place in (xs + shift_x, ys + shift_y))
    return np.column_stack([x, y, centre[within], np.full(int(within.sum()), number)]).astype(np.float64)


def _sampled(values: Float, x: NDArray[np.float64], y: NDArray[np.float64]) -> Float:
    """The nearest pixels; beyond the border, the border's."""
    columns = np.clip(np.rint(x), 0, values.shape[1] - 1).astype(np.int64)
    rows = np.clip(np.rint(y), 0, values.shape[0] - 1).astype(np.int64)
    return np.asarray(values[rows, columns], np.float32)


def _angles(level: Level, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction of the gradients around each point, in radians: the 60-degree window with the largest sum."""
    x, y = ((xy[:, axis, None] + 0.5) / level.step - 0.5 for axis in (0, 1))
    dy, dx = (part.ravel() for part in np.mgrid[-6:7, -6:7])
    disc = dx * dx + dy * dy < 36
    dx, dy = dx[disc], dy[disc]
    weight = np.exp(-(dx * dx + dy * dy) / (2 * 2.5**2))
    reach = level.reach
    gx, gy = (_sampled(part, x + dx * reach, y + dy * reach) * weight for part in (level.dx, level.dy))
    direction = np.arctan2(gy, gx)
    starts = np.arange(0, 2 * np.pi, 0.15)
    inside = np.mod(direction[:, None] - starts[:, None], 2 * np.pi) < np.pi / 3
    sum_x, sum_y = (np.where(inside, part[:, None], 0).sum(axis=2) for part in (gx, gy))
    rows, best = np.arange(len(xy)), (sum_x**2 + sum_y**2).argmax(axis=1)
    return np.asarray(np.arctan2(sum_y[rows, best], sum_x[rows, best]), np.float64)


def _descriptors(level: Level, xy: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.uint8]:
    """M-LDB (modified local difference binary): cells of three rotated grids, compared in brightness and gradient."""
    x, y = ((xy[:, axis, None] + 0.5) / level.step - 0.5 for axis in (0, 1))
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    dy, dx = (part.ravel() * level.reach for part in np.mgrid[-_PATTERN:_PATTERN, -_PATTERN:_PATTERN] + 0.5)
    at_x, at_y = x + dx * cos - dy * sin, y + dx * sin + dy * cos
    brightness, gx, gy = (_sampled(part, at_x, at_y) for part in (level.image, level.dx, level.dy))
    channels = np.stack([brightness, gx * cos + gy * sin, gy * cos - gx * sin], axis=1)
    channels = channels.reshape(len(xy), 3, 2 * _PATTERN, 2 * _PATTERN)
    bits = []
    for grid in _GRIDS:
        edges = np.rint(np.linspace(0, 2 * _PATTERN, grid + 1)).astype(int)
        sums = np.add.reduceat(np.add.reduceat(channels, edges[:-1], axis=2), edges[:-1], axis=3)
        sizes = np.diff(edges)
        means = (sums / (sizes[:, None] * sizes[None])).reshape(len(xy), 3, grid * grid)
        first, second = np.array(list(combinations(range(grid * grid), 2))).T
        bits.append((means[:, :, first] > means[:, :, second]).reshape(len(xy), -1))
    return np.asarray(np.packbits(np.concatenate(bits, axis=1), axis=1), np.uint8)
