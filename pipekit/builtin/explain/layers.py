"""A model's layers at work on one image, the filters of its first convolution, and activation maximisation of a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain.maps import Opened, Pixels, finite

if TYPE_CHECKING:
    from pipekit.rng import Rng

Float = NDArray[np.float32]

MAX_BARS = 64


@dataclass(frozen=True)
class Step:
    """One layer's output for an image: the layer's name, what it does in words, and the values, ``(H, W, C)`` or ``(N,)``."""

    name: str
    words: str
    values: Float


def steps(opened: Opened, image: Pixels, most: int) -> Iterator[Step]:
    """Each layer in order, at most ``most``. A layer with a built-in activation gives two steps; the softmax is the last."""
    import keras

    wanted = [call for call in opened.calls if hasattr(call[1], "shape") and _drawable(call[2])]
    if len(wanted) > most:
        chosen = sorted(set(np.linspace(0, len(wanted) - 1, most).round().astype(int).tolist()))
        wanted = [wanted[place] for place in chosen]
    if not wanted:
        return
    # One pass for the tensors before and after each layer.
    ends = [tensor for _, before, after in wanted for tensor in (before, after)]
    found = keras.Model(opened.source, ends)(image[None].astype(np.float32), training=False)
    for (layer, _, _), before, after in zip(wanted, found[::2], found[1::2], strict=True):
        values = np.asarray(after)[0]
        activation: Any = getattr(layer, "activation", None)
        shaped = isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D))
        if not shaped or activation is keras.activations.linear:
            yield Step(layer.name, _words(layer, values), values)
            continue
        linear = np.asarray(_without_activation(layer, before))[0]
        yield Step(layer.name, _words(layer, linear), linear)
        yield Step(
            f"{layer.name}: {activation.__name__}",
            ACTIVATIONS.get(activation.__name__, "a nonlinear function of each value"),
            values,
        )


ACTIVATIONS = {
    "relu": "ReLU: negative values become 0",
    "softmax": "softmax: numbers become probabilities that sum to 1",
    "sigmoid": "sigmoid: maps each number to one between 0 and 1",
    "tanh": "tanh: maps each number to one between -1 and 1",
}


def _drawable(tensor: Any) -> bool:
    return len(getattr(tensor, "shape", ())) in (2, 4)


def _without_activation(layer: Any, before: Any) -> Any:
    """The layer's output before its activation."""
    import keras

    config = {**layer.get_config(), "activation": "linear", "name": "linear"}
    plain = type(layer).from_config(config)
    plain.build(before.shape)
    plain.set_weights(layer.get_weights())
    return plain(keras.ops.convert_to_tensor(before))


def _words(layer: Any, values: Float) -> str:
    """Describe a layer for readers who are new to neural networks."""
    kind = type(layer).__name__
    size = " x ".join(map(str, values.shape[:2])) if values.ndim == 3 else str(len(values))
    if kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D"):
        filters = f"{values.shape[2]} filters of {layer.kernel_size[0]} x {layer.kernel_size[1]}"
        return f"convolution: {filters} slide over the image, each gives a feature map of {size}"
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        what = "the largest value" if kind == "MaxPooling2D" else "the mean"
        return f"pooling: keeps {what} of each {layer.pool_size[0]} x {layer.pool_size[1]}, which leaves {size}"
    if kind.startswith("Global"):
        return f"global pooling: each feature map becomes one number, {size} in all"
    plain = {
        "Rescaling": "rescaling: the same image in smaller numbers",
        "Normalization": "normalisation: mean 0 and standard deviation 1 for each channel",
        "BatchNormalization": "batch normalisation: shifts and scales each feature map to a usual range",
        "Flatten": f"flatten: puts all feature maps into one vector of {size} numbers",
        "Dense": f"dense: each of {size} numbers is a weighted sum of all inputs",
        "Dropout": "dropout: active only in training, here it changes nothing",
        "ReLU": ACTIVATIONS["relu"],
        "Softmax": ACTIVATIONS["softmax"],
        "Activation": ACTIVATIONS.get(
            getattr(getattr(layer, "activation", None), "__name__", ""), "a nonlinear function of each value"
        ),
    }
    if getattr(layer, "layers", None):
        return f"a nested network of {len(layer.layers)} layers: gives {size}"
    return plain.get(kind, f"{kind}: gives {size}")


def drawing(values: Float, side_px: int = 192) -> Pixels:
    """Draw a step's values: in colour, or its strongest feature map in grey; a vector as bars above and below zero."""
    from pipekit import images

    if values.ndim == 3:
        if values.shape[2] != 3:
            strongest = int(values.std(axis=(0, 1)).argmax())
            values = np.repeat(values[:, :, strongest : strongest + 1], 3, axis=2)
        height, width = values.shape[:2]
        scale = side_px / max(height, width)
        shown = stretched(values)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return images.resize(shown, size, "nearest") if scale > 1 else images.thumbnail(shown, side_px)
    bars = values[np.linspace(0, len(values) - 1, min(len(values), MAX_BARS)).round().astype(int)]
    sheet = np.full((side_px, side_px, 3), 255, np.uint8)
    largest, lowest = max(float(bars.max()), 0.0), min(float(bars.min()), 0.0)
    span = (largest - lowest) or 1.0
    zero = round((side_px - 1) * largest / span)
    edges = np.linspace(0, side_px, len(bars) + 1).round().astype(int)
    for value, left, right in zip(bars, edges, edges[1:], strict=False):
        end = round((side_px - 1) * (largest - float(value)) / span)
        sheet[min(zero, end) : max(zero, end) + 1, left : max(left + 1, right - (right - left > 3))] = (0, 114, 178)
    sheet[zero] = (40, 40, 40)
    return sheet


def stretched(values: Float) -> Pixels:
    """Stretch the values' range to 0..255."""
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / ((high - low) or 1.0) * 255, np.uint8)


def first_filters(model: Any) -> tuple[str, Float] | None:
    """The first convolution's name and weights ``(height, width, channels, filters)``, also within a nested model."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            if found := first_filters(layer):
                return found
        elif type(layer).__name__ == "Conv2D" and tuple(layer.kernel_size) != (1, 1):  # 1 x 1 only mixes colours
            return str(layer.name), np.asarray(layer.get_weights()[0], np.float32)
    return None


def filter_tiles(weights: Float, most: int) -> list[Pixels]:
    """Each filter as an image in its own range: in colour if it has three channels, else the mean of its channels."""
    tiles = []
    for number in range(min(most, weights.shape[3])):
        one = weights[:, :, :, number]
        tiles.append(stretched(one if one.shape[2] == 3 else np.repeat(one.mean(axis=2, keepdims=True), 3, axis=2)))
    return tiles


def maximise(opened: Opened, target: int, rng: Rng, rounds: int, track: Callable[[range], Iterable[int]] = iter) -> Pixels:
    """Activation maximisation: gradient ascent from noise on a class's logit (Erhan et al. 2009), with random small shifts.

    The shifts and a light smoothing in each round prevent high-frequency noise in the image (Olah et al. 2017).

    Args:
        track: passes the rounds through and shows progress.
    """
    import cv2

    height, width, channels = opened.source.shape[1:]
    picture = rng.normal(128, 8, (height, width, channels)).astype(np.float32)
    reach = max(1, min(height, width) // 16)
    for _ in track(range(rounds)):
        dy, dx = (int(step) for step in rng.integers(-reach, reach + 1, 2))
        raised = finite(opened.gradient(np.roll(picture, (dy, dx), (0, 1))[None], target))[0]
        gradient = np.roll(raised, (-dy, -dx), (0, 1))
        picture = picture + 6 * gradient / (float(gradient.std()) + 1e-8)
        picture = cv2.GaussianBlur(np.clip(picture, 0, 255), (0, 0), 0.5).reshape(height, width, channels).astype(np.float32)
    return picture.round().astype(np.uint8)
