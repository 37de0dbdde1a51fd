"""The return value of a feature detector.

A detector is ``detect(image, params)``. It may return

* points: ``(N, 3) float32`` with x_px, y_px, response;
* a response map: ``(H, W) float32``; its peaks become the points;
* :class:`Features`, with more than that: a scale, an angle, descriptors, outlines.

:func:`features_of` converts all three to :class:`Features`, and rejects malformed ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError

__all__ = ["Features", "features_of", "gray_only", "peaks"]

D = TypeVar("D", bound=Callable[..., Any])

Points = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features of one image: N points, and optional columns with one row for each of them.

    Attributes:
        points: ``(N, 3) float32``: x_px, y_px, response. Pixel centres are whole numbers; the strongest comes first, except
            where ``dense``.
        scale_px: ``(N,) float32``, the diameter of the region that the feature describes, or None.
        angle_deg: ``(N,) float32``, its orientation, clockwise from the x axis as y points down, or None.
        descriptors: ``(N, D)``, ``uint8`` or ``float32``, or None.
        norm: the distance of two descriptors: ``l2`` (Euclidean) or ``hamming`` (number of different bits).
        response_map: ``(h, w) float32``: the map whose maxima are the points. It covers the whole image, possibly with fewer
            pixels.
        outlines: one ``(M, 2) float32`` array of x_px, y_px for each feature that is a shape.
        dense: the points are a regular grid over the image instead of salient places.
        note: why there are no points, or how the image was preprocessed; "" for nothing.
    """

    points: Points
    scale_px: Points | None = None
    angle_deg: Points | None = None
    descriptors: NDArray[Any] | None = None
    norm: Literal["l2", "hamming"] = "l2"
    response_map: Points | None = None
    outlines: tuple[Points, ...] = ()
    dense: bool = False
    note: str = ""

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: NDArray[Any]) -> Features:
        """Select features by index or mask, in this order."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        kept: dict[str, Any] = {
            name: column[numbers]
            for name in ("points", "scale_px", "angle_deg", "descriptors")
            if (column := getattr(self, name)) is not None
        }
        if self.outlines:
            kept["outlines"] = tuple(self.outlines[number] for number in numbers)
        return replace(self, **kept)

    def strongest(self, count: int) -> Features:
        """At most ``count`` features, the strongest first; ties by y, then x, so that the order is always the same."""
        x, y, response = self.points.T
        if len(response) <= count and bool((response[1:] < response[:-1]).all()):
            return self  # most detectors return them sorted
        return self.take(np.lexsort((x, y, -response))[:count])

    def scaled(self, factor_x: float, factor_y: float) -> Features:
        """The same features in pixels of an image enlarged by these factors. The response map stays unchanged."""

        def centres(xy: Points) -> Points:
            factors = np.array([factor_x, factor_y], np.float32)
            return ((xy + 0.5) * factors - 0.5).astype(np.float32)

        return replace(
            self,
            points=np.column_stack([centres(self.points[:, :2]), self.points[:, 2]]).astype(np.float32),
            scale_px=None if self.scale_px is None else (self.scale_px * np.sqrt(factor_x * factor_y)).astype(np.float32),
            outlines=tuple(centres(outline) for outline in self.outlines),
        )


def gray_only(detect: D) -> D:
    """Mark a detector that uses only brightness: the stages then read ``(H, W, 1)`` images for it, which is faster.

    It must still accept ``(H, W, 3)`` images.
    """
    detect.gray_only = True  # type: ignore[attr-defined]
    return detect


def features_of(output: Any, size_hw: tuple[int, int], detector: str = "the detector") -> Features:
    """Convert a detector's return value to validated :class:`Features`.

    Args:
        output: points, a response map or Features.
        size_hw: of the image that the detector received.
        detector: its name, for the error message.

    Raises:
        UserError: a wrong shape or type, a value that is not finite, a column of another length, a point outside the image.

    >>> points = np.array([[2, 1, 0.5]], np.float32)
    >>> len(features_of(points, size_hw=(48, 64)))
    1
    >>> features_of(points, size_hw=(1, 1))
    Traceback (most recent call last):
    pipekit.errors.UserError: the detector returned malformed features: a point lies outside the image of 1 x 1 pixels  See ...
    """
    if isinstance(output, Features):
        return _checked(output, size_hw, detector)
    if isinstance(output, np.ndarray) and output.ndim == 2 and np.issubdtype(output.dtype, np.floating):
        # In an image three pixels wide, points and a map have the same shape: return the map as Features there.
        if output.shape == tuple(size_hw) and output.shape[1] != 3:
            return _checked(Features(peaks(output), response_map=output.astype(np.float32)), size_hw, detector)
        if output.shape[1] == 3:
            return _checked(Features(output.astype(np.float32)), size_hw, detector)
    what = f"{output.dtype} of shape {output.shape}" if isinstance(output, np.ndarray) else type(output).__name__
    raise UserError(
        f"{detector} must return (N, 3) float32 points, an (H, W) float32 response map or Features, not {what}",
        "See pipekit.keypoints.detection.",
    )


def _inside(points: NDArray[Any], size_hw: tuple[int, int]) -> bool:
    height, width = size_hw
    x, y = points[:, 0], points[:, 1]
    return bool(np.all((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)))


def _checked(found: Features, size_hw: tuple[int, int], detector: str) -> Features:
    def refuse(what: str) -> UserError:
        return UserError(f"{detector} returned malformed features: {what}", "See pipekit.keypoints.detection.Features.")

    points = found.points
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype != np.float32:
        raise refuse(f"points must be (N, 3) float32, not {points.dtype} of shape {points.shape}")
    for field in fields(found):
        value = getattr(found, field.name)
        if not isinstance(value, np.ndarray):
            continue
        # A finite sum has finite terms, and takes a third of the time; a sum that is not finite may only have overflowed.
        if np.issubdtype(value.dtype, np.floating) and not (np.isfinite(value.sum()) or np.isfinite(value).all()):
            raise refuse(f"{field.name} has values that are not finite")
        if field.name != "response_map" and len(value) != len(points):
            raise refuse(f"{field.name} has {len(value)} rows for {len(points)} points")
    if found.outlines and len(found.outlines) != len(points):
        raise refuse(f"outlines has {len(found.outlines)} shapes for {len(points)} points")
    if not _inside(points, size_hw):
        raise refuse(f"a point lies outside the image of {size_hw[1]} x {size_hw[0]} pixels")
    return found


def peaks(response: NDArray[Any], threshold: float | None = None, radius_px: int = 1, at_most: int | None = None) -> Points:
    """The local maxima of a response map above ``threshold``, strongest first; ties by y, then x.

    A maximum is at least as large as every value within ``radius_px`` (Chebyshev distance). Neighbouring equal maxima are one
    point, at their centroid.

    Args:
        response: ``(H, W)``.
        threshold: maxima must exceed it; None means a hundredth of the largest value.
        radius_px: of the neighbourhood, at least 1.
        at_most: maximum number of points.

    Returns:
        ``(N, 3) float32``: x_px, y_px, response; empty if no value exceeds 0.

    >>> response = np.zeros((5, 5), np.float32)
    >>> response[1, 2], response[4, 4] = 3, 1
    >>> peaks(response).tolist()
    [[2.0, 1.0, 3.0], [4.0, 4.0, 1.0]]
    """
    import cv2

    response = np.ascontiguousarray(response, np.float32)
    if response.size == 0:
        return np.empty((0, 3), np.float32)
    if threshold is None:
        threshold = 0.01 * float(response.max())
    size, width = 2 * radius_px + 1, response.shape[1]
    largest = cv2.dilate(response, np.ones((size, size), np.uint8)).ravel()
    # Few pixels exceed the threshold, so the others are read only once.
    places = np.flatnonzero(response > np.float32(max(threshold, 0.0)))
    values = response.ravel()[places]
    peak = values >= largest[places]
    places, values = places[peak], values[peak]
    order = np.argsort(-values, kind="stable")
    places, values = places[order], values[order]
    y, x = np.divmod(places, width)
    equal = np.flatnonzero(values[1:] == values[:-1])
    if not len(equal):
        return np.column_stack([x, y, values]).astype(np.float32)[:at_most]
    twins = np.zeros(len(places), bool)
    twins[equal] = twins[equal + 1] = True
    merged = _merged(x[twins], y[twins], values[twins], width)
    found = np.concatenate([np.column_stack([x, y, values])[~twins], merged]).astype(np.float32)
    return found[np.lexsort((found[:, 0], found[:, 1], -found[:, 2]))][:at_most]


def _merged(x: NDArray[np.int64], y: NDArray[np.int64], values: NDArray[np.float32], width: int) -> NDArray[np.float64]:
    """Merge touching points at their centroid: ``(N, 3)`` x, y, value."""
    keys = y * (width + 2) + x
    order = np.argsort(keys)
    x, y, values = x[order], y[order], values[order]
    group = _touching(keys[order], width + 2)
    sizes = np.bincount(group)
    kept = np.zeros(len(sizes), np.float32)
    kept[group] = values
    return np.column_stack([np.bincount(group, x) / sizes, np.bincount(group, y) / sizes, kept])


def _touching(keys: NDArray[np.int64], stride: int) -> NDArray[np.int64]:
    """Component labels, starting at 0, of pixels that touch (8-connectivity).

    Args:
        keys: ``y * stride + x``, ascending, with a ``stride`` larger than the width, so that rows don't touch at their ends.
    """
    label = np.arange(len(keys))
    pairs = []
    for step in (1, stride - 1, stride, stride + 1):
        at = np.minimum(np.searchsorted(keys, keys + step), len(keys) - 1)
        touch = np.flatnonzero(keys[at] == keys + step)
        pairs.append((touch, at[touch]))
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    while len(first):
        lower = np.minimum(label[first], label[second])
        before = label.copy()
        np.minimum.at(label, first, lower)
        np.minimum.at(label, second, lower)
        label = label[label]
        if np.array_equal(label, before):
            break
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
