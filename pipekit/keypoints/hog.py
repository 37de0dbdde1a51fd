"""Histograms of oriented gradients (HOG), shared by the detector and the baseline classifier.

N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005. By default the values equal those of
``skimage.feature.hog`` for grey images: central differences that are 0 at the border, unsigned angles in hard bins,
the mean over each cell, overlapping blocks.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_EPS = 1e-5
_HYSTERESIS = 0.2


def gradients(gray: NDArray[Any]) -> tuple[Float, Float]:
    """Gradients along y and along x of ``(..., H, W)`` grey values: central differences, 0 in the first and last line."""
    values = gray.astype(np.float32)
    dy, dx = np.zeros_like(values), np.zeros_like(values)
    if values.shape[-2] > 2:
        dy[..., 1:-1, :] = values[..., 2:, :] - values[..., :-2, :]
    if values.shape[-1] > 2:
        dx[..., 1:-1] = values[..., 2:] - values[..., :-2]
    return dy, dx


def cells(gray: NDArray[Any], cell_px: int, orientations: int, *, signed: bool = False, shared: bool = False) -> Float:
    """The histogram of each whole cell.

    Args:
        gray: ``(..., H, W)``.
        signed: angles in 0..360 degrees, so that dark to light differs from light to dark.
        shared: a gradient contributes to the two nearest bins, weighted by distance (as Dalal and Triggs do).

    Returns:
        ``(..., H // cell_px, W // cell_px, orientations) float32``: the mean gradient magnitude for each angle in 0..180
        (0..360) degrees; the first bin starts at 0, a gradient along x. Pixels beyond the last whole cell are not used.
    """
    dy, dx = gradients(gray)
    rows, columns = gray.shape[-2] // cell_px, gray.shape[-1] // cell_px
    lead = gray.shape[:-2]
    dy, dx = (part[..., : rows * cell_px, : columns * cell_px] for part in (dy, dx))
    magnitude = np.hypot(dy, dx)
    span = 360 if signed else 180
    angle = np.mod(np.rad2deg(np.arctan2(dy, dx)), span) * (orientations / span)
    count = int(np.prod(lead, dtype=np.int64)) * rows * columns
    cell = np.arange(count).reshape(*lead, rows, 1, columns, 1)
    cell = np.broadcast_to(cell, (*lead, rows, cell_px, columns, cell_px)).reshape(angle.shape)
    if shared:
        low = np.floor(angle - 0.5)
        votes = [(low, low + 1.5 - angle), (low + 1, angle - 0.5 - low)]
    else:
        votes = [(np.minimum(np.floor(angle), orientations - 1), np.ones_like(angle))]
    sums = np.zeros(count * orientations)
    for number, part in votes:
        bins = np.mod(number.astype(np.int64), orientations)
        sums += np.bincount((cell * orientations + bins).ravel(), (magnitude * part).ravel(), count * orientations)
    histograms: Float = (sums / cell_px**2).astype(np.float32).reshape(*lead, rows, columns, orientations)
    return histograms


def blocks(histograms: Float, block_cells: int, norm: Literal["l2_hys", "l1_sqrt"] = "l2_hys") -> Float:
    """Overlapping square blocks of cells, each normalised.

    Args:
        histograms: ``(..., rows, columns, orientations)``; ``block_cells`` is reduced to what fits.
        norm: ``l2_hys``: L2, clipped at 0.2, L2 again; ``l1_sqrt``: the square root of the parts of the sum.

    Returns:
        ``(..., D) float32``, block after block, as ``skimage.feature.hog`` orders them.
    """
    *lead, rows, columns, _ = histograms.shape
    block_cells = max(1, min(block_cells, rows, columns))
    view = np.lib.stride_tricks.sliding_window_view(histograms, (block_cells, block_cells), axis=(-3, -2))
    block = np.moveaxis(view, -3, -1)  # (..., block rows, block columns, rows in it, columns in it, orientations)
    flat = block.reshape(*lead, rows - block_cells + 1, columns - block_cells + 1, -1).astype(np.float32)
    if norm == "l1_sqrt":
        flat = np.sqrt(flat / (flat.sum(axis=-1, keepdims=True) + _EPS))
    else:
        flat = flat / np.sqrt((flat**2).sum(axis=-1, keepdims=True) + _EPS**2)
        flat = np.minimum(flat, np.float32(_HYSTERESIS))
        flat = flat / np.sqrt((flat**2).sum(axis=-1, keepdims=True) + _EPS**2)
    return np.asarray(flat.reshape(*lead, -1), np.float32)
