"""Read rows of a memory-mapped table a block at a time, so that its pages do not add up in the process's memory.

A page of a mapped file that was read once counts as the process's memory until the system needs it elsewhere. A table of 60,000
images is 154 MB, which every pass over it would add.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SCATTERED = 256
"""Rows that are read by their numbers before pages are released: each may bring 64 kB, its page and those around it."""

_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)  # not on Windows


def read_rows(table: NDArray[Any], which: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """Some rows as a new ``float32`` array; the pages that were read for it are released.

    Args:
        table: ``(N, D)``, any floating-point type; an array in memory or a mapped file.
    """
    if isinstance(which, slice):
        rows = np.array(table[which], np.float32)
        release(table)
        return rows
    rows = np.empty((len(which), table.shape[1]), np.float32)
    for start in range(0, len(which), _SCATTERED):
        rows[start : start + _SCATTERED] = table[which[start : start + _SCATTERED]]
        release(table)
    return rows


def read_blocks(
    table: NDArray[Any], size: int, rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The rows of a table, ``size`` at a time, each with the place of its first row.

    Args:
        rows: their numbers, instead of all rows; places count these.
    """
    for start in range(0, len(table) if rows is None else len(rows), size):
        yield start, read_rows(table, slice(start, start + size) if rows is None else rows[start : start + size])


def release(table: NDArray[Any]) -> None:
    """Release the pages of a mapped file; they are read again, mostly from the system's cache, when they are needed.

    An array in memory, and a mapping whose changes are not written to the file (``mode="c"``), stay as they are.
    """
    mapped = getattr(table, "_mmap", None)
    if mapped is not None and _DONTNEED is not None and getattr(table, "mode", "c") != "c":
        mapped.madvise(_DONTNEED)
