"""Recipes for Python code: ``Recipe("rotate(40)|hflip")(image)`` augments one image, with its mask, boxes and keypoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.commands.given_images import as_rgb
from pipekit.commands.working import registry_with
from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.artifacts import Box, Keypoint
    from pipekit.commands.preview import Previewed
    from pipekit.images import FillMode, Fit, Image, Interpolation, SizeHw
    from pipekit.params import Call
    from pipekit.recipe.compiled import Applied, CompiledRecipe

STAGE = "augment"
"""The stage whose parameters the options are: it checks them, and takes them in a pipeline file."""


class Recipe:
    """An augmentation recipe, ready to be applied to images in memory.

    Deterministic: variant ``k`` of an image depends only on the recipe, the seed and ``k``. It equals copy ``k`` that
    ``pipekit augment`` draws for an image, if ``id`` is the image's id there.

    Args:
        ops: text like ``"rotate(40)|hflip"``, a preset's name (``"medium"``), a ``.toml`` file, or a list of ops.
        seed: random seed; the same seed gives the same images.
        size_hw: height and width of the output images; by default each keeps its size.
        fit: how an image of another aspect ratio is fitted into ``size_hw``: ``stretch``, ``crop`` or ``pad``.
        full_resolution: apply the ops to the full image and resize it last.
        interpolation: of warps: ``nearest``, ``linear``, ``cubic``, ``lanczos``, or ``area``.
        fill_mode, fill_value: how pixels outside the image are filled: ``nearest``, ``constant``, ``reflect`` or ``wrap``.
        mask_fill: class number with which ``constant`` fills a mask.
        min_visible, min_area_px: boxes with a smaller fraction inside the image, or a smaller area, are dropped.
        mirror_labels: labels to swap when left and right are swapped: ``{"left": "right", "right": "left"}``.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.

    Attributes:
        calls: the checked ops.
        compiled: the compiled recipe.
        seed: the random seed.
        drawn: number of variants drawn by calls without ``variant``.

    Raises:
        UserError: an op is unknown, a value is wrong, or the ops don't work at ``size_hw``.

    Example:
        >>> import numpy as np
        >>> import pipekit
        >>> recipe = pipekit.Recipe("rotate(40)|hflip(p=1)", seed=7)
        >>> image = np.zeros((48, 64, 3), np.uint8)
        >>> recipe(image).shape, recipe(image, variant=1).dtype
        ((48, 64, 3), dtype('uint8'))
        >>> recipe.apply(image, variant=1, boxes=[(8, 8, 24, 24, "cat")]).mirrored
        True
    """

    def __init__(
        self,
        ops: str | Call | Mapping[str, Any] | Sequence[Any] = "medium",
        *,
        seed: int = 0,
        size_hw: SizeHw | None = None,
        fit: Fit = "stretch",
        full_resolution: bool = False,
        interpolation: Interpolation = "area",
        fill_mode: FillMode = "nearest",
        fill_value: int = 0,
        mask_fill: int | None = None,
        min_visible: float = 0.1,
        min_area_px: float = 1.0,
        mirror_labels: Mapping[str, str] | None = None,
        plugins: Sequence[str] = (),
        disable: Sequence[str] = (),
    ) -> None:
        registry = registry_with(plugins, disable)
        given = {
            "ops": [ops] if isinstance(ops, Mapping) else ops,
            "size_hw": size_hw,
            "fit": fit,
            "full_resolution": full_resolution,
            "interpolation": interpolation,
            "fill_mode": fill_mode,
            "fill_value": fill_value,
            "mask_fill": mask_fill,
            "min_visible": min_visible,
            "min_area_px": min_area_px,
            "mirror_labels": dict(mirror_labels or {}),
        }
        params_type: Any = registry.get("stage", STAGE).params_type()
        self._params: Any = registry.check_params(params_type, given)
        self._options = {name: getattr(self._params, name) for name in given if name != "ops"}
        self.calls: tuple[Call, ...] = self._params.ops
        self.compiled: CompiledRecipe = self._params.compiled()
        self.seed = seed
        self.drawn = 0

    @classmethod
    def from_keras(cls, *, seed: int = 0, size_hw: SizeHw | None = None, **arguments: Any) -> Recipe:
        """The recipe of Keras' ``ImageDataGenerator`` with these arguments: the same ops in the same order.

        Each copy draws from the same ranges. Two errors of Keras are not reproduced: it rotates an image that is not square
        about a point beside its centre, and swaps the directions of the two shifts.

        Args:
            seed: random seed.
            size_hw: height and width of the output images (Keras' ``target_size``).
            arguments: ``rotation_range``, ``width_shift_range``, ``height_shift_range``, ``shear_range``, ``zoom_range``,
                ``channel_shift_range``, ``horizontal_flip``, ``vertical_flip``, ``brightness_range``, ``rescale``,
                ``fill_mode``, ``cval``.

        Raises:
            UserError: names each argument that can't be carried, with the reason and what to use instead: ``rescale=1/255``,
                ``preprocessing_function``, ``featurewise_center`` and others.

        Example:
            >>> Recipe.from_keras(rotation_range=40, horizontal_flip=True)
            Recipe('rotate(limit_deg=40)|hflip(p=0.5)')
        """
        from pipekit.commands.keras_arguments import ops_of

        ops, options = ops_of(arguments)
        return cls(ops, seed=seed, size_hw=size_hw, **options)

    def __call__(self, image: Any, variant: int | None = None, *, id: str = "") -> Image:
        """One augmented variant of an image.

        Args:
            image: ``(H, W, 3) uint8`` RGB, a PIL image, or a path; never changed.
            variant: number of the variant, from 1 on. By default the k-th call draws variant k; with several threads, give
                it, since their calls come in any order.
            id: a name that gives each image its own random numbers, such as its id in a dataset.

        Returns:
            ``(H, W, 3) uint8`` RGB.

        Raises:
            UserError: a float or grey image, a batch; the hint converts it.
            ImageError: the file can't be read.
        """
        return self.apply(image, variant, id=id).image

    def apply(
        self,
        image: Any,
        variant: int | None = None,
        *,
        mask: Any = None,
        boxes: Iterable[Any] = (),
        keypoints: Iterable[Any] = (),
        id: str = "",
    ) -> Applied:
        """One augmented variant of an image with its annotations, which move with the pixels.

        Args:
            image: ``(H, W, 3) uint8`` RGB, a PIL image, or a path.
            variant: number of the variant, from 1 on; by default the k-th call draws variant k.
            mask: ``(H, W)`` class numbers, ``uint8``.
            boxes: each a :class:`~pipekit.Box` or ``(x_min, y_min, x_max, y_max)`` in pixels, a label may follow.
            keypoints: each a :class:`~pipekit.Keypoint` or ``(x, y)`` in pixels, a label may follow.
            id: a name that gives each image its own random numbers.

        Returns:
            ``image``, ``mask``, ``boxes`` (clipped; those outside are dropped), ``keypoints``, ``captions`` (the ops with
            the values that they drew), ``matrix`` ``(3, 3)`` from the input's pixels to the output's, ``mirrored``.

        Raises:
            UserError: the image, the mask, a box or a keypoint is none, or their sizes differ.
        """
        from pipekit.artifacts import Targets
        from pipekit.recipe.copies import copy_rng

        pixels = as_rgb(image)
        targets = Targets(boxes=tuple(map(as_box, boxes)), keypoints=tuple(map(as_keypoint, keypoints)))
        checked = None if mask is None else _checked_mask(mask)
        number = self._next() if variant is None else _checked_variant(variant)
        return self.compiled.apply(pixels, copy_rng(self.seed, id, number), targets, checked)

    def _next(self) -> int:
        self.drawn += 1
        return self.drawn

    def preview(self, image: Any, variants: int = 11, *, id: str = "") -> Previewed:
        """A contact sheet: the image and its first variants, captioned with the ops and the values that they drew.

        Args:
            image: ``(H, W, 3) uint8`` RGB, a PIL image, or a path.
            variants: their number, 1 to 100.
            id: as for a call.

        Returns:
            ``sheet``, ``(H, W, 3) uint8``, and ``captions``; it shows itself in a notebook.

        Raises:
            UserError: as for a call.
        """
        from pipekit import images
        from pipekit.commands.preview import PREVIEW_PX, Previewed
        from pipekit.recipe import preview as drawing

        if not 1 <= variants <= 100:
            raise UserError(f"variants must lie within 1 and 100, got {variants}")
        subject = drawing.Subject(id, images.thumbnail(as_rgb(image), PREVIEW_PX))
        tiles = drawing.variants(self.compiled, subject, variants, self.seed)
        return Previewed(drawing.sheet([tiles]), (tuple(tile.caption for tile in tiles),))

    def to_toml(self) -> str:
        """The ops, and the options that differ from their defaults, as TOML for a stage of a pipeline file.

        Paste it below ``[stages.augment]`` and ``use = "augment"``. Without options it is a recipe file as well, which
        ``ops = "my_recipe.toml"`` names. The seed is a setting of the whole pipeline: ``seed = 7`` at its top.

        Raises:
            UserError: TOML can't express a value.

        Example:
            >>> print(Recipe("rotate(40)|hflip", fill_mode="reflect").to_toml())
            ops = [
              { op = "rotate", limit_deg = 40 },
              { op = "hflip", p = 0.5 },
            ]
            fill_mode = "reflect"
        """
        lines = "".join(f"  {toml_inline(plain_of(call))},\n" for call in self.calls)
        options = [f"{name} = {toml_inline(value)}" for name, value in self._changed().items()]
        return "\n".join([f"ops = [\n{lines}]" if lines else "ops = []", *options])

    def _changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        fields = type(self._params).model_fields
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self._options.items()}
        return {name: value for name, value in plain.items() if value != fields[name].get_default(call_default_factory=True)}

    def sized(self, size_hw: SizeHw, fit: Fit = "stretch") -> CompiledRecipe:
        """The recipe compiled for images of this size, for a feed.

        Raises:
            UserError: the recipe has another ``size_hw``, or does not work at this one.
        """
        own = self.compiled.size_hw
        if own is not None and own != tuple(size_hw):
            raise UserError(
                f"the recipe makes images of {list(own)} px, the feed is asked for {list(size_hw)}", "Give one of them."
            )
        return self.compiled if own is not None else self._params.model_copy(update={"size_hw": size_hw, "fit": fit}).compiled()

    def __eq__(self, other: object) -> bool:
        """Whether both make the same images."""
        if not isinstance(other, Recipe):
            return NotImplemented
        return (self._plain(), self._options, self.seed) == (other._plain(), other._options, other.seed)

    def __hash__(self) -> int:
        return hash((repr(self._plain()), self.seed))

    def _plain(self) -> list[dict[str, Any]]:
        return [call.to_plain() for call in self.calls]

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self._changed().items()]
        seed = [f"seed={self.seed}"] if self.seed else []
        return f"Recipe({', '.join([repr('|'.join(map(words_of, self.calls))), *seed, *options])})"

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        rows = [
            (call.name, ", ".join(f"{name} = {_shown(value)}" for name, value in plain_of(call).items() if name != call.key))
            for call in self.calls
        ]
        options = {name: _shown(value) for name, value in self._changed().items()}
        return notebook.whole(
            notebook.table(["op", "values"], rows) if rows else notebook.note("no ops: images stay as they are"),
            notebook.facts({"seed": self.seed, **options}),
            title="Recipe",
        )


# --- targets ---------------------------------------------------------------------------------------------------------------


def as_box(value: Any) -> Box:
    """A box from ``(x_min, y_min, x_max, y_max)``, perhaps with a label.

    >>> as_box((1, 2, 3, 4, "cat")).label
    'cat'
    """
    from pipekit.artifacts import Box as BoxOf

    if isinstance(value, BoxOf):
        return value
    numbers, label = _numbers(value, 4, "a box", "x_min, y_min, x_max, y_max")
    if numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        raise UserError(
            f"a box is (x_min, y_min, x_max, y_max) in pixels, x_max > x_min and y_max > y_min, got {list(value)}",
            "From x, y, width, height: (x, y, x + width, y + height).",
        )
    x_min, y_min, x_max, y_max = numbers
    return BoxOf(x_min, y_min, x_max, y_max, label)


def as_keypoint(value: Any) -> Keypoint:
    """A keypoint from ``(x, y)``, perhaps with a label."""
    from pipekit.artifacts import Keypoint as KeypointOf

    if isinstance(value, KeypointOf):
        return value
    (x, y), label = _numbers(value, 2, "a keypoint", "x, y")
    return KeypointOf(x, y, label)


def _numbers(value: Any, count: int, what: str, names: str) -> tuple[list[float], str]:
    """``count`` finite numbers, and the label after them."""
    import math

    try:
        items = list(value)
        numbers = [float(item) for item in items[:count]]
    except (TypeError, ValueError):
        items, numbers = [], []
    label = items[count] if len(items) > count else ""
    if len(numbers) != count or len(items) > count + 1 or not isinstance(label, str) or not all(map(math.isfinite, numbers)):
        raise UserError(f"expected {what} ({names}) in pixels, a label may follow; got {value!r}")
    return numbers, label


def _checked_mask(mask: Any) -> Image:
    import numpy as np

    array = np.asarray(mask)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.ndim != 2 or array.dtype != np.uint8:
        raise UserError(
            f"expected a mask (height, width) of class numbers, uint8, got {array.dtype} of shape {array.shape}",
            "mask.astype('uint8') converts numbers in 0..255; a mask in colours needs a table from colours to classes.",
        )
    return np.ascontiguousarray(array)


def _checked_variant(variant: Any) -> int:
    import operator

    try:
        number = operator.index(variant)
    except TypeError:
        number = 0
    if number < 1:
        raise UserError(f"variant is a whole number from 1 on, got {variant!r}")
    return number


# --- as text ---------------------------------------------------------------------------------------------------------------


def plain_of(call: Call) -> dict[str, Any]:
    """An op as the table of a pipeline file: its name and its values, without those that are left open."""
    from pipekit.recipe.notation import OpOptions

    found: dict[str, Any] = {call.key: call.name}
    for name, value in call.options.items():
        if value != OpOptions.model_fields[name].get_default(call_default_factory=True):
            found[name] = value
    dumped = call.params.model_dump(mode="json")
    for name, field in type(call.params).model_fields.items():
        value = getattr(call.params, name)
        if name == "ops" and isinstance(value, tuple):
            found[name] = [plain_of(inner) for inner in value]
        elif field.is_required() or value not in (None, ()) or value != field.get_default(call_default_factory=True):
            found[name] = dumped[name]
    return found


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_inline(value: Any) -> str:
    """A value on one line, as TOML.

    Raises:
        UserError: it holds None, which TOML can't express.

    >>> toml_inline({"left eye": ["a", 0.5, True]})
    '{ "left eye" = ["a", 0.5, true] }'
    """
    from pipekit.registry.param_rows import toml_text

    if value is None:
        raise UserError("TOML has no word for None, which is not the default here", "Give that parameter a value.")
    if isinstance(value, Mapping):
        names = [str(name) if _BARE.fullmatch(str(name)) else json.dumps(str(name), ensure_ascii=False) for name in value]
        entries = [f"{name} = {toml_inline(item)}" for name, item in zip(names, value.values(), strict=True)]
        return "{ " + ", ".join(entries) + " }" if entries else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_inline(item) for item in value) + "]"
    return toml_text(value)


def words_of(call: Call) -> str:
    """An op in the notation of one line: ``rotate(limit_deg=40)``."""
    values = {name: value for name, value in plain_of(call).items() if name != call.key}
    inner = [words_of(one) for one in getattr(call.params, "ops", ())] if "ops" in values else []
    parts = [*inner, *(f"{name}={_shown(value)}" for name, value in values.items() if name != "ops")]
    return f"{call.name}({', '.join(parts)})" if parts else call.name


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else toml_inline(value)
