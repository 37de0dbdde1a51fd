"""albumentations: any of its transforms as an op, ``albu.GaussNoise``. The only module that uses that library.

A transform draws all its random numbers from the given generator, so it is as reproducible as a built-in op. Transforms that
change only pixels are pixel ops; the others move image, mask, boxes and keypoints themselves, which ends the warp before
them: put them after the built-in ops.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError, ValidationInfo, create_model, model_validator

from pipekit.contract import Box, Keypoint, Params, depends_on, param
from pipekit.errors import PipekitError, UserError, did_you_mean
from pipekit.images import Image
from pipekit.images.polygons import plain, polygons_of
from pipekit.params import nested_problem, problems_of
from pipekit.recipe.homography import View, kept_facts
from pipekit.rng import Rng

REFUSED = {
    "Normalize": "it outputs floats; a model here takes 0..255 and scales by itself",
    "ToFloat": "it outputs floats; a model here takes 0..255 and scales by itself",
    "FromFloat": "it takes floats; images here are uint8",
    "ToTensorV2": "it outputs torch tensors",
    "ToTensor3D": "it outputs torch tensors",
    "ToRGB": "images here are RGB already",
    "Lambda": "its functions can't be written in a file; register an op of your own instead",
    "FDA": "it needs other images besides the one it changes",
    "HistogramMatching": "it needs other images besides the one it changes",
    "PixelDistributionAdaptation": "it needs other images besides the one it changes",
    "TemplateTransform": "it needs other images besides the one it changes",
    "Mosaic": "it needs other images besides the one it changes",
    "OverlayElements": "it needs other images besides the one it changes",
    "TextImage": "it needs texts for each image",
    "RandomCropNearBBox": "it needs its own box for each image",
}
"""Transforms that can't be an op, and why."""

_BASES = {"BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D", "CubicSymmetry"}
_OURS = {"p", "strict"}
OURS = 3
"""Extra points among the keypoints, see :func:`_view_op`."""
_REQUIRED = "<required>"
_KEPT = 64


def _library() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import checks the network for a newer version
    try:
        import albumentations
    except ImportError as error:
        raise UserError(f"ops called albu.… need albumentations: {error}", "pip install albumentations") from error
    return albumentations


@lru_cache(maxsize=1)
def names() -> list[str]:
    """The transforms that can be ops."""
    return list(table())


@lru_cache(maxsize=256)
def factory(rest: str) -> Callable[..., Any]:
    """The op for a transform.

    Raises:
        UserError: there is no transform of that name, or it can't be an op.
    """
    if rest in REFUSED:
        raise UserError(f"'albu.{rest}' can't be used as an op: {REFUSED[rest]}")
    if rest not in names():
        near = did_you_mean(f"albu.{rest}", [f"albu.{name}" for name in names()])
        raise UserError(
            f"no op called 'albu.{rest}'", f"{near} albumentations {version('albumentations')} has no such transform.".strip()
        )
    known = table()[rest]
    op = _pixel_op() if known["pixel"] else _view_op()
    op.__name__ = op.__qualname__ = rest
    op.__doc__ = f"{rest} of albumentations"
    op.__annotations__ = {"params": params_type(rest)}
    return depends_on("albumentations")(op)


def __getattr__(name: str) -> Any:
    """An op by its transform's name, so that pickle finds it in a worker process."""
    if name.startswith("_") or name not in names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return factory(name)


# --- parameters -----------------------------------------------------------------------------------------------------------


NEED_VALUES = frozenset({"CropAndPad", "LongestMaxSize", "SmallestMaxSize"})
"""Transforms that refuse their own defaults: one of two parameters must be given."""


class AlbuParams(Params):
    """A transform's parameters, validated by the library itself when the recipe is checked."""

    transform: ClassVar[str] = ""

    @model_validator(mode="after")
    def _library_agrees(self, info: ValidationInfo) -> AlbuParams:
        if not self.transform or not (self.model_fields_set or self.transform in NEED_VALUES):
            return self  # these are the library's own defaults
        accepted: set[str] = (info.context or {}).get("accepted", set())
        text = f"albumentations {version('albumentations')} {self.transform} {sorted(self.values().items())!r}"
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        if digest not in accepted:
            _check(self)
            accepted.add(digest)
        return self

    @classmethod
    def described(cls) -> type[AlbuParams]:
        """With the descriptions from the library's docstring, which requires importing it."""
        return _make_params(cls.transform, _descriptions(inspect.getdoc(getattr(_library(), cls.transform)) or ""))

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.transform, self.values())


def _rebuild(transform: str, values: Mapping[str, Any]) -> AlbuParams:
    return params_type(transform).model_validate(dict(values))


@lru_cache(maxsize=256)
def params_type(transform: str) -> type[AlbuParams]:
    """The ``Params`` of a transform, generated from its signature."""
    return _make_params(transform, {})


def _make_params(transform: str, described: Mapping[str, str]) -> type[AlbuParams]:
    fields: dict[str, Any] = {}
    for name, default in table()[transform]["params"].items():
        fields[name] = (Any, param(... if default == _REQUIRED else _tuples(default), described.get(name, "")))
    made = create_model(f"{transform}Params", __base__=AlbuParams, __module__=__name__, **fields)
    made.transform = transform
    return made


def _tuples(value: Any) -> Any:
    """Convert lists to tuples: ``param`` would copy a list default, and the library's own validators accept tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


# --- the library's transforms ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """Each transform with its kind and its parameters' defaults; from ``albu.json`` if that matches the installed version.

    The file saves the second that importing the library takes: checking a recipe, or finding a whole run in the cache, does
    not import it. ``python -m pipekit.builtin.albu`` writes it.
    """
    file = json.loads((Path(__file__).parent / "albu.json").read_text(encoding="utf-8"))
    try:
        if file["version"] == version("albumentations"):
            return dict(file["transforms"])
    except PackageNotFoundError:
        _library()
    return read_library()


def read_library() -> dict[str, Any]:
    """The same, read from the library itself."""
    library = _library()
    found = {}
    for name in dir(library):
        kind = getattr(library, name)
        if inspect.isclass(kind) and issubclass(kind, library.BasicTransform):
            if name in REFUSED or name in _BASES or "3D" in name:
                continue
            found[name] = {
                "pixel": issubclass(kind, library.ImageOnlyTransform),
                "params": _parameters(kind),
            }
    return found


def _parameters(kind: Any) -> dict[str, Any]:
    return {
        name: _REQUIRED if argument.default is argument.empty else argument.default
        for name, argument in inspect.signature(kind.__init__).parameters.items()
        if name != "self" and name not in _OURS and argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)
    }


def _descriptions(doc: str) -> dict[str, str]:
    """``name (type): text`` under ``Args:``, the text's first sentence."""
    found: dict[str, str] = {}
    args = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.M | re.S)
    for name, text in re.findall(r"^ {4}(\w+)\s*(?:\([^\n]*\))?:\s*(.*?)(?=^ {4}\w|\Z)", args[1] if args else "", re.M | re.S):
        found[name] = re.split(r"(?<=[a-z\)])\.\s|\n\s*[-*]", " ".join(text.split()) + " ")[0].strip(" .")
    return found


def _check(params: AlbuParams) -> None:
    kind = getattr(_library(), params.transform)
    values = params.values()
    schema = kind.InitSchema
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema(
                **values, **{name: value for name, value in {"p": 1.0, "strict": False}.items() if name in schema.model_fields}
            )
            kind(**values, p=1.0)
    except ValidationError as error:
        nested_problem(*{place[:1]: (place[:1], message, hint) for place, message, hint in problems_of(error, schema)}.values())
    except Exception as error:
        nested_problem(((), _short(error), ""))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# --- applying -------------------------------------------------------------------------------------------------------------


class _Kept(threading.local):
    """This thread's transforms: a transform holds its generator, so threads can't share one."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, float], tuple[AlbuParams, Any]] = {}


_kept = _Kept()


def _ready(params: AlbuParams, rng: Rng, make: Callable[[Any], Any], key: float = -1.0) -> Any:
    """This thread's transform for ``params``, drawing from ``rng``."""
    found = _kept.made.get((id(params), key))
    if found is None:
        if len(_kept.made) >= _KEPT:
            _kept.made.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = params, make(getattr(_library(), params.transform)(**params.values(), p=1.0))
        _kept.made[id(params), key] = found
    made = found[1]
    made.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    return made


def _run(made: Any, params: AlbuParams, data: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(made(**data))
    except PipekitError:
        raise
    except Exception as error:
        raise UserError(f"albu.{params.transform}: {_short(error)}") from error


def _note(made: Any, params: AlbuParams, rng: Rng) -> None:
    """Keep the single numbers and words among the drawn values."""
    for name, value in (getattr(made, "params", None) or {}).items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, (int, float, str)) and name not in ("cols", "rows", "p", *type(params).model_fields):
            rng.note(name, plain)


def _pixel_op() -> Callable[..., Any]:
    def op(image: Image, params: AlbuParams, rng: Rng) -> Image:
        made = _ready(params, rng, lambda transform: transform)
        changed = np.asarray(_run(made, params, {"image": np.ascontiguousarray(image)})["image"])
        _note(made, params, rng)
        return changed.reshape(image.shape) if changed.size == image.size else changed

    return op


def _view_op() -> Callable[..., Any]:
    def op(view: View, params: AlbuParams, rng: Rng) -> View:
        library = _library()
        kind = getattr(library, params.transform)
        targets = kind._targets if isinstance(kind._targets, tuple) else (kind._targets,)
        can = {target.value for target in targets}
        outlines = any(box.outline for box in view.boxes)
        for name, there in (
            ("Mask", view.mask is not None),
            ("BBoxes", view.boxes),
            ("Keypoints", view.keypoints or outlines),
        ):
            if there and name not in can:
                raise UserError(f"albu.{params.transform} can't move {name.lower()} along")

        def compose(transform: Any) -> Any:
            boxes = library.BboxParams(
                "pascal_voc", label_fields=["box_ids"], min_visibility=view.min_visible, clip=True, filter_invalid_bboxes=True
            )
            points = library.KeypointParams("xy", label_fields=["point_ids"], remove_invisible=False)
            return library.Compose(
                [transform],
                bbox_params=boxes if "BBoxes" in can else None,
                keypoint_params=points if "Keypoints" in can else None,
            )

        made = _ready(params, rng, compose, view.min_visible)
        height, width = view.image.shape[:2]
        data: dict[str, Any] = {"image": np.ascontiguousarray(view.image)}
        if view.mask is not None:
            data["mask"] = view.mask
        if "BBoxes" in can:
            boxes = [(b.x_min, b.y_min, b.x_max, b.y_max) for b in view.boxes]
            data |= {"bboxes": np.array(boxes, np.float32).reshape(-1, 4), "box_ids": list(range(len(boxes)))}
        if "Keypoints" in can:
            # Three extra points in the middle: their orientation shows whether left and right are swapped.
            x, y = (width - 1) / 2, (height - 1) / 2
            ours = [(x, y), (x + 1, y), (x, y + 1)]
            corners = np.concatenate([np.empty((0, 2)), *(p for box in view.boxes for p in polygons_of(box.outline))]) - 0.5
            points = [(k.x, k.y) for k in view.keypoints] + ours + corners.tolist()
            data |= {"keypoints": np.array(points, np.float32), "point_ids": list(range(len(points)))}
        out = _run(made, params, data)
        _note(made.transforms[0], params, rng)
        mask = None if view.mask is None else np.ascontiguousarray(out["mask"], np.uint8).reshape(out["image"].shape[:2])
        places = _places(out) if "Keypoints" in can else {}
        boxes_out, kept = _boxes_back(view, out, places)
        points_out, flipped = _points_back(view, places, kept) if "Keypoints" in can else (view.keypoints, False)
        image = np.ascontiguousarray(out["image"])
        return View(image, mask, boxes_out, points_out, view.mirrored ^ flipped, view.min_visible)

    return op


Places = Mapping[int, tuple[float, float]]
"""Where points lie now, by their index among all input points: keypoints, the three extra points, corners of outlines."""


def _places(out: Mapping[str, Any]) -> Places:
    return {
        round(float(number)): (float(point[0]), float(point[1]))
        for point, number in zip(out["keypoints"], out["point_ids"], strict=True)
    }


def _boxes_back(view: View, out: Mapping[str, Any], places: Places) -> tuple[tuple[Box, ...], dict[int, int]]:
    """The remaining boxes with their outlines, and each box's new index by its old one."""
    moved: list[Box] = []
    kept: dict[int, int] = {}
    first = len(view.keypoints) + OURS
    begins = np.cumsum([0, *(sum(map(len, polygons_of(box.outline))) for box in view.boxes)]) + first
    for edges, number in zip(out.get("bboxes", ()), out.get("box_ids", ()), strict=True):
        old = round(float(number))
        x_min, y_min, x_max, y_max = (float(edge) for edge in edges[:4])
        polygons, corner = [], int(begins[old])
        for polygon in polygons_of(view.boxes[old].outline):
            there = [places[n] for n in range(corner, corner + len(polygon)) if n in places]
            polygons.append(np.array(there, np.float64).reshape(-1, 2) + 0.5)
            corner += len(polygon)
        kept[old] = len(moved)
        outline, facts = plain([p for p in polygons if len(p) >= 3]), kept_facts(view.boxes[old].facts)
        moved.append(Box(x_min, y_min, x_max, y_max, view.boxes[old].label, outline, facts))
    return tuple(moved), kept


def _points_back(view: View, places: Places, kept: Mapping[int, int]) -> tuple[tuple[Keypoint, ...], bool]:
    """The keypoints in their old order, and whether the image was mirrored. A dropped point becomes hidden."""
    moved = []
    for number, point in enumerate(view.keypoints):
        x, y = places.get(number, (-1.0, -1.0))
        of = None if point.of is None else kept.get(point.of)
        moved.append(Keypoint(x, y, point.label, point.visible and number in places, of))
    middle, right, below = (places.get(len(view.keypoints) + i) for i in range(OURS))
    if middle is None or right is None or below is None:
        return tuple(moved), False
    turn = (right[0] - middle[0]) * (below[1] - middle[1]) - (right[1] - middle[1]) * (below[0] - middle[0])
    return tuple(moved), turn < 0


if __name__ == "__main__":
    found = {"version": version("albumentations"), "transforms": read_library()}
    (Path(__file__).parent / "albu.json").write_text(
        json.dumps(found, separators=(",", ":")).replace("},", "},\n") + "\n", encoding="utf-8"
    )
