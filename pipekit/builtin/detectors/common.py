"""Shared by the detectors: parameters, greyscale conversion, the limit on the image's size, OpenCV's keypoints as columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Params, param
from pipekit.errors import UserError
from pipekit.keypoints.detection import Features

Gray = NDArray[np.uint8]
Float = NDArray[np.float32]

_STRIP_PX = 2**16

NO_CONTRAST = "nothing found: the image is one flat colour"


class DetectorParams(Params):
    """Parameters of every detector."""

    max_points: int = param(500, "Keep at most this many points, the strongest ones", unit="points", ge=1, le=1_000_000)
    max_megapixels: float = param(
        16.0,
        "Larger images are reduced to this size for detection; points stay in pixels of the full image",
        unit="MP",
        gt=0,
    )


def to_gray(image: NDArray[Any]) -> Gray:
    """An image as ``(H, W) uint8`` grey values.

    Args:
        image: ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA, of uint8, uint16, bool or floats in 0..1.
            Transparent pixels are composited on white.
    """
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise UserError(f"an image is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}")
    if image.dtype != np.uint8:
        image = _to_uint8(image)
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    channels = image.shape[2]
    if channels == 1:
        return np.ascontiguousarray(image[:, :, 0])
    gray = cv2.cvtColor(np.ascontiguousarray(image[:, :, :3]), cv2.COLOR_RGB2GRAY)
    if channels == 4:
        alpha = image[:, :, 3].astype(np.float32) / 255
        gray = np.rint(gray * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(gray, np.uint8)


def _to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint16:
        return np.asarray((image.astype(np.uint32) + 128) // 257, dtype=np.uint8)
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(image.dtype, np.floating) and np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1:
        return np.asarray(np.rint(image * 255), np.uint8)
    raise UserError(f"an image has values of uint8, uint16, bool, or floats in 0..1, not {image.dtype}")


def detect_within(
    image: NDArray[Any], params: DetectorParams, detect: Callable[[Gray], Features], smallest_px: int = 3
) -> Features:
    """Run ``detect`` on the grey image, within the limits of all detectors.

    An image above ``max_megapixels`` is reduced first (by averaging, to avoid aliasing) and the points are scaled back to its
    own pixels. For an image that is flat, or smaller than ``smallest_px`` on a side, the result has no points and a note.
    """
    gray = to_gray(image)
    height, width = gray.shape
    if min(height, width) < smallest_px:
        return nothing(
            f"nothing found: an image of {width} x {height} pixels is too small; this needs {smallest_px} x {smallest_px}"
        )
    low, high, _, _ = cv2.minMaxLoc(gray)
    if low == high:
        return nothing(NO_CONTRAST)
    shrink = math.sqrt(params.max_megapixels * 1e6 / (height * width))
    if shrink < 1:
        size_wh = max(smallest_px, round(width * shrink)), max(smallest_px, round(height * shrink))
        small = np.asarray(cv2.resize(gray, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        found = detect(small).scaled(width / size_wh[0], height / size_wh[1])
        note = found.note or f"detected at {size_wh[0]} x {size_wh[1]} of {width} x {height} pixels"
        found = replace(found, note=note)
    else:
        found = detect(gray)
    if not found.dense:
        found = found.strongest(params.max_points)
    if not len(found) and not found.note.startswith("nothing found"):
        found = replace(found, note="nothing found: no place in the image exceeds the threshold")
    return found


def in_strips(gray: Gray, halo_px: int, response: Callable[[Gray], NDArray[Any]]) -> Float:
    """Compute ``response(gray)`` strip by strip, so that the data stays in the processor's cache and little is allocated.

    Args:
        halo_px: number of neighbouring rows that a pixel's response depends on.
    """
    height, width = gray.shape
    rows = max(_STRIP_PX // width, 4 * halo_px, 16)
    if height <= rows + 2 * halo_px:
        return np.asarray(response(gray), np.float32)
    out = np.empty((height, width), np.float32)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(0, top - halo_px), min(height, bottom + halo_px)
        out[top:bottom] = response(gray[first:last])[top - first : bottom - first]
    return out


def nothing(note: str) -> Features:
    return Features(np.empty((0, 3), np.float32), note=note)


def from_keypoints(
    keypoints: Sequence[cv2.KeyPoint], descriptors: NDArray[Any] | None = None, *, angles: bool = True, **more: Any
) -> Features:
    """OpenCV's keypoints as columns."""
    columns = np.array([(*k.pt, k.response, k.size, k.angle) for k in keypoints], np.float32).reshape(-1, 5)
    return Features(
        np.ascontiguousarray(columns[:, :3]),
        scale_px=columns[:, 3].copy(),
        angle_deg=columns[:, 4].copy() if angles else None,
        descriptors=descriptors if descriptors is not None and len(descriptors) == len(columns) else None,
        **more,
    )
