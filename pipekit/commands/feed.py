"""Feeds for a person's own ``model.fit``: augmented batches as a ``tf.data.Dataset``, a Keras ``PyDataset``, or arrays."""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipekit.commands.dataset import ImageDataset
from pipekit.commands.recipe import Recipe
from pipekit.errors import ImageError, UserError
from pipekit.tasks import MULTILABEL, NUMBER, stated, task_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.contract import Dataset, Sample
    from pipekit.images import Fit, SizeHw
    from pipekit.recipe.compiled import CompiledRecipe

    Batch = tuple[NDArray[Any], NDArray[Any]]

NAME = "feed"
"""The name under which random numbers are drawn."""


@dataclass(frozen=True)
class Feed:
    """Batches of a fixed list of images; by :func:`feed`.

    What is in a batch depends only on the seed, the epoch and the samples: not on the number of threads, nor on earlier
    epochs.

    Attributes:
        samples: the images, in the order of their ids.
        classes: the class of each label number; of several labels, the label of each column; empty for numbers.
        labels: the target of each of ``samples``: ``(N,) int64`` class numbers, ``(N, L) float32`` of 0 and 1 for several
            labels, or ``(N,) float32`` numbers.
        batch_size: number of images in a batch; the last batch of an epoch holds the rest.
        size_hw: height and width of the images.
        one_hot: whether targets of classes are ``(N, num_classes) float32``.
        shuffle: whether each epoch has its own order.
        seed: random seed.
        rescale: factor on the images, which are then float32.
        failed: id and reason of each image that could not be read; it was left out of its batches.
        task: what the dataset states of each image: ``classes``, ``multilabel`` or ``number``.
    """

    samples: tuple[Sample, ...] = field(repr=False)
    classes: tuple[str, ...]
    labels: NDArray[np.int64] = field(repr=False)
    batch_size: int
    size_hw: SizeHw
    recipe: CompiledRecipe = field(repr=False)
    one_hot: bool = False
    shuffle: bool = True
    seed: int = 0
    rescale: float | None = None
    workers: int = 2
    failed: dict[str, str] = field(default_factory=dict, repr=False)
    task: str = "classes"

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.samples) / self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The positions in ``samples`` in the order of an epoch."""
        import numpy as np

        from pipekit.rng import rng_for

        if not self.shuffle:
            return np.arange(len(self.samples), dtype=np.int64)
        return rng_for(self.seed, NAME, "shuffle", epoch).permutation(len(self.samples)).astype(np.int64)

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch: images ``(N, H, W, 3)``, uint8 in 0..255 (float32 with ``rescale``), and targets.

        Raises:
            UserError: none of its images can be read.
        """
        return self._made(epoch, self._positions(self.order(epoch), number))

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch as arrays, made ahead in threads."""
        order = self.order(epoch)
        todo = iter(range(len(self)))
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix=NAME) as pool:
            try:
                while True:
                    for number in islice(todo, self.workers + 1 - len(waiting)):
                        waiting.append(pool.submit(self._made, epoch, self._positions(order, number)))
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            finally:
                for task in waiting:
                    task.cancel()

    def _positions(self, order: NDArray[np.int64], number: int) -> list[int]:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        found: list[int] = order[number * self.batch_size : (number + 1) * self.batch_size].tolist()
        return found

    def _made(self, epoch: int, positions: Sequence[int]) -> Batch:
        import numpy as np

        images: NDArray[Any] = np.empty((len(positions), *self.size_hw, 3), np.uint8)
        there: list[int] = []
        for position in positions:
            image = self._image(epoch, self.samples[position])
            if image is not None:
                images[len(there)] = image
                there.append(position)
        if not there:
            first = self.samples[positions[0]].id
            raise UserError(f"none of the images of a batch can be read: {first}: {self.failed[first]}", "See feed.failed.")
        images = images[: len(there)]
        if self.rescale is not None:
            images = images * np.float32(self.rescale)
        labels = self.labels[there]
        return images, np.eye(len(self.classes), dtype=np.float32)[labels] if self.one_hot else labels

    def _image(self, epoch: int, sample: Sample) -> Any:
        from pipekit.rng import rng_for

        try:
            return self.recipe.load(sample.image, rng_for(self.seed, NAME, "augment", epoch, sample.id)).image
        except ImageError as error:
            if sample.id not in self.failed:
                self.failed[sample.id] = error.message
                warnings.warn(f"{sample.id} is left out of the feed: {error.message}", stacklevel=2)
            return None

    # --- for Keras and TensorFlow -------------------------------------------------------------------------------------------

    def tf_dataset(self, epoch: int | None = None) -> Any:
        """A ``tf.data.Dataset`` of batches; TensorFlow is loaded now.

        Args:
            epoch: give the same epoch each time; by default the k-th iteration gives epoch k, from 0 on, and ``model.fit``
                iterates once for each epoch.
        """
        from pipekit.learning.keras_backend import load_keras

        load_keras()
        import tensorflow as tf

        begun = iter(range(2**62))

        def batches() -> Iterator[Batch]:
            return self.epoch(next(begun) if epoch is None else epoch)

        images = tf.TensorSpec((None, *self.size_hw, 3), tf.uint8 if self.rescale is None else tf.float32)
        shape = (None, len(self.classes)) if self.one_hot else (None, *self.labels.shape[1:])
        targets = tf.TensorSpec(shape, tf.float32 if self.one_hot else tf.as_dtype(self.labels.dtype))
        found = tf.data.Dataset.from_generator(batches, output_signature=(images, targets))
        return found.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(2)

    def py_dataset(self, first_epoch: int = 0) -> Any:
        """A ``keras.utils.PyDataset``; Keras and TensorFlow are loaded now. After each epoch it gives the next.

        Give ``shuffle=False`` to ``model.fit``: by default Keras draws an order of the batches from Python's global generator.
        The images of an epoch are in the feed's own random order already.

        Args:
            first_epoch: the epoch to begin with: ``initial_epoch`` of ``model.fit``.
        """
        from pipekit.learning.keras_backend import load_keras

        keras = load_keras()
        feed = self

        class FeedDataset(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
            """Batches by number."""

            def __init__(self) -> None:
                super().__init__(workers=feed.workers, max_queue_size=feed.workers + 1)
                self.epoch = first_epoch
                self._begun = False
                self._order = feed.order(first_epoch)

            def __len__(self) -> int:
                return len(feed)

            def __getitem__(self, number: int) -> Batch:
                return feed._made(self.epoch, feed._positions(self._order, number))

            def on_epoch_begin(self) -> None:
                self._begun = True

            def on_epoch_end(self) -> None:
                if self._begun:  # Keras ends an epoch before the first one too
                    self._begun, self.epoch = False, self.epoch + 1
                    self._order = feed.order(self.epoch)

        return FeedDataset()

    @cached_property
    def counts(self) -> dict[str, int]:
        """{class: images}; empty for numbers."""
        import numpy as np

        if self.task == MULTILABEL:
            return dict(zip(self.classes, self.labels.sum(axis=0).astype(int).tolist(), strict=True))
        if self.task == NUMBER:
            return {}
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def _named(self, target: Any) -> str:
        """A target in words, for a caption."""
        if self.task == NUMBER:
            return f"{float(target):.4g}"
        if self.task == MULTILABEL:
            return ", ".join(name for name, has in zip(self.classes, target, strict=True) if has) or "none"
        return self.classes[int(target.argmax() if self.one_hot else target)]

    def _repr_html_(self) -> str:
        from pipekit import images
        from pipekit.page import notebook

        shown, labels = self.batch(0, 0)
        names = [self._named(label) for label in labels[:12]]
        pixels = shown[:12] if self.rescale is None else (shown[:12] / self.rescale).round().astype("uint8")
        tiles = [images.thumbnail(one, 96) for one in pixels]
        sheet = images.contact_sheet(tiles, names, 6, tile_px=96, font_px=11, max_lines=1)
        return notebook.whole(
            notebook.counts_table({"": self.counts}) if self.counts else "",
            notebook.facts({"seed": self.seed, "order": "shuffled" if self.shuffle else "by id"}),
            notebook.picture(sheet, "the first images of epoch 0", sheet.shape[1]),
            title=f"Feed: {len(self.samples):,} images, {len(self):,} batches of {self.batch_size}, {list(self.size_hw)} px",
        )


def feed(
    dataset: ImageDataset | Dataset | str | os.PathLike[str],
    recipe: Recipe | str | None = None,
    batch_size: int = 32,
    *,
    size_hw: SizeHw = (224, 224),
    fit: Fit = "stretch",
    split: str | Sequence[str] = (),
    seed: int | None = None,
    shuffle: bool = True,
    labels: Literal["int", "one_hot"] = "int",
    classes: Sequence[str] = (),
    rescale: float | None = None,
    workers: int | None = None,
    keep_value: bool = False,
) -> Feed:
    """Feed your own ``model.fit`` with augmented batches, decoded no larger than needed and warped once.

    Deterministic: an image depends only on the recipe, the seed, the epoch and the image's id. TensorFlow is loaded by
    ``tf_dataset()`` and ``py_dataset()``, not before.

    Args:
        dataset: of :func:`pipekit.dataset`, or what that takes.
        recipe: a :class:`pipekit.Recipe`, or its ops; None only resizes (for validation).
        batch_size: number of images in a batch.
        size_hw: height and width of the images.
        fit: how another aspect ratio is fitted: ``stretch``, ``crop`` or ``pad``; a recipe with a ``size_hw`` has its own.
        split: the split or splits; required if the dataset has splits, so that no test image is trained on by mistake.
        seed: random seed; default: that of the recipe.
        shuffle: a new order in each epoch; give False for validation and for ``model.predict``.
        labels: ``"int"`` for ``sparse_categorical_crossentropy``, ``"one_hot"`` for ``categorical_crossentropy``. Targets of
            several labels are ``(N, L) float32`` of 0 and 1, for ``binary_crossentropy``; those of numbers ``(N,) float32``.
        classes: the classes or labels in the order of the model's outputs; default: those of the dataset.
        rescale: a factor on the images (1/255), which are then float32; by default they are uint8 in 0..255.
        workers: number of threads; default: one per core.
        keep_value: of a number for each image: allow ops that move pixels, since the number stays as it is.

    Returns:
        A feed: ``py_dataset()`` and ``tf_dataset()`` for Keras, ``epoch(k)`` as arrays, ``classes``, ``labels``.

    Raises:
        UserError: the dataset has splits and none is given, an image is unlabelled, a value is wrong, or ops may change the
            number of an image.

    Example:
        >>> import pipekit
        >>> photos = pipekit.dataset("runs/pets:split")  # doctest: +SKIP
        >>> train = pipekit.feed(photos, "rotate(40)|hflip", 32, size_hw=(150, 150), split="train")  # doctest: +SKIP
        >>> val = pipekit.feed(photos, None, 32, size_hw=(150, 150), split="val", shuffle=False)  # doctest: +SKIP
        >>> model.fit(train.py_dataset(), validation_data=val.py_dataset(), epochs=5, shuffle=False)  # doctest: +SKIP
    """

    from pipekit.images.choices import Fit as FitOf

    opened = _opened(dataset)
    task = task_of(opened.artifact)
    names = (split,) if isinstance(split, str) else tuple(split)
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    if fit not in get_args(FitOf) or not all(1 <= side <= 32767 for side in size_hw) or len(size_hw) != 2:
        raise UserError(
            f"size_hw is (height, width) in px, fit is {', '.join(get_args(FitOf))}; got {size_hw!r} and {fit!r}",
            "For example: size_hw=(224, 224), fit='crop'.",
        )
    if labels not in ("int", "one_hot"):
        raise UserError(f'labels is "int" or "one_hot", got {labels!r}')
    if labels == "one_hot" and task in (MULTILABEL, NUMBER):
        what = "several labels are 0 and 1 for each label" if task == MULTILABEL else "numbers are float32"
        raise UserError(f'labels = "one_hot" is for one class for each image; {what} as they are', "Omit labels.")
    if classes and task == NUMBER:
        raise UserError(f"classes is given, and {opened.name} has a number for each image", "Omit classes.")
    there = [name for name in opened.counts if name]
    if not names and not opened.splits and there:
        raise UserError(f"the dataset has the splits {', '.join(there)}", f"Choose with split: split={there[0]!r}.")
    own = Recipe([], seed=seed or 0) if recipe is None else recipe if isinstance(recipe, Recipe) else Recipe(recipe)
    samples = tuple(opened.split(*names) if names else opened)
    if not samples:
        raise UserError(f"there are no images in {opened.name}{' '.join(['', *names])}")
    order = tuple(classes) or opened.classes
    sized = own.sized((int(size_hw[0]), int(size_hw[1])), fit)
    if task == NUMBER and not keep_value:
        from pipekit.recipe.coordinates import refuse_moving

        refuse_moving(sized.ops)
    return Feed(
        samples,
        order,
        _targets(samples, order, task),
        batch_size,
        (int(size_hw[0]), int(size_hw[1])),
        sized,
        labels == "one_hot",
        shuffle,
        own.seed if seed is None else seed,
        rescale,
        workers or os.cpu_count() or 1,
        task=task,
    )


def _opened(dataset: Any) -> ImageDataset:
    from pipekit.commands.dataset import dataset as open_dataset
    from pipekit.contract import Dataset as DatasetOf

    if isinstance(dataset, ImageDataset):
        return dataset
    if isinstance(dataset, DatasetOf):
        return ImageDataset("dataset", dataset)
    if isinstance(dataset, (str, os.PathLike)):
        return open_dataset(os.fspath(dataset))
    raise UserError(f"expected a dataset of pipekit.dataset, or a folder, got {type(dataset).__name__}")


def _targets(samples: Sequence[Sample], classes: Sequence[str], task: str) -> NDArray[Any]:
    """The target of each image: see ``labels`` of :class:`Feed`.

    Raises:
        UserError: an image is unlabelled, or has a class or label that is not among ``classes``.
    """
    import numpy as np

    place = {name: number for number, name in enumerate(classes)}
    for sample in samples:
        if stated(sample) is None:
            raise UserError(
                f"{sample.id} has no {'number' if task == NUMBER else 'label'}",
                "A feed has a target for each image: label all images, or leave the others out.",
            )
        named = sample.labels if task == MULTILABEL else () if task == NUMBER else (sample.label,)
        if unknown := [name for name in named or () if name not in place]:
            raise UserError(
                f"{sample.id} has the label {unknown[0]!r}, which is not among classes", f"There are: {', '.join(classes)}."
            )
    if task == NUMBER:
        return np.array([sample.value for sample in samples], np.float32)
    if task != MULTILABEL:
        return np.array([place[str(sample.label)] for sample in samples], np.int64)
    table = np.zeros((len(samples), len(classes)), np.float32)
    for row, sample in zip(table, samples, strict=True):
        row[[place[name] for name in sample.labels or ()]] = 1
    return table
