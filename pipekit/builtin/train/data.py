"""From a dataset to what the feed needs: which samples, at which size, with which weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.train.classes import check_classes
from pipekit.contract import Context, Dataset, Sample
from pipekit.errors import ImageError, UserError
from pipekit.images import Image
from pipekit.recipe.compiled import CompiledRecipe, walk
from pipekit.rng import Rng, rng_for

PROBED = 64
"""Headers that are read to learn the images' sizes."""
DRAWS = 8
"""Draws of a recipe's first ops, to see what they do."""
LARGEST_STEP = 2.25
"""How many pixels become one in a linear resize, which mixes two: a ninth of them are passed over at the most."""


@dataclass(frozen=True)
class Part:
    """The samples of a split that can be learnt from, with class numbers; -1 where an autoencoder needs none."""

    samples: tuple[Sample, ...]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)

    def counts(self, classes: Sequence[str]) -> dict[str, int]:
        return {name: int((self.numbers == number).sum()) for number, name in enumerate(classes)}


def read_part(dataset: Dataset, split: str, labelled: bool) -> Part:
    """The split's samples; those without a label only where none is needed."""
    number = {name: position for position, name in enumerate(dataset.classes)}
    samples = [sample for sample in dataset.split(split) if not labelled or sample.label is not None]
    return Part(tuple(samples), np.array([number.get(s.label or "", -1) for s in samples], np.int64))


def check_parts(ctx: Context, dataset: Dataset, train: Part, val: Part, labelled: bool) -> None:
    """What can't be trained on is refused, what is odd is said.

    Raises:
        UserError: no training images, or of one class only.
    """
    if labelled:
        check_classes(ctx, dataset)
    elif not len(train):
        raise UserError(
            "there is nothing to train on: no image in the split 'train'",
            "Put a split stage before it: [stages.split] use = 'split'",
        )
    if not len(val):
        ctx.warn("there is no split 'val', so overfitting can't be seen, and the epoch with the lowest training loss is kept")
    if not labelled:
        return
    counts = train.counts(dataset.classes)
    there = [name for name, count in counts.items() if count]
    if missing := [name for name, count in counts.items() if not count]:
        ctx.warn(f"no training image of {_names(missing)}: the model can't learn to recognise that")
    if len(val) and (missing := [name for name, count in val.counts(dataset.classes).items() if not count]):
        ctx.warn(f"no image of {_names(missing)} in the split 'val': what it says about the model leaves that out")
    if max(counts.values()) >= 5 * min(count for count in counts.values() if count):
        most, least = max(counts, key=counts.__getitem__), min(there, key=counts.__getitem__)
        ctx.warn(
            f"the classes are uneven: {counts[most]} images of {most!r}, {counts[least]} of {least!r}; "
            "class_weights = 'balanced' makes the rare ones count as much"
        )


def infer_size(samples: Sequence[Sample]) -> tuple[int, int]:
    """The images' own size where all probed ones agree on one of at most 256 pixels; else 160, or less for small ones."""
    sizes = Counter((info.height_px, info.width_px) for info, _ in _probed(samples))
    if not sizes:
        raise UserError(
            f"none of the {min(PROBED, len(samples))} training images that were looked at can be read, "
            f"the first is {samples[0].image}",
            "Run `pipekit inspect` on the dataset.",
        )
    if len(sizes) == 1 and max(one := next(iter(sizes))) <= 256:
        return max(8, one[0]), max(8, one[1])
    side = int(min(160, max(32, median(min(size) for size in sizes.elements()))))
    return side, side


def _probed(samples: Sequence[Sample]) -> Iterator[tuple[images.ImageInfo, bytes]]:
    """What the heads of some files say, all over the list; those that can't be read are left out."""
    step = max(1, len(samples) // PROBED)
    for sample in samples[::step][:PROBED]:
        try:
            data = images.read_bytes(sample.image)
            yield images.probe(data), data
        except ImageError:
            continue


def class_weights(part: Part, num_classes: int, how: str) -> NDArray[np.float32]:
    """A weight for each sample: 1, or ``n / (classes * n_class)`` for ``balanced`` (King and Zeng 2001, as scikit-learn)."""
    if how == "none" or (part.numbers < 0).any():
        return np.ones(len(part), np.float32)
    counts = np.bincount(part.numbers, minlength=num_classes)
    weights = len(part) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights[part.numbers].astype(np.float32)


Augment = Callable[[Image, Rng], Image]


@dataclass(frozen=True)
class Loader:
    """``load(file)``: the image as the model will get it when it predicts: reduced decode, then resized to its input."""

    shape_hwc: tuple[int, int, int]

    def __call__(self, file: str) -> Image:
        height, width, channels = self.shape_hwc
        pixels = images.read(file, at_least_hw=(height, width), gray=channels == 1)
        return images.resize(pixels, (height, width)).reshape(self.shape_hwc)


@dataclass(frozen=True)
class Decoder:
    """``load(file)``: the image for a recipe that warps it anyway, no larger than ``size_hw`` in height and in width.

    What is larger is brought down linearly, by no more than ``LARGEST_STEP`` at a time, so that nearly every pixel counts; the
    JPEG decoder takes the first halves where it can. An area mean by fractions of pixels would take as long as three warps.
    """

    size_hw: tuple[int, int]
    channels: int

    def __call__(self, file: str) -> Image:
        pixels = images.read(file, at_least_hw=self.size_hw, gray=self.channels == 1)
        while (smaller := _halfway(pixels.shape[:2], self.size_hw)) != pixels.shape[:2]:
            pixels = images.resize(pixels, smaller, "linear")
        return pixels


def _halfway(has_hw: tuple[int, ...], most_hw: tuple[int, int]) -> tuple[int, int]:
    """The next size on the way down to no more than ``most_hw``."""
    pairs = zip(has_hw, most_hw, strict=True)
    height, width = (min(has, most) if has <= LARGEST_STEP * most else -(-has // 2) for has, most in pairs)
    return height, width


def decoded_bytes(samples: Sequence[Sample], size_hw: tuple[int, int], channels: int) -> int:
    """About how much memory the images take as :class:`Decoder` gives them, by the headers of some."""
    height, width = size_hw
    sizes = [min(info.height_px, height) * min(info.width_px, width) * channels for info, _ in _probed(samples)]
    return round(len(samples) * mean(sizes)) if sizes else 0


def moves_first(recipe: CompiledRecipe) -> bool:
    """Whether a recipe begins by moving pixels, so that each image is warped, from however many pixels it has.

    Where it does not, or only mirrors, the image has to have its final size before.
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
    """``augment(image, rng)``. Ops work on colour; a grey image is shown to them as one and taken back as luma."""
    if channels == 3 or all(op.kind in ("geometric", "combinator") for op in walk(recipe.ops)):
        return recipe
    return OnColour(recipe)


@dataclass(frozen=True)
class OnColour:
    """An ``augment`` for grey images from one for colour."""

    augment: Augment

    def __call__(self, image: Image, rng: Rng) -> Image:
        changed = self.augment(np.repeat(image, 3, axis=2), rng).astype(np.uint16)
        # ITU-R 601 in 8-bit fixed point; the three weights add up to 256, so that grey stays what it was
        luma = (77 * changed[..., 0] + 150 * changed[..., 1] + 29 * changed[..., 2] + 128) >> 8
        return luma.astype(np.uint8)[..., None]


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (" …" if len(names) > 5 else "")
