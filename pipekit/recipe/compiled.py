"""Recipes: a list of ops, compiled once, applied to many images.

An op is a function. The name of its first parameter determines its kind:

* ``op(image, params, rng) -> image`` changes pixel values. ``(H, W, 3) uint8`` RGB in, the same shape out.
* ``op(size_hw, params, rng) -> homography`` or ``(homography, new_size_hw)`` moves pixels. It never receives them.
* ``op(view, params, rng) -> View`` is for everything else: it transforms image, mask, boxes and keypoints itself.
* ``op(ops, params, rng) -> Sequence[int]`` chooses which of ``ops`` to apply, by position and in order (``one_of``). Its
  ``Params`` has a field ``ops: Ops``.

Consecutive homographies are multiplied and the image is warped once, directly to its final size: one interpolation instead of
one per op, and a JPEG is decoded no larger than that warp needs. Masks (nearest neighbour), boxes and keypoints follow the same
matrix. All randomness comes from the generator that is passed in, in the order of the ops, so the same generator gives the
same image on any thread.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from pipekit import images
from pipekit.contract import NO_TARGETS, Box, Keypoint
from pipekit.errors import PluginError, UserError
from pipekit.images.arrays import Affine, Homography, Image, Matrix, affine_of
from pipekit.images.choices import FillMode, Interpolation, SizeHw
from pipekit.params import Call, Params
from pipekit.recipe.homography import (
    IDENTITY,
    Fit,
    TargetTracker,
    View,
    exposes,
    fitting,
    largest_scale,
    resizing,
    scaling,
)
from pipekit.recipe.notation import OpOptions, Ops, RecipeParams, check_ops, parse_ops, probability
from pipekit.recipe.picture import Picture
from pipekit.recipe.returned import checked_choice, checked_homography, checked_pixels, checked_view
from pipekit.rng import Rng, rng_for

__all__ = [
    "Applied",
    "CompiledRecipe",
    "OpOptions",
    "Ops",
    "Picture",
    "RecipeParams",
    "Step",
    "View",
    "check_ops",
    "compile_recipe",
    "parse_ops",
]

KINDS = {"image": "pixel", "size_hw": "geometric", "view": "view", "ops": "combinator"}


MORE = 1.25
"""A variant that is enlarged by up to this factor takes the pixels that the others take: a decode costs more than a warp."""


@dataclass(frozen=True, slots=True)
class Step:
    """An applied op, and the values that it drew."""

    op: str
    drawn: Mapping[str, Any]

    def __str__(self) -> str:
        return " ".join([self.op, *(f"{name}={_short(value)}" for name, value in self.drawn.items())])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return ",".join(_short(item) for item in value)
    return str(value)


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a recipe for one image.

    Attributes:
        image: ``(H, W, 3) uint8`` RGB; possibly the input array itself if nothing changed.
        mask: ``(H, W) uint8``, or None if none was given.
        boxes, keypoints: clipped and filtered, in pixels of ``image``.
        steps: the applied ops, with the values that they drew.
        matrix: from the input's pixels to those of ``image``; None after a view op, which moves pixels itself.
        mirrored: whether left and right are swapped.
    """

    image: Image
    mask: Image | None
    boxes: tuple[Box, ...]
    keypoints: tuple[Keypoint, ...]
    steps: tuple[Step, ...]
    matrix: Matrix | None
    mirrored: bool

    @property
    def captions(self) -> tuple[str, ...]:
        """One line for each op: ``rotate angle_deg=12.3``."""
        return tuple(str(step) for step in self.steps)


class TargetsLike(Protocol):
    """The fields of :class:`~pipekit.contract.Targets` other than the mask's file."""

    @property
    def boxes(self) -> tuple[Box, ...]: ...
    @property
    def keypoints(self) -> tuple[Keypoint, ...]: ...


@dataclass(frozen=True)
class Op:
    """An op of a compiled recipe."""

    name: str
    kind: str
    function: Callable[..., Any]
    params: Params
    p: float
    parts: tuple[Op, ...] = ()
    plugin: str = ""

    @cached_property
    def own_fill(self) -> tuple[FillMode, int] | None:
        """A geometric op's own fill mode and value; None to use the recipe's."""
        mode = getattr(self.params, "fill_mode", None) if self.kind == "geometric" else None
        return (mode, int(getattr(self.params, "fill_value", None) or 0)) if mode else None


@dataclass(frozen=True)
class CompiledRecipe:
    """A compiled recipe, for any number of threads, by :func:`compile_recipe`; ``counterparts``: see :class:`TargetTracker`."""

    ops: tuple[Op, ...]
    size_hw: SizeHw | None = None
    fit: Fit = "stretch"
    full_resolution: bool = False
    interpolation: Interpolation = "area"
    fill_mode: FillMode = "nearest"
    fill_value: int = 0
    min_visible: float = 0.1
    min_area_px: float = 1.0
    mirror_labels: Mapping[str, str] = field(default_factory=dict)
    mask_fill: int | None = None
    counterparts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def apply(
        self,
        image: Image,
        rng: Rng,
        targets: TargetsLike = NO_TARGETS,
        mask: Image | None = None,
        watch: Callable[[str, View], None] | None = None,
    ) -> Applied:
        """Apply the recipe to an image in memory.

        Args:
            image: ``(H, W, 3) uint8`` RGB; never changed.
            rng: the source of all randomness; see :func:`pipekit.rng.rng_for`.
            targets: boxes and keypoints in pixels of ``image``.
            mask: ``(H, W) uint8`` class numbers.
            watch: called after each op with its caption and the image so far; this costs a warp for each op.
        """
        return _Pass(self, _Source(image.shape[:2], lambda hw: (image, 1.0)), rng, targets, mask, watch).run()

    def load(
        self,
        data: bytes | str | os.PathLike[str] | Picture,
        rng: Rng,
        targets: TargetsLike = NO_TARGETS,
        mask: Image | None = None,
    ) -> Applied:
        """As :meth:`apply`, from a file or its bytes, decoded no larger than needed; boxes are in pixels of the full image.

        Args:
            data: a :class:`Picture` is decoded once for any number of variants.

        Raises:
            ImageError: the image can't be read.
        """
        picture = data if isinstance(data, Picture) else Picture(data)
        return _Pass(self, _Source(picture.size_hw, picture.at_least), rng, targets, mask, None).run()

    def __call__(self, image: Image, rng: Rng) -> Image:
        """The augmented image alone, for a training feed."""
        return self.apply(image, rng).image

    def check_sizes(self, size_hw: SizeHw | None = None) -> None:
        """Check that every geometric op works for an image of ``size_hw`` (by default the output size), by drawing it once.

        Raises:
            UserError: a crop is larger than the image, or a plugin's op returns an invalid result.
        """
        size = size_hw or self.size_hw
        if size is not None:
            for op in self.ops:
                if op.kind == "geometric":
                    _, size = _homography(op, size, rng_for(0, "check"))


def compile_recipe(
    ops: Sequence[Call | Mapping[str, Any] | str] | str,
    size_hw: SizeHw | None = None,
    *,
    registry: Any = None,
    fit: Fit = "stretch",
    full_resolution: bool = False,
    interpolation: Interpolation = "area",
    fill_mode: FillMode = "nearest",
    fill_value: int = 0,
    min_visible: float = 0.1,
    min_area_px: float = 1.0,
    mirror_labels: Mapping[str, str] = MappingProxyType({}),
    mask_fill: int | None = None,
) -> CompiledRecipe:
    """Compile a recipe.

    Args:
        ops: checked ops, as a ``Params`` with an :data:`Ops` field holds them; or any other form, with a ``registry``.
        size_hw: of the output images; None keeps the size that the ops give.
        fit: how to fit an image of another aspect ratio into ``size_hw``: ``stretch``, ``crop`` (cut at the sides), ``pad``.
        full_resolution: apply the ops to the full image and resize it last; otherwise they work at ``size_hw``.
        interpolation: of warps; ``area`` is linear, and averages where the image shrinks by two or more.
        fill_mode, fill_value: how to fill pixels outside the image, for ops without a ``fill_mode`` of their own.
        min_visible: minimum fraction of a box inside the image, 0 to 1; boxes with less are dropped.
        min_area_px: drop boxes with a smaller area.
        mask_fill: how ``constant`` fills a mask; None: see :func:`pipekit.images.masks.fill_of`.
        mirror_labels: names to swap when left and right are swapped (``{"left": "right", "right": "left"}``), for labels of
            classes, boxes and keypoints. Keypoints named left or right are swapped automatically.

    Raises:
        UserError: the ops are invalid, or don't work at ``size_hw``.
    """
    plain = [ops] if isinstance(ops, str) else list(ops)
    if all(isinstance(op, Call) for op in plain):
        calls: tuple[Any, ...] = tuple(plain)
    elif registry is None:
        raise UserError("a recipe that is not checked yet needs a registry to look its ops up in")
    else:
        calls = check_ops(registry, plain)
    recipe = CompiledRecipe(
        tuple(_compile(call) for call in calls),
        None if size_hw is None else (int(size_hw[0]), int(size_hw[1])),
        fit,
        full_resolution,
        interpolation,
        fill_mode,
        fill_value,
        min_visible,
        min_area_px,
        dict(mirror_labels),
        mask_fill,
    )
    if not full_resolution:
        recipe.check_sizes()
    return recipe


def _compile(call: Call) -> Op:
    function = call.load()
    first = next(iter(inspect.signature(function).parameters), "")
    kind = KINDS.get(first)
    if kind is None:
        raise PluginError(f"op {call.name!r}: its first parameter must be one of {', '.join(KINDS)}, not {first!r}")
    parts = tuple(_compile(part) for part in getattr(call.params, "ops", ())) if kind == "combinator" else ()
    return Op(call.name, kind, function, call.params, probability(call), parts, call.component.plugin)


# --- one image's way through a recipe ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """The input image: its size, and a function that returns its pixels at a scale that leaves at least a given size."""

    size_hw: SizeHw
    open: Callable[[SizeHw], tuple[Image, float]]


class _Pass:
    """The state of one image: the latest pixels, and the pending matrix from them to the current position."""

    def __init__(
        self,
        recipe: CompiledRecipe,
        source: _Source,
        rng: Rng,
        targets: TargetsLike,
        mask: Image | None,
        watch: Callable[[str, View], None] | None,
    ) -> None:
        self.recipe, self.source, self.rng, self.mask, self.watch = recipe, source, rng, mask, watch
        self.mask_fill = _mask_fill(recipe, mask)
        if mask is not None and mask.shape[:2] != tuple(source.size_hw):
            raise UserError(f"the mask has {_size(mask.shape)}, the image {_size(source.size_hw)}; they must be the same")
        self.targets = TargetTracker(tuple(targets.boxes), tuple(targets.keypoints), False, recipe.counterparts)
        self.image: Image | None = None
        self.base_hw: SizeHw = source.size_hw
        self.size_hw: SizeHw = source.size_hw
        self.pending: Homography = IDENTITY
        self.group: list[tuple[FillMode, int] | None] | None = None
        self.fill = (recipe.fill_mode, recipe.fill_value)
        self.total: Homography | None = IDENTITY
        self.steps: list[Step] = []

    def run(self) -> Applied:
        recipe = self.recipe
        self.refit()
        for op in recipe.ops:
            self.step(op)
        image = self.refit(last=True).pixels()
        boxes, keypoints = self.targets.finish(self.size_hw, recipe.min_visible, recipe.min_area_px, recipe.mirror_labels)
        total = None if self.total is None else np.asarray(self.total)
        return Applied(image, self.mask, boxes, keypoints, tuple(self.steps), total, self.targets.mirrored)

    def refit(self, last: bool = False) -> _Pass:
        """Resize to the output size, in the same warp as the pending matrix: ops that read pixels work at that size."""
        size_hw = self.recipe.size_hw
        if size_hw and size_hw != self.size_hw and (last or not self.recipe.full_resolution):
            self.push(fitting(self.size_hw, size_hw, self.recipe.fit), size_hw)
        return self

    def step(self, op: Op) -> None:
        if op.p < 1 and self.rng.random() >= op.p:
            return
        if op.kind == "combinator":
            for position in checked_choice(op, op.function(op.parts, op.params, self.rng), op.parts):
                self.step(op.parts[position])
            return
        self.rng.drawn = {}
        if op.kind == "geometric":
            self.geometric(op)
        elif op.kind == "pixel":
            self.pixel(op)
        else:
            self.view(op)
        step = Step(op.name, self.rng.drawn)
        self.steps.append(step)
        if self.watch is not None:
            boxes, keypoints = self.targets.now()
            self.watch(str(step), View(self.pixels(), self.mask, boxes, keypoints))

    def geometric(self, op: Op) -> None:
        homography, size_hw = _homography(op, self.size_hw, self.rng)
        self.join(op.own_fill, homography, size_hw)
        self.push(homography, size_hw)

    def join(self, fill: tuple[FillMode, int] | None, homography: Homography, size_hw: SizeHw) -> None:
        """Render the pending matrix if the next op can't share its warp.

        That is the case if the op has another fill mode, or fills after a crop: pixels cut off must not return in a margin.
        """
        if self.group is None:
            self.group, self.fill = [fill], fill or (self.recipe.fill_mode, self.recipe.fill_value)
        elif fill != self.group[0] and not exposes(homography, self.size_hw, size_hw):
            self.group.append(fill)
        elif fill != self.group[0] or (fill is not None and len(self.group) > 1):
            self.pixels()
            self.join(fill, homography, size_hw)

    def pixel(self, op: Op) -> None:
        image = self.refit().pixels()
        self.image = checked_pixels(op, op.function(image, op.params, self.rng), image)

    def view(self, op: Op) -> None:
        image = self.refit().pixels()
        boxes, keypoints = self.targets.now()
        view = View(image, self.mask, boxes, keypoints, self.targets.mirrored, self.recipe.min_visible)
        changed = checked_view(op, op.function(view, op.params, self.rng))
        self.image, self.mask, self.total = changed.image, changed.mask, None
        self.base_hw = self.size_hw = (changed.image.shape[0], changed.image.shape[1])
        self.targets.replace(changed)

    def push(self, homography: Homography, size_hw: SizeHw) -> None:
        self.pending = homography if self.pending is IDENTITY else homography @ self.pending
        self.size_hw = size_hw

    def pixels(self) -> Image:
        """Render the pending matrix in one warp, and reset it."""
        recipe, todo, size_hw = self.recipe, self.pending, self.size_hw
        if self.image is None:
            self.image, scale = self.open(todo)
        else:
            scale = 1.0
        if todo is IDENTITY:
            return self.image
        from_here = todo
        if scale != 1:
            from_here = todo @ scaling(1 / scale, 1 / scale)
        self.image = _warp(self.image, from_here, size_hw, recipe.interpolation, *self.fill)
        if self.mask is not None:
            mode, _ = self.fill
            self.mask = images.warp_mask(self.mask, todo, size_hw, fill_mode=mode, fill_value=self.mask_fill)
        self.targets.apply(todo, self.base_hw, size_hw)
        if self.total is not None:
            self.total = todo if self.total is IDENTITY else todo @ self.total
        self.base_hw, self.pending, self.group = size_hw, IDENTITY, None
        self.fill = (recipe.fill_mode, recipe.fill_value)
        return self.image

    def open(self, todo: Homography) -> tuple[Image, float]:
        """The source's pixels, as few as the warp needs: the decoder may omit what the warp would average away.

        Variants share what fitting the image to the output size needs, unless one needs :data:`MORE` times that.
        """
        (height, width), scale = self.source.size_hw, 1.0
        if todo is not IDENTITY:
            scale = largest_scale(todo, self.source.size_hw)
            if self.recipe.size_hw and not self.recipe.full_resolution:
                fit = largest_scale(fitting(self.source.size_hw, self.recipe.size_hw, self.recipe.fit), self.source.size_hw)
                scale = scale if scale > MORE * fit else fit
            scale = min(1.0, scale)
        return self.source.open((int(np.ceil(height * scale)), int(np.ceil(width * scale))))


def _homography(op: Op, size_hw: SizeHw, rng: Rng) -> tuple[Homography, SizeHw]:
    return checked_homography(op, op.function(size_hw, op.params, rng), size_hw)


def _warp(
    image: Image, homography: Homography, size_hw: SizeHw, interpolation: Interpolation, fill_mode: FillMode, fill_value: int
) -> Image:
    """Warp, or resize if the matrix is a resize, possibly with flips: with area means over fractions of pixels."""
    if interpolation == "area":
        flips = _flips_after_resize(homography, image.shape[:2], size_hw)
        if flips is not None:
            resized = images.resize(image, size_hw)
            return np.ascontiguousarray(resized[:: flips[1], :: flips[0]]) if flips != (1, 1) else resized
    return images.warp(image, homography, size_hw, interpolation=interpolation, fill_mode=fill_mode, fill_value=fill_value)


def _flips_after_resize(homography: Homography, size_hw: SizeHw, new_hw: SizeHw) -> tuple[int, int] | None:
    """(1 or -1 for x, for y) if a matrix maps the image's edges exactly to the new image's; else None."""
    affine = affine_of(homography)
    if affine is None or affine.values[1] != 0 or affine.values[3] != 0:
        return None
    for sign_x in (1, -1):
        for sign_y in (1, -1):
            exact = resizing(size_hw, new_hw)
            if sign_x < 0:
                exact = Affine(-1, 0, new_hw[1] - 1, 0, 1, 0) @ exact
            if sign_y < 0:
                exact = Affine(1, 0, 0, 0, -1, new_hw[0] - 1) @ exact
            if all(abs(one - other) < 1e-6 for one, other in zip(exact.values, affine.values, strict=True)):
                return sign_x, sign_y
    return None


def _mask_fill(recipe: CompiledRecipe, mask: Image | None) -> int:
    if mask is None or recipe.mask_fill is not None:
        return recipe.mask_fill or 0
    from pipekit.images.masks import fill_of

    return fill_of(mask)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]} px"


def walk(ops: Sequence[Op]) -> Iterator[Op]:
    """All ops of a recipe, including those inside combinators."""
    for op in ops:
        yield op
        yield from walk(op.parts)
