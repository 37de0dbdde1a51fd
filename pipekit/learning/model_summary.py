"""Model summary: shapes, parameters, memory and multiply-adds (MACs) of each layer of a Keras model, and a drawing.

A multiply-add is one multiplication and one addition. Convolutions, dense layers and LSTMs count (as in fvcore and for "MACs"
in papers); poolings, normalisations and activations do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import log2, prod
from typing import Any
from xml.sax.saxutils import escape

BYTES = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Part:
    """One layer. ``output_shape`` is for one image; ``depth`` is the number of models that the layer is nested in."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    depth: int = 0


@dataclass(frozen=True)
class ModelSummary:
    """A model's layers in the order of computation, and their sums."""

    name: str
    input_shape: tuple[int, ...]
    parts: tuple[Part, ...]
    parameters: int
    trainable: int

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image."""
        return sum(part.multiply_adds for part in self.parts)

    @property
    def weights_bytes(self) -> int:
        return self.parameters * BYTES

    def training_bytes(self, batch_size: int) -> int:
        """A rough lower bound: weights, gradients, two moments of Adam, and each layer's output twice, for a batch."""
        outputs = sum(prod(part.output_shape) for part in self.parts)
        return BYTES * (self.parameters + 3 * self.trainable + 2 * batch_size * outputs)


def summarize_model(model: Any) -> ModelSummary:
    """Read a built Keras model with one input and one output."""
    return ModelSummary(
        model.name,
        tuple(model.input_shape[1:]),
        tuple(_parts(model, 0)),
        int(model.count_params()),
        sum(prod(weight.shape) for weight in model.trainable_weights),
    )


def _parts(model: Any, depth: int) -> list[Part]:
    found: list[Part] = []
    for layer in model.layers:
        inner = getattr(layer, "layers", None)
        if inner and layer.weights:
            found += _parts(layer, depth + 1)
            continue
        if depth and type(layer).__name__ == "InputLayer":
            continue
        shape = _shape(layer)
        found.append(
            Part(
                name=layer.name,
                kind=type(layer).__name__,
                output_shape=shape,
                parameters=int(layer.count_params()) if hasattr(layer, "count_params") else 0,
                trainable=sum(prod(weight.shape) for weight in getattr(layer, "trainable_weights", ())),
                multiply_adds=_multiply_adds(layer, shape),
                depth=depth,
            )
        )
    return found


def _shape(layer: Any) -> tuple[int, ...]:
    output = layer.output[0] if isinstance(layer.output, (list, tuple)) else layer.output
    return tuple(int(size or 0) for size in output.shape[1:])


def _multiply_adds(layer: Any, shape: tuple[int, ...]) -> int:
    """Multiply-adds of a layer by its kind; those of other kinds are negligible."""
    kind = type(layer).__name__
    if kind in ("Conv2D", "Dense", "Conv1D"):
        return prod(shape) * _size(layer.kernel.shape[:-1])
    if kind == "DepthwiseConv2D":
        return prod(shape) * _size(layer.kernel.shape[:2])
    if kind == "SeparableConv2D":
        return prod(shape[:2]) * (_size(layer.depthwise_kernel.shape) + _size(layer.pointwise_kernel.shape))
    if kind == "Conv2DTranspose":
        return _size(layer.input.shape[1:3]) * _size(layer.kernel.shape)
    recurrent = [layer.forward_layer, layer.backward_layer] if kind == "Bidirectional" else [layer]
    cells = [one.cell for one in recurrent if hasattr(one, "cell")]
    return sum(int(layer.input.shape[1]) * (_size(cell.kernel.shape) + _size(cell.recurrent_kernel.shape)) for cell in cells)


def _size(shape: Sequence[Any]) -> int:
    return prod(int(side) for side in shape)


def human(count: float, unit: str = "") -> str:
    """``1234567`` -> ``1.2 M``; with ``unit="B"`` ``1.2 MB``."""
    for name, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {name}{unit}"
    return f"{count:.0f} {unit}".rstrip()


# --- the drawing ---------------------------------------------------------------------------------------------------------

_COLOURS = {
    "conv": "#0072b2",
    "dense": "#d55e00",
    "pool": "#009e73",
    "norm": "#cc79a7",
    "recurrent": "#e69f00",
    "other": "#8a8a8a",
}
_WORDS = {
    "conv": "convolution",
    "dense": "dense",
    "pool": "pooling",
    "norm": "normalisation, dropout",
    "recurrent": "recurrent",
    "other": "other",
}


def _group(kind: str) -> str:
    for group, marks in (
        ("conv", ("Conv",)),
        ("dense", ("Dense",)),
        ("pool", ("Pooling",)),
        ("norm", ("Normalization", "Dropout")),
        ("recurrent", ("LSTM", "GRU", "RNN", "Bidirectional")),
    ):
        if any(mark in kind for mark in marks):
            return group
    return "other"


def draw_svg(summary: ModelSummary, *, wrap_px: int | None = None, most: int | None = None) -> str:
    """Draw the layers from left to right: a block's height shows the feature map's, its depth the number of maps, compressed.

    Layers without weights that keep the shape (activations, padding, single operations) are omitted. Each block has its name,
    shape and number of parameters below.

    Args:
        wrap_px: continue in a new row where a row is wider; None: one row.
        most: with more layers than this, successive ones of one size become one block, with their number.
    """
    parts = _shown(summary.parts)
    parts = _merged(parts) if most is not None and len(parts) > most else parts
    blocks, x, row, right = [], 30.0, 0, 0.0
    largest = max([1, *(max(part.output_shape[:2]) for part in parts if len(part.output_shape) == 3)])
    for part in parts:
        block, width = _block(part, x, largest)
        if wrap_px is not None and x > 30 and x + max(width, 64.0) > wrap_px:
            x, row = 30.0, row + 1
            block, width = _block(part, x, largest)
        blocks.append(block if not row else f'<g transform="translate(0 {row * _ROW_PX})">{block}</g>')
        x += max(width, 64.0) + 18
        right = max(right, x)
    used = [group for group in _COLOURS if any(_group(part.kind) == group for part in parts)]
    legend = "".join(
        f'<rect x="{30 + 135 * n}" y="48" width="12" height="12" fill="{_COLOURS[g]}"/>'
        f'<text x="{47 + 135 * n}" y="58" class="small">{_WORDS[g]}</text>'
        for n, g in enumerate(used)
    )
    title = (
        f"{summary.name}: {' x '.join(map(str, summary.input_shape))} in, {human(summary.parameters)} parameters, "
        f"{human(summary.multiply_adds)} multiply-adds per image"
    )
    width, height = max(right + 20, 40 + 135 * len(used), 8.2 * len(title) + 60), 330 + row * _ROW_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
        f'role="img"><title>{escape(title)}</title>'
        "<style>text{font:11px system-ui,sans-serif;fill:#222}.small{font-size:10px;fill:#444}.title{font-size:15px}"
        "rect,polygon{stroke:#fff;stroke-width:.6}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/><text x="30" y="30" class="title">{escape(title)}</text>'
        f"{legend}{''.join(blocks)}</svg>\n"
    )


_ROW_PX = 235


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Successive layers of about the same height, as one; with them those that squeeze it to 1 x 1 in between."""
    merged: list[Part] = []
    for _, group in groupby(_with_size(parts), lambda pair: pair[0]):
        found = [part for _, part in group]
        whole = [part for part in found if part.output_shape[:2] != (1, 1)] or found
        heaviest = max(found, key=lambda part: part.parameters)
        name = found[0].name if len(found) == 1 else f"{len(found)} layers"
        fields = ("parameters", "trainable", "multiply_adds")
        added = {field: sum(getattr(part, field) for part in found) for field in fields}
        merged.append(replace(whole[-1], name=name, kind=heaviest.kind, **added))
    return merged


def _with_size(parts: Sequence[Part]) -> Iterator[tuple[str, Part]]:
    """Each layer with what those of its block share: the octave of its height, so that padding begins no new block."""
    size = ""
    for part in parts:
        if len(part.output_shape) != 3:
            size = part.name
        elif part.output_shape[:2] != (1, 1) or not size:
            size = str(round(log2(part.output_shape[0]))) if part is not parts[0] else part.name
        yield size, part


def _shown(parts: Sequence[Part]) -> list[Part]:
    shown: list[Part] = []
    for part in parts:
        if shown and not part.parameters and part.output_shape == shown[-1].output_shape:
            continue
        shown.append(part)
    return shown


def _block(part: Part, x: float, largest: int) -> tuple[str, float]:
    """A box for feature maps or a bar for a vector, centred on one line, with three lines of text below."""
    colour = _COLOURS[_group(part.kind)]
    if len(part.output_shape) == 3:
        height = 14 + 120 * (part.output_shape[0] / largest) ** 0.5
        face = 6 + 44 * (part.output_shape[1] / largest) ** 0.5 / 2
        depth = 4 + 2.2 * part.output_shape[2] ** 0.5
    else:
        height, face, depth = 24 + 9 * prod(part.output_shape) ** 0.25, 9.0, 3.0
    top, slant = 165 - height / 2, face * 0.5
    right, bottom = x + depth, top + height
    shape = " x ".join(map(str, part.output_shape))
    lines = [part.name[:14], shape, human(part.parameters) if part.parameters else ""]
    text = "".join(f'<text x="{x}" y="{262 + 15 * n}" class="small">{escape(line)}</text>' for n, line in enumerate(lines))
    slope = f"{right:.1f},{top:.1f} {right + slant:.1f},{top - slant:.1f}"
    side = f"{slope} {right + slant:.1f},{bottom - slant:.1f} {right:.1f},{bottom:.1f}"
    return (
        f'<g fill="{colour}"><title>{escape(f"{part.name} ({part.kind}): {shape}, {part.parameters:,} parameters")}</title>'
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{depth:.1f}" height="{height:.1f}"/>'
        f'<polygon points="{x:.1f},{top:.1f} {x + slant:.1f},{top - slant:.1f} {right + slant:.1f},{top - slant:.1f} '
        f'{right:.1f},{top:.1f}" opacity=".75"/>'
        f'<polygon points="{side}" opacity=".55"/></g>{text}',
        depth + slant,
    )
