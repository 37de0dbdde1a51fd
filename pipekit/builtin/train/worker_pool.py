"""Processes that make the images of batches, for a feed: they write into memory that is shared with it.

What lies between the calls of OpenCV and the JPEG decoder holds the interpreter lock, so threads that augment wait for one
another, and for the training loop. Processes don't; what they keep of decoded images is one file in memory for all of them.
"""

from __future__ import annotations

import math
import signal
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit import processes
from pipekit.builtin.train.cache import Address, Decoded, Mapped, PixelFile, SharedMemory, mapped
from pipekit.contract import Failure
from pipekit.images import Image
from pipekit.rng import Rng

Made = tuple[NDArray[Any], NDArray[np.bool_], dict[int, Failure]]
"""Images, which of them are there, and those that can't be read by their positions."""


@dataclass(frozen=True)
class Making:
    """How images are made, for a process; all of it can be pickled.

    Attributes:
        load, augment, rng, shape_hwc, dtype: as those of the feed.
        kept: where decoded images are kept; None for nowhere.
    """

    load: Callable[[str], Image]
    augment: Callable[[Image, Rng], Image] | None
    rng: Callable[..., Rng]
    shape_hwc: tuple[int, ...]
    dtype: Any
    kept: Address | None


def fill(out: NDArray[Any], decoded: Decoded, positions: Sequence[int], making: Making, epoch: int) -> NDArray[np.bool_]:
    """Make the images at ``positions``, one for each row of ``out``; returns which of them could be read."""
    there = np.zeros(len(positions), bool)
    for row, position in enumerate(positions):
        image = decoded.image(position)
        if image is None:
            continue
        if making.augment is not None:
            image = making.augment(image, making.rng("augment", epoch, decoded.ids[position]))
        out[row] = image
        there[row] = True
    return there


class Crew:
    """A pool of processes for one feed, and the memory in which they leave what they have made."""

    def __init__(self, making: Making, batch_size: int, workers: int) -> None:
        self._making = making
        self._bytes = batch_size * math.prod(making.shape_hwc) * np.dtype(making.dtype).itemsize
        self._free: deque[SharedMemory] = deque()
        self._pool = processes.pool(workers, _begin, making)
        for _ in range(workers):
            self._pool.submit(_nothing)  # the processes begin now, while the model is made

    def submit(self, epoch: int, positions: Sequence[int], files: Sequence[str], ids: Sequence[str]) -> Task:
        try:
            slot = self._free.popleft()
        except IndexError:
            slot = SharedMemory(self._bytes)
        future = self._pool.submit(_make, epoch, positions, files, ids, slot.path, self._bytes)
        return Task(self, slot, future, positions)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Task:
    """A batch that is being made."""

    worker_pool: Crew
    slot: SharedMemory
    future: Future[tuple[NDArray[np.bool_], dict[int, Failure]]]
    positions: Sequence[int]

    def result(self) -> Made:
        """Wait for it. Raises BrokenProcessPool where a process has died."""
        there, failed = self.future.result()
        images = np.array(_rows(self.slot.array, len(self.positions), self.worker_pool._making))
        self.worker_pool._free.append(self.slot)
        return images, there, failed

    def cancel(self) -> None:
        """It is not needed any more; its memory is, as soon as nobody writes there."""
        self.future.cancel()
        self.future.add_done_callback(lambda _: self.worker_pool._free.append(self.slot))


def _rows(memory: Mapped, count: int, making: Making) -> NDArray[Any]:
    size = count * math.prod(making.shape_hwc) * np.dtype(making.dtype).itemsize
    rows: NDArray[Any] = np.asarray(memory[:size]).view(making.dtype).reshape(count, *making.shape_hwc)
    return rows


# --- in a process --------------------------------------------------------------------------------------------------------


@dataclass
class _Here:
    """What this process was begun with."""

    making: Making
    pixels: PixelFile | None


_here: list[_Here] = []


def _begin(making: Making) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process with the loop, which ends this one
    cv2.setNumThreads(1)  # each process fills one core
    _here[:] = [_Here(making, None if making.kept is None else PixelFile.opened(making.kept))]


def _nothing() -> None:
    pass


@lru_cache(maxsize=64)
def _slot(path: str, size: int) -> Mapped:
    return mapped(path, size)


def _make(
    epoch: int, positions: Sequence[int], files: Sequence[str], ids: Sequence[str], path: str, size: int
) -> tuple[NDArray[np.bool_], dict[int, Failure]]:
    here = _here[0]
    decoded = Decoded(
        dict(zip(positions, files, strict=True)), dict(zip(positions, ids, strict=True)), here.making.load, pixels=here.pixels
    )
    there = fill(_rows(_slot(path, size), len(positions), here.making), decoded, positions, here.making, epoch)
    return there, decoded.failed
