"""The feed: turn files into shuffled, augmented batches, in parallel to the model's work.

Threads do the work, because decoding, warping and resizing release the interpreter lock; or processes
(:mod:`.worker_pool`), because the code between those calls does not (``benchmarks/feed.py`` compares them with alternatives).
Images are cached at the model's input size, and a recipe that moves pixels warps each once: a warp from a larger image takes
longer, in every epoch.

Batches depend only on the seed, the epoch and the sample. Threads, processes, the cache and a restart in the middle of an epoch
change no byte and no order.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train.cache import Decoded
from pipekit.builtin.train.worker_pool import PART, Crew, Making, Task, ThreadTask, fill, parts_of
from pipekit.errors import UserError
from pipekit.images import Image
from pipekit.learning.keras_backend import load_keras
from pipekit.processes import NotStartedError
from pipekit.rng import Rng

Batch: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]
"""Images (N, H, W, C) in 0..255, uint8, or float32 if images are mixed; targets; sample weights (N,)."""

Begun: TypeAlias = tuple[int, Task | ThreadTask]
"""The number of a batch, and the batch in progress."""


@dataclass(frozen=True)
class Feed:
    """Batches of a fixed list of images.

    Attributes:
        decoded: the images, by their position in the list; of any size if there is an ``augment``.
        shape_hwc: shape of the images in a batch.
        ids: a stable name for each image; its augmentation depends on it.
        targets: ``(N,)`` class numbers, or ``(N, C)`` probabilities. None: the image is its own target.
        weights: ``(N,)`` sample weights.
        dtype: dtype of the images; float32 if features replace them.
        batch_size: number of images in a batch; the last batch of an epoch holds the rest.
        rng: ``rng("augment", epoch, id)`` returns the generator for one image.
        shuffle: a new order in each epoch, from ``rng("shuffle", epoch)``; else the order of the list.
        sampler: ``sampler(epoch)`` takes the place of ``shuffle``: the positions of the images that an epoch shows.
        augment: ``augment(image, rng) -> image``, from a decoded image to one of ``shape_hwc``; None for no augmentation.
        mix: ``mix(images, targets, weights, rng)`` for whole batches (MixUp, CutMix); None for no mixing.
        workers: number of threads or processes.
        epochs: number of epochs that will be asked for in turn, from 0: the first batches of the next one are begun while the
            last ones of an epoch are used. 0: unknown, nothing of another epoch is begun.
        processes: make the images in processes; requires a shared ``decoded``, and picklable ``load``, ``augment`` and ``rng``.
        warn: receives a message when the feed falls back from processes to threads.
    """

    decoded: Decoded
    shape_hwc: tuple[int, ...]
    ids: Sequence[str]
    targets: NDArray[Any] | None
    weights: NDArray[np.float32]
    batch_size: int
    rng: Callable[..., Rng]
    shuffle: bool = False
    augment: Callable[[Image, Rng], Image] | None = None
    mix: Callable[[NDArray[Any], NDArray[Any], NDArray[np.float32], Rng], Batch] | None = None
    dtype: Any = np.uint8
    sampler: Callable[[int], NDArray[np.int64]] | None = None
    epochs: int = 0
    workers: int = 2
    processes: bool = False
    warn: Callable[[str], None] = lambda _: None
    _pool: ThreadPoolExecutor = field(init=False, repr=False)
    _taker: ThreadPoolExecutor = field(init=False, repr=False)
    """Copies the next batch out of the memory that it was made in."""
    _crew: list[Crew] = field(default_factory=list, init=False, repr=False)
    """The worker pool, if images are made in processes; else empty."""
    _begun: dict[int, deque[Begun]] = field(default_factory=dict, init=False, repr=False)
    """The first batches of an epoch that comes next."""

    def __post_init__(self) -> None:
        if not self.ids:
            raise UserError("a feed needs at least one image")
        cv2.setNumThreads(1)  # these threads use all cores; OpenCV's own would compete for them
        object.__setattr__(self, "_pool", ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="feed"))
        object.__setattr__(self, "_taker", ThreadPoolExecutor(1, thread_name_prefix="feed-taker"))
        if self.processes:
            try:
                self._crew.append(Crew(self._making, self.batch_size, self.workers))
            except NotStartedError as error:
                self.warn(f"{error.message}; training continues with threads")

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for _, task in [one for begun in self._begun.values() for one in begun]:
            task.cancel()
        self._begun.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._taker.shutdown(wait=True, cancel_futures=True)
        while self._crew:
            self._crew.pop().close()

    @property
    def _making(self) -> Making:
        pixels = self.decoded.pixels
        kept = pixels.address() if self.processes and pixels is not None else None
        return Making(self.decoded.load, self.augment, self.rng, self.shape_hwc, self.dtype, kept)

    @property
    def steps(self) -> int:
        """Number of batches in an epoch, which contains every image once, unless a sampler chooses."""
        return math.ceil(len(self.ids) / self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The positions of the images in the order of an epoch."""
        if self.sampler is not None:
            return self.sampler(epoch)
        if not self.shuffle:
            return np.arange(len(self.ids), dtype=np.int64)
        return np.asarray(self.rng("shuffle", epoch).permutation(len(self.ids)), np.int64)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, starting at number ``start``; see :meth:`numbered`."""
        return (batch for _, batch in self.numbered(epoch, start))

    def numbered(self, epoch: int, start: int = 0) -> Iterator[tuple[int, Batch]]:
        """The numbered batches of an epoch; they do not depend on whether those before ``start`` were made.

        An unreadable image is omitted from its batch and listed in ``decoded.failed``; an empty batch is skipped.
        """
        order = self.order(epoch)
        waiting = self._taken(epoch, start)
        todo = iter(range(start + len(waiting), self.steps))
        finished = False
        try:
            while True:
                for step in islice(todo, self._ahead - len(waiting)):
                    waiting.append((step, self._begin(epoch, step, order)))
                self._begin_next(epoch, self._ahead - len(waiting))
                if not waiting:
                    finished = True
                    return
                step, task = waiting.popleft()
                for _, following in islice(waiting or self._begun.get(epoch + 1, deque[Begun]()), 1):
                    following.take(self._taker)
                if (batch := self._end(task, epoch, step, order)) is not None:
                    yield step, batch
        finally:
            if not finished:
                waiting += self._begun.pop(epoch + 1, ())
            for _, task in waiting:
                task.cancel()

    @property
    def _ahead(self) -> int:
        """Number of batches in progress: enough of their parts for all workers, while two of them are finished and used."""
        return math.ceil(max(1, self.workers) / math.ceil(self.batch_size / PART)) + 2

    def _taken(self, epoch: int, start: int) -> deque[Begun]:
        """The batches of an epoch that were begun before it, if it is the one that comes next, from its start."""
        begun = self._begun.pop(epoch, deque[Begun]())
        if start == 0:
            return begun
        for _, task in begun:
            task.cancel()
        return deque()

    def _begin_next(self, epoch: int, room: int) -> None:
        """Begin up to ``room`` batches of the next epoch in all, if there is one."""
        if room <= 0 or not 0 <= epoch < self.epochs - 1:
            return
        begun = self._begun.setdefault(epoch + 1, deque())
        if len(begun) < min(room, self.steps):
            order = self.order(epoch + 1)
            for step in range(len(begun), min(room, self.steps)):
                begun.append((step, self._begin(epoch + 1, step, order)))

    def _begin(self, epoch: int, step: int, order: NDArray[np.int64]) -> Task | ThreadTask:
        positions = [one for one in self._positions(step, order).tolist() if one not in self.decoded.failed]
        decoded = self.decoded
        if self._crew:
            with contextlib.suppress(BrokenProcessPool):  # the batches before this one report it
                return self._crew[0].submit(
                    epoch, positions, [decoded.files[one] for one in positions], [decoded.ids[one] for one in positions]
                )
        images = np.empty((len(positions), *self.shape_hwc), self.dtype)
        parts = [
            self._pool.submit(fill, images[part], decoded, positions[part], self._making, epoch)
            for part in parts_of(len(positions))
        ]
        return ThreadTask(images, parts, positions)

    def _end(self, task: Task | ThreadTask, epoch: int, step: int, order: NDArray[np.int64]) -> Batch | None:
        try:
            images, there, failed = task.result()
        except BrokenProcessPool:
            if self._crew:
                self._crew.pop().close()
                self.warn("a worker process of the feed died (too little memory?); training continues with threads")
            return self._batch(epoch, step, order)
        self.decoded.failed.update(failed)
        return self._whole(images, np.array(task.positions, np.int64), there, epoch, step)

    def _positions(self, step: int, order: NDArray[np.int64]) -> NDArray[np.int64]:
        return order[step * self.batch_size : (step + 1) * self.batch_size]

    def _batch(self, epoch: int, step: int, order: NDArray[np.int64]) -> Batch | None:
        positions = self._positions(step, order)
        images = np.empty((len(positions), *self.shape_hwc), self.dtype)
        there = fill(images, self.decoded, positions.tolist(), self._making, epoch)
        return self._whole(images, positions, there, epoch, step)

    def _whole(
        self, images: NDArray[Any], positions: NDArray[np.int64], there: NDArray[np.bool_], epoch: int, step: int
    ) -> Batch | None:
        """The batch of the readable images."""
        if not there.any():
            return None
        if not there.all():
            images, positions = images[there], positions[there]
        targets = images if self.targets is None else self.targets[positions]
        weights = self.weights[positions]
        if self.mix is not None:
            return self.mix(images, targets, weights, self.rng("mix", epoch, step))
        return images, targets, weights

    # --- as Keras and TensorFlow objects ---------------------------------------------------------------------------------

    def tf_dataset(self, epoch: int = 0, start: int = 0) -> Any:
        """One epoch as a ``tf.data.Dataset``, for ``model.fit`` and for ``tf.distribute``."""
        load_keras()
        import tensorflow as tf

        first = next(self.epoch(epoch, self.steps - 1))
        spec = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first)
        return tf.data.Dataset.from_generator(lambda: self.epoch(epoch, start), output_signature=spec).prefetch(2)

    def py_dataset(self) -> Any:
        """All epochs as a ``keras.utils.PyDataset``: Keras requests batches by number, in any order."""
        keras = load_keras()
        feed = self

        class FeedDataset(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
            """Batches by number; a new order after each epoch."""

            def __init__(self) -> None:
                super().__init__(workers=feed.workers, max_queue_size=feed.workers + 1)
                self._epoch = 0
                self._order = feed.order(0)

            def __len__(self) -> int:
                return feed.steps

            def __getitem__(self, step: int) -> Batch:
                batch = feed._batch(self._epoch, step, self._order)
                if batch is None:
                    raise UserError(f"none of the images of batch {step} can be read", "See the stage's list of failed images.")
                return batch

            def on_epoch_end(self) -> None:
                self._epoch += 1
                self._order = feed.order(self._epoch)

        return FeedDataset()
