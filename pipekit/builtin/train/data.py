"""Prepare a dataset for the feed: samples, image size, class weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.train.classes import check_classes
from pipekit.contract import Context, Dataset, Sample
from pipekit.errors import UserError
from pipekit.images import Fit, Image
from pipekit.images.fitting import cropped, largest_hw, padded, smallest_hw
from pipekit.learning.input_size import probed
from pipekit.recipe.compiled import CompiledRecipe, walk
from pipekit.rng import Rng, rng_for
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, stated

DRAWS = 8
"""Number of random draws of a recipe's first ops that show what they do."""
LARGEST_STEP = 2.25
"""Maximum factor of one linear resize, which mixes two pixels: at most a ninth of the pixels are skipped."""


@dataclass(frozen=True)
class Part:
    """The samples of a split to learn from, with class numbers; -1 without a label, for an autoencoder.

    For several labels and for numbers, ``numbers`` are the targets, ``(N, C) float32``.
    """

    samples: tuple[Sample, ...]
    numbers: NDArray[Any]

    def __len__(self) -> int:
        return len(self.samples)

    def counts(self, classes: Sequence[str]) -> dict[str, int]:
        return {name: int((self.numbers == number).sum()) for number, name in enumerate(classes)}


def read_part(dataset: Dataset, split: str, labelled: bool) -> Part:
    """The split's samples; if ``labelled``, only those with a label."""
    number = {name: position for position, name in enumerate(dataset.classes)}
    samples = [sample for sample in dataset.split(split) if not labelled or stated(sample) is not None]
    if labelled and dataset.task != CLASSES:
        from pipekit.builtin.train.tasks import targets_of

        return Part(tuple(samples), targets_of(samples, dataset))
    return Part(tuple(samples), np.array([number.get(s.label or "", -1) for s in samples], np.int64))


def check_parts(ctx: Context, dataset: Dataset, train: Part, val: Part, labelled: bool, keeps_best: bool = True) -> None:
    """Raise an error if the data can't be trained on, and warn of missing or imbalanced classes.

    Raises:
        UserError: no training images, or images of only one class.
    """
    if labelled:
        check_classes(ctx, dataset)
    elif not len(train):
        raise UserError(
            "there is nothing to train on: no image in the split 'train'",
            "Add a split stage before train: [stages.split] use = 'split'",
        )
    if not len(val) and keeps_best:
        ctx.warn("there is no split 'val': overfitting can't be detected, and the epoch with the lowest training loss is kept")
    if not labelled or dataset.task == NUMBER:
        return
    if dataset.task == MULTILABEL:
        for name, part in (("training image", train), ("image in the split 'val'", val)):
            without = [label for at, label in enumerate(dataset.classes) if not part.numbers[:, at].any()]
            if without and len(part):
                ctx.warn(f"no {name} has {_names(without)}")
        return
    counts = train.counts(dataset.classes)
    there = [name for name, count in counts.items() if count]
    if missing := [name for name, count in counts.items() if not count]:
        ctx.warn(f"no training image of {_names(missing)}: the model can't learn to predict it")
    if len(val) and (missing := [name for name, count in val.counts(dataset.classes).items() if not count]):
        ctx.warn(f"no image of {_names(missing)} in the split 'val': validation metrics don't cover it")
    if max(counts.values()) >= 5 * min(count for count in counts.values() if count):
        most, least = max(counts, key=counts.__getitem__), min(there, key=counts.__getitem__)
        ctx.warn(
            f"the classes are imbalanced: {counts[most]} images of {most!r}, {counts[least]} of {least!r}; "
            "class_weights = 'balanced' gives all classes the same weight"
        )


def class_weights(part: Part, num_classes: int, how: str) -> NDArray[np.float32]:
    """Each sample's class weight: 1, or ``n / (classes * n_class)`` if ``balanced`` (King and Zeng 2001, as scikit-learn)."""
    if how == "none" or part.numbers.ndim > 1 or (part.numbers < 0).any():
        return np.ones(len(part), np.float32)
    counts = np.bincount(part.numbers, minlength=num_classes)
    weights = len(part) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.asarray(weights[part.numbers], np.float32)


Augment = Callable[[Image, Rng], Image]


@dataclass(frozen=True)
class Loader:
    """``load(file)``: the image as in prediction: decoded at reduced size, then brought to the model's input size."""

    shape_hwc: tuple[int, int, int]
    fit: Fit = "stretch"

    def __call__(self, file: str) -> Image:
        height, width, channels = self.shape_hwc
        pixels = images.read(file, at_least_hw=(height, width), gray=channels == 1)
        return images.fitted(pixels, (height, width), self.fit).reshape(self.shape_hwc)


@dataclass(frozen=True)
class Decoder:
    """``load(file)``: the image for a recipe that warps it anyway, no larger than ``size_hw`` in height and in width.

    Larger images are reduced by linear resizes of at most ``LARGEST_STEP`` each, so that nearly every pixel contributes; the
    JPEG decoder does the first halvings where it can. Area interpolation with fractional pixels would take as long as three
    warps. With ``crop`` and ``pad``, the result has the proportions of ``size_hw``.
    """

    size_hw: tuple[int, int]
    channels: int
    fit: Fit = "stretch"

    def __call__(self, file: str) -> Image:
        pixels = images.read(file, at_least_hw=self.size_hw, gray=self.channels == 1)
        if self.fit == "crop":
            pixels = cropped(pixels, self.size_hw)
        height, width = pixels.shape[:2]
        most_hw = largest_hw((height, width), self.size_hw) if self.fit == "pad" else self.size_hw
        while (smaller := _halfway(pixels.shape[:2], most_hw)) != pixels.shape[:2]:
            pixels = images.resize(pixels, smaller, "linear")
        height, width = pixels.shape[:2]
        return padded(pixels, smallest_hw(self.size_hw, (height, width))) if self.fit == "pad" else pixels


def _halfway(has_hw: tuple[int, ...], most_hw: tuple[int, int]) -> tuple[int, int]:
    """The next smaller size on the way to at most ``most_hw``."""
    pairs = zip(has_hw, most_hw, strict=True)
    height, width = (min(has, most) if has <= LARGEST_STEP * most else -(-has // 2) for has, most in pairs)
    return height, width


def decoded_bytes(samples: Sequence[Sample], size_hw: tuple[int, int], channels: int) -> int:
    """Approximate memory of the images as :class:`Decoder` returns them, estimated from a sample of headers."""
    height, width = size_hw
    sizes = [min(info.height_px, height) * min(info.width_px, width) * channels for info, _ in probed(samples)]
    return round(len(samples) * mean(sizes)) if sizes else 0


def moves_first(recipe: CompiledRecipe) -> bool:
    """Whether a recipe begins with a geometric warp, so that an image of any size can be warped to the final size.

    If it does not, or only mirrors, the image must have its final size before the recipe.
    """
    leading = tuple(takewhile(lambda op: op.kind == "geometric", recipe.ops))
    if not leading or recipe.size_hw is None:
        return False
    height, width = recipe.size_hw
    blank = np.zeros((height + 1, width + 1, 3), np.uint8)
    warped = 0
    for draw in range(DRAWS):
        matrix = replace(recipe, ops=leading).apply(blank, rng_for(0, "moves first", draw)).matrix
        scales = (width / (width + 1), height / (height + 1))
        plain = np.diag((*scales, 1.0))
        warped += matrix is None or not np.allclose(np.abs(matrix[:, :2]), plain[:, :2], atol=1e-9)
    return 2 * warped >= DRAWS


def augmenter(recipe: CompiledRecipe, channels: int) -> Augment:
    """``augment(image, rng)``. Ops work on colour; a grey image is converted to RGB for them, and back to luma."""
    if channels == 3 or all(op.kind in ("geometric", "combinator") for op in walk(recipe.ops)):
        return recipe
    return OnColour(recipe)


@dataclass(frozen=True)
class OnColour:
    """Apply an ``augment`` for colour images to grey images."""

    augment: Augment

    def __call__(self, image: Image, rng: Rng) -> Image:
        changed = self.augment(np.repeat(image, 3, axis=2), rng).astype(np.uint16)
        # ITU-R 601 in 8-bit fixed point; the three weights add up to 256, so that grey stays unchanged
        luma = (77 * changed[..., 0] + 150 * changed[..., 1] + 29 * changed[..., 2] + 128) >> 8
        return luma.astype(np.uint8)[..., None]


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (" …" if len(names) > 5 else "")
