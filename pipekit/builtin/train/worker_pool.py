"""Worker processes that make the images of a feed's batches in shared memory.

The code between the calls of OpenCV and the JPEG decoder holds the interpreter lock, so threads that augment wait for one
another and for the training loop. Processes do not; they share one in-memory file of cached images.
"""

from __future__ import annotations

import math
import signal
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
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

PART = 32
"""Number of images that a worker makes at a time: several make a larger batch together, which is ready the sooner."""

Made = tuple[NDArray[Any], NDArray[np.bool_], dict[int, Failure]]
"""Images, a mask of the readable ones, and the failures by position."""


@dataclass(frozen=True)
class Making:
    """How a worker process makes images; everything in it can be pickled.

    Attributes:
        load, augment, rng, shape_hwc, dtype: as those of the feed.
        kept: where decoded images are cached; None for nowhere.
    """

    load: Callable[[str], Image]
    augment: Callable[[Image, Rng], Image] | None
    rng: Callable[..., Rng]
    shape_hwc: tuple[int, ...]
    dtype: Any
    kept: Address | None


def fill(out: NDArray[Any], decoded: Decoded, positions: Sequence[int], making: Making, epoch: int) -> NDArray[np.bool_]:
    """Make the images at ``positions``, one for each row of ``out``; returns a mask of the readable ones."""
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
    """A pool of worker processes for one feed, and the shared memory for their images."""

    def __init__(self, making: Making, batch_size: int, workers: int) -> None:
        self._making = making
        self._bytes = batch_size * math.prod(making.shape_hwc) * np.dtype(making.dtype).itemsize
        self._free: deque[SharedMemory] = deque()
        self._pool = processes.pool(workers, _begin, making)
        try:
            for _ in range(workers):
                self._pool.submit(_nothing)  # start the processes now, while the model is built
        except processes.NotStartedError:
            self._pool.shutdown(wait=False, cancel_futures=True)
            raise

    def submit(self, epoch: int, positions: Sequence[int], files: Sequence[str], ids: Sequence[str]) -> Task:
        """Begin a batch, in parts of PART images."""
        try:
            slot = self._free.popleft()
        except IndexError:
            slot = SharedMemory(self._bytes)
        parts = [
            self._pool.submit(_make, epoch, positions[part], files[part], ids[part], slot.path, self._bytes, part.start)
            for part in parts_of(len(positions))
        ]
        return Task(self, slot, parts, positions)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


Part = tuple[NDArray[np.bool_], dict[int, Failure]]
"""A mask of the readable images of a part of a batch, and the failures by position."""


@dataclass(frozen=True)
class Task:
    """A batch in progress in worker processes."""

    worker_pool: Crew
    slot: SharedMemory
    parts: Sequence[Future[Part]]
    positions: Sequence[int]
    _taking: list[Future[Made]] = field(default_factory=list)

    def take(self, thread: Executor) -> None:
        """Let a thread copy the batch as soon as it is made, while another one is used."""
        if not self._taking:
            self._taking.append(thread.submit(self._taken))

    def result(self) -> Made:
        """Wait for the batch. Raises BrokenProcessPool if a process died."""
        return self._taking[0].result() if self._taking else self._taken()

    def _taken(self) -> Made:
        there, failed = joined(self.parts)
        images = np.array(_rows(self.slot.array, len(self.positions), self.worker_pool._making))
        self.worker_pool._free.append(self.slot)
        return images, there, failed

    def cancel(self) -> None:
        """Discard the batch; its memory is reused once the workers have finished."""
        for part in self.parts:
            part.cancel()
        if not self._taking or self._taking[0].cancel():
            _after(list(self.parts), lambda: self.worker_pool._free.append(self.slot))


@dataclass(frozen=True)
class ThreadTask:
    """A batch in progress in threads, which write into its images."""

    images: NDArray[Any]
    parts: Sequence[Future[NDArray[np.bool_]]]
    positions: Sequence[int]

    def take(self, thread: Executor) -> None:
        """Nothing is to be copied."""

    def result(self) -> Made:
        """Wait for the batch; the failures are in the feed's own list."""
        there = [part.result() for part in self.parts]
        return self.images, np.concatenate(there) if there else np.zeros(0, bool), {}

    def cancel(self) -> None:
        for part in self.parts:
            part.cancel()


def parts_of(count: int) -> list[slice]:
    return [slice(start, min(start + PART, count)) for start in range(0, count, PART)]


def joined(parts: Sequence[Future[Part]]) -> Part:
    """Wait for all parts of a batch."""
    results = [part.result() for part in parts]
    failed = {position: failure for _, failures in results for position, failure in failures.items()}
    return np.concatenate([there for there, _ in results]) if results else np.zeros(0, bool), failed


def _after(parts: list[Future[Part]], do: Callable[[], None]) -> None:
    """Call ``do`` when all parts have ended."""
    if parts:
        parts.pop().add_done_callback(lambda _: _after(parts, do))
    else:
        do()


def _rows(memory: Mapped, count: int, making: Making) -> NDArray[Any]:
    size = count * math.prod(making.shape_hwc) * np.dtype(making.dtype).itemsize
    rows: NDArray[Any] = np.asarray(memory[:size]).view(making.dtype).reshape(count, *making.shape_hwc)
    return rows


# --- in a process --------------------------------------------------------------------------------------------------------


@dataclass
class _Here:
    """This worker process's state."""

    making: Making
    pixels: PixelFile | None


_here: list[_Here] = []


def _begin(making: Making) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C, and ends this one
    cv2.setNumThreads(1)  # each process uses one core
    _here[:] = [_Here(making, None if making.kept is None else PixelFile.opened(making.kept))]


def _nothing() -> None:
    pass


@lru_cache(maxsize=64)
def _slot(path: str, size: int) -> Mapped:
    return mapped(path, size)


def _make(
    epoch: int, positions: Sequence[int], files: Sequence[str], ids: Sequence[str], path: str, size: int, row: int
) -> Part:
    here = _here[0]
    decoded = Decoded(
        dict(zip(positions, files, strict=True)), dict(zip(positions, ids, strict=True)), here.making.load, pixels=here.pixels
    )
    rows = _rows(_slot(path, size), row + len(positions), here.making)[row:]
    there = fill(rows, decoded, positions, here.making, epoch)
    return there, decoded.failed
