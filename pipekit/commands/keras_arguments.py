"""The arguments of Keras' ``ImageDataGenerator`` as ops, with the same order and the same ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipekit.errors import UserError, did_you_mean

CARRIED = (
    "rotation_range",
    "width_shift_range",
    "height_shift_range",
    "shear_range",
    "zoom_range",
    "channel_shift_range",
    "horizontal_flip",
    "vertical_flip",
    "brightness_range",
    "rescale",
    "fill_mode",
    "cval",
)
NOT_CARRIED = {
    "featurewise_center": "it depends on the whole dataset; use keras.layers.Normalization in the model",
    "featurewise_std_normalization": "it depends on the whole dataset; use keras.layers.Normalization in the model",
    "samplewise_center": "a recipe's images are uint8; subtract the mean in the model",
    "samplewise_std_normalization": "a recipe's images are uint8; normalise in the model",
    "zca_whitening": "it depends on the whole dataset",
    "zca_epsilon": "it belongs to zca_whitening",
    "preprocessing_function": "it is Python; write it as an op of a plugin, or put it into the model",
    "validation_split": "pipekit.split divides a dataset, with duplicates and groups on one side",
    "data_format": "images are (height, width, 3)",
    "interpolation_order": "the option interpolation of Recipe chooses it",
    "dtype": "a recipe's images are uint8",
}
"""Arguments without a counterpart, and why."""

DEFAULTS = {"zca_epsilon": (1e-6,), "data_format": ("channels_last",), "interpolation_order": (1,), "dtype": ("float32",)}
"""Values of such arguments that change nothing."""

SMALLEST_RESCALE = 0.1
"""A smaller factor would turn images of 0..255 almost black: it is meant for a model's input, as 1/255 is."""


def ops_of(arguments: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The ops, in the order in which Keras applies them, and the options of the recipe.

    Raises:
        UserError: names every argument that can't be carried, with the reason.
    """
    problems: list[str] = []
    for name, value in arguments.items():
        if name in NOT_CARRIED and not _changes_nothing(name, value):
            problems.append(f"{name}: {NOT_CARRIED[name]}")
        elif name not in NOT_CARRIED and name not in CARRIED:
            known = [*CARRIED, *NOT_CARRIED]
            problems.append(f"{name}: ImageDataGenerator has no such argument. {did_you_mean(name, known)}".rstrip())
    ops = [op for make in _IN_ORDER for op in _tried(make, arguments, problems)]
    options = _tried(_filling, arguments, problems)
    if problems:
        raise UserError(
            f"these arguments of ImageDataGenerator can't be carried: {'; '.join(problems)}",
            f"Leave them out. These can be carried: {', '.join(CARRIED)}.",
        )
    return ops, dict(options)


def _changes_nothing(name: str, value: Any) -> bool:
    return value is None or value is False or (name == "validation_split" and value == 0) or value in DEFAULTS.get(name, ())


def _tried(
    make: Callable[[Mapping[str, Any]], Sequence[Any]], arguments: Mapping[str, Any], problems: list[str]
) -> Sequence[Any]:
    """What ``make`` returns; its ValueError becomes a problem."""
    try:
        return make(arguments)
    except ValueError as error:
        problems.append(str(error))
        return []


def _number(arguments: Mapping[str, Any], name: str, most: float = float("inf")) -> float:
    value = arguments.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        bound = "a number from 0 on" if most == float("inf") else f"a number from 0 to {most:g}"
        raise ValueError(f"{name}: expected {bound}, got {value!r}")
    return float(value)


def _pair(value: Any, name: str) -> tuple[float, float]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{name}: expected two numbers, the smaller first, got {value!r}")
    low, high = value
    if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value) or low > high:
        raise ValueError(f"{name}: expected two numbers, the smaller first, got {value!r}")
    return float(low), float(high)


def _rotation(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    limit = _number(arguments, "rotation_range", 180)
    return [{"op": "rotate", "limit_deg": limit}] if limit else []


def _shift(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    width, height = (_shift_of(arguments, name) for name in ("width_shift_range", "height_shift_range"))
    return [{"op": "shift", "width": width, "height": height}] if width or height else []


def _shift_of(arguments: Mapping[str, Any], name: str) -> float:
    """Keras draws a whole number of pixels below an int; a list is drawn from, which no op does."""
    value = arguments.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return float(value - 1)
    if value is not None and not isinstance(value, (int, float)):
        raise ValueError(f"{name}: no op draws from a list of shifts; give the largest one, got {value!r}")
    return _number(arguments, name)


def _shear(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    limit = _number(arguments, "shear_range", 89.9)
    return [{"op": "shear", "limit_deg": limit}] if limit else []


def _zoom(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    value = arguments.get("zoom_range") or 0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < 1:
            raise ValueError(f"zoom_range: the zoom 1 - {value:g} must stay above 0; give two numbers, as (0.5, 2.0)")
        return [{"op": "zoom", "amount": float(value)}] if value else []
    low, high = _pair(value, "zoom_range")
    if low <= 0:
        raise ValueError(f"zoom_range: zooms must be above 0, got {value!r}")
    return [{"op": "zoom", "range": [low, high]}] if (low, high) != (1, 1) else []


def _channel_shift(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    limit = _number(arguments, "channel_shift_range", 255)
    return [{"op": "channel_shift", "limit": limit}] if limit else []


def _flips(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = {"horizontal_flip": "hflip", "vertical_flip": "vflip"}
    return [{"op": op, "p": 0.5} for name, op in names.items() if arguments.get(name)]


def _brightness(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    value = arguments.get("brightness_range")
    if value is None:
        return []
    low, high = _pair(value, "brightness_range")
    if low < 0:
        raise ValueError(f"brightness_range: factors can't be below 0, got {value!r}")
    return [{"op": "brightness", "range": [low, high]}] if (low, high) != (1, 1) else []


def _rescale(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    factor = _number(arguments, "rescale")
    if not factor or factor == 1:
        return []
    if factor < SMALLEST_RESCALE:
        text = f"1/{round(1 / factor)}" if abs(1 / factor - round(1 / factor)) < 1e-3 else f"{factor:.6g}"
        raise ValueError(
            f"rescale: a recipe's images are uint8 in 0..255, and {text} of that is black; begin the model with "
            f"keras.layers.Rescaling({text}), or give the factor to pipekit.feed(..., rescale={text})"
        )
    return [{"op": "rescale", "factor": factor}]


_IN_ORDER = (_rotation, _shift, _shear, _zoom, _channel_shift, _flips, _brightness, _rescale)


def _filling(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    mode, value = arguments.get("fill_mode") or "nearest", arguments.get("cval") or 0
    if mode not in ("nearest", "constant", "reflect", "wrap"):
        raise ValueError(f"fill_mode: expected nearest, constant, reflect or wrap, got {mode!r}")
    if mode == "constant" and not (isinstance(value, (int, float)) and 0 <= value <= 255 and float(value).is_integer()):
        raise ValueError(f"cval: expected a whole grey level from 0 to 255, got {value!r}")
    return [("fill_mode", mode), *([("fill_value", int(value))] if mode == "constant" else [])]
