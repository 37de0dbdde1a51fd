"""The model's predictions on augmented images, compared with those on the original images."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.augment_check.strengths import Variant, variants
from pipekit.contract import Context, Dataset, Sample
from pipekit.errors import UserError
from pipekit.images import Image
from pipekit.learning.chance import better_than_chance
from pipekit.learning.known_groups import known_groups
from pipekit.learning.predictor import Predictor, load_predictor
from pipekit.learning.significance import design_effect, difference_interval
from pipekit.learning.trained_on import trained_on
from pipekit.recipe.compiled import Applied, CompiledRecipe, Picture, compile_recipe
from pipekit.rng import Rng

if TYPE_CHECKING:
    from pipekit.builtin.augment_check import AugmentCheckParams

RESAMPLES = 2000
FEW_CHANGED = 10
"""With fewer changed answers, resamples show too little of how rare changes vary."""
SHOWN = 3
"""Number of images that the page displays under every op."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """Predictions for N images, unchanged and under V variants.

    Attributes:
        plain_right, plain_confidence: ``(N,)``: 1 for a correct prediction; the predicted probability of the true class.
        correct, confidence: ``(N, V)``: the same under each variant, means over the copies.
        low, high: ``(V,)``: the 95 % interval of the drop in accuracy (bootstrap over images, Efron 1979; over their groups,
            where they are known).
        shown: for some images: the label, the image, and each variant's image with its predicted class.
    """

    split: str
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    variants: tuple[Variant, ...]
    copies: int
    plain_right: NDArray[np.float64]
    plain_confidence: NDArray[np.float64]
    correct: NDArray[np.float64]
    confidence: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    shown: tuple[tuple[str, Pixels, tuple[tuple[Pixels, str], ...]], ...]
    mirror_labels: Mapping[str, str] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None

    @property
    def num_images(self) -> int:
        return len(self.plain_right)

    @cached_property
    def accuracy(self) -> float:
        return float(self.plain_right.mean())

    @cached_property
    def chance(self) -> float:
        """The accuracy of always predicting the most frequent class."""
        return max(Counter(self.labels).values()) / len(self.labels)

    @cached_property
    def knows_something(self) -> bool:
        """Whether the model is better than chance on the unchanged images; without that no op can be judged."""
        effect = 1.0 if self.groups is None else design_effect(self.plain_right, self.groups)
        return better_than_chance(float(self.plain_right.sum()) / effect, self.num_images / effect, self.chance)

    @cached_property
    def drop(self) -> NDArray[np.float64]:
        """``(V,)``: the drop in accuracy; negative where it rises."""
        return np.asarray(self.accuracy - self.correct.mean(axis=0), np.float64)

    @cached_property
    def confidence_drop(self) -> NDArray[np.float64]:
        """``(V,)``: the drop in the mean probability of the true class."""
        return np.asarray(self.plain_confidence.mean() - self.confidence.mean(axis=0), np.float64)


def measure(ctx: Context, folder: Path, dataset: Dataset, params: AugmentCheckParams) -> Measured:
    """Apply the variants, predict, and count."""
    predictor = load_predictor(folder, ctx.component)
    split, chosen = held_out(ctx, dataset, predictor.classes, params, folder)
    size_hw = predictor.input_shape_hwc[:2]

    def compiled(calls: Sequence[Any]) -> CompiledRecipe:
        return compile_recipe(calls, size_hw, fill_mode=params.fill_mode, mirror_labels=params.mirror_labels)

    rows = variants(params.ops, params.strengths, compiled)
    maker = _Maker(ctx, predictor, compiled([]), rows, params)
    place = {name: number for number, name in enumerate(predictor.classes)}
    labels, correct, confidence, kept = [], [], [], []
    shown: list[tuple[str, Pixels, tuple[tuple[Pixels, str], ...]]] = []
    failed: list[str] = []
    every = max(1, len(chosen) // SHOWN)
    for number, (sample, made) in enumerate(_ahead(ctx, chosen, maker)):
        if isinstance(made, Exception):
            failed.append(f"{sample.id}: {made}")
            continue
        pixels, y_true = made
        answers = _answers(predictor, pixels, params.batch_size)
        numbers = np.array([place[name] for name in y_true])
        said = answers.argmax(axis=1)
        labels.append(y_true[0])
        kept.append(sample)
        correct.append(said == numbers)
        confidence.append(answers[np.arange(len(numbers)), numbers])
        if len(shown) < SHOWN and number >= len(shown) * every:
            firsts = range(1, len(pixels), params.copies)
            shown.append((y_true[0], pixels[0], tuple((pixels[i], predictor.classes[said[i]]) for i in firsts)))
    if not labels:
        raise UserError("no image could be measured", f"The first reason: {failed[0]}")
    if failed:
        ctx.warn(f"{len(failed)} of {len(chosen)} images could not be measured, for example {failed[0]}")
    hits, sure = np.array(correct, np.float64), np.array(confidence, np.float64)
    by_variant = hits[:, 1:].reshape(len(hits), len(rows), params.copies).mean(axis=2)
    groups = known_groups(kept)
    low, high = _interval(ctx, hits[:, :1] - by_variant, groups)
    return Measured(
        split=split,
        classes=predictor.classes,
        labels=tuple(labels),
        variants=tuple(rows),
        copies=params.copies,
        plain_right=hits[:, 0],
        plain_confidence=sure[:, 0],
        correct=by_variant,
        confidence=sure[:, 1:].reshape(len(sure), len(rows), params.copies).mean(axis=2),
        low=low,
        high=high,
        shown=tuple(shown),
        mirror_labels=params.mirror_labels,
        groups=groups,
    )


def held_out(
    ctx: Context, dataset: Dataset, classes: Sequence[str], params: AugmentCheckParams, model: Path
) -> tuple[str, list[Sample]]:
    """The split to measure on, and its images with a class that the model knows, without those that it was trained on.

    Raises:
        UserError: there are none.
    """
    there = [name for name in dataset.counts if name]
    split = params.split or next((name for name in ("val", "test") if name in there), "" if there else "all")
    if not split:
        raise UserError(
            f"no image is held out: the dataset has the splits {', '.join(there)}",
            "Split it with a val or test part, or name a split that the model was not trained on.",
        )
    found = [sample for sample in dataset if split == "all" or sample.split == split]
    known = [sample for sample in found if sample.label in classes]
    if not known:
        what = "none of them has a class that the model knows" if found else f"the dataset's splits: {', '.join(there)}"
        raise UserError(f"no image to measure on in the split {split!r}: {what}", f"The model knows: {', '.join(classes)}.")
    if len(known) < len(found):
        ctx.warn(f"{len(found) - len(known)} of {len(found)} images have no class that the model knows and are left out")
    known = _unseen(ctx, known, split, model)
    step = max(1.0, len(known) / params.max_images)
    return split, [known[int(number * step)] for number in range(min(params.max_images, len(known)))]


def _unseen(ctx: Context, samples: list[Sample], split: str, model: Path) -> list[Sample]:
    """The images that the model was not trained on, by their content."""
    seen = trained_on(model, samples)
    if seen is None:
        if split == "all":
            ctx.warn(
                "the images are in no split, and the model does not say which it was trained on; the result is only valid if "
                "it was not trained on these"
            )
        return samples
    if seen.all():
        raise UserError(
            f"the model was trained on all {len(samples)} images of the split {split!r}",
            "Check it on images that are new to it.",
        )
    if seen.any():
        ctx.warn(f"{int(seen.sum())} of {len(samples)} images are left out, since the model was trained on them")
    return [sample for sample, known in zip(samples, seen.tolist(), strict=True) if not known]


class _Maker:
    """Makes an image's inputs for the model: unchanged, then all copies of each variant in turn."""

    def __init__(
        self, ctx: Context, predictor: Predictor, plain: CompiledRecipe, rows: Sequence[Variant], params: AugmentCheckParams
    ) -> None:
        self.ctx, self.plain, self.rows, self.params = ctx, plain, rows, params
        self.classes, self.shape, self.fit = predictor.classes, predictor.input_shape_hwc, predictor.fit

    def __call__(self, sample: Sample) -> tuple[Pixels, list[str]] | Exception:
        label = str(sample.label)
        try:
            apply = self._applier(sample.image)
            made = [self._fitted(apply(self.plain, self.ctx.rng(sample.id, 0)).image)]
            y_true = [label]
            for row in self.rows:
                for copy in range(1, self.params.copies + 1):
                    applied = apply(row.recipe, self.ctx.rng(sample.id, copy))
                    made.append(self._fitted(applied.image))
                    y_true.append(self.params.mirror_labels.get(label, label) if applied.mirrored else label)
        except UserError as error:  # the image can't be read, or is smaller than a crop
            return error
        unknown = next((name for name in y_true if name not in self.classes), None)
        if unknown is not None:
            return UserError(f"mirror_labels names {unknown!r}, which the model does not know")
        return np.stack(made), y_true

    def _applier(self, path: str) -> Callable[[CompiledRecipe, Rng], Applied]:
        """Applies a recipe to the image, which has the model's proportions before: a recipe's output is the model's input."""
        if self.fit == "stretch":
            picture = Picture(path)
            return lambda recipe, rng: recipe.load(picture, rng)
        size_hw = self.shape[:2]
        pixels = images.fitted(images.read(path, at_least_hw=size_hw), size_hw, self.fit)
        return lambda recipe, rng: recipe.apply(pixels, rng)

    def _fitted(self, image: Image) -> Image:
        """The recipe outputs the model's size; a model with one channel gets luma."""
        if self.shape[2] == 1 and image.shape[2] == 3:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        return image.reshape(self.shape)


def _ahead(
    ctx: Context, samples: Sequence[Sample], make: _Maker
) -> Iterator[tuple[Sample, tuple[Pixels, list[str]] | Exception]]:
    """Threads prepare the next images while the model predicts."""
    pool = ThreadPoolExecutor(max(1, ctx.workers), thread_name_prefix="augment")
    waiting: deque[tuple[Sample, Future[tuple[Pixels, list[str]] | Exception]]] = deque()
    try:
        for sample in ctx.track(samples, label="measuring", unit="images"):
            waiting.append((sample, pool.submit(make, sample)))
            if len(waiting) > 2 * ctx.workers:
                first, made = waiting.popleft()
                yield first, made.result()
        while waiting:
            first, made = waiting.popleft()
            yield first, made.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answers(predictor: Predictor, pixels: Pixels, batch_size: int) -> NDArray[np.float64]:
    """Probabilities; all batches have one size, so that the graph is traced once."""
    found = []
    for start in range(0, len(pixels), batch_size):
        part = pixels[start : start + batch_size]
        batch: Pixels = np.zeros((batch_size, *part.shape[1:]), np.uint8)
        batch[: len(part)] = part
        found.append(predictor.probabilities(batch)[: len(part)])
    return np.concatenate(found).astype(np.float64)


def _interval(
    ctx: Context, falls: NDArray[np.float64], groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval of the mean of each column, by resampling images, or groups of images.

    Where an op changes few answers, it is at least that of Tango (1998), which has a width also where none changed.
    """
    sizes = np.ones(len(falls)) if groups is None else np.bincount(groups).astype(np.float64)
    sums = falls
    if groups is not None:
        sums = np.zeros((len(sizes), falls.shape[1]))
        np.add.at(sums, groups, falls)
    count = len(sums)
    drawn = ctx.rng("bootstrap").multinomial(count, np.full(count, 1 / count), RESAMPLES)
    low, high = np.percentile(drawn @ sums / (drawn @ sizes)[:, None], [2.5, 97.5], axis=0)
    for at in np.flatnonzero((falls != 0).sum(axis=0) < FEW_CHANGED).tolist():
        column = falls[:, at]
        effect = 1.0 if groups is None else design_effect(column, groups)
        fell, rose = (float(side.clip(0).sum()) / effect for side in (column, -column))
        least, most = difference_interval(fell, rose, len(column) / effect)
        low[at], high[at] = min(low[at], least), max(high[at], most)
    return low, high


def thumbnail(pixels: Pixels) -> Image:
    """A picture large enough to look at."""
    colour = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    height, width = colour.shape[:2]
    scale = 128 / max(height, width)
    return images.resize(colour, (max(1, round(height * scale)), max(1, round(width * scale))))
