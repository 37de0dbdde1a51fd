"""Homographies, and their effect on boxes, keypoints and masks.

Pixel centres lie at whole numbers, so an image of width ``w`` covers ``-0.5 .. w - 0.5``. Matrices and keypoints use these
coordinates; a :class:`~pipekit.contract.Box` names edges (the whole image is ``0, 0, w, h``), half a pixel further.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Box, Keypoint
from pipekit.images.arrays import Affine, Homography, Image, Matrix, affine_of
from pipekit.images.choices import Fit as Fit
from pipekit.images.choices import SizeHw
from pipekit.images.polygons import Polygon, area, clipped, plain, polygons_of

IDENTITY = Affine(1, 0, 0, 0, 1, 0)

Counterparts: TypeAlias = Mapping[str, Mapping[str, str]]
"""Class -> a keypoint's name -> its name in a mirrored image. The class "" is that of keypoints without a box."""


@dataclass(frozen=True, slots=True)
class View:
    """An image with its targets: what an op of the kind ``op(view, params, rng) -> View`` takes and returns.

    Attributes:
        image: ``(H, W, 3) uint8`` RGB.
        mask: ``(H, W) uint8`` class numbers, or None.
        boxes: edges in pixels of ``image``, possibly reaching beyond it at this point.
        keypoints: pixel centres at whole numbers.
        mirrored: whether left and right are swapped so far; an op that mirrors negates it.
        min_visible: drop a box if a smaller fraction of it is left.
    """

    image: Image
    mask: Image | None = None
    boxes: tuple[Box, ...] = ()
    keypoints: tuple[Keypoint, ...] = ()
    mirrored: bool = False
    min_visible: float = 0.0


# --- matrices ------------------------------------------------------------------------------------------------------------


matrix = Affine


def translation(x_px: float, y_px: float) -> Affine:
    return matrix(1, 0, x_px, 0, 1, y_px)


def scaling(x: float, y: float) -> Affine:
    """Scale pixels about the image's corner: edges at 0 stay at 0, so centres move by half a pixel."""
    return matrix(x, 0, (x - 1) / 2, 0, y, (y - 1) / 2)


def resizing(size_hw: SizeHw, new_size_hw: SizeHw) -> Affine:
    """The map of a resize: edges to edges."""
    return scaling(new_size_hw[1] / size_hw[1], new_size_hw[0] / size_hw[0])


def fitting(size_hw: SizeHw, new_size_hw: SizeHw, fit: Fit) -> Affine:
    """Fit an image into another size: stretched, covering it and cropped, or inside it with padding."""
    if fit == "stretch":
        return resizing(size_hw, new_size_hw)
    ratios = new_size_hw[0] / size_hw[0], new_size_hw[1] / size_hw[1]
    scale = max(ratios) if fit == "crop" else min(ratios)
    left, top = (new_size_hw[1] - size_hw[1] * scale) / 2, (new_size_hw[0] - size_hw[0] * scale) / 2
    return Affine(scale, 0, left + (scale - 1) / 2, 0, scale, top + (scale - 1) / 2)


def about(centre_xy: tuple[float, float], linear: Affine) -> Affine:
    """An affine map, applied about ``centre_xy`` instead of the origin."""
    (x, y), (a, b, c, d, e, f) = centre_xy, linear.values
    return Affine(a, b, x + c - a * x - b * y, d, e, y + f - d * x - e * y)


def centre_of(size_hw: SizeHw) -> tuple[float, float]:
    """The centre of an image (x, y): half way between its edges."""
    return (size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2


def is_affine(homography: Homography) -> bool:
    return affine_of(homography) is not None


def determinant(m: Homography) -> float:
    (a, b, c), (d, e, f), (g, h, i) = m.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def move(homography: Homography, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points ``(..., 2)`` by a homography; NaN for those on or behind its horizon."""
    homography = np.asarray(homography)
    moved = points_xy @ homography[:, :2].T + homography[:, 2]
    if is_affine(homography):
        return np.asarray(moved[..., :2])
    w = moved[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(w > 1e-9, moved[..., :2] / w, np.nan))


def jacobian(homography: Matrix, point_xy: Sequence[float]) -> Matrix:
    """The (2, 2) derivative of a homography at a point."""
    x, y = point_xy
    u, v, w = (homography @ (x, y, 1.0)).tolist()
    w = w if abs(w) > 1e-9 else 1e-9
    return np.asarray((homography[:2, :2] - np.outer((u / w, v / w), homography[2, :2])) / w)


def mirrors(homography: Homography, size_hw: SizeHw) -> bool:
    """Whether left and right are swapped: true for a flip, false for two flips or a half turn."""
    affine = affine_of(homography)
    if affine is not None:
        return affine.determinant < 0
    (a, b), (c, d) = jacobian(np.asarray(homography), centre_of(size_hw)).tolist()
    return bool(a * d - b * c < 0)


def largest_scale(homography: Homography, size_hw: SizeHw) -> float:
    """The largest magnification of a homography anywhere in an image (the largest singular value of its derivative)."""
    affine, (height, width) = affine_of(homography), size_hw
    if affine is not None:
        a, b, _, c, d, _ = affine.values
        linears = [[[a, b], [c, d]]]
    else:
        corners = [(x, y) for x in (0, width - 1) for y in (0, height - 1)]
        linears = [jacobian(np.asarray(homography), corner).tolist() for corner in corners]
    largest = 0.0
    for (a, b), (c, d) in linears:
        mean, det = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
        largest = max(largest, mean + max(0.0, mean * mean - det * det) ** 0.5)
    return float(largest**0.5)


def exposes(homography: Homography, size_hw: SizeHw, new_hw: SizeHw) -> bool:
    """Whether any part of the new image lies outside the old one."""
    (height, width), (new_h, new_w) = size_hw, new_hw
    corners = np.array([(-0.5, -0.5), (new_w - 0.5, -0.5), (new_w - 0.5, new_h - 0.5), (-0.5, new_h - 0.5)])
    back = move(np.asarray(np.linalg.inv(np.asarray(homography)), np.float64), corners)
    inside = (back >= -0.5 - 1e-6) & (back <= np.array([width - 0.5, height - 0.5]) + 1e-6)
    return not bool(inside.all())


# --- targets -------------------------------------------------------------------------------------------------------------


_NO_QUADS, _NO_POINTS, _NONE, _UNSEEN = np.empty((0, 4, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, bool)


@dataclass(slots=True)
class TargetTracker:
    """Boxes and keypoints on their way through a recipe.

    A box is carried as its four corners, so that two rotations in a row don't enlarge it twice; a box with an outline bounds
    the outline. When pixels are rendered, whatever has left the image is cut off, because those pixels are lost: a margin that
    a later op adds doesn't restore it. ``counterparts`` are the names that keypoints swap with left and right.
    """

    boxes: tuple[Box, ...] = ()
    keypoints: tuple[Keypoint, ...] = ()
    mirrored: bool = False
    counterparts: Counterparts = field(default_factory=dict)
    _quads: NDArray[np.float64] = field(init=False)
    _points: NDArray[np.float64] = field(init=False)
    _visible: NDArray[np.float64] = field(init=False)
    _seen: NDArray[np.bool_] = field(init=False)
    _outlines: dict[int, list[Polygon]] = field(init=False)

    def __post_init__(self) -> None:
        if not self.boxes and not self.keypoints:
            self._quads, self._points, self._visible, self._seen = _NO_QUADS, _NO_POINTS, _NONE, _UNSEEN
            self._outlines = {}
            return
        outlined = ((i, box) for i, box in enumerate(self.boxes) if box.outline)
        self._outlines = {i: [polygon - 0.5 for polygon in polygons_of(box.outline)] for i, box in outlined}
        self._quads = np.array([_corners(box) for box in self.boxes], np.float64).reshape(-1, 4, 2) - 0.5
        self._points = np.array([(point.x, point.y) for point in self.keypoints], np.float64).reshape(-1, 2)
        self._visible = np.ones(len(self.boxes))
        self._seen = np.ones(len(self.keypoints), bool)

    def apply(self, homography: Homography, size_hw: SizeHw, new_size_hw: SizeHw) -> None:
        """Apply a homography from one image to the next."""
        self.mirrored ^= mirrors(homography, size_hw)
        if not self.boxes and not self.keypoints:
            return
        if len(self._points):
            self._points = move(homography, self._points)
        if len(self._quads):
            self._quads = move(homography, self._quads)
        for i, polygons in self._outlines.items():
            self._outlines[i] = [move(homography, polygon) for polygon in polygons]
        self._cut(new_size_hw)

    def _cut(self, size_hw: SizeHw) -> None:
        """Clip everything to an image."""
        if not self.boxes and not self.keypoints:
            return
        edges = np.array([size_hw[1], size_hw[0]], np.float64) - 0.5
        if len(self._points):
            self._seen &= ((self._points >= -0.5) & (self._points < edges)).all(axis=1)
        if not len(self._quads):
            return
        before = self._visible.copy()
        low, high = self._quads.min(axis=1), self._quads.max(axis=1)
        cut_low, cut_high = np.clip(low, -0.5, edges), np.clip(high, -0.5, edges)
        cut = (cut_low != low).any(axis=1) | (cut_high != high).any(axis=1)
        for i in np.flatnonzero(cut).tolist():
            whole, left = np.prod(high[i] - low[i]), np.prod(cut_high[i] - cut_low[i])
            self._visible[i] *= left / whole if np.isfinite(whole) and whole > 0 else 0.0
            (x0, y0), (x1, y1) = cut_low[i], cut_high[i]
            self._quads[i] = np.nan_to_num([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], nan=-0.5)
        for i, moved in self._outlines.items():
            polygons = [polygon[np.isfinite(polygon).all(axis=1)] for polygon in moved]
            inside = [clipped(polygon, -0.5, edges.tolist()) for polygon in polygons]
            self._outlines[i] = [polygon for polygon in inside if len(polygon) >= 3]
            if not self._outlines[i]:
                self._visible[i] = 0.0
                continue
            whole = area(polygons)
            self._visible[i] = before[i] * (area(inside) / whole if whole > 0 else 0.0)
            corners = np.concatenate(self._outlines[i])
            (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
            self._quads[i] = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]

    def replace(self, view: View) -> None:
        """Continue with the result of an op that moved the targets itself."""
        self.boxes, self.keypoints, self.mirrored = view.boxes, view.keypoints, view.mirrored
        self.__post_init__()
        self._cut((view.image.shape[0], view.image.shape[1]))

    def now(self) -> tuple[tuple[Box, ...], tuple[Keypoint, ...]]:
        """The current boxes (the bounds of their corners) and keypoints, all of them."""
        if not self.boxes and not self.keypoints:
            return (), ()
        bounds = [(*quad.min(axis=0) + 0.5, *quad.max(axis=0) + 0.5) for quad in self._quads]
        outlines = {i: plain([polygon + 0.5 for polygon in polygons]) for i, polygons in self._outlines.items()}
        boxes = [
            Box(float(a), float(b), float(c), float(d), box.label, outlines.get(i, ()), kept_facts(box.facts))
            for i, ((a, b, c, d), box) in enumerate(zip(bounds, self.boxes, strict=True))
        ]
        points = [
            replace(point, x=float(x), y=float(y), visible=point.visible and bool(seen))
            for (x, y), point, seen in zip(self._points, self.keypoints, self._seen, strict=True)
        ]
        return tuple(boxes), tuple(points)

    def finish(
        self, size_hw: SizeHw, min_visible: float, min_area_px: float, mirror_labels: Mapping[str, str]
    ) -> tuple[tuple[Box, ...], tuple[Keypoint, ...]]:
        """The targets of the finished image.

        Boxes with too little area left are dropped. Keypoints keep their number and order; one outside becomes invisible,
        and one whose box is dropped belongs to none. If left and right are swapped, so are the names.
        """
        boxes, points = self.now()
        if not boxes and not points:
            return (), ()
        height, width = size_hw
        names = mirror_labels if self.mirrored else {}
        kept = {
            i: replace(box, label=names.get(box.label, box.label))
            for i, (box, visible) in enumerate(zip(boxes, self._visible, strict=True))
            if visible >= min_visible
            and visible > 0
            and (box.x_max - box.x_min) * (box.y_max - box.y_min) >= min_area_px
            and box.x_max > box.x_min
            and box.y_max > box.y_min
        }
        places = {old: new for new, old in enumerate(kept)}
        seen = []
        for point in points:
            inside = -0.5 <= point.x < width - 0.5 and -0.5 <= point.y < height - 0.5
            label = names.get(point.label, self._counterpart(point) if self.mirrored else point.label)
            place = (point.x, point.y) if np.isfinite(point.x) and np.isfinite(point.y) else (-1.0, -1.0)
            of = None if point.of is None else places.get(point.of)
            seen.append(Keypoint(*place, label, point.visible and inside, of))
        return tuple(kept.values()), tuple(seen)

    def _counterpart(self, point: Keypoint) -> str:
        """The name that a keypoint swaps with: by the mirror table of its object's class, or else by left and right in it."""
        table = self.counterparts.get(class_of(point, self.boxes), {})
        return table.get(point.label, swap_sides(point.label))


def class_of(point: Keypoint, boxes: Sequence[Box]) -> str:
    """The class of the box that a keypoint belongs to; "" without one."""
    return "" if point.of is None or point.of >= len(boxes) else boxes[point.of].label


def kept_facts(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts about an object that hold after it has moved: the stated ``area`` does not."""
    return {name: value for name, value in facts.items() if name != "area"} if "area" in facts else facts


def _corners(box: Box) -> list[tuple[float, float]]:
    return [(box.x_min, box.y_min), (box.x_max, box.y_min), (box.x_max, box.y_max), (box.x_min, box.y_max)]


_SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}


def swap_sides(label: str) -> str:
    """``left_eye`` becomes ``right_eye`` and vice versa; a word that merely contains them (``upright``) stays."""
    return re.sub(r"(?<![A-Za-z])(left|right|Left|Right|LEFT|RIGHT)(?![a-z])", lambda found: _SIDES[found[0]], label)
