"""Attribution maps (saliency): which parts of an image are evidence for a class; ``(H, W) float32`` at the input size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError
from pipekit.learning.predictor import Probabilities, load_keras_model
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

if TYPE_CHECKING:
    from pipekit.rng import Rng

Map = NDArray[np.float32]
Pixels = NDArray[np.uint8]

STEPS, STEPS_LARGE, LARGE_PX = 64, 32, 128 * 128
"""Numbers of steps of integrated gradients, for small and for large images; Sundararajan et al. use 20 to 300."""

STEPS_CHECK = 16
"""Number of steps for the map of the model with shuffled weights, which is only compared."""

BATCH = 32
"""Maximum number of images that a model predicts at once."""

PARTS = 8
"""The grey square of occlusion is an eighth of the image's width and height."""


@dataclass(frozen=True)
class Opened:
    """A Keras model opened for explaining.

    Attributes:
        model: maps images to probabilities.
        logits: maps images to the logits, before the softmax or the sigmoids; of a number, to the number.
        source: the symbolic input of both and of ``calls``.
        calls: (layer, symbolic input, symbolic output) of each layer in order, the last one with its softmax.
    """

    model: Any
    logits: Any
    source: Any
    calls: tuple[tuple[Any, Any, Any], ...]
    task: str = CLASSES

    @property
    def outputs(self) -> list[tuple[Any, Any]]:
        """(layer, symbolic output) of each layer in the graph of ``logits``."""
        return [(layer, made) for layer, _, made in self.calls[:-1]]

    @cached_property
    def halves(self) -> tuple[Any, Any] | None:
        """The model up to its last spatial layer, and from there to the logits; None if no layer keeps the spatial layout.

        Layers in parallel branches don't qualify: the logits depend on the other branches too. These are two models and not
        one, because Keras may run a model as one compiled function, and a gradient can't start inside it.
        """
        keras = _keras()
        for _, tensor in reversed(spatial_layers(self)):
            try:
                above = keras.Model(tensor, self.logits.outputs[0])
            except ValueError:  # not connected: another branch bypasses this layer
                continue
            return keras.Model(self.source, tensor), above
        return None

    @cached_property
    def gradient(self) -> Callable[[Any, Any], Any]:
        """From a batch of images and a class's position to the gradient of its logits with respect to the pixels.

        One compiled graph for any number of images and every class: called layer by layer, a large network spends more time on
        calls than on computing.
        """
        import tensorflow as tf

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
        def gradient(batch: Any, target: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                score = tf.reduce_sum(tf.gather(self.logits(batch, training=False), target, axis=1))
            return tape.gradient(score, batch)

        spec = tf.TensorSpec((None, *self.source.shape[1:]), tf.float32)
        traced = gradient.get_concrete_function(spec, tf.TensorSpec((), tf.int32))
        return lambda batch, target: traced(tf.constant(batch, tf.float32), tf.constant(target, tf.int32))


def open_model(folder: Path) -> Opened:
    """Load ``model.keras`` and find its logits: probabilities hide the confidence of a saturated model."""
    return with_logits(load_keras_model(folder))


def with_logits(model: Any, task: str = CLASSES) -> Opened:
    """Open a loaded model; a number has no logits, and is explained as it is."""
    keras = _keras()
    source, calls = _traced(model)
    last, before, outcome = calls[-1]
    activation = keras.activations.sigmoid if task == MULTILABEL else keras.activations.softmax
    if task == NUMBER:
        tensor = outcome
    elif isinstance(last, keras.layers.Dense) and last.activation is activation:
        copy = keras.layers.Dense(last.units, use_bias=last.use_bias, name="logits_of_explain")
        tensor = copy(before)
        copy.set_weights(last.get_weights())
    elif isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is activation:
        tensor = before
    else:
        tensor = keras.ops.log(keras.ops.maximum(outcome, 1e-7))
        if task == MULTILABEL:
            tensor -= keras.ops.log(keras.ops.maximum(1 - outcome, 1e-7))
    return Opened(model, keras.Model(source, tensor), source, tuple(calls), task)


def _traced(model: Any) -> tuple[Any, list[tuple[Any, Any, Any]]]:
    """Call the model's layers again in one new graph; returns its input, and (layer, input, output) of each call.

    A layer's own ``output`` may belong to another graph: that of an extended Sequential, or of a nested model.
    """
    keras = _keras()
    calls: list[tuple[Any, Any, Any]] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        made = layer(*args, **kwargs)
        calls.append((layer, args[0] if args else None, made))
        return made

    if isinstance(model, keras.Sequential):
        source = tensor = keras.Input(model.input_shape[1:])
        for layer in model.layers:
            tensor = call(layer, tensor)
        return source, calls
    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return copy.inputs[0], calls


def spatial_layers(opened: Opened) -> list[tuple[str, Any]]:
    """(name, symbolic output) of the layers that keep the spatial layout, starting at the first one with weights."""
    found = []
    seen_weights = False
    for layer, output in opened.outputs:
        seen_weights = seen_weights or bool(getattr(layer, "weights", None))
        shape: Any = getattr(output, "shape", ())
        if seen_weights and len(shape) == 4 and (shape[1] or 0) > 1 and (shape[2] or 0) > 1:
            found.append((layer.name, output))
    return found


def grad_cam(opened: Opened, image: Pixels, target: int, plus_plus: bool = False) -> Map:
    """Grad-CAM (Selvaraju et al. 2017) or Grad-CAM++ (Chattopadhay et al. 2018) of the last spatial layer, in 0..1.

    Args:
        image: ``(H, W, C) uint8`` at the model's input size.
        target: the class's position.

    Raises:
        UserError: no layer keeps the image's spatial layout.
    """
    return cam_of(opened, last_activations(opened, [image])[:1], image, target, plus_plus)


def last_activations(opened: Opened, images: Sequence[Pixels]) -> Any:
    """The outputs of the last spatial layer, a tensor: the maps of all classes begin with them, and they take most of the time.

    All images in one batch: layer by layer, calling a large network costs more than computing it for one image.

    Raises:
        UserError: no layer keeps the image's spatial layout.
    """
    import tensorflow as tf

    if opened.halves is None:
        raise UserError("Grad-CAM needs a layer that keeps the spatial layout, and this model has none", "Use occlusion.")
    return tf.convert_to_tensor(opened.halves[0](np.stack(images).astype(np.float32), training=False))


def cam_of(opened: Opened, activations: Any, image: Pixels, target: int, plus_plus: bool = False) -> Map:
    """The map of :func:`grad_cam` from the image's row of what :func:`last_activations` returned, ``(1, H, W, C)``."""
    import tensorflow as tf

    assert opened.halves is not None
    above = opened.halves[1]
    with tf.GradientTape() as tape:
        tape.watch(activations)
        score = above(activations, training=False)[0, target]
    gradients = finite(tape.gradient(score, activations))[0].astype(np.float64)
    values = np.asarray(activations)[0].astype(np.float64)
    if plus_plus:
        squared = gradients**2
        divisor = 2 * squared + values.sum(axis=(0, 1)) * gradients**3
        alpha = np.divide(squared, divisor, out=np.zeros_like(squared), where=np.abs(divisor) > 1e-12)
        weights = (alpha * np.maximum(gradients, 0)).sum(axis=(0, 1))
    else:
        weights = gradients.mean(axis=(0, 1))
    return _enlarged(np.maximum((values * weights).sum(axis=2), 0), image)


def integrated_gradients(opened: Opened, image: Pixels, target: int, steps: int = STEPS) -> Map:
    """Integrated gradients (Sundararajan, Taly and Yan 2017) from black, summed over the channels; signed.

    Its sum is the class's logit minus that of the black image (completeness), up to the error of the numerical integration.
    """
    whole = _batch(image)
    total = np.zeros(image.shape, np.float64)
    for at in np.array_split((np.arange(steps) + 0.5) / steps, max(1, steps // 16)):
        path = whole * at[:, None, None, None].astype(np.float32)
        total += finite(opened.gradient(path, target)).sum(axis=0)
    return np.asarray((total / steps * image).sum(axis=2), np.float32)


def occlusion(opened: Opened, image: Pixels, target: int, parts: int = PARTS, apart: bool = False) -> Map:
    """Loss of probability, or of the number, under a grey square (Zeiler and Fergus 2014).

    Each pixel's value is the mean over its squares.

    Args:
        apart: squares side by side, and not half a square apart: a quarter of the predictions, for maps that are only compared.
    """
    return occluded(probabilities_of(opened), image, (target,), parts, apart)[0]


def probabilities_of(opened: Opened) -> Probabilities:
    """The predictions of a network, a batch at a time."""
    return lambda batch: np.asarray(opened.model.predict_on_batch(batch.astype(np.float32)), np.float32)


def occluded(
    probabilities: Probabilities, image: Pixels, targets: Sequence[int], parts: int = PARTS, apart: bool = False
) -> list[Map]:
    """The maps of :func:`occlusion` for several classes at once, from probabilities alone: works with any classifier."""
    height, width = image.shape[:2]
    tall, wide = max(1, height // parts), max(1, width // parts)
    rows, columns = (range(0, height, tall), range(0, width, wide)) if apart else (_starts(height, tall), _starts(width, wide))
    corners = [(y, x) for y in rows for x in columns]
    grey = image.mean(axis=(0, 1)).round().astype(np.uint8)
    loss, covered = np.zeros((len(targets), height, width)), np.zeros((height, width))
    found = _of_covered(probabilities, image, grey, [(y, x, tall, wide) for y, x in corners])[:, list(targets)]
    for (y, x), row in zip(corners, found[1:], strict=True):
        loss[:, y : y + tall, x : x + wide] += (found[0] - row)[:, None, None]
        covered[y : y + tall, x : x + wide] += 1
    return [np.asarray(one / covered, np.float32) for one in loss]


def _of_covered(
    probabilities: Probabilities, image: Pixels, grey: Pixels, squares: Sequence[tuple[int, int, int, int]]
) -> NDArray[np.float32]:
    """The probabilities of the image, and of it with each square covered, in batches of one size: a model traces one graph."""
    rows = len(squares) + 1
    size = -(-rows // -(-rows // BATCH))
    found = []
    for start in range(0, rows, size):
        batch = np.repeat(image[None], size, axis=0)
        for place, number in enumerate(range(start, min(start + size, rows))):
            if number:
                y, x, tall, wide = squares[number - 1]
                batch[place, y : y + tall, x : x + wide] = grey
        found.append(probabilities(batch))
    return np.concatenate(found)[:rows]


def _starts(length: int, window: int) -> list[int]:
    """Window positions half a window apart; the last window ends at the border."""
    return sorted({*range(0, length - window, max(1, window // 2)), length - window})


ROUNDING = 1e-6

METHODS = {
    "grad_cam": grad_cam,
    "grad_cam_pp": lambda opened, image, target: grad_cam(opened, image, target, plus_plus=True),
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}


def randomised(opened: Opened, rng: Rng) -> Opened:
    """The same model with every weight array shuffled: the full cascading randomisation of Adebayo et al. 2018."""
    model = _keras().models.clone_model(opened.model)
    model.set_weights([rng.permutation(weights.ravel()).reshape(weights.shape) for weights in opened.model.get_weights()])
    return with_logits(model, opened.task)


def is_constant(found: Map) -> bool:
    """Whether a map says the same of every place, so that it is no explanation: a class without weights, a dead layer.

    What differs by no more than the rounding of float32 counts as the same.
    """
    return not np.isfinite(found).all() or bool(np.ptp(found) <= ROUNDING * np.abs(found).max())


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's rank correlation of two maps' absolute values; 0 if one is constant."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    a, b = (rankdata(np.abs(found).ravel()) for found in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale else 0.0


def feature_maps(opened: Opened, images: Sequence[Pixels], most_layers: int) -> list[list[tuple[str, NDArray[np.float32]]]]:
    """For each image, names and outputs ``(height, width, channels)`` of up to ``most_layers`` layers, evenly spaced."""
    layers = spatial_layers(opened)
    if not layers or not most_layers:
        return [[] for _ in images]
    chosen = sorted(set(np.linspace(0, len(layers) - 1, min(most_layers, len(layers))).round().astype(int).tolist()))
    several = _keras().Model(opened.logits.inputs[0], [layers[place][1] for place in chosen])
    made: list[list[tuple[str, NDArray[np.float32]]]] = []
    for image in images:  # one at a time: the outputs of the first layers are large
        outputs = several(_batch(image), training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        made.append([(layers[place][0], np.asarray(found)[0]) for place, found in zip(chosen, outputs, strict=True)])
    return made


def finite(gradient: Any) -> NDArray[np.float32]:
    """A gradient as an array; 0 where it is not finite: the square root at zero, as in HOG on uniform parts of an image."""
    return np.nan_to_num(np.asarray(gradient, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _batch(image: Pixels) -> NDArray[np.float32]:
    return image[None].astype(np.float32)


def _enlarged(coarse: NDArray[np.float64], image: Pixels) -> Map:
    import cv2

    largest = coarse.max()
    scaled = (coarse / largest if largest > 0 else coarse).astype(np.float32)
    return np.asarray(cv2.resize(scaled, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _keras() -> Any:
    from pipekit.learning.keras_backend import load_keras

    return load_keras()
